/** `pull`: what a pull would bring, without a server. */

import { create, fromBinary, type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import { CONTRACT_REVISION } from "../calls.js";
import type { LoadedConnector } from "../connector.js";
import type { CallContext } from "../context.js";
import { ConnectorError, classify } from "../errors.js";
import {
  type Change,
  ChangeSchema,
  LogRecordSchema,
  type Page,
  PullRequestSchema,
  type PullResponse,
  PullResponseSchema,
  ScopeErrorSchema,
  ScopeRemovedSchema,
} from "../gen/superfasttt/connector/v1/connector_pb.js";
import { type Mode, PULL_MODES } from "../listing.js";
import { pull } from "../pulling.js";
import { Cursors } from "./cursors.js";
import { type Options, UsageError } from "./options.js";
import type { Printer } from "./printer.js";

/** As in the server: two pulls in a row without a checkpoint bring no one further. */
const MAX_PULLS_WITHOUT_PROGRESS = 2;

/** The limit is reached; nothing is wrong. */
const ENOUGH = new ConnectorError("SOURCE_UNAVAILABLE", "enough has been pulled");

/** Pulls until nothing more is wanted. Gives whether all went well. */
export async function runPull(
  connector: LoadedConnector,
  options: Options,
  context: (signal: AbortSignal) => CallContext<JsonObject>,
  stop: AbortSignal,
  redact: (text: string) => string,
  printer: Printer,
): Promise<boolean> {
  const cursors = new Cursors(options.cursorFile);
  const mode = options.mode ?? (connector.manifest.capabilities.has("incremental") && cursors.hasChanges ? "incremental" : "full");
  if ((mode === "targeted") !== options.ids.length > 0) throw new UsageError("--mode targeted and --id go together");
  const pulled = new Pulled(mode, cursors, options.limit, printer);
  let failure: ConnectorError | undefined;
  for (let idle = 0; pulled.wantsMore && idle < MAX_PULLS_WITHOUT_PROGRESS; ) {
    const abort = new AbortController();
    const signal = AbortSignal.any([abort.signal, stop]);
    pulled.begin();
    const request = create(PullRequestSchema, {
      settings: options.settings,
      mode: PULL_MODES[mode],
      states: cursors.states(mode),
      ids: options.ids,
      contractRevision: CONTRACT_REVISION,
    });
    const send = async (message: Uint8Array) => {
      if (pulled.take(fromBinary(PullResponseSchema, message))) return;
      abort.abort(ENOUGH);
      throw ENOUGH;
    };
    try {
      await pull(connector, request, context(signal), send, redact);
      if (!pulled.wantsMore) cursors.ended(mode);
    } catch (error) {
      if (error !== ENOUGH) failure = classify(error, (stack) => process.stderr.write(`${redact(stack)}\n`));
      break;
    } finally {
      // Ends what the call has left running, and the secrets of it are no longer to be hidden.
      abort.abort(ENOUGH);
    }
    idle = pulled.hasProgressed ? 0 : idle + 1;
  }
  pulled.summary(mode, failure);
  return failure === undefined;
}

/** What has come so far. */
class Pulled {
  readonly #cursors: Cursors;
  readonly #mode: Mode;
  readonly #limit: number;
  readonly #printer: Printer;
  readonly #counts: Record<string, number> = {};
  readonly #hasMore = new Map<string, boolean>();
  #isFirst = true;
  hasProgressed = false;

  constructor(mode: Mode, cursors: Cursors, limit: number | undefined, printer: Printer) {
    this.#mode = mode;
    this.#cursors = cursors;
    this.#limit = limit ?? Number.POSITIVE_INFINITY;
    this.#printer = printer;
  }

  /** Whether the server would pull again at once. */
  get wantsMore(): boolean {
    return this.#isFirst || [...this.#hasMore.values()].includes(true);
  }

  begin(): void {
    this.#isFirst = false;
    this.hasProgressed = false;
    this.#hasMore.clear();
  }

  /** Tells a message. False: the limit is reached. */
  take({ kind }: PullResponse): boolean {
    switch (kind.case) {
      case "page":
        return this.#page(kind.value);
      case "scopeError":
        this.#count("scope_errors");
        this.#printer.scopeError(
          kind.value.scope,
          ConnectorError.fromProto(kind.value.error),
          toJson(ScopeErrorSchema, kind.value, PROTO_NAMES),
        );
        return true;
      case "scopeRemoved":
        this.#printer.line(`scope ${JSON.stringify(kind.value.scope)} is gone`, {
          scope_removed: toJson(ScopeRemovedSchema, kind.value, PROTO_NAMES),
        });
        return true;
      case "log":
        this.#printer.line(`log: ${kind.value.message}`, { log: toJson(LogRecordSchema, kind.value, PROTO_NAMES) });
        return true;
      default:
        return true;
    }
  }

  summary(mode: Mode, failure: ConnectorError | undefined): void {
    const counts = { mode, ...this.#counts, cursors: this.#cursors.shown(mode) };
    if (failure) this.#printer.failure(failure);
    const told = Object.entries(this.#counts).map(([name, count]) => `${count} ${name.replaceAll("_", " ")}`);
    const cursors = Object.entries(this.#cursors.shown(mode)).map(
      ([scope, cursor]) => `  cursor ${scope === "" ? "" : `of ${scope} `}${cursor}`,
    );
    this.#printer.line([`${mode}: ${told.join(", ") || "nothing"}`, ...cursors].join("\n"), { summary: counts });
  }

  #page({ scope, changes, checkpoint }: Page): boolean {
    for (const change of changes) {
      if ((this.#counts["documents"] ?? 0) >= this.#limit) return false;
      this.#change(scope, change);
    }
    if (checkpoint) {
      this.#cursors.keep(this.#mode, scope, checkpoint);
      this.#hasMore.set(scope, checkpoint.hasMore);
      this.hasProgressed = true;
      this.#count("checkpoints");
      const { hasMore: has_more, listingComplete: listing_complete } = checkpoint;
      this.#printer.json({ checkpoint: { scope, has_more, listing_complete } });
    }
    return true;
  }

  #change(scope: string, change: Change): void {
    const json = { ...(scope !== "" && { scope }), ...(toJson(ChangeSchema, change, PROTO_NAMES) as Record<string, JsonValue>) };
    const { kind } = change;
    switch (kind.case) {
      case "document":
        this.#count("documents");
        return this.#printer.line(`${kind.value.id}  ${kind.value.title}`, json);
      case "itemError": {
        this.#count("item_errors");
        const error = ConnectorError.fromProto(kind.value.error);
        return this.#printer.line(`item error  ${kind.value.target.value ?? "(no name)"}  ${error.reason}: ${error.message}`, json);
      }
      case "deletion":
        this.#count("deletions");
        return this.#printer.line(`deleted  ${kind.value.target.value ?? ""}`, json);
      case "present":
        this.#count("documents");
        return this.#printer.line(`${kind.value.id}  ${kind.value.version}`, json);
      default:
        this.#count(kind.case === "container" ? "containers" : "permissions");
        return this.#printer.line(
          `${kind.case}  ${kind.value?.$typeName === undefined ? "" : "id" in kind.value ? kind.value.id : ""}`,
          json,
        );
    }
  }

  #count(name: string): void {
    this.#counts[name] = (this.#counts[name] ?? 0) + 1;
  }
}

const PROTO_NAMES = { useProtoFieldName: true } as const;
