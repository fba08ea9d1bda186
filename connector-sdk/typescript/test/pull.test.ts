/** What a pull sends: pages within their limits, changes in order, checkpoints that cover what came before. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { toBinary } from "@bufbuild/protobuf";
import {
  ConnectorError,
  checkpoint,
  completeListing,
  container,
  deletion,
  document,
  itemError,
  log,
  permissions,
  present,
} from "@superfasttt/connector";
import { connect } from "@superfasttt/connector/testing";
import { PageSchema } from "#sdk/gen/superfasttt/connector/v1/connector_pb.js";
import { author } from "./support/author.js";

test("many documents arrive once and in order, in pages within the limits", async () => {
  const definition = author(async function* () {
    for (let number = 0; number < 5000; number += 1) yield document(String(number), "x".repeat(number % 2000));
    yield completeListing("end");
  });
  await using served = await connect(definition);
  const pulled = await served.pull({ request: { limits: { maxPageBytes: 100_000, maxPageChanges: 200 } } });
  assert.equal(pulled.error, undefined);
  assert.deepEqual(
    pulled.documents.map(({ id }) => id),
    Array.from({ length: 5000 }, (_, number) => String(number)),
  );
  for (const page of pulled.pages) {
    assert.ok(toBinary(PageSchema, page).length <= 100_000 && page.changes.length <= 200);
  }
});

test("a request cannot ask for pages that no message holds", async () => {
  const definition = author(async function* () {
    for (let number = 0; number < 9; number += 1) yield document(String(number), "x".repeat(1_000_000));
    yield checkpoint("x".repeat(64 * 1024));
  });
  await using served = await connect(definition);
  const pulled = await served.pull({ request: { limits: { maxPageBytes: 0xffffffff, maxPageChanges: 0xffffffff } } });
  assert.equal(pulled.error, undefined);
  assert.equal(pulled.documents.length, 9);
});

test("the SDK writes the key, and normalize the rest", async () => {
  const definition = author(async function* () {
    yield document("a", "text", { version: "1", contentRef: "ref" });
  });
  await using served = await connect(definition);
  const [envelope] = (await served.pull({ settings: { prefix: "my " } })).documents;
  assert.deepEqual([envelope?.id, envelope?.version, envelope?.contentRef, envelope?.title], ["a", "1", "ref", "my text"]);
});

test("a sink may be given to from several places at once, and a checkpoint covers what was given before it", async () => {
  const definition = author(async (_ctx, sink) => {
    const one = async (scope: string) => {
      for (let number = 0; number < 400; number += 1) await sink.document(`${scope}${number}`, "x".repeat(900), { scope });
      await sink.checkpoint(`after ${scope}`, { scope });
    };
    await Promise.all(["a", "b", "c"].map(one));
  });
  await using served = await connect(definition);
  const pulled = await served.pull({ mode: "incremental", request: { limits: { maxPageBytes: 20_000 } } });
  assert.equal(pulled.error, undefined);
  for (const scope of ["a", "b", "c"]) {
    const ids = pulled.pages
      .filter((page) => page.scope === scope)
      .flatMap(({ changes }) => changes.map(({ kind }) => (kind.case === "document" ? kind.value.id : "")));
    assert.deepEqual(
      ids,
      Array.from({ length: 400 }, (_, number) => `${scope}${number}`),
    );
    const last = pulled.pages.filter((page) => page.scope === scope).at(-1);
    assert.equal(Buffer.from(last?.checkpoint?.cursor ?? []).toString(), `after ${scope}`);
  }
});

test("an author who does not await the sink loses nothing, and nothing comes after the end of the listing", async () => {
  let late: Promise<unknown> | undefined;
  const definition = author(async (_ctx, sink) => {
    for (let number = 0; number < 3000; number += 1) void sink.document(`${number}`, "x".repeat(1000));
    void sink.completeListing("end");
    late = new Promise((resolve) => setTimeout(resolve, 50)).then(() => sink.document("late", "")).catch((error: unknown) => error);
  });
  await using served = await connect(definition);
  const pulled = await served.pull({ request: { limits: { maxPageBytes: 10_000 } } });
  assert.deepEqual(
    pulled.documents.map(({ id }) => Number(id)).sort((a, b) => a - b),
    Array.from({ length: 3000 }, (_, number) => number),
  );
  const last = pulled.pages.at(-1);
  assert.ok(last?.checkpoint?.listingComplete);
  assert.ok((await late) instanceof ConnectorError);
});

test("a change does not wait for its page to fill, and progress is told", async () => {
  const definition = author(async (ctx, sink) => {
    await sink.document("a", "text");
    sink.progress(1, 2, "reading");
    await new Promise((_, reject) => ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason)));
  });
  await using served = await connect(definition);
  const call = served.startPull({});
  const kinds: (string | undefined)[] = [];
  for await (const { kind } of call) {
    kinds.push(kind.case);
    if (kinds.length === 2) break;
  }
  assert.deepEqual(kinds, ["page", "progress"]);
});

test("kept raw items are sent as they are and not normalized", async () => {
  const definition = author(async function* () {
    yield document("a", "throw", { version: "1", contentRef: "ref" });
  });
  await using served = await connect(definition);
  const [raw] = (await served.pull({ wantRaw: true })).rawItems;
  assert.deepEqual([raw?.id, raw?.version, raw?.contentRef, raw?.schema], ["a", "1", "ref", "text/1"]);
  assert.equal(Buffer.from(raw?.data ?? []).toString(), '"throw"');
});

test("a LIST names ids and versions only", async () => {
  const definition = author(async function* () {
    yield container({ id: "f", name: "folder" });
    yield document("a", "throw", { version: "1" });
    yield present("b", "7");
    yield permissions("a", { visibility: "public" });
    yield deletion({ id: "c" });
    yield completeListing("end");
  });
  await using served = await connect(definition);
  const pulled = await served.pull({ mode: "list" });
  assert.deepEqual(
    pulled.changes.map((kind) => (kind.case === "present" ? `${kind.value.id}@${kind.value.version}` : kind.case)),
    ["a@1", "b@7"],
  );
  assert.ok(pulled.checkpoints.at(-1)?.listingComplete);
});

test("one bad item is recorded and the pull goes on; what an exception said does not travel", async () => {
  const lines: string[] = [];
  const definition = author(async function* () {
    yield document("good", "text");
    yield document("bad", "bad");
    yield document("throwing", "throw");
    yield document("large", "x".repeat(1024 * 1024 + 1));
    yield document("x".repeat(2000), "long id");
    yield document("last", "text");
    yield completeListing("end");
  });
  await using served = await connect(definition, { onLog: (line) => lines.push(line) });
  const pulled = await served.pull({});
  assert.equal(pulled.error, undefined);
  assert.deepEqual(
    pulled.documents.map(({ id }) => id),
    ["good", "last"],
  );
  assert.deepEqual(
    pulled.itemErrors.map(({ target, error }) => [target, error.reason]),
    [
      ["bad", "CONTENT_UNREADABLE"],
      ["throwing", "INTERNAL"],
      ["large", "CONTENT_TOO_LARGE"],
      [undefined, "CONTENT_TOO_LARGE"],
    ],
  );
  const [, thrown] = pulled.itemErrors;
  assert.match(thrown?.error.message ?? "", /TypeError/);
  assert.ok(!JSON.stringify(thrown?.error).includes("s3cret-value"));
  assert.ok(
    lines.some((line) => line.startsWith("ERROR TypeError") && line.includes("normalize")),
    "the stack is in the log",
  );
  // One had no name, so absence proves nothing.
  assert.equal(pulled.checkpoints.at(-1)?.listingComplete, false);
});

/** An object within lists within objects. */
function nested(depth: number): object {
  let value: object = {};
  for (let level = 0; level < depth; level += 1) value = level % 2 ? { value } : [value];
  return { value };
}

