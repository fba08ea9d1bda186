/** A connector as connectord meets it: a process with a socket, a token, and an end. */

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import {
  HealthCheckRequestSchema,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as Status,
} from "#sdk/gen/grpc/health/v1/health_pb.js";
import { DescribeRequestSchema, PullMode, PullRequestSchema, type PullResponse } from "#sdk/gen/superfasttt/connector/v1/connector_pb.js";
import { collect, ProcessClient } from "./support/client.js";
import { PACKAGE, TRACKER_EXAMPLE } from "./support/paths.js";
import { type Running, run, start, until } from "./support/processes.js";

const PROGRAM = join(PACKAGE, "build/test/support/program.js");
const TOKEN = "the-token-of-this-process";

async function served(
  t: TestContext,
): Promise<{ process: Running; client: ProcessClient; folder: string; socket: string; stdout: () => string }> {
  const folder = mkdtempSync(join(tmpdir(), "connector-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const socket = join(folder, "socket");
  // As a process that was killed leaves it.
  writeFileSync(socket, "");
  const running = start(t, process.execPath, [PROGRAM], { env: { CONNECTOR_SOCKET: socket, CONNECTOR_TOKEN: TOKEN } });
  let stdout = "";
  running.child.stdout?.on("data", (chunk) => (stdout += chunk));
  const client = new ProcessClient(socket, TOKEN);
  t.after(() => client.close());
  await client.ready();
  return { process: running, client, folder, socket, stdout: () => stdout };
}

async function healthOf(client: ProcessClient): Promise<Status | undefined> {
  const { messages } = await collect(client.stream("/grpc.health.v1.Health/Check", create(HealthCheckRequestSchema)));
  return (messages[0] as HealthCheckResponse | undefined)?.status;
}

test("started by hand it says that connectord starts it, and ends with 2", async () => {
  for (const env of [{}, { CONNECTOR_SOCKET: "/tmp/none" }, { CONNECTOR_TOKEN: "t" }]) {
    const { code, stderr, stdout } = await run(process.execPath, [PROGRAM], { env });
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /connectord starts it/);
  }
});

test("every call without the token is refused: the contract's, health's and reflection's", async (t) => {
  const { socket, client } = await served(t);
  assert.equal(await healthOf(client), Status.SERVING);
  const paths = [
    "/superfasttt.connector.v1.Connector/Describe",
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
  ];
  for (const token of [undefined, "", "another", `${TOKEN}x`]) {
    const stranger = new ProcessClient(socket, token);
    for (const path of paths) {
      const { error } = await collect(
        stranger.stream(
          path,
          path.endsWith("Check") ? create(HealthCheckRequestSchema) : create(DescribeRequestSchema, { contractRevision: 1 }),
        ),
      );
      assert.equal(error?.code, grpc.status.UNAUTHENTICATED, `${path} with ${token}`);
    }
    stranger.close();
  }
});

test("SIGTERM: health turns NOT_SERVING, running calls end with UNAVAILABLE, the process ends within two seconds with 0", async (t) => {
  const { process: running, client, socket } = await served(t);
  const pulling = client.pull({ do: "wait" });
  await new Promise((resolve) => pulling.once("data", resolve));
  const watching = client.stream("/grpc.health.v1.Health/Watch", create(HealthCheckRequestSchema));
  const states: Status[] = [];
  watching.on("data", ({ status }: HealthCheckResponse) => states.push(status));
  watching.on("error", () => {});
  await until("the watch has begun", () => states.length > 0 || undefined);
  const ended = collect(pulling);
  const asked = performance.now();
  const code = await running.stop("SIGTERM");
  assert.equal(code, 0);
  assert.ok(performance.now() - asked < 2000);
  assert.equal((await ended).error?.code, grpc.status.UNAVAILABLE);
  assert.deepEqual(states, [Status.SERVING, Status.NOT_SERVING]);
  assert.ok(!existsSync(socket));
});

test("nothing comes on stdout; log lines begin with their level, and hold no secret of a running call", async (t) => {
  const { process: running, client, stdout } = await served(t);
  const { error } = await collect(client.pull({ do: "print", password: "hunter2-hunter2" }, "key-of-the-source"));
  assert.equal(error?.code, grpc.status.INTERNAL);
  assert.ok(!error?.details.includes("key-of-the-source"));
  await until("the log has come", () => running.stderr().includes("nobody waits") || undefined);
  const lines = running.stderr().trimEnd().split("\n");
  assert.ok(
    lines.every((line) => /^(ERROR|WARN|INFO|DEBUG|TRACE) /.test(line)),
    running.stderr(),
  );
  assert.ok(lines.includes("INFO printed with console.log") && lines.includes("INFO written to stdout"));
  assert.ok(lines.some((line) => line.startsWith("INFO two\\nlines ") && line.includes("from=7") && line.includes('rpc="pull"')));
  assert.ok(!/key-of-the-source|hunter2/.test(running.stderr()), running.stderr());
  assert.equal(stdout(), "");
  // It serves on.
  assert.equal((await collect(client.pull({ prefix: "after" }))).error, undefined);
});

test("a call that the server cancels is cancelled within a second", async (t) => {
  const { client, folder } = await served(t);
  const file = join(folder, "cancelled");
  const pulling = client.pull({ do: "wait", file });
  await new Promise((resolve) => pulling.once("data", resolve));
  pulling.on("error", () => {});
  const asked = performance.now();
  pulling.cancel();
  await until("the author's code is cancelled", () => existsSync(file) || undefined);
  assert.ok(performance.now() - asked < 1000);
});

test("the author's code waits for a server that does not read, and ends when that goes away", async (t) => {
  const { folder, socket } = await served(t);
  const file = join(folder, "given");
  const session = http2.connect("http://localhost", { createConnection: () => net.connect(socket) });
  const stream = session.request({
    ":method": "POST",
    ":path": "/superfasttt.connector.v1.Connector/Pull",
    "content-type": "application/grpc",
    te: "trailers",
    authorization: `Bearer ${TOKEN}`,
  });
  stream.on("error", () => {});
  const message = toBinary(
    PullRequestSchema,
    create(PullRequestSchema, { mode: PullMode.FULL, contractRevision: 1, settings: { do: "flood", file } }),
  );
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([frame, message]));
  // A page of it is about a hundred documents, and few pages are on their way.
  await until("it has begun", () => existsSync(file) || undefined);
  let given = -1;
  await until("it stands still", async () => {
    const before = given;
    given = Number(readFileSync(file, "utf8"));
    await new Promise((resolve) => setTimeout(resolve, 300));
    return given === before || undefined;
  });
  assert.ok(given < 1000, `${given} documents of 10 kB were made for nobody`);
  session.destroy();
});

