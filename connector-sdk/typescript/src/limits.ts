/** The limits that the contract sets, checked before anything is sent: what breaks one becomes an item error, so that one bad item never ends a pull. */

import { create, fromJson, toBinary } from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import { ConnectorError, type ErrorDetails } from "./errors.js";
import { type Change, type ItemError, ItemErrorSchema } from "./gen/superfasttt/connector/v1/connector_pb.js";
import type { DocumentEnvelope, Permissions } from "./gen/superfasttt/connector/v1/document_pb.js";

export const MAX_ID_BYTES = 1024;
/** Inline text, and the data of a raw item. */
export const MAX_INLINE_BYTES = 1024 * 1024;
export const MAX_CURSOR_BYTES = 64 * 1024;
/** One change. Pages stay under 4 MiB with room for their scope and cursor. */
export const MAX_CHANGE_BYTES = 3 * 1024 * 1024;
const MAX_TITLE_BYTES = 4096;
const MAX_LOCATOR_BYTES = 4096;
const MAX_URL_BYTES = 8 * 1024;
const MAX_CONTENT_REF_BYTES = 8 * 1024;
const MAX_MEDIA_TYPE_BYTES = 255;
const MAX_PRINCIPAL_BYTES = 1024;
const MAX_METADATA_BYTES = 64 * 1024;
const MAX_ERROR_BYTES = 2 * 1024;
const MAX_ERROR_FACTS = 16;
const MAX_ERROR_FACT_BYTES = 256;
const MAX_CODE_BYTES = 128;
const MAX_LOG_BYTES = 4 * 1024;
const MAX_LOG_FIELDS = 32;

type Kind = Change["kind"];

/** What the contract takes of a change: itself, or the item error that tells what is wrong with it. */
export function fit(kind: Kind): Kind {
  const fault = faultOf(kind);
  return fault === undefined ? kind : { case: "itemError", value: itemError(nameOf(kind), false, fault) };
}

/** The item error in the place of a change that is too large for a message. */
export function tooLarge(kind: Kind, bytes: number): Kind {
  const fault = new ConnectorError("CONTENT_TOO_LARGE", `the item is ${bytes} bytes encoded and at most ${MAX_CHANGE_BYTES} are sent`);
  return { case: "itemError", value: itemError(nameOf(kind), false, fault) };
}

/** The change that says an item could not be read. A target that cannot be named is left out. */
export function itemError(target: ItemError["target"], withDescendants: boolean, error: ConnectorError): ItemError {
  const named = mayName(target) ? target : { case: undefined };
  return create(ItemErrorSchema, { target: named, withDescendants, error: clipError(error).toProto() });
}

/** An error within the sizes that the contract sets (and that HTTP/2 headers can carry), its texts passed through `redact`. */
export function clipError(error: ConnectorError, redact: (text: string) => string = (text) => text): ConnectorError {
  const short = (text: string, max: number) => clip(redact(text.toWellFormed()), max);
  const facts = Object.entries(error.metadata).sort().slice(0, MAX_ERROR_FACTS);
  const details: ErrorDetails = {
    code: short(error.code, MAX_CODE_BYTES),
    metadata: Object.fromEntries(
      facts.map(([key, value]) => [short(key, MAX_ERROR_FACT_BYTES), short(String(value), MAX_ERROR_FACT_BYTES)]),
    ),
    cause: error.cause,
  };
  if (error.retryAfterMs !== undefined) details.retryAfterMs = error.retryAfterMs;
  return new ConnectorError(error.reason, short(error.message, MAX_ERROR_BYTES), details);
}

/** A line of a run's log within its sizes. */
export function clipLog(message: string, fields: Readonly<Record<string, string>>, redact: (text: string) => string) {
  const kept = Object.entries(fields).slice(0, MAX_LOG_FIELDS);
  return {
    message: clip(redact(message.toWellFormed()), MAX_LOG_BYTES),
    fields: Object.fromEntries(kept.map(([key, value]) => [key.toWellFormed(), clip(redact(String(value).toWellFormed()), MAX_LOG_BYTES)])),
  };
}

/** Cuts `text` to at most `max` bytes of UTF-8, at a character. */
export function clip(text: string, max: number): string {
  // No character of UTF-16 takes more than three bytes.
  if (text.length * 3 <= max || Buffer.byteLength(text) <= max) return text;
  const bytes = Buffer.from(text);
  let end = max;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString("utf8", 0, end);
}

