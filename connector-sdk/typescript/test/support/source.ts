/** A source that answers as a test says, and a client of one call to it. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { TestContext } from "node:test";
import { type ConnectorDefinition, ConnectorError, type HttpClient, type JsonObject } from "@superfasttt/connector";
import { credentialOf } from "#sdk/cli/options.js";
import { loadConnector } from "#sdk/connector.js";
import { Credential } from "#sdk/credential.js";
import type { Clock } from "#sdk/http/pacing.js";
import { type RecordingFiles, Traffic } from "#sdk/http/traffic.js";
import { author, manifest } from "./author.js";

/** What was asked. */
export interface Asked {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
  body: string;
}

export interface Source {
  url: string;
  asked: Asked[];
}

type Answer = (asked: Asked, response: ServerResponse) => void;

/** Answers with the answers of a list, in order, and goes on with the last one. */
export async function source(t: TestContext, ...answers: Answer[]): Promise<Source> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url: path = "", headers } = request;
    const one = { method, path, headers, body: Buffer.concat(chunks).toString() };
    const answer = answers[Math.min(asked.length, answers.length - 1)];
    asked.push(one);
    answer?.(one, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { url: `http://127.0.0.1:${address.port}`, asked };
}

/** An answer of `status` with headers and a body. */
export function answering(status: number, body: string | object = "{}", headers: Record<string, string> = {}): Answer {
  return (_asked, response) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(text);
  };
}

/** The connection breaks before an answer. */
export const breaking: Answer = (_asked, response) => void response.destroy();

/** A clock whose time passes only by sleeping. */
export class FakeClock implements Clock {
  time = 0;
  readonly slept: number[] = [];
  now = () => this.time;
  date = () => Date.UTC(2026, 0, 1) + this.time;
  random = () => 0.5;
  sleep = async (ms: number, signal: AbortSignal) => {
    signal.throwIfAborted();
    this.slept.push(ms);
    this.time += ms;
  };
}

export interface ClientSetup {
  manifest?: object;
  http?: ConnectorDefinition<JsonObject, string>["http"];
  credential?: string;
  settings?: JsonObject;
  files?: RecordingFiles;
  traceparent?: string;
}

/** The client of one call, on a clock that the test has. */
export function clientOf(
  t: TestContext,
  setup: ClientSetup = {},
): { http: HttpClient; clock: FakeClock; traffic: Traffic; another(settings: JsonObject): HttpClient; cancel(): void } {
  const clock = new FakeClock();
  const text = manifest({ auth: { type: "api_key" }, allowed_hosts: ["127.0.0.1"], ...setup.manifest });
  const connector = loadConnector(author(async function* () {}, { manifest: text, ...(setup.http && { http: setup.http }) }));
  const traffic = new Traffic(connector, setup.files ?? {}, clock);
  const abort = new AbortController();
  t.after(async () => {
    abort.abort();
    await traffic.close();
  });
  const credential =
    setup.credential === undefined ? undefined : new Credential(credentialOf(setup.credential, connector.manifest), connector.manifest);
  const secrets = credential?.secrets() ?? [];
  const client = (settings: JsonObject) =>
    traffic.client({ settings, credential, secrets, signal: abort.signal, traceparent: setup.traceparent });
  return {
    http: client(setup.settings ?? {}),
    clock,
    traffic,
    another: client,
    cancel: () => abort.abort(new ConnectorError("SOURCE_UNAVAILABLE", "cancelled")),
  };
}