test("memory stays flat over a long pull, and a cut one leaves nothing running", async (t) => {
  const { process: running, client } = await served(t);
  const resident = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${running.child.pid}/status`, "utf8"))?.[1]) / 1024;
  const read = async (megabytes: number) => {
    const pulling = client.pull({ do: "flood" });
    pulling.on("error", () => {});
    let bytes = 0;
    for await (const { kind } of pulling as AsyncIterable<PullResponse>) {
      if (kind.case === "page") bytes += kind.value.changes.length * 10_000;
      if (bytes > megabytes * 1e6) break;
    }
    // Leaving the loop alone lets the call wait for a reader.
    pulling.cancel();
  };
  await read(100);
  const before = resident();
  for (let again = 0; again < 4; again += 1) await read(250);
  // What is collected, and when, is Node's to choose: it swings by half of this, and a gigabyte went through.
  assert.ok(resident() < before + 150, `${before} MiB became ${resident()} MiB`);
  await until("it does nothing any more", async () => {
    const ticks = () =>
      readFileSync(`/proc/${running.child.pid}/stat`, "utf8")
        .split(" ")
        .slice(13, 15)
        .map(Number)
        .reduce((a, b) => a + b);
    const used = ticks();
    await new Promise((resolve) => setTimeout(resolve, 500));
    // In hundredths of a second.
    return ticks() - used < 5 || undefined;
  });
});

test("a recording is answered from in the place of the source", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "connector-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const socket = join(folder, "socket");
  const env = { CONNECTOR_SOCKET: socket, CONNECTOR_TOKEN: TOKEN, CONNECTOR_HTTP_REPLAY: join(TRACKER_EXAMPLE, "test/recording.har") };
  start(t, process.execPath, [join(TRACKER_EXAMPLE, "dist/main.js")], { env });
  const client = new ProcessClient(socket, TOKEN);
  t.after(() => client.close());
  await client.ready();
  const { messages, error } = await collect<PullResponse>(client.pull({ url: "http://127.0.0.1:7090" }, "any-key"));
  assert.equal(error, undefined);
  assert.equal(messages.flatMap(({ kind }) => (kind.case === "page" ? kind.value.changes : [])).length, 250);
});

test("a hundred calls at once stay apart", async (t) => {
  const { client, process: running } = await served(t);
  const pulls = Array.from({ length: 100 }, async (_, number) => {
    const { messages, error } = await collect<PullResponse>(client.pull({ prefix: `p${number}` }));
    assert.equal(error, undefined);
    const documents = messages
      .flatMap(({ kind }) => (kind.case === "page" ? kind.value.changes : []))
      .map(({ kind }) => (kind.case === "document" ? kind.value : undefined));
    assert.equal(documents.length, 50);
    assert.ok(documents.every((document) => document?.id.startsWith(`p${number}-`) && document.content === `text of p${number}`));
  });
  await Promise.all(pulls);
  assert.equal(running.stderr(), "", "nothing is warned of");
});
