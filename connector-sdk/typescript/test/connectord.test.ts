/** The example through a real connectord: what an author's connector does once it is installed. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { startConnectord } from "./support/connectord.js";
import { serverBinaries, TRACKER_EXAMPLE } from "./support/paths.js";
import { until } from "./support/processes.js";
import { startTracker } from "./support/tracker.js";

const binaries = serverBinaries();
const skip = binaries === undefined && "connectord is not built: cargo build -p connectord -p connectorctl";
if (skip && (process.env["CI"] === "true" || process.env["DEMAND_TOOLCHAINS"] === "1")) throw new Error(skip);

async function connected(t: TestContext, issues: number, ...options: string[]) {
  const tracker = await startTracker(t, issues);
  const server = await startConnectord(t, binaries ?? "", TRACKER_EXAMPLE);
  await server.ctl(
    "connections",
    "create",
    "--connector",
    "tracker",
    "--name",
    "issues",
    "--set",
    `url=${tracker.url}`,
    "--frequency",
    "off",
    "--disabled",
    ...options,
  );
  await server.ctl("credentials", "set", "issues", "--field", "key=-");
  await server.ctl("connections", "enable", "issues");
  return { tracker, server };
}

test("a connection is tested, synced in full, then by its changes, deletions too", { skip, timeout: 180_000 }, async (t) => {
  const { tracker, server } = await connected(t, 250);
  assert.match(await server.ctl("connections", "test", "issues"), /key_accepted/);

  await server.ctl("sync", "issues", "--wait");
  const listed = await server.documents("issues");
  assert.equal(listed.size, 249, "every issue but the one that cannot be read");
  assert.ok(!listed.has("issue-13"));
  const issue = listed.get("issue-5");
  assert.equal(issue?.["title"], "Issue 5");
  assert.equal(issue?.["content"], "What happened in issue 5.");
  assert.equal(issue?.["source"], "tracker");
  assert.deepEqual(issue?.["permissions"], { visibility: "private", allow: ["user:user5@tracker.example"] });
  assert.match(JSON.stringify(await server.ctlJson("errors", "list", "issues")), /the issue has no title/);
  assert.equal((await tracker.requests()).filter((path) => path.includes("page=100")).length, 2, "the 429 was waited for");

  await tracker.control({ put: [{ number: 7, title: "Renamed" }, { number: 251 }], delete: [3] });
  await server.ctl("sync", "issues", "--wait");
  const changed = await server.documents("issues");
  assert.equal(changed.get("issue-7")?.["title"], "Renamed");
  assert.ok(changed.has("issue-251") && !changed.has("issue-3"));
  assert.equal(changed.size, 249);

  // The history of the tracker no longer goes back to the cursor: everything is listed, and what is gone is found gone.
  await tracker.control({ put: [{ number: 8, title: "Late" }], delete: [9], history: 0 });
  await server.ctl("sync", "issues", "--wait");
  const relisted = await server.documents("issues");
  assert.equal(relisted.get("issue-8")?.["title"], "Late");
  assert.ok(!relisted.has("issue-9"));

  // A mended issue comes by itself, asked for by its id.
  await tracker.control({ put: [{ number: 13, title: "Mended" }], history: 10_000 });
  await server.ctl("errors", "retry", "issues");
  await server.ctl("sync", "issues", "--wait");
  assert.equal((await server.documents("issues")).get("issue-13")?.["title"], "Mended");
  assert.ok((await tracker.requests()).includes("/issues/13"), "it was asked for by its id");
  assert.ok(!server.log().includes("tracker-key"), "the key is in no log");
});

test("kept raw items are normalized over the wire", { skip, timeout: 180_000 }, async (t) => {
  const { server } = await connected(t, 120, "--keep-raw");
  await server.ctl("sync", "issues", "--wait");
  const documents = await server.documents("issues");
  assert.equal(documents.size, 119);
  assert.equal(documents.get("issue-7")?.["content"], "What happened in issue 7.");
  assert.match(JSON.stringify(await server.ctlJson("errors", "list", "issues")), /the issue has no title/);
});

test("a connector that is killed in the middle of a listing loses nothing and doubles nothing", { skip, timeout: 180_000 }, async (t) => {
  const { tracker, server } = await connected(t, 700);
  const syncing = server.ctl("sync", "issues", "--wait").catch((error: unknown) => error);
  // The second page is refused once, so the listing stands still for a second: the connector is killed there.
  await until(
    "the second page is asked for",
    async () => (await tracker.requests()).some((path) => path.includes("page=100")) || undefined,
  );
  const [connector] = childrenOf(server.pid);
  assert.ok(connector !== undefined, "the connector runs as a child of connectord");
  process.kill(connector, "SIGKILL");
  await syncing;
  await until("all issues are there", async () => {
    await server.ctl("sync", "issues", "--wait").catch(() => undefined);
    return (await server.documents("issues")).size === 699 || undefined;
  });
});

function childrenOf(parent: number): number[] {
  const numbers = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return numbers.map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[1] === String(parent);
    } catch {
      return false;
    }
  });
}
