/** Documents are written by hand: what comes out is what the library reads, and what it would have written. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { clone, create, equals, fromBinary, type JsonObject, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { encodeChange } from "#sdk/encode.js";
import { ChangeSchema } from "#sdk/gen/superfasttt/connector/v1/connector_pb.js";
import { DocumentEnvelopeSchema } from "#sdk/gen/superfasttt/connector/v1/document_pb.js";

const metadata: JsonObject = {
  empty: "",
  text: "é\u0000\u{1f600}",
  long: "x".repeat(20_000),
  whole: 2 ** 53,
  part: -0.5,
  yes: true,
  no: false,
  nothing: null,
  list: [1, "a", null, [], {}, [[2]]],
  inner: { "": { deep: { er: [{ a: 1 }] } } },
};

const DOCUMENTS: MessageInitShape<typeof DocumentEnvelopeSchema>[] = [
  {},
  { content: "" },
  { content: "text", metadata: {}, permissions: {}, createdAt: {}, updatedAt: {} },
  { id: "é".repeat(512), title: "t", source: "s", url: "u", version: "v", contentRef: "c", mediaType: "m", parentId: "p", locator: "l" },
  { id: "a", content: "日本".repeat(100_000), metadata },
  { permissions: { visibility: "private", allow: ["user:a", ""], deny: ["group:b"] } },
  { createdAt: { seconds: -62135596800n, nanos: 999_999_999 }, updatedAt: { seconds: 253402300799n } },
];

test("a document is written as the library writes it", () => {
  for (const init of DOCUMENTS) {
    const document = create(DocumentEnvelopeSchema, init);
    const change = create(ChangeSchema, { kind: { case: "document", value: document } });
    const bytes = encodeChange({ case: "document", value: clone(DocumentEnvelopeSchema, document) });
    assert.ok(equals(ChangeSchema, fromBinary(ChangeSchema, bytes), change), Object.keys(init).join());
    assert.equal(bytes.length, toBinary(ChangeSchema, change).length);
  }
});

test("no field of the contract's document is forgotten", () => {
  const written = new Set(DOCUMENTS.flatMap((document) => Object.keys(document)));
  assert.deepEqual(
    DocumentEnvelopeSchema.fields.map((field) => field.localName).filter((name) => !written.has(name)),
    [],
  );
});
