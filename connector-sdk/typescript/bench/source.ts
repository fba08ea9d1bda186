/**
 * The benchmark's source in TypeScript: as a connector, and as the bare gRPC stream that it is measured against.
 *
 *     node build/bench/source.js                connectord starts it
 *     node build/bench/source.js bare SOCKET    the bare side: says SOCKET on stdout when it listens, and serves until it is killed
 *
 * `make bench` runs both, see docs/benchmarks.md. Both sides make their documents as they go, with `documentOf`.
 */

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import { checkpoint, completeListing, defineConnector, document, serve } from "@superfasttt/connector";
import { Connector, type PullRequest, type PullResponse, PullResponseSchema } from "#sdk/gen/superfasttt/connector/v1/connector_pb.js";
import { serviceDefinition } from "#sdk/grpc.js";

const CONTENT_BYTES = 1024;
const METADATA_FIELDS = 8;
const PER_CHECKPOINT = 1000;
/** Of the bare side: two pages to a checkpoint, and each about as large as those of the SDK. */
const PER_PAGE = 500;
const WORDS =
  "the quarterly report of the northern office lists every contract signed since spring with its owner its value and the day on which it " +
  "ends so that nobody has to look for it in a folder again and the people who answer questions about it find the newest version first ";
/** The texts are pieces of it. */
const TEXTS = WORDS.repeat(Math.floor(CONTENT_BYTES / WORDS.length) + 2);
const CREATED_AT = new Date(1_600_000_000_000);

const idOf = (number: number) => `document-${String(number).padStart(9, "0")}`;

/** What both sides make a document of: the same as bench/src/source.rs makes, field by field. */
function documentOf(number: number) {
  const begin = `${number} 1 `;
  const start = number % WORDS.length;
  const metadata: Record<string, string | number | boolean> = {};
  for (let field = 0; field < METADATA_FIELDS; field += 1) metadata[`field_${field}`] = metadataOf(number, field);
  return {
    title: `Document ${number}`,
    url: `https://documents.example/${number}`,
    content: begin + TEXTS.slice(start, start + CONTENT_BYTES - begin.length),
    mediaType: "text/plain",
    metadata,
    permissions: {
      visibility: "private" as const,
      allow: [`user:person-${number % 211}@acme.example`, `group:team-${number % 13}@acme.example`, "domain:acme.example"],
    },
    createdAt: CREATED_AT,
    updatedAt: new Date((1_700_000_000 + number) * 1000),
  };
}

function metadataOf(number: number, field: number): string | number | boolean {
  switch (field % 4) {
    case 0:
      return `value ${field * 7} of ${number}`;
    case 1:
      return number * (field + 1);
    case 2:
      return `folder/${number % 97}/${number % 1009}`;
    default:
      return number % 2 === 0;
  }
}

/** The cursor of a listing is the number of the last document that it named. */
const source = () =>
  defineConnector<{ documents: number }, number>({
    // The benchmark writes it into the folder that connectord starts this program in.
    manifest: readFileSync("manifest.json", "utf8"),
    async *pull(ctx) {
      const listed = ctx.cursorJson((value): value is number => Number.isInteger(value)) ?? 0;
      for (let number = listed + 1; number <= ctx.settings.documents; number += 1) {
        yield document(idOf(number), number, { version: "1" });
        if (number % PER_CHECKPOINT === 0) yield checkpoint(number, { hasMore: true });
      }
      yield completeListing(0);
    },
    normalize: (_key, number) => documentOf(number),
  });

function bareChange(number: number) {
  const { createdAt, updatedAt, ...rest } = documentOf(number);
  const value = {
    ...rest,
    id: idOf(number),
    version: "1",
    createdAt: timestampFromDate(createdAt),
    updatedAt: timestampFromDate(updatedAt),
  };
  return { kind: { case: "document" as const, value } };
}

function barePage(first: number, last: number): PullResponse {
  const changes = Array.from({ length: last - first + 1 }, (_, place) => bareChange(first + place));
  const checkpoint = last % PER_CHECKPOINT === 0 ? { cursor: Buffer.from(String(last)), hasMore: true } : undefined;
  return create(PullResponseSchema, { kind: { case: "page", value: checkpoint ? { changes, checkpoint } : { changes } } });
}

/** What an author would write without an SDK, and nothing that a connector has to do beside. */
async function barePull(call: grpc.ServerWritableStream<PullRequest, PullResponse>): Promise<void> {
  const documents = Number(call.request.settings?.["documents"]);
  for (let first = 1; first <= documents; first += PER_PAGE) {
    if (!call.write(barePage(first, Math.min(first + PER_PAGE - 1, documents)))) await once(call, "drain");
  }
  call.end();
}

async function serveBare(socket: string): Promise<void> {
  const server = new grpc.Server();
  const { pull } = serviceDefinition(Connector);
  server.addService({ pull } as grpc.ServiceDefinition, { pull: barePull });
  await new Promise((resolve) => server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), resolve));
  console.log(socket);
}

const [, , side, socket = ""] = process.argv;
if (side === "bare") await serveBare(socket);
else serve(source());
