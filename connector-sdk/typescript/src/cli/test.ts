/** `test`: whether a connection works, and what to do where it does not. */

import type { JsonObject } from "@bufbuild/protobuf";
import { testConnection } from "../checks.js";
import type { LoadedConnector } from "../connector.js";
import type { CallContext } from "../context.js";
import { ConnectorError } from "../errors.js";
import type { Printer } from "./printer.js";

/** Gives whether a sync would work. */
export async function runTest(connector: LoadedConnector, context: () => CallContext<JsonObject>, printer: Printer): Promise<boolean> {
  try {
    const { checks, account } = await testConnection(connector, context);
    for (const check of checks)
      printer.line([`${check.outcome}  ${check.name}: ${check.message}`, ...(check.fix ? [`  ${check.fix}`] : [])].join("\n"), { check });
    if (account)
      printer.line(`account  ${account.displayName ?? account.id}`, {
        account: { id: account.id, display_name: account.displayName, email: account.email },
      });
    return checks.every(({ outcome }) => outcome !== "failed");
  } catch (error) {
    if (!(error instanceof ConnectorError)) throw error;
    printer.failure(error);
    return false;
  }
}
