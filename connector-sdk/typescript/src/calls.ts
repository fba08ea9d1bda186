/** The context of a call: settings checked, credential wrapped, secrets kept out of logs and errors, a client for the source. */

import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { LoadedConnector } from "./connector.js";
import type { CallContext } from "./context.js";
import { Credential } from "./credential.js";
import { violation } from "./errors.js";
import type { Credential as CredentialProto } from "./gen/superfasttt/connector/v1/connector_pb.js";
import type { Call } from "./grpc.js";
import type { Traffic } from "./http/traffic.js";
import type { Log } from "./log.js";
import { traceparentOf } from "./trace.js";

/** The revision of the contract that this SDK speaks. */
export const CONTRACT_REVISION = 1;

const HIDDEN_AFTER_MS = 60_000;

/** What requests have in common. */
export interface AnyRequest {
  settings?: JsonObject | undefined;
  credential?: CredentialProto | undefined;
  contractRevision: number;
}

/** Makes the contexts of the calls of a process. */
export class Calls {
  readonly #connector: LoadedConnector;
  readonly #traffic: Traffic;
  readonly #log: Log;

  constructor(connector: LoadedConnector, traffic: Traffic, log: Log) {
    this.#connector = connector;
    this.#traffic = traffic;
    this.#log = log;
  }

  /** A call whose settings are checked. */
  checked(rpc: string, request: AnyRequest, call: Call): CallContext<JsonObject> {
    checkRevision(request.contractRevision);
    return this.unchecked(rpc, { ...request, settings: this.#connector.settings.read(request.settings) }, call);
  }

  /** A call whose settings may be incomplete. `secrets` are those beside the credential's and the settings'. */
  unchecked(rpc: string, request: AnyRequest, { signal, metadata }: Call, secrets: readonly string[] = []): CallContext<JsonObject> {
    checkRevision(request.contractRevision);
    const { settings = {} } = request;
    const credential =
      request.credential?.kind.case === undefined ? undefined : new Credential(request.credential, this.#connector.manifest);
    const hidden = [...secrets, ...(credential?.secrets() ?? []), ...secretSettings(this.#connector.manifest.settings, settings)];
    const release = this.#log.hide(hidden);
    // Code that the author left running may still have something to say of a call that has ended.
    signal.addEventListener("abort", () => setTimeout(release, HIDDEN_AFTER_MS).unref(), { once: true });
    const traceparent = traceparentOf(metadata);
    return {
      settings,
      credential,
      signal,
      traceparent,
      log: this.#log.logger({ rpc, traceparent }),
      http: this.#traffic.client({ settings, credential, secrets: hidden, signal, traceparent }),
    };
  }
}

/** @throws ConnectorError PROTOCOL_VIOLATION for a server that is older than this SDK can be */
export function checkRevision(revision: number): void {
  if (revision < CONTRACT_REVISION) {
    throw violation(`the request speaks contract revision ${revision}; this connector speaks ${CONTRACT_REVISION}`);
  }
}

/** The values of settings that the schema marks `x-secret`. */
function secretSettings(schema: unknown, value: JsonValue | undefined): string[] {
  if (typeof schema !== "object" || schema === null || value === undefined || value === null) return [];
  const { properties, items } = schema as { properties?: Record<string, unknown>; items?: unknown };
  if ((schema as Record<string, unknown>)["x-secret"] === true)
    return typeof value === "object" ? [JSON.stringify(value)] : [String(value)];
  if (Array.isArray(value)) return value.flatMap((entry) => secretSettings(items, entry));
  if (typeof value !== "object") return [];
  return Object.entries(properties ?? {}).flatMap(([name, inner]) =>
    Object.hasOwn(value, name) ? secretSettings(inner, value[name]) : [],
  );
}
