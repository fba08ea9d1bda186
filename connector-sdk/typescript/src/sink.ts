/** What `pull` gives its changes to. */

import { create } from "@bufbuild/protobuf";
import type { Container, Cursor, InScope, PullEvent, RemovalCause, Target } from "./change.js";
import * as change from "./change.js";
import { type Permissions, toPermissions } from "./document.js";
import { type ConnectorError, violation } from "./errors.js";
import {
  type Change,
  ContainerSchema,
  DeletionSchema,
  type ItemError,
  LogRecord_Level,
  PermissionsChangeSchema,
  PresentSchema,
  ProgressSchema,
  ScopeErrorSchema,
  ScopeRemoved_Cause,
  ScopeRemovedSchema,
} from "./gen/superfasttt/connector/v1/connector_pb.js";
import { clip, clipError, itemError, MAX_ID_BYTES } from "./limits.js";
import type { Mode } from "./listing.js";
import type { Level } from "./log.js";
import type { Making } from "./making.js";
import type { Outlet } from "./outlet.js";

const LEVELS: Readonly<Record<Level, LogRecord_Level>> = {
  error: LogRecord_Level.ERROR,
  warn: LogRecord_Level.WARN,
  info: LogRecord_Level.INFO,
  debug: LogRecord_Level.DEBUG,
  trace: LogRecord_Level.DEBUG,
};

const CAUSES: Readonly<Record<RemovalCause, ScopeRemoved_Cause>> = {
  gone: ScopeRemoved_Cause.GONE,
  access_lost: ScopeRemoved_Cause.ACCESS_LOST,
  deselected: ScopeRemoved_Cause.DESELECTED,
};

/**
 * Takes the changes of one pull, in the order of the calls. Every method waits while the server is behind: await each. A thrown error ends
 * the pull: let it pass. What each says is told at the function of the same name, which makes it for a generator to yield.
 */
export class Sink<Raw> {
  readonly #outlet: Outlet;
  readonly #making: Making<Raw>;
  readonly #mode: Mode;
  readonly #signal: AbortSignal;
  /** The ids of a TARGETED pull that have no answer yet. */
  readonly #unanswered: Set<string>;

  readonly #waiting = new Set<Promise<void>>();
  #isClosed = false;

  /** @internal */
  constructor(outlet: Outlet, making: Making<Raw>, mode: Mode, ids: readonly string[], signal: AbortSignal) {
    this.#outlet = outlet;
    this.#making = making;
    this.#mode = mode;
    this.#unanswered = new Set(ids);
    this.#signal = signal;
  }

  document(id: string, raw: Raw, options?: { version?: string; contentRef?: string } & InScope): Promise<void> {
    return this.give(change.document(id, raw, options));
  }

  present(id: string, version?: string, options?: InScope): Promise<void> {
    return this.give(change.present(id, version, options));
  }

  permissions(id: string, permissions: Permissions, options?: InScope): Promise<void> {
    return this.give(change.permissions(id, permissions, options));
  }

  deletion(target: Target, options?: InScope): Promise<void> {
    return this.give(change.deletion(target, options));
  }

  container(container: Container, options?: InScope): Promise<void> {
    return this.give(change.container(container, options));
  }

  itemError(target: Target | undefined, error: ConnectorError, options?: InScope): Promise<void> {
    return this.give(change.itemError(target, error, options));
  }

  checkpoint(cursor: Cursor, options?: { hasMore?: boolean } & InScope): Promise<void> {
    return this.give(change.checkpoint(cursor, options));
  }

  completeListing(cursor: Cursor, options?: InScope): Promise<void> {
    return this.give(change.completeListing(cursor, options));
  }

  scopeError(error: ConnectorError, options?: InScope): Promise<void> {
    return this.give(change.scopeError(error, options));
  }

  scopeRemoved(cause: RemovalCause, options?: InScope): Promise<void> {
    return this.give(change.scopeRemoved(cause, options));
  }

  log(level: Level, message: string, fields?: Readonly<Record<string, string>>): Promise<void> {
    return this.give(change.log(level, message, fields));
  }

  /** Says how far the pull is; 0 for a count that is not known. Sent at most once a second, so it may be called for each item. */
  progress(itemsSeen: number, itemsTotal = 0, message = ""): void {
    const [seen, total] = [count(itemsSeen), count(itemsTotal)];
    this.#outlet.progress(create(ProgressSchema, { itemsSeen: seen, itemsTotal: total, message: clip(message.toWellFormed(), 1024) }));
  }