function faultOf(kind: Kind): ConnectorError | undefined {
  switch (kind.case) {
    case "document":
      kind.value.title = clip(kind.value.title, MAX_TITLE_BYTES);
      return documentFault(kind.value);
    case "raw":
      return (
        idFault(kind.value.id) ??
        textFault("version", kind.value.version, MAX_ID_BYTES) ??
        textFault("content_ref", kind.value.contentRef, MAX_CONTENT_REF_BYTES) ??
        sizeFault("raw data", kind.value.data.length, MAX_INLINE_BYTES)
      );
    case "present":
      return idFault(kind.value.id) ?? textFault("version", kind.value.version, MAX_ID_BYTES);
    case "permissions":
      return idFault(kind.value.id) ?? principalFault(kind.value.permissions);
    case "container":
      kind.value.name = clip(kind.value.name, MAX_TITLE_BYTES);
      return (
        idFault(kind.value.id) ??
        textFault("parent_id", kind.value.parentId, MAX_ID_BYTES) ??
        textFault("locator", kind.value.locator, MAX_LOCATOR_BYTES)
      );
    case "deletion":
      if (mayName(kind.value.target)) return undefined;
      return new ConnectorError("PROTOCOL_VIOLATION", "a deletion names nothing that can be deleted");
    default:
      return undefined;
  }
}

function documentFault(document: DocumentEnvelope): ConnectorError | undefined {
  const length = document.content === undefined ? 0 : byteLength(document.content, MAX_INLINE_BYTES);
  if (length > MAX_INLINE_BYTES) {
    const advice = "the connector's author must give a contentRef and serve fetchContent";
    return new ConnectorError(
      "CONTENT_TOO_LARGE",
      `the text is ${length} bytes and at most ${MAX_INLINE_BYTES} are sent inline: ${advice}`,
    );
  }
  return (
    idFault(document.id) ??
    textFault("version", document.version, MAX_ID_BYTES) ??
    textFault("content_ref", document.contentRef, MAX_CONTENT_REF_BYTES) ??
    textFault("parent_id", document.parentId, MAX_ID_BYTES) ??
    textFault("locator", document.locator, MAX_LOCATOR_BYTES) ??
    textFault("url", document.url, MAX_URL_BYTES) ??
    textFault("media_type", document.mediaType, MAX_MEDIA_TYPE_BYTES) ??
    principalFault(document.permissions) ??
    metadataFault(document)
  );
}

function metadataFault({ metadata }: DocumentEnvelope): ConnectorError | undefined {
  if (metadata === undefined) return undefined;
  let atMost = 0;
  for (const name of Object.keys(metadata)) {
    const value = metadata[name];
    // What frames a value takes 20 bytes or less, a character 3 at most, and what is nested less than six times its JSON.
    atMost += 20 + name.length * 3;
    if (typeof value === "string") atMost += value.length * 3;
    else if (typeof value === "object" && value !== null) atMost += JSON.stringify(value).length * 6;
  }
  if (atMost <= MAX_METADATA_BYTES) return undefined;
  return sizeFault("metadata", toBinary(StructSchema, fromJson(StructSchema, metadata)).length, MAX_METADATA_BYTES);
}

function principalFault(permissions: Permissions | undefined): ConnectorError | undefined {
  const isTooLong = (principal: string) => byteLength(principal, MAX_PRINCIPAL_BYTES) > MAX_PRINCIPAL_BYTES;
  const long = permissions?.allow.find(isTooLong) ?? permissions?.deny.find(isTooLong);
  return long === undefined ? undefined : textFault("principal", long, MAX_PRINCIPAL_BYTES);
}

function idFault(id: string): ConnectorError | undefined {
  return id === "" ? new ConnectorError("INTERNAL", "the item has no id") : textFault("id", id, MAX_ID_BYTES);
}

function textFault(field: string, text: string, max: number): ConnectorError | undefined {
  const bytes = byteLength(text, max);
  return bytes <= max ? undefined : sizeFault(field, bytes, max, { begins_with: clip(text.slice(0, 100), 100) });
}

function sizeFault(field: string, bytes: number, max: number, facts: Record<string, string> = {}): ConnectorError | undefined {
  if (bytes <= max) return undefined;
  const metadata = { field, ...facts };
  return new ConnectorError("CONTENT_TOO_LARGE", `the item's ${field} is ${bytes} bytes and at most ${max} are taken`, { metadata });
}

/** The bytes of `text`; where it cannot be over `max`, something that is not. */
function byteLength(text: string, max: number): number {
  return text.length * 3 <= max ? text.length : Buffer.byteLength(text);
}

/** How an item error can name the item of a change. */
function nameOf(kind: Kind): ItemError["target"] {
  const names: ItemError["target"][] = [];
  if (
    kind.case === "document" ||
    kind.case === "container" ||
    kind.case === "raw" ||
    kind.case === "present" ||
    kind.case === "permissions"
  ) {
    names.push({ case: "id", value: kind.value.id });
    if ("locator" in kind.value) names.push({ case: "locator", value: kind.value.locator });
  }
  return names.find(mayName) ?? { case: undefined };
}

function mayName(target: ItemError["target"]): boolean {
  if (target.case === undefined || target.value === "" || !target.value.isWellFormed()) return false;
  const max = target.case === "id" ? MAX_ID_BYTES : MAX_LOCATOR_BYTES;
  return byteLength(target.value, max) <= max;
}
