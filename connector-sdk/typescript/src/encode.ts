/**
 * A change as bytes. Documents, which are nearly all that is ever sent, are written field by field into a buffer that is kept: through the
 * library's general way a pull is half as fast. A test compares both.
 */

import { create, type JsonObject, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type Change, ChangeSchema } from "./gen/superfasttt/connector/v1/connector_pb.js";
import { type DocumentEnvelope, DocumentEnvelopeSchema, type Permissions } from "./gen/superfasttt/connector/v1/document_pb.js";

const writer = new BinaryWriter();

/** The field of a document envelope or of a change, as it stands before its value. */
function tagOf(schema: typeof DocumentEnvelopeSchema | typeof ChangeSchema, name: string): number {
  const number = schema.fields.find((field) => field.localName === name)?.number;
  if (number === undefined) throw new Error(`the contract has no field ${name}`);
  return delimited(number);
}

function delimited(number: number): number {
  return (number << 3) | WireType.LengthDelimited;
}

const DOCUMENT = tagOf(ChangeSchema, "document");
/** Texts that are left out where they are empty. */
const TEXTS = (["id", "title", "source", "url", "version", "contentRef", "mediaType", "parentId", "locator"] as const).map(
  (name) => [name, tagOf(DocumentEnvelopeSchema, name)] as const,
);
const CONTENT = tagOf(DocumentEnvelopeSchema, "content");
const METADATA = tagOf(DocumentEnvelopeSchema, "metadata");
const PERMISSIONS = tagOf(DocumentEnvelopeSchema, "permissions");
const CREATED_AT = tagOf(DocumentEnvelopeSchema, "createdAt");
const UPDATED_AT = tagOf(DocumentEnvelopeSchema, "updatedAt");

/** The bytes of `Change{kind}`. */
export function encodeChange(kind: Change["kind"]): Uint8Array {
  if (kind.case !== "document") return toBinary(ChangeSchema, create(ChangeSchema, { kind }));
  try {
    writer.uint32(DOCUMENT).fork();
    writeDocument(kind.value);
    return writer.join().finish();
  } catch (error) {
    // The next document begins with an empty buffer whatever was wrong with this one.
    writer.finish();
    throw error;
  }
}

function writeDocument(document: DocumentEnvelope): void {
  for (const [name, tag] of TEXTS) {
    const text = document[name];
    if (text !== "") writer.uint32(tag).string(text);
  }
  if (document.content !== undefined) writer.uint32(CONTENT).string(document.content);
  if (document.metadata !== undefined) {
    writer.uint32(METADATA).fork();
    writeStruct(document.metadata);
    writer.join();
  }
  if (document.permissions !== undefined) writePermissions(document.permissions);
  if (document.createdAt !== undefined) writeTimestamp(CREATED_AT, document.createdAt);
  if (document.updatedAt !== undefined) writeTimestamp(UPDATED_AT, document.updatedAt);
}

function writePermissions({ visibility, allow, deny }: Permissions): void {
  writer.uint32(PERMISSIONS).fork();
  if (visibility !== "") writer.uint32(delimited(1)).string(visibility);
  for (const principal of allow) writer.uint32(delimited(2)).string(principal);
  for (const principal of deny) writer.uint32(delimited(3)).string(principal);
  writer.join();
}

function writeTimestamp(tag: number, { seconds, nanos }: Timestamp): void {
  writer.uint32(tag).fork();
  if (seconds !== 0n) writer.uint32((1 << 3) | WireType.Varint).int64(seconds);
  if (nanos !== 0) writer.uint32((2 << 3) | WireType.Varint).int32(nanos);
  writer.join();
}

/** google.protobuf.Struct: a map of names to values. */
function writeStruct(fields: JsonObject): void {
  for (const name of Object.keys(fields)) {
    writer.uint32(delimited(1)).fork().uint32(delimited(1)).string(name).uint32(delimited(2)).fork();
    writeValue(fields[name] as JsonValue);
    writer.join().join();
  }
}

/** google.protobuf.Value, whose kinds are numbered in this order: null, number, text, flag, struct, list. */
function writeValue(value: JsonValue): void {
  if (value === null) writer.uint32((1 << 3) | WireType.Varint).int32(0);
  else if (typeof value === "number") writer.uint32((2 << 3) | WireType.Bit64).double(value);
  else if (typeof value === "string") writer.uint32(delimited(3)).string(value);
  else if (typeof value === "boolean") writer.uint32((4 << 3) | WireType.Varint).bool(value);
  else if (Array.isArray(value)) {
    writer.uint32(delimited(6)).fork();
    for (const entry of value) {
      writer.uint32(delimited(1)).fork();
      writeValue(entry);
      writer.join();
    }
    writer.join();
  } else {
    writer.uint32(delimited(5)).fork();
    writeStruct(value);
    writer.join();
  }
}
