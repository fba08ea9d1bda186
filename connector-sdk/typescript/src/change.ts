/** What a pull yields. Each function makes one thing to yield; the sink's methods of the same names take the same arguments. */

import type { ItemKey, Permissions } from "./document.js";
import type { ConnectorError } from "./errors.js";
import type { Level } from "./log.js";

/** What a deletion or an item error is about: a document or container by its id, or by its locator for sources that name them by path. */
export type Target = ({ id: string } | { locator: string }) & {
  /** And everything under it. */
  withDescendants?: boolean;
};

/** A folder, or whatever else holds documents. */
export interface Container {
  id: string;
  name: string;
  /** What holds it. Absent: it stands at the top of the scope. */
  parentId?: string;
  locator?: string;
}

/** Why a scope is gone: it no longer exists, the account may no longer read it, or the settings no longer choose it. */
export type RemovalCause = "gone" | "access_lost" | "deselected";

/** One thing that a pull says. */
export type PullEvent<Raw> = { scope: string } & (
  | { kind: "document"; key: ItemKey; raw: Raw }
  | { kind: "present"; id: string; version: string }
  | { kind: "permissions"; id: string; permissions: Permissions }
  | { kind: "deletion"; target: Target }
  | { kind: "container"; container: Container }
  | { kind: "itemError"; target: Target | undefined; error: ConnectorError }
  | { kind: "checkpoint"; cursor: Cursor; hasMore: boolean }
  | { kind: "completeListing"; cursor: Cursor }
  | { kind: "scopeError"; error: ConnectorError }
  | { kind: "scopeRemoved"; cause: RemovalCause }
  | { kind: "log"; level: Level; message: string; fields: Readonly<Record<string, string>> }
);

/** Where a scope stands, opaque to the server: 1 byte to 64 KiB. Text is UTF-8; anything else is written as JSON, as `cursorJson` reads it. */
export type Cursor = string | Uint8Array | object | number;

/** A scope of "" where the source has only one. */
export interface InScope {
  scope?: string;
}

/**
 * A document as the source has it now. Where the server keeps raw items it gets `raw` itself, in a LIST its id and version only, else what
 * `normalize` makes of it.
 */
export function document<Raw>(id: string, raw: Raw, options: { version?: string; contentRef?: string } & InScope = {}): PullEvent<Raw> {
  const { version = "", contentRef = "", scope = "" } = options;
  return { kind: "document", scope, key: { id, version, contentRef }, raw };
}

/** The document exists at this version, and nothing else is said. FULL and LIST only, else PROTOCOL_VIOLATION. */
export function present(id: string, version = "", { scope = "" }: InScope = {}): PullEvent<never> {
  return { kind: "present", scope, id, version };
}

/** The permissions of a document alone. Left out of a LIST. */
export function permissions(id: string, permissions: Permissions, { scope = "" }: InScope = {}): PullEvent<never> {
  return { kind: "permissions", scope, id, permissions };
}

/** The source said that it is gone from this scope. Left out of a LIST. */
export function deletion(target: Target, { scope = "" }: InScope = {}): PullEvent<never> {
  return { kind: "deletion", scope, target };
}

/** A folder, or whatever else holds documents. Left out of a LIST. */
export function container(container: Container, { scope = "" }: InScope = {}): PullEvent<never> {
  return { kind: "container", scope, container };
}

/**
 * This item could not be read: it (and with `withDescendants` what is under it) takes no part in deletion by absence, and the pull goes on.
 * Without a target nothing in the scope is deleted by absence now.
 */
export function itemError(target: Target | undefined, error: ConnectorError, { scope = "" }: InScope = {}): PullEvent<never> {
  return { kind: "itemError", scope, target, error };
}

/**
 * "Everything given so far for this scope is covered by `cursor`." The next pull starts from it. With `hasMore` the scope is pulled again
 * at once after this pull ends; without, it is caught up. Not in TARGETED.
 */
export function checkpoint(cursor: Cursor, options: { hasMore?: boolean } & InScope = {}): PullEvent<never> {
  return { kind: "checkpoint", scope: options.scope ?? "", cursor, hasMore: options.hasMore ?? false };
}

/**
 * Everything in this scope has been named since its listing began; `cursor` is where the next INCREMENTAL starts. FULL and LIST only, with
 * the capability `full_listing`. It is sent when `pull` has ended well, and left out when something could not be named or the scope had an
 * error, because then absence proves nothing.
 */
export function completeListing(cursor: Cursor, { scope = "" }: InScope = {}): PullEvent<never> {
  return { kind: "completeListing", scope, cursor };
}

/** This scope stops here, the others go on. CURSOR_INVALID makes the server list the scope in full. */
export function scopeError(error: ConnectorError, { scope = "" }: InScope = {}): PullEvent<never> {
  return { kind: "scopeError", scope, error };
}

/** The source said that this scope is gone, or closed to the account, or no longer chosen. */
export function scopeRemoved(cause: RemovalCause, { scope = "" }: InScope = {}): PullEvent<never> {
  return { kind: "scopeRemoved", scope, cause };
}

/** A line for the run's log, for people who look at the connection. Without secrets. */
export function log(level: Level, message: string, fields: Readonly<Record<string, string>> = {}): PullEvent<never> {
  return { kind: "log", scope: "", level, message, fields };
}
