/** The calls beside Pull: each as the contract has it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type JsonObject } from "@bufbuild/protobuf";
import { ConnectorError, passed } from "@superfasttt/connector";
import { connect } from "@superfasttt/connector/testing";
import { loadConnector } from "#sdk/connector.js";
import { RawItemSchema } from "#sdk/gen/superfasttt/connector/v1/connector_pb.js";
import { ManifestError } from "#sdk/manifest.js";
import { author, manifest } from "./support/author.js";

const nothing = async function* () {};

const raw = (id: string, data: string, schema = "text/1") =>
  create(RawItemSchema, { id, schema, data: Buffer.from(data), version: "7", contentRef: "ref" });

test("Describe gives the manifest as it is, and what it declares", async () => {
  const text = manifest({ sync: { mode: "incremental" }, capabilities: ["full_listing"], "x-note": "kept" });
  await using served = await connect(author(nothing, { manifest: text }));
  const { manifestJson, capabilities, contractRevisions, sdk } = await served.describe();
  assert.equal(manifestJson, text);
  assert.deepEqual([capabilities?.incremental, capabilities?.fullListing, capabilities?.list], [true, true, false]);
  assert.deepEqual(contractRevisions, [1]);
  assert.match(sdk, /^typescript\/\d/);
});

test("Normalize answers each kept item in its order, with an envelope or its error", async () => {
  await using served = await connect(author(nothing));
  const items = [
    raw("a", '"text"'),
    raw("b", '"bad"'),
    raw("c", "{no json"),
    raw("d", '"text"', "text/0"),
    raw("e", '"throw"'),
    raw("f", '"last"'),
  ];
  const answers = await served.normalize(items, { prefix: "my " });
  const told = answers.map((answer) =>
    answer instanceof ConnectorError ? answer.reason : `${answer.id} ${answer.version} ${answer.contentRef} ${answer.title}`,
  );
  assert.deepEqual(told, ["a 7 ref my text", "CONTENT_UNREADABLE", "INTERNAL", "INTERNAL", "INTERNAL", "f 7 ref my last"]);
  assert.ok(answers.every((answer) => !(answer instanceof ConnectorError) || !/no json|s3cret/.test(answer.message)));
});

test("Normalize does without the settings that are secret, and a thousand items do not wait for one another", async () => {
  const settings = {
    type: "object",
    required: ["url", "password"],
    properties: { url: { type: "string" }, password: { type: "string", "x-secret": true } },
  };
  await using served = await connect(author(nothing, { manifest: manifest({ settings }) }));
  const items = Array.from({ length: 1000 }, (_, number) => raw(`${number}`, `"${number}"`));
  const answers = await served.normalize(items, { url: "x" });
  assert.deepEqual(
    answers.map((answer) => (answer instanceof ConnectorError ? answer.message : answer.id)),
    items.map(({ id }) => id),
  );
  await assert.rejects(served.normalize(items, {}), (error: ConnectorError) => error.reason === "SETTINGS_INVALID");
});

test("settings that the schema refuses are named, never quoted; defaults are filled in", async () => {
  const settings = {
    type: "object",
    required: ["url"],
    additionalProperties: false,
    properties: {
      url: { type: "string" },
      size: { type: "integer", default: 10 },
      inner: { type: "object", properties: { password: { type: "string", "x-secret": true } } },
    },
  };
  let seen: JsonObject = {};
  const definition = author(
    async (ctx) => {
      seen = ctx.settings;
    },
    { manifest: manifest({ settings }) },
  );
  await using served = await connect(definition);
  for (const [given, field] of [
    [{}, "url"],
    [{ url: 7 }, "url"],
    [{ url: "x", inner: { password: 12345678 } }, "inner.password"],
    [{ url: "x", more: "hunter2-hunter2" }, "more"],
  ] as const) {
    const { error } = await served.pull({ settings: given });
    assert.deepEqual([error?.reason, error?.metadata["field"]], ["SETTINGS_INVALID", field]);
    assert.ok(!/hunter2|12345678/.test(JSON.stringify(error)));
  }
  await served.pull({ settings: { url: "x" } });
  assert.deepEqual(seen, { url: "x", size: 10 });
});

test("TestConnection: what a person can mend is a failed check, what the server mends is an error", async () => {
  const outcome = async (reason: ConstructorParameters<typeof ConnectorError>[0] | undefined, settings: JsonObject = {}) => {
    const testConnection = async () => {
      if (reason) throw new ConnectorError(reason, "it is so");
      return { checks: [passed("root_readable", "it can be read")], account: { id: "a", displayName: "Alex" } };
    };
    await using served = await connect(
      author(nothing, { testConnection, manifest: manifest({ settings: { type: "object", properties: { n: { type: "number" } } } }) }),
    );
    const { checks, account } = await served.testConnection({ settings });
    return [...checks.map(({ name, outcome, message, fix }) => [name, outcome, message, fix !== ""]), account?.displayName];
  };
  assert.deepEqual(await outcome(undefined), [["root_readable", 1, "it can be read", false], "Alex"]);
  assert.deepEqual(await outcome("CREDENTIAL_REVOKED"), [["connection", 2, "it is so", true], undefined]);
  assert.deepEqual(await outcome(undefined, { n: "one" }), [["settings_valid", 2, "the setting n must be number", true], undefined]);
  await assert.rejects(outcome("CREDENTIAL_EXPIRED"), (error: ConnectorError) => error.reason === "CREDENTIAL_EXPIRED");
});

test("FetchContent streams bytes of any length behind a header, and keeps to the server's limit", async () => {
  const bytes = Buffer.alloc(1_300_000, "x");
  let isClosed = false;
  const definition = author(nothing, {
    manifest: manifest({ capabilities: ["fetch_content"] }),
    fetchContent: async ({ contentRef }) => {
      if (contentRef === "whole") return { mediaType: "text/plain", version: "2", body: bytes };
      if (contentRef === "short") return { lengthBytes: 10, body: bytes.subarray(0, 9) };
      async function* chunks() {
        try {
          for (;;) yield bytes;
        } finally {
          isClosed = true;
        }
      }
      return { body: chunks() };
    },
  });
  await using served = await connect(definition);
  const { header, bytes: got } = await served.fetchContent({ id: "a", contentRef: "whole" });
  assert.deepEqual(
    [header.mediaType, header.version, header.lengthBytes, got.length],
    ["text/plain", "2", BigInt(bytes.length), bytes.length],
  );
  const fetching = (contentRef: string, maxBytes = 0n) => served.fetchContent({ id: "a", contentRef, maxBytes });
  await assert.rejects(fetching("whole", 1_000_000n), (error: ConnectorError) => error.reason === "CONTENT_TOO_LARGE");
  await assert.rejects(fetching("endless", 3_000_000n), (error: ConnectorError) => error.reason === "CONTENT_TOO_LARGE");
  assert.ok(isClosed, "the source of the bytes is closed");
  await assert.rejects(fetching("short"), (error: ConnectorError) => error.reason === "INTERNAL");
});

test("what the manifest does not declare answers UNIMPLEMENTED, though the connector has it", async () => {
  await using served = await connect(author(nothing, { fetchContent: async () => ({ body: Buffer.from("x") }) }));
  await assert.rejects(served.fetchContent({ id: "a", contentRef: "b" }), (error: ConnectorError) => error.reason === "UNIMPLEMENTED");
});

test("a manifest that promises what the program has not, or that cannot be read, is refused in words", () => {
  for (const [text, said] of [
    [manifest({ capabilities: ["discover"] }), /no discover/],
    [manifest({ capabilities: ["list", "fetch"] }), /capabilities\[1\] is "fetch".*fetch_content/],
    [manifest({ settings: { type: "no type" } }), /settings is no JSON Schema/],
    [manifest({ rate_limits: [{ requests: 0, per: "1s" }] }), /rate_limits\[0\]/],
    ["{", /no JSON/],
    ["[]", /no object/],
    ["{}", /no id/],
  ] as const) {
    assert.throws(
      () => loadConnector(author(nothing, { manifest: text })),
      (error) => error instanceof ManifestError && said.test(error.message),
      text,
    );
  }
});

test("Discover, HandleEvent and Execute are asked and answered as the contract has them", async () => {
  const definition = author(nothing, {
    manifest: manifest({ capabilities: ["discover", "handle_event", "execute"], settings: { type: "object", required: ["url"] } }),
    discover: async ({ settings, parentId, pageSize, pageToken }) => ({
      resources: [{ id: `${settings["url"] ?? "none"}/${parentId}`, name: `${pageSize}`, selectable: true }],
      nextPageToken: `${pageToken}+`,
    }),
    handleEvent: async ({ settings, headers, body, signingSecret, method }) => {
      if (headers.get("X-Signature") !== `${signingSecret}:${Buffer.from(body)}`) return { verified: false };
      return { verified: true, changedIds: ["a"], answer: { status: 200, body: method }, routingKeys: settings ? [] : ["team"] };
    },
    execute: async ({ action, input, idempotencyKey }) => ({ action, got: input, key: idempotencyKey }),
  });
  await using served = await connect(definition);
  // Settings may be incomplete while a person still enters them.
  const { resources, nextPageToken } = await served.discover({ parentId: "p", pageSize: 5000, pageToken: "t" });
  assert.deepEqual([resources[0]?.id, resources[0]?.name, resources[0]?.selectable, nextPageToken], ["none/p", "1000", true, "t+"]);
  await assert.rejects(served.discover({ pageSize: -1 }), (error: ConnectorError) => error.reason === "PROTOCOL_VIOLATION");

  const event = await served.handleEvent({ headers: { "x-signature": "s:body" }, body: "body", signingSecret: "s" });
  assert.deepEqual(
    [event.verified, event.changedIds, event.routingKeys, event.answer?.status, Buffer.from(event.answer?.body ?? []).toString()],
    [true, ["a"], ["team"], 200, "POST"],
  );
  assert.equal(
    (await served.handleEvent({ settings: { url: "x" }, headers: { "x-signature": "s:body" }, body: "another", signingSecret: "s" }))
      .verified,
    false,
  );
  await assert.rejects(served.handleEvent({ settings: {} }), (error: ConnectorError) => error.reason === "SETTINGS_INVALID");

  assert.deepEqual(await served.execute({ settings: { url: "x" }, action: "send", input: { to: ["a"], n: 1 }, idempotencyKey: "k" }), {
    action: "send",
    got: { to: ["a"], n: 1 },
    key: "k",
  });
});
