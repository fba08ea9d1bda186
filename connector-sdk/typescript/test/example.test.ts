/** The example: alone, by its recording without network, and by the command line of its own. */

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { ConnectorDefinition } from "@superfasttt/connector";
import { connect } from "@superfasttt/connector/testing";
import { PACKAGE, REPOSITORY, TRACKER_EXAMPLE } from "./support/paths.js";
import { run } from "./support/processes.js";
import { KEY, startTracker } from "./support/tracker.js";

const PROGRAM = join(TRACKER_EXAMPLE, "dist/main.js");
/** Made by `node dist/main.js pull --record test/recording.har` of a tracker with 250 issues on port 7090. */
const RECORDING = join(TRACKER_EXAMPLE, "test/recording.har");
const RECORDED_URL = "http://127.0.0.1:7090";

const { tracker: example } = (await import(pathToFileURL(join(TRACKER_EXAMPLE, "dist/tracker.js")).href)) as {
  tracker: ConnectorDefinition<object, object>;
};

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "example-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const cli = (args: readonly string[], env: Record<string, string> = {}) =>
  run(process.execPath, [PROGRAM, ...args], { env: { ...env, PATH: process.env["PATH"] ?? "" } });

const lines = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, Record<string, unknown>>);

test("its manifest is the samples' with another runtime, and the code is under 80 lines", () => {
  const { runtime, ...own } = JSON.parse(readFileSync(join(TRACKER_EXAMPLE, "manifest.json"), "utf8")) as Record<string, unknown>;
  const { runtime: _, ...sample } = JSON.parse(readFileSync(join(REPOSITORY, "samples/tracker/manifest.json"), "utf8")) as Record<
    string,
    unknown
  >;
  assert.deepEqual(own, sample);
  assert.deepEqual(runtime, { command: ["node", "dist/main.js"] });
  const code = ["main.ts", "tracker.ts"].flatMap((name) => readFileSync(join(TRACKER_EXAMPLE, "src", name), "utf8").split("\n"));
  const isCode = (line: string) => line.trim() !== "" && !/^\s*(\/\/|\/?\*)/.test(line);
  assert.ok(code.filter(isCode).length < 80, `${code.filter(isCode).length} lines`);
});

test("by its recording, without network: pages, the 429, the broken issue, permissions", async () => {
  await using served = await connect(example, { replay: RECORDING });
  const pulled = await served.pull({ settings: { url: RECORDED_URL }, credential: KEY });
  assert.equal(pulled.error, undefined);
  assert.equal(pulled.documents.length, 249);
  assert.deepEqual(
    pulled.itemErrors.map(({ target, error }) => [target, error.reason]),
    [["issue-13", "CONTENT_UNREADABLE"]],
  );
  assert.deepEqual(pulled.checkpoints.at(-1), { scope: "", cursor: '{"since":250}', hasMore: false, listingComplete: true });
  const [first] = pulled.documents;
  assert.deepEqual(
    [first?.id, first?.title, first?.metadata, first?.permissions?.visibility],
    ["issue-1", "Issue 1", { owner: "user1@tracker.example" }, "organization"],
  );
  assert.deepEqual(pulled.documents[4]?.permissions?.allow, ["user:user5@tracker.example"]);
});

