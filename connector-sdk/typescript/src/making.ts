/** The change that is made of an author's item: its envelope, the raw item, or its id and version alone. */

import { create, type JsonObject } from "@bufbuild/protobuf";
import { type Document, type ItemKey, toEnvelope } from "./document.js";
import { ConnectorError, classify } from "./errors.js";
import { type Change, type ItemError, PresentSchema, type RawItem, RawItemSchema } from "./gen/superfasttt/connector/v1/connector_pb.js";
import { clipError, itemError } from "./limits.js";
import type { Mode } from "./listing.js";

/** How an author's items become documents. */
export interface Normalizing<Settings, Raw> {
  rawSchema: string;
  normalize(key: ItemKey, raw: Raw, settings: Settings): Document;
  decodeRaw(schema: string, data: Uint8Array): Raw;
}

/** Makes the changes of one call. */
export class Making<Raw> {
  readonly #author: Normalizing<unknown, Raw>;
  readonly #settings: JsonObject;
  readonly #wantRaw: boolean;
  readonly #redact: (text: string) => string;
  readonly #log: (stack: string) => void;

  constructor(
    author: Normalizing<never, Raw>,
    settings: JsonObject,
    wantRaw: boolean,
    redact: (text: string) => string,
    log: (stack: string) => void,
  ) {
    this.#author = author as Normalizing<unknown, Raw>;
    this.#settings = settings;
    this.#wantRaw = wantRaw;
    this.#redact = redact;
    this.#log = log;
  }

  change(mode: Mode, key: ItemKey, raw: Raw): Change["kind"] {
    if (!isWritten(key.id) || !isWritten(key.version) || !isWritten(key.contentRef)) {
      const fault = new ConnectorError("PROTOCOL_VIOLATION", "the item's id, version or content reference is no well-formed text");
      return this.#failed(key.id, fault);
    }
    if (mode === "list") return { case: "present", value: create(PresentSchema, { id: key.id, version: key.version }) };
    return this.#wantRaw ? this.#raw(key, raw) : this.#document(key, () => raw);
  }

  /** The envelope of an item that was kept, perhaps by an older version of this connector. */
  again({ id, version, contentRef, schema, data }: RawItem): Change["kind"] {
    return this.#document({ id, version, contentRef }, () => this.#author.decodeRaw(schema, data));
  }

  /** An error as it may be sent. */
  clean(error: unknown): ConnectorError {
    return clipError(classify(error, this.#log), this.#redact);
  }

  #document(key: ItemKey, raw: () => Raw): Change["kind"] {
    try {
      return { case: "document", value: toEnvelope(key, this.#author.normalize(key, raw(), this.#settings)) };
    } catch (error) {
      return this.#failed(key.id, error);
    }
  }

  #raw(key: ItemKey, raw: Raw): Change["kind"] {
    try {
      const data = Buffer.from(JSON.stringify(raw));
      return { case: "raw", value: create(RawItemSchema, { ...key, schema: this.#author.rawSchema, data }) };
    } catch {
      return this.#failed(key.id, new ConnectorError("INTERNAL", "the raw item cannot be written as JSON"));
    }
  }

  #failed(id: unknown, error: unknown): Change["kind"] {
    const target: ItemError["target"] = typeof id === "string" ? { case: "id", value: id } : { case: undefined };
    return { case: "itemError", value: itemError(target, false, this.clean(error)) };
  }
}

/** Reads a raw item as it was written, when its schema is the present one. */
export function decodeJson<Raw>(expected: string, schema: string, data: Uint8Array): Raw {
  if (schema !== expected) {
    const schemas = `${JSON.stringify(schema)} and this connector reads ${JSON.stringify(expected)}`;
    throw new ConnectorError("INTERNAL", `the item was kept as schema ${schemas}: pull it again`);
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data)) as Raw;
  } catch {
    // The parser's own message quotes the data.
    throw new ConnectorError("INTERNAL", "the kept item is no JSON: pull it again");
  }
}

function isWritten(text: unknown): text is string {
  return typeof text === "string" && text.isWellFormed();
}
