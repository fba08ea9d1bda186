/** Drives the connector as connectord does, without a server. */

import assert from "node:assert/strict";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "@superfasttt/connector/testing";
import { connector } from "../src/connector.js";

test("a listing brings every item", async () => {
  await using served = await connect(connector);
  const pulled = await served.pull({ settings: { file: "testdata/items.jsonl" } });
  assert.equal(pulled.error, undefined);
  assert.equal(pulled.documents.length, 24);
  assert.deepEqual(
    pulled.itemErrors.map(({ target }) => target),
    ["item-13"],
  );
  assert.ok(pulled.checkpoints.at(-1)?.listingComplete);
});

test("changes follow on a listing", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "connector-"));
  t.after(() => rm(folder, { recursive: true }));
  const settings = { file: join(folder, "items.jsonl") };
  await using served = await connect(connector);
  await copyFile("testdata/items.jsonl", settings.file);
  const cursors = (await served.pull({ settings })).checkpoints.at(-1)?.cursor ?? "";
  await copyFile("testdata/items-changed.jsonl", settings.file);
  const changed = await served.pull({ settings, mode: "incremental", cursors });
  assert.equal(changed.error, undefined);
  assert.deepEqual(
    changed.documents.map(({ title }) => title),
    ["Item 7, renamed", "Item 26"],
  );
  assert.deepEqual(
    changed.deletions.map(({ target }) => target.value),
    ["item-9"],
  );
});

test("a file that is not there is said", async () => {
  await using served = await connect(connector);
  const pulled = await served.pull({ settings: { file: "/no/such/file" } });
  assert.equal(pulled.error?.reason, "NOT_FOUND");
});
