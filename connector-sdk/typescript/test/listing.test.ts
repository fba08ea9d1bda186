/** When a listing may be called complete: only then does absence mean deletion, so each way of being unsure has its test. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ConnectorError,
  checkpoint,
  completeListing,
  document,
  itemError,
  type PullEvent,
  present,
  scopeError,
  scopeRemoved,
} from "@superfasttt/connector";
import { connect, type Pulled, type PullOptions } from "@superfasttt/connector/testing";
import { author, type Context, manifest } from "./support/author.js";

const denied = new ConnectorError("ACCESS_DENIED", "may not be read");

async function pulling(
  pull: (ctx: Context) => AsyncIterable<PullEvent<string>>,
  options: PullOptions = {},
  manifestText = manifest(),
): Promise<Pulled> {
  await using served = await connect(author(pull, { manifest: manifestText }));
  return await served.pull(options);
}

function completeScopes(pulled: Pulled): string[] {
  return pulled.checkpoints.filter(({ listingComplete }) => listingComplete).map(({ scope }) => scope);
}

test("a listing that names everything is complete at the very end", async () => {
  const pulled = await pulling(async function* () {
    yield completeListing("end", { scope: "drive" });
    yield document("late", "", { scope: "drive" });
    yield itemError({ id: "closed", withDescendants: true }, denied, { scope: "drive" });
  });
  assert.deepEqual(completeScopes(pulled), ["drive"]);
  assert.deepEqual(pulled.checkpoints.at(-1), { scope: "drive", cursor: "end", hasMore: false, listingComplete: true });
});

test("a listing resumes where it was cut", async () => {
  const pulled = await pulling(
    async function* (ctx) {
      assert.equal(ctx.cursor(), "half");
      yield completeListing("end");
    },
    { cursors: "half" },
  );
  assert.deepEqual([pulled.error, completeScopes(pulled)], [undefined, [""]]);
});

test("an error without a name leaves its scope incomplete and no other", async () => {
  const pulled = await pulling(async function* () {
    yield checkpoint("half", { scope: "unsure", hasMore: true });
    yield itemError(undefined, denied, { scope: "unsure" });
    yield completeListing("end", { scope: "unsure" });
    yield completeListing("end", { scope: "sure" });
  });
  assert.deepEqual([pulled.error, completeScopes(pulled)], [undefined, ["sure"]]);
  assert.ok(pulled.logs.some((line) => line.includes('"unsure" is not complete')));
  assert.equal(
    pulled.checkpoints.filter(({ scope }) => scope === "unsure").at(-1)?.hasMore,
    false,
    "else it would be pulled again for ever",
  );
});

test("an item without an id, or a target without a name, leaves the listing incomplete", async () => {
  for (const event of [document("", ""), itemError({ id: "" }, denied)]) {
    const pulled = await pulling(async function* () {
      yield event;
      yield completeListing("end");
    });
    assert.deepEqual([pulled.error, completeScopes(pulled)], [undefined, []]);
  }
});

test("a scope that stopped is not complete", async () => {
  for (const event of [scopeError(denied), scopeRemoved("gone")]) {
    const pulled = await pulling(async function* () {
      yield event;
      yield completeListing("end");
    });
    assert.deepEqual([pulled.error, completeScopes(pulled), pulled.checkpoints], [undefined, [], []]);
  }
});

test("a pull that fails completes nothing, and sends what it had", async () => {
  for (const [thrown, reason] of [
    [denied, "ACCESS_DENIED"],
    [new RangeError("the author's own mistake"), "INTERNAL"],
    ["a text", "INTERNAL"],
  ] as const) {
    const pulled = await pulling(async function* () {
      yield document("sent", "");
      yield completeListing("end");
      throw thrown;
    });
    assert.deepEqual([pulled.error?.reason, pulled.documents.length, completeScopes(pulled)], [reason, 1, []]);
  }
});

test("an author who breaks the contract hears of it even when dropping the error", async () => {
  const breaches = [
    ["targeted", checkpoint("c")],
    ["incremental", completeListing("c")],
    ["incremental", present("a", "1")],
    ["incremental", checkpoint("")],
    ["full", checkpoint("x".repeat(70_000))],
    ["full", checkpoint("c", { scope: "s".repeat(2000) })],
  ] as const;
  for (const [mode, event] of breaches) {
    const definition = author(async (_ctx, sink) => {
      await sink.give(event).catch(() => {});
    });
    await using served = await connect(definition);
    const pulled = await served.pull({ mode, ids: mode === "targeted" ? ["a"] : [] });
    assert.equal(pulled.error?.reason, "PROTOCOL_VIOLATION", `${mode} ${event.kind}`);
    assert.deepEqual(pulled.checkpoints, []);
  }
});

test("a manifest without full_listing completes none", async () => {
  const pulled = await pulling(
    async function* () {
      yield completeListing("end");
    },
    {},
    manifest({ capabilities: [] }),
  );
  assert.equal(pulled.error?.reason, "PROTOCOL_VIOLATION");
  assert.match(pulled.error?.message ?? "", /full_listing/);
});