  /** One thing that the functions of this SDK make. */
  async give(event: PullEvent<Raw>): Promise<void> {
    await this.take(event);
  }

  /**
   * The same, which gives something to wait for only where there is. Most changes only join a page, and a promise for each of them would
   * cost as much as they do.
   *
   * @internal
   */
  take(event: PullEvent<Raw>): Promise<void> | undefined {
    this.#signal.throwIfAborted();
    if (this.#isClosed) throw violation("something was given to the sink after pull had ended: await what uses it");
    const waiting = this.#hand(event);
    if (waiting) {
      this.#waiting.add(waiting);
      const done = () => void this.#waiting.delete(waiting);
      waiting.then(done, done);
    }
    return waiting;
  }

  /**
   * After the author's code: takes nothing more, and waits for what has been taken and not been awaited. Without that a change could come
   * after the end of its listing, and be deleted by its absence from it.
   *
   * @internal
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#waiting);
  }

  #hand(event: PullEvent<Raw>): Promise<void> | undefined {
    const { scope } = event;
    if (scope !== "" && !isName(scope)) {
      this.#outlet.note(() => {
        throw violation(`a scope's name is text of at most ${MAX_ID_BYTES} bytes`);
      });
    }
    switch (event.kind) {
      case "document":
        this.#unanswered.delete(event.key.id);
        return this.#outlet.push(scope, this.#making.change(this.#mode, event.key, event.raw));
      case "present":
        this.#outlet.note((listing) => listing.checkPresent());
        return this.#outlet.push(scope, { case: "present", value: create(PresentSchema, { id: event.id, version: event.version }) });
      case "permissions": {
        const { id } = event;
        const permissions = toPermissions(event.permissions);
        return this.#pushBesideList(scope, { case: "permissions", value: create(PermissionsChangeSchema, { id, permissions }) });
      }
      case "deletion": {
        const [target, withDescendants] = this.#answered(event.target);
        return this.#pushBesideList(scope, { case: "deletion", value: create(DeletionSchema, { target, withDescendants }) });
      }
      case "container":
        return this.#pushBesideList(scope, { case: "container", value: create(ContainerSchema, event.container) });
      case "itemError": {
        const [target, withDescendants] = event.target ? this.#answered(event.target) : [{ case: undefined } as const, false];
        return this.#outlet.push(scope, { case: "itemError", value: itemError(target, withDescendants, this.#making.clean(event.error)) });
      }
      case "checkpoint":
        return this.#outlet.checkpoint(scope, event.cursor, event.hasMore);
      case "completeListing":
        this.#outlet.note((listing) => listing.declareEnd(scope, event.cursor));
        return undefined;
      case "scopeError": {
        this.#outlet.note((listing) => listing.stopped(scope));
        const error = clipError(this.#making.clean(event.error)).toProto();
        return this.#outlet.sendInOrder({ case: "scopeError", value: create(ScopeErrorSchema, { scope, error }) });
      }
      case "scopeRemoved": {
        this.#outlet.note((listing) => listing.stopped(scope));
        const removed = create(ScopeRemovedSchema, { scope, reason: CAUSES[event.cause] });
        return this.#outlet.sendInOrder({ case: "scopeRemoved", value: removed });
      }
      case "log":
        return this.#outlet.log(LEVELS[event.level], event.message, event.fields);
    }
  }

  /** After the author's code has ended well: an id of a TARGETED pull that it did not answer is answered with an item error. */
  async answerTheRest(): Promise<void> {
    for (const id of this.#unanswered) await this.itemError({ id }, violation("the connector did not answer for this id"));
  }

  #answered(target: Target): [ItemError["target"], boolean] {
    const withDescendants = target.withDescendants ?? false;
    if ("locator" in target) return [{ case: "locator", value: target.locator }, withDescendants];
    this.#unanswered.delete(target.id);
    return [{ case: "id", value: target.id }, withDescendants];
  }

  #pushBesideList(scope: string, kind: Change["kind"]): Promise<void> | undefined {
    return this.#mode === "list" ? undefined : this.#outlet.push(scope, kind);
  }
}

function isName(scope: unknown): boolean {
  return typeof scope === "string" && scope.isWellFormed() && Buffer.byteLength(scope) <= MAX_ID_BYTES;
}

function count(number: number): bigint {
  return BigInt(Math.max(0, Math.trunc(Number.isFinite(number) ? number : 0)));
}
