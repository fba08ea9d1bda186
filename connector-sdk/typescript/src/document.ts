/** The document that an author's `normalize` gives, and the envelope that is made of it. */

import { create, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { ConnectorError, violation } from "./errors.js";
import {
  type DocumentEnvelope,
  DocumentEnvelopeSchema,
  type Permissions as PermissionsProto,
  PermissionsSchema,
} from "./gen/superfasttt/connector/v1/document_pb.js";

/** What the engine needs to know of an item before anything is made of it. */
export interface ItemKey {
  /** The source's own stable identifier, unique within a connection, 1 to 1,024 bytes. */
  id: string;
  /** The source's etag or revision; content is fetched again when it differs. Empty: the source has none. */
  version: string;
  /** What `fetchContent` needs to read this item's bytes. Empty: there is nothing to fetch. */
  contentRef: string;
}

/** Who may see a document. Principals are compact, one an entry: `user:alex@acme.fr`, `group:google:eng@acme.fr`, `domain:acme.fr`. */
export interface Permissions {
  visibility: "private" | "organization" | "public";
  /** Principals that may read. */
  allow?: readonly string[];
  /** Principals that may not read, whatever else says that they may. */
  deny?: readonly string[];
}

/** A time: a Date, or text as RFC 3339 has it, with its zone. */
export type Time = Date | string;

/** A document; the SDK adds id, version and content reference. All that is left out is not known, and permissions that are not known mean private. */
export interface Document {
  title?: string | undefined;
  /** The text, at most 1 MiB. Empty says that there is none; absent, that it is not given here. */
  content?: string | undefined;
  /** The connector's id unless given. */
  source?: string | undefined;
  /** Where a person opens it. */
  url?: string | undefined;
  /** Everything else worth keeping. The conventional keys are `mime_type`, `owner`, `size` (bytes), `path`. */
  metadata?: Readonly<Record<string, unknown>> | undefined;
  permissions?: Permissions | undefined;
  /** The media type of the bytes behind the content reference. */
  mediaType?: string | undefined;
  createdAt?: Time | undefined;
  updatedAt?: Time | undefined;
  /** The id of the container or document that holds this one. */
  parentId?: string | undefined;
  /** A second key, unique within a scope, such as a path. */
  locator?: string | undefined;
}

/** The envelope of a document. */
export function toEnvelope(key: ItemKey, document: Document): DocumentEnvelope {
  const envelope = create(DocumentEnvelopeSchema);
  envelope.id = key.id;
  envelope.version = key.version;
  envelope.contentRef = key.contentRef;
  envelope.title = text("title", document.title);
  if (document.content !== undefined) envelope.content = text("content", document.content);
  envelope.source = text("source", document.source);
  envelope.url = text("url", document.url);
  if (document.metadata !== undefined) envelope.metadata = toMetadata(document.metadata);
  if (document.permissions !== undefined) envelope.permissions = toPermissions(document.permissions);
  envelope.mediaType = text("mediaType", document.mediaType);
  if (document.createdAt !== undefined) envelope.createdAt = toTimestamp("createdAt", document.createdAt);
  if (document.updatedAt !== undefined) envelope.updatedAt = toTimestamp("updatedAt", document.updatedAt);
  envelope.parentId = text("parentId", document.parentId);
  envelope.locator = text("locator", document.locator);
  return envelope;
}

export function toPermissions({ visibility, allow = [], deny = [] }: Permissions): PermissionsProto {
  return {
    // Written out where each document needs it: the library's way of making a message costs more than what it makes.
    $typeName: PermissionsSchema.typeName,
    visibility: text("permissions.visibility", visibility),
    allow: allow.map((principal) => text("permissions.allow", principal)),
    deny: deny.map((principal) => text("permissions.deny", principal)),
  };
}

/**
 * Types end where a source's JSON begins: what is declared a string may be null or a number there. Half a surrogate pair, which a source
 * that cuts its texts leaves behind, has no UTF-8 and becomes U+FFFD.
 */
export function text(field: string, value: unknown): string {
  if (value === undefined) return "";
  if (typeof value !== "string") throw wrong(field, "text", value);
  return value.isWellFormed() ? value : value.toWellFormed();
}

const RFC_3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$/;

function toTimestamp(field: string, time: Time): Timestamp {
  if (time instanceof Date) {
    if (Number.isNaN(time.getTime())) throw wrong(field, "time", time);
    return timestampFromDate(time);
  }
  const ms = typeof time === "string" && RFC_3339.test(time) ? Date.parse(time) : Number.NaN;
  if (Number.isNaN(ms)) throw wrong(field, "time with its zone, such as 2026-01-31T08:00:00Z", time);
  // Date knows milliseconds only, and sources that sort by time need the rest.
  const fraction = time.includes(".") ? (/\.(\d{1,9})/.exec(time)?.[1] ?? "") : "";
  return {
    $typeName: TimestampSchema.typeName,
    seconds: BigInt(Math.floor(ms / 1000)),
    nanos: fraction === "" ? 0 : Number(fraction.padEnd(9, "0")),
  };
}

/**
 * So many objects and lists lie inside one another at most, the metadata itself among them. Readers of protobuf give up at a hundred messages inside one another, of which each level takes three,
 * and would refuse the whole page.
 */
const MAX_DEPTH = 16;

function toMetadata(metadata: Readonly<Record<string, unknown>>, depth = 0): JsonObject {
  if (depth >= MAX_DEPTH) throw violation(`normalize gave metadata that is nested over ${MAX_DEPTH} levels deep`);
  const json: JsonObject = {};
  for (const [key, value] of Object.entries(metadata)) {
    if (value === undefined) continue;
    json[key.toWellFormed()] = toJson(`metadata.${key}`, value, depth);
  }
  return json;
}

/** What JSON can say of a value. Dates become RFC 3339; what JSON has no word for is the author's mistake. */
function toJson(field: string, value: unknown, depth: number): JsonValue {
  switch (typeof value) {
    case "string":
      return text(field, value);
    case "boolean":
      return value;
    case "bigint":
      return Number(value);
    case "number":
      if (!Number.isFinite(value)) throw wrong(field, "number", value);
      return value;
    case "object":
      if (value === null) return null;
      if (value instanceof Date) return value.toISOString();
      if (Array.isArray(value)) return toList(field, value, depth + 1);
      return toMetadata(value as Record<string, unknown>, depth + 1);
    default:
      throw wrong(field, "JSON value", value);
  }
}

function toList(field: string, entries: readonly unknown[], depth: number): JsonValue[] {
  if (depth >= MAX_DEPTH) throw violation(`normalize gave metadata that is nested over ${MAX_DEPTH} levels deep`);
  return entries.map((entry) => (entry === undefined ? null : toJson(field, entry, depth)));
}

function wrong(field: string, wanted: string, value: unknown): ConnectorError {
  const kind = value === null ? "null" : value instanceof Date ? "an invalid Date" : typeof value;
  return new ConnectorError("INTERNAL", `normalize gave ${field} as ${kind}, and it is a ${wanted}`, {
    metadata: { field },
  });
}
