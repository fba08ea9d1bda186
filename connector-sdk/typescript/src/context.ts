/** What the author's functions are asked. */

import type { JsonObject } from "@bufbuild/protobuf";
import type { Credential } from "./credential.js";
import { ConnectorError } from "./errors.js";
import type { PullRequest } from "./gen/superfasttt/connector/v1/connector_pb.js";
import type { HttpClient } from "./http/client.js";
import type { Mode } from "./listing.js";
import type { Logger } from "./log.js";

/** What every call has. */
export interface CallContext<Settings> {
  settings: Settings;
  /** What to authenticate with. `http` sets it by itself. */
  credential: Credential | undefined;
  /** Aborted when nobody waits for the answer any more. Hand it on to whatever waits. */
  signal: AbortSignal;
  /** The log of the process. */
  log: Logger;
  /** Asks the source, with all that the SDK knows of waiting, retrying and refusing. */
  http: HttpClient;
  /** W3C `traceparent` of the server's call. `http` hands it on. */
  traceparent: string | undefined;
}

/** Asks for the resources under a parent. */
export interface DiscoverContext extends CallContext<JsonObject> {
  /** Which of the settings' pickers asks. Empty: the only one. */
  picker: string;
  /** The resource to look under. Empty: the top. */
  parentId: string;
  /** Words that a person typed to search. Empty: everything. */
  query: string;
  /** How many at most, 1 to 1,000. */
  pageSize: number;
  /** `nextPageToken` of the answer before. Empty: the first page. */
  pageToken: string;
}

/** Asks for a document's bytes. */
export interface FetchContentContext<Settings> extends CallContext<Settings> {
  id: string;
  contentRef: string;
  /** The version that the document had; the one served may be newer. */
  version: string;
  /** How many bytes the server will take; the SDK sees to it. Absent: no limit is said. */
  maxBytes: number | undefined;
}

/** A webhook to verify and understand. For an app's URL there are neither settings nor credential. */
export interface EventContext<Settings> extends Omit<CallContext<Settings>, "settings"> {
  settings: Settings | undefined;
  /** Upper-case. */
  method: string;
  path: string;
  headers: Headers;
  body: Uint8Array;
  /** What the source signs with. Empty: none was set. */
  signingSecret: string;
}

/** Asks for an action. */
export interface ExecuteContext<Settings> extends CallContext<Settings> {
  action: string;
  /** Valid against the action's schema. */
  input: JsonObject;
  /** The same key means the same deed, done once. Empty: each call is its own. */
  idempotencyKey: string;
}

/** Asks for changes. */
export class PullContext<Settings> implements CallContext<Settings> {
  readonly settings: Settings;
  readonly credential: Credential | undefined;
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly http: HttpClient;
  readonly traceparent: string | undefined;
  /**
   * What is asked: `incremental`, changes since each scope's cursor; `full`, a listing of everything, begun where there is no cursor, else
   * resumed from it; `list`, the same of ids and versions; `targeted`, exactly `ids`.
   */
  readonly mode: Mode;
  /** Only these scopes. Empty: all of them, and new ones. */
  readonly scopes: readonly string[];
  /** The ids that `targeted` asks for, each to be answered with a document, a deletion or an item error; else empty. */
  readonly ids: readonly string[];
  /** How long the credential lasts. A connector may end the pull at a checkpoint before that. */
  readonly credentialLifetimeMs: number | undefined;
  readonly #exceptScopes: readonly string[];
  readonly #stateless: readonly string[];
  readonly #cursors: ReadonlyMap<string, Uint8Array>;

  /** @internal */
  constructor(call: CallContext<Settings>, mode: Mode, request: PullRequest) {
    this.settings = call.settings;
    this.credential = call.credential;
    this.signal = call.signal;
    this.log = call.log;
    this.http = call.http;
    this.traceparent = call.traceparent;
    this.mode = mode;
    this.scopes = request.scopes;
    this.ids = request.ids;
    const lifetime = request.limits?.credentialLifetime;
    this.credentialLifetimeMs = lifetime && Number(lifetime.seconds) * 1000 + lifetime.nanos / 1e6;
    this.#exceptScopes = request.exceptScopes;
    this.#stateless = request.knownScopes;
    this.#cursors = new Map(request.states.map(({ scope, cursor }) => [scope, cursor]));
  }

  /** The bytes of the last checkpoint that was committed for `scope`. Undefined: begin it. */
  cursorBytes(scope = ""): Uint8Array | undefined {
    return this.#cursors.get(scope);
  }

  /**
   * The same as text.
   *
   * @throws ConnectorError CURSOR_INVALID when it is none.
   */
  cursor(scope = ""): string | undefined {
    const bytes = this.cursorBytes(scope);
    try {
      return bytes && new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw this.cursorInvalid(scope);
    }
  }

  /**
   * The same as the value that was given to `checkpoint`, if it still is what `is` looks for.
   *
   * @throws ConnectorError CURSOR_INVALID when it is not: the server then lists the scope in full.
   */
  cursorJson<T>(is: (value: unknown) => value is T, scope = ""): T | undefined {
    const text = this.cursor(scope);
    if (text === undefined) return undefined;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw this.cursorInvalid(scope);
    }
    if (!is(value)) throw this.cursorInvalid(scope);
    return value;
  }

  /** The error that makes the server list `scope` in full. */
  cursorInvalid(scope = "", message = "the cursor is not one that this version of the connector wrote"): ConnectorError {
    return new ConnectorError("CURSOR_INVALID", message, { metadata: { scope } });
  }

  /**
   * The scopes of which the server holds something, as far as the request is about them. Where one is gone, closed to the account or no
   * longer chosen in the settings, `scopeRemoved` says so.
   */
  knownScopes(): string[] {
    return [...new Set([...this.#cursors.keys(), ...this.scopes, ...this.#stateless])];
  }

  /** Whether the request is about `scope`. */
  wantsScope(scope: string): boolean {
    return (this.scopes.length === 0 || this.scopes.includes(scope)) && !this.#exceptScopes.includes(scope);
  }
}