test("alone, on a tracker: a cut listing resumes, changes are followed, ids are answered for", async (t) => {
  const source = await startTracker(t, 250);
  await using served = await connect(example);
  const connection = { settings: { url: source.url }, credential: KEY };
  const account = (await served.testConnection(connection)).account;
  assert.equal(account?.email, "owner@tracker.example");

  const cut = served.startPull(connection);
  cut.on("error", () => {});
  let cursor = "";
  for await (const { kind } of cut) {
    cursor = kind.case === "page" ? Buffer.from(kind.value.checkpoint?.cursor ?? []).toString() : "";
    break;
  }
  cut.cancel();
  assert.equal(cursor, '{"since":250,"page":100}');
  await source.control({ put: [{ number: 251 }] });
  const rest = await served.pull({ ...connection, cursors: cursor });
  assert.deepEqual([rest.error, rest.documents.length], [undefined, 151]);
  assert.equal(rest.checkpoints.at(-1)?.cursor, '{"since":250}', "what happened during the listing is still to come");

  await source.control({ delete: [3, 4], put: [{ number: 5, title: "Renamed" }] });
  const changed = await served.pull({ ...connection, mode: "incremental", cursors: rest.checkpoints.at(-1)?.cursor ?? "" });
  assert.deepEqual(changed.documents.map(({ id }) => id).sort(), ["issue-251", "issue-5"]);
  assert.deepEqual(
    changed.deletions.map(({ target }) => target.value),
    ["issue-3", "issue-4"],
  );
  const after = changed.checkpoints.at(-1)?.cursor ?? "";
  const unchanged = await served.pull({ ...connection, mode: "incremental", cursors: after });
  assert.deepEqual([unchanged.error, unchanged.changes, unchanged.checkpoints.at(-1)?.cursor], [undefined, [], after]);

  const targeted = await served.pull({ ...connection, mode: "targeted", ids: ["issue-1", "issue-3", "issue-13", "issue-9999"] });
  assert.deepEqual(
    [targeted.documents.map(({ id }) => id), targeted.deletions.map(({ target }) => target.value)],
    [["issue-1"], ["issue-3", "issue-9999"]],
  );

  for (const wrong of ["not json", '{"since":"x"}', '{"since":999999}']) {
    assert.equal((await served.pull({ ...connection, mode: "incremental", cursors: wrong })).error?.reason, "CURSOR_INVALID", wrong);
  }
  await source.control({ key: "another-key" });
  assert.equal((await served.pull(connection)).error?.reason, "CREDENTIAL_REVOKED");
});

test("its command line: info, test, pull with cursors and a recording, and what it ends with", async (t) => {
  const source = await startTracker(t, 120);
  const home = folder(t);
  const [cursors, recording, credential] = [join(home, "cursors.json"), join(home, "recording.har"), join(home, "key")];
  writeFileSync(credential, `${KEY}\n`);
  const url = ["--set", `url=${source.url}`];
  const key = ["--credential-env", "TRACKER_KEY"];
  const env = { TRACKER_KEY: KEY };

  const info = await cli(["info", "--json"]);
  assert.deepEqual([info.code, lines(info.stdout)[0]?.["manifest"]?.["id"]], [0, "tracker"]);
  const tested = await cli(["test", ...url, "--credential", credential]);
  assert.equal(tested.code, 0);
  assert.match(tested.stdout, /passed {2}key_accepted/);
  const refused = await cli(["test", ...url, ...key], { TRACKER_KEY: "wrong-key" });
  assert.equal(refused.code, 1);
  assert.match(refused.stdout, /failed {2}connection.*401[\s\S]*enter the credential again/);

  const full = await cli(["pull", "--json", ...url, ...key, "--cursor", cursors, "--record", recording], env);
  assert.equal(full.code, 0, full.stderr);
  assert.deepEqual(lines(full.stdout).at(-1)?.["summary"], {
    mode: "full",
    documents: 119,
    item_errors: 1,
    checkpoints: 2,
    cursors: { "": '{"since":120}' },
  });
  assert.ok(!readFileSync(recording, "utf8").includes(KEY));
  await source.control({ delete: [1] });
  const incremental = await cli(["pull", ...url, ...key, "--cursor", cursors], env);
  assert.match(incremental.stdout, /^deleted {2}issue-1\nincremental: 1 deletions, 1 checkpoints\n/);

  const replayed = await cli(["pull", ...url, ...key, "--replay", recording, "--limit", "5"], env);
  assert.deepEqual([replayed.code, replayed.stdout.split("\n")[0]], [0, "issue-1  Issue 1"]);
  assert.match(replayed.stdout, /full: 5 documents/);
  const unreachable = await cli(["pull", "--set", "url=http://127.0.0.1:1", ...key], env);
  assert.equal(unreachable.code, 1);
  assert.match(unreachable.stdout, /failed {2}SOURCE_UNAVAILABLE/);

  for (const wrong of [
    ["fly"],
    ["pull", "--limit", "0"],
    ["pull", "--mode", "targeted"],
    ["pull", "--set", "url"],
    ["pull", "--credential-env", "NOT_THERE"],
    ["pull", "--record", "a", "--replay", "b"],
    ["pull", "extra"],
  ]) {
    const { code, stderr } = await cli(wrong);
    assert.equal(code, 2, wrong.join(" "));
    assert.match(stderr, /usage:/);
  }
  assert.ok(existsSync(cursors));
});

test("the package says the version that the code says", async () => {
  const { version } = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as { version: string };
  const { SDK_VERSION } = await import("#sdk/version.js");
  assert.equal(SDK_VERSION, version);
});