test("what a source's JSON holds in the place of texts becomes an item error, not a broken pull", async () => {
  const hostile: unknown[] = [
    { title: null },
    { title: 7 },
    { createdAt: "yesterday" },
    { createdAt: "2026-01-01T00:00:00" },
    { updatedAt: new Date(Number.NaN) },
    { metadata: { size: Number.NaN } },
    { metadata: { run: () => 1 } },
    { metadata: nested(17) },
    { metadata: nested(100_000) },
    { permissions: { visibility: "private", allow: ["user:", null] } },
    { metadata: { large: "x".repeat(70_000) } },
    { url: `https://example.com/${"é".repeat(5000)}` },
    null,
    "text",
  ];
  const definition = author(
    async function* () {
      for (const index of hostile.keys()) yield document(`item-${index}`, String(index));
      yield document("half \ud800 a pair", "0");
      yield document(7 as unknown as string, "0");
      yield document("fine", "fine");
    },
    {
      normalize: (key, raw) =>
        key.id === "fine" ? { title: "a \ud800 title", createdAt: "2026-01-01T02:00:00.5+02:00" } : (hostile[Number(raw)] as object),
    },
  );
  await using served = await connect(definition);
  const pulled = await served.pull({});
  assert.equal(pulled.error, undefined);
  assert.deepEqual(
    pulled.documents.map(({ id, title }) => [id, title]),
    [
      ["item-13", ""],
      ["fine", "a \ufffd title"],
    ],
  );
  const created = pulled.documents[1]?.createdAt;
  assert.deepEqual([created?.seconds, created?.nanos], [BigInt(Date.UTC(2026, 0, 1) / 1000), 500_000_000]);
  assert.equal(pulled.itemErrors.length, hostile.length - 1 + 2);
});

