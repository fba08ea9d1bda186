/** The TestConnection rpc: a failed check is an answer, with what to do about it. */

import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import type { Check, LoadedConnector, TestResult } from "./connector.js";
import type { CallContext } from "./context.js";
import { type ConnectorError, classify, type Reason } from "./errors.js";
import {
  Check_Outcome as Outcome,
  type TestConnectionResponse,
  TestConnectionResponseSchema,
} from "./gen/superfasttt/connector/v1/connector_pb.js";

const OUTCOMES: Readonly<Record<Check["outcome"], Outcome>> = {
  passed: Outcome.PASSED,
  failed: Outcome.FAILED,
  warning: Outcome.WARNING,
  skipped: Outcome.SKIPPED,
};

/** What a person can do about an error that a test ended with. Not here: what the server mends itself, and the author's own faults. */
const FIXES: Readonly<Partial<Record<Reason, string>>> = {
  CREDENTIAL_REVOKED: "reconnect the account, or enter the credential again",
  SCOPE_MISSING: "reconnect, and agree to what is asked for",
  ACCESS_DENIED: "ask an administrator of the source for access",
  NOT_FOUND: "correct the connection's settings",
  SETTINGS_INVALID: "correct the connection's settings",
  RATE_LIMITED: "try again later",
  QUOTA_EXHAUSTED: "try again when the allowance is renewed, or have it raised",
  SOURCE_UNAVAILABLE: "see whether the source is up and the settings have its right address, then try again",
};

/** It is as it should be. `name` is a stable snake_case name such as "root_readable". */
export function passed(name: string, message: string): Check {
  return { name, outcome: "passed", message };
}

/** It must be mended, in the way that `fix` tells, before a sync can work. */
export function failed(name: string, message: string, fix: string): Check {
  return { name, outcome: "failed", message, fix };
}

/** A sync works, but not as well as it could. */
export function warning(name: string, message: string, fix: string): Check {
  return { name, outcome: "warning", message, fix };
}

/** It was not tried, because an earlier one failed. */
export function skipped(name: string, message: string): Check {
  return { name, outcome: "skipped", message };
}

/** The failed check that an error is; undefined where it is no answer for a person. */
function failedCheck({ reason, message }: ConnectorError): Check | undefined {
  const fix = FIXES[reason];
  return fix === undefined ? undefined : failed(reason === "SETTINGS_INVALID" ? "settings_valid" : "connection", message, fix);
}

/**
 * Tests a connection. `context` checks the settings first.
 *
 * @throws ConnectorError what is no answer for a person
 */
export async function testConnection({ definition }: LoadedConnector, context: () => CallContext<JsonObject>): Promise<TestResult> {
  let call: CallContext<JsonObject> | undefined;
  try {
    call = context();
    if (!definition.testConnection) return { checks: [passed("settings_valid", "the settings can be read")] };
    return await definition.testConnection(call);
  } catch (thrown) {
    const error = classify(thrown, (stack) => call?.log.error(stack));
    const check = failedCheck(error);
    if (check === undefined) throw error;
    return { checks: [check] };
  }
}

export function toTestResponse({ checks, account }: TestResult): TestConnectionResponse {
  const response: MessageInitShape<typeof TestConnectionResponseSchema> = {
    checks: checks.map(({ outcome, ...check }) => ({ ...check, outcome: OUTCOMES[outcome] })),
  };
  if (account) response.account = account;
  return create(TestConnectionResponseSchema, response);
}
