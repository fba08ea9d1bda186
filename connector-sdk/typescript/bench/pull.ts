/**
 * Documents a second from a pull of this SDK, beside a bare gRPC stream of the same messages in Node: made for each page, as a connector has to
 * make them, and made once and only encoded and written. Each side is a process of its own; this one reads. Beside the time that passed it tells documents a second of
 * the side's own processor time, which a busy machine falsifies less. It ends by itself.
 *
 *     npm run bench
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { completeListing, defineConnector, document } from "@superfasttt/connector";
import { loadConnector } from "#sdk/connector.js";
import {
  Connector,
  PullMode,
  PullRequestSchema,
  type PullResponse,
  PullResponseSchema,
} from "#sdk/gen/superfasttt/connector/v1/connector_pb.js";
import { serviceDefinition } from "#sdk/grpc.js";
import { Log } from "#sdk/log.js";
import { serveOn } from "#sdk/serve.js";

const DOCUMENTS = 100_000;
const ROUNDS = 9;
/** Until both sides are compiled. */
const WARM_UP = 3;
const PAGE = 500;
const TOKEN = "bench";

interface Item {
  number: number;
  title: string;
  body: string;
  author: string;
}

const items: Item[] = Array.from({ length: PAGE }, (_, number) => ({
  number,
  title: `Document ${number}`,
  body: `What happened in ${number}. `.repeat(40),
  author: `user${number % 7}@tracker.example`,
}));

const connector = defineConnector<object, Item>({
  manifest: JSON.stringify({ id: "bench", auth: { type: "none" }, sync: { mode: "full" }, capabilities: ["full_listing"] }),
  async *pull() {
    for (let number = 0; number < DOCUMENTS; number += 1) {
      const item = items[number % PAGE] as Item;
      yield document(`document-${item.number}`, item, { version: "1" });
    }
    yield completeListing("end");
  },
  normalize: (_key, { title, body, author }) => ({
    title,
    content: body,
    url: "https://tracker.example/issues",
    metadata: { owner: author, size: body.length },
    permissions: { visibility: "organization" },
    updatedAt: "2026-01-01T00:00:00Z",
  }),
});

async function serveSdk(socket: string): Promise<void> {
  await serveOn(loadConnector(connector), { socket, token: TOKEN, log: new Log("error", (line) => process.stderr.write(line)) });
}

function makePage(): PullResponse {
  return create(PullResponseSchema, {
    kind: {
      case: "page",
      value: {
        changes: items.map(({ number, title, body, author }) => ({
          kind: {
            case: "document" as const,
            value: {
              id: `document-${number}`,
              version: "1",
              title,
              content: body,
              url: "https://tracker.example/issues",
              metadata: { owner: author, size: body.length },
              permissions: { visibility: "organization" },
              updatedAt: { seconds: 1767225600n },
            },
          },
        })),
      },
    },
  });
}

/** With the messages made for each page, as a connector has to; or all of them once. */
async function serveBare(socket: string, isMadeOnce: boolean): Promise<void> {
  const madeOnce = makePage();
  const server = new grpc.Server();
  const definition = serviceDefinition(Connector)["pull"] as grpc.MethodDefinition<unknown, unknown>;
  const pull = {
    ...definition,
    responseSerialize: (message: unknown) => Buffer.from(toBinary(PullResponseSchema, message as PullResponse)),
  };
  server.addService(
    { pull },
    {
      pull: async (call: grpc.ServerWritableStream<unknown, unknown>) => {
        for (let sent = 0; sent < DOCUMENTS; sent += PAGE) if (!call.write(isMadeOnce ? madeOnce : makePage())) await once(call, "drain");
        call.end();
      },
    },
  );
  await new Promise((resolve) => server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), resolve));
}

/** Reads a pull to its end, as bytes, and gives documents a second. */
async function measure(socket: string): Promise<number> {
  const client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${TOKEN}`);
  const { path, requestSerialize } = serviceDefinition(Connector)["pull"] as grpc.MethodDefinition<unknown, unknown>;
  const request = create(PullRequestSchema, { mode: PullMode.FULL, contractRevision: 1 });
  const begun = performance.now();
  let bytes = 0;
  const stream = client.makeServerStreamRequest(path, requestSerialize, (message: Buffer) => message, request, metadata);
  stream.on("data", (message: Buffer) => (bytes += message.length));
  await once(stream, "end");
  client.close();
  if (bytes < DOCUMENTS * 1000) throw new Error(`only ${bytes} bytes came`);
  return DOCUMENTS / ((performance.now() - begun) / 1000);
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  const sides = ["sdk", "bare", "bare-made-once"].map((name) => {
    const socket = join(folder, name);
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), name, socket], {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    return { name, socket, child, rates: [] as number[], perCpu: [] as number[] };
  });
  try {
    await Promise.all(sides.map(({ child }: { child: ChildProcess }) => once(child, "message")));
    // By turns, so that what else this machine does meets both.
    for (let round = 0; round < WARM_UP + ROUNDS; round += 1) {
      for (const side of sides) {
        const before = await cpuSeconds(side.child);
        const rate = await measure(side.socket);
        const used = (await cpuSeconds(side.child)) - before;
        if (round < WARM_UP) continue;
        side.rates.push(rate);
        side.perCpu.push(DOCUMENTS / used);
      }
    }
  } finally {
    for (const { child } of sides) child.kill();
    rmSync(folder, { recursive: true, force: true });
  }
  const median = (rates: readonly number[]) => [...rates].sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0;
  for (const [what, key] of [
    ["passed", "rates"],
    ["of the processor", "perCpu"],
  ] as const) {
    const [sdk = [], ...bare] = sides.map((side) => side[key]);
    // Of each round by itself: its sides met the same.
    const ratios = bare.map((rates) => median(sdk.map((rate, round) => rate / (rates[round] ?? 0))).toFixed(2));
    const told = sides.map((side) => `${side.name} ${Math.round(median(side[key])).toLocaleString("en")}`).join(", ");
    console.log(`documents a second by time ${what}: ${told}; sdk to bare ${ratios[0]}, to bare with messages made once ${ratios[1]}`);
  }
}

async function cpuSeconds(child: ChildProcess): Promise<number> {
  child.send("cpu");
  const [{ user, system }] = (await once(child, "message")) as [NodeJS.CpuUsage];
  return (user + system) / 1e6;
}

const [, , side, socket = ""] = process.argv;
if (side === undefined) {
  await main();
} else {
  await (side === "sdk" ? serveSdk(socket) : serveBare(socket, side === "bare-made-once"));
  process.on("message", () => process.send?.(process.cpuUsage()));
  process.send?.("ready");
}