test("logs and scope errors keep their place between changes", async () => {
  const definition = author(async function* () {
    yield document("a", "text");
    yield log("info", "between", { page: "1" });
    yield deletion({ locator: "x/y", withDescendants: true });
  });
  await using served = await connect(definition);
  const pulled = await served.pull({ mode: "incremental" });
  assert.deepEqual(
    pulled.responses.map(({ kind }) => kind.case),
    ["page", "log", "page"],
  );
  assert.equal(pulled.deletions[0]?.withDescendants, true);
});

test("an id that a TARGETED pull did not answer is answered with an item error", async () => {
  const definition = author(async function* (ctx) {
    assert.deepEqual(ctx.ids, ["there", "gone", "closed", "forgotten"]);
    yield document("there", "text");
    yield deletion({ id: "gone" });
    yield itemError({ id: "closed" }, new ConnectorError("ACCESS_DENIED", "may not be read"));
  });
  await using served = await connect(definition);
  const pulled = await served.pull({ mode: "targeted", ids: ["there", "gone", "closed", "forgotten"] });
  assert.equal(pulled.error, undefined);
  assert.deepEqual(
    pulled.itemErrors.map(({ target }) => target),
    ["closed", "forgotten"],
  );
});

test("an error of the whole connection carries its reason, code, facts and time to wait", async () => {
  const definition = author(async function* () {
    yield document("sent", "text");
    throw new ConnectorError("QUOTA_EXHAUSTED", "the day's allowance is used up", {
      code: "test.day",
      metadata: { limit: "100" },
      retryAfterMs: 90_500,
    });
  });
  await using served = await connect(definition);
  const { error, documents } = await served.pull({});
  assert.equal(documents.length, 1, "what was given before the error is sent");
  assert.deepEqual(
    [error?.reason, error?.message, error?.code, error?.metadata, error?.retryAfterMs],
    ["QUOTA_EXHAUSTED", "the day's allowance is used up", "test.day", { limit: "100" }, 90_500],
  );
});

test("a time to wait that no clock knows breaks no status", async () => {
  for (const retryAfterMs of [Number.POSITIVE_INFINITY, Number.NaN, -1]) {
    const definition = author(async () => {
      throw new ConnectorError("RATE_LIMITED", "wait \ud800", { retryAfterMs });
    });
    await using served = await connect(definition);
    assert.equal((await served.pull({})).error?.reason, "RATE_LIMITED");
  }
});

test("a cursor that is not what this connector wrote is CURSOR_INVALID, with its scope", async () => {
  const isNumber = (value: unknown): value is number => typeof value === "number";
  const definition = author(async function* (ctx) {
    yield checkpoint({ next: (ctx.cursorJson(isNumber, "drive") ?? 0) + 1 }, { scope: "drive" });
  });
  await using served = await connect(definition);
  for (const wrong of ['"text"', "{", Buffer.from([0xff, 0xfe])]) {
    const { error } = await served.pull({ mode: "incremental", cursors: { drive: wrong } });
    assert.deepEqual([error?.reason, error?.metadata], ["CURSOR_INVALID", { scope: "drive" }]);
  }
  const { checkpoints } = await served.pull({ mode: "incremental", cursors: { drive: "41" } });
  assert.deepEqual(checkpoints, [{ scope: "drive", cursor: '{"next":42}', hasMore: false, listingComplete: false }]);
});

test("a pull that the manifest or the contract does not allow is refused", async () => {
  const definition = author(async function* () {}, {
    manifest: JSON.stringify({ id: "test", auth: { type: "none" }, sync: { mode: "full" } }),
  });
  await using served = await connect(definition);
  for (const mode of ["incremental", "list"] as const) assert.equal((await served.pull({ mode })).error?.reason, "UNIMPLEMENTED");
  assert.equal((await served.pull({ ids: ["a"] })).error?.reason, "PROTOCOL_VIOLATION");
  assert.equal((await served.pull({ request: { mode: 0 } })).error?.reason, "PROTOCOL_VIOLATION");
  assert.equal((await served.pull({ request: { contractRevision: 0 } })).error?.reason, "PROTOCOL_VIOLATION");
});
