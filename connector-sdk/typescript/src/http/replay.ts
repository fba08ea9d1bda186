/** Answers from a recording, without network. */

import { readFileSync } from "node:fs";
import { ConnectorError } from "../errors.js";
import { REDACTED, type Redactor } from "../redact.js";
import type { Exchange, IncomingResponse } from "./exchange.js";
import { bodyOf, type HarEntry, type HarRequest, harRequest } from "./har.js";

/** A recording of this SDK, or any other HAR file. */
export class Replay {
  readonly #entries: readonly HarEntry[];
  readonly #path: string;
  readonly #answered = new Set<HarEntry>();

  constructor(path: string) {
    this.#path = path;
    this.#entries = readEntries(path);
  }

  /** An exchange that this recording answers. `redactor` knows the secrets of the call. */
  around(redactor: Redactor): Exchange {
    return async (request) => this.#answer(harRequest(request, redactor));
  }

  /** Where several are alike they are answered in their order, and the last one goes on answering. */
  #answer(asked: HarRequest): IncomingResponse {
    const alike = this.#entries.filter(({ request }) => isAlike(request, asked));
    const entry = alike.find((one) => !this.#answered.has(one)) ?? alike.at(-1);
    if (entry === undefined) {
      const nearest = this.#nearest(asked);
      throw new ConnectorError(
        "SOURCE_UNAVAILABLE",
        `the recording ${this.#path} has no answer to ${told(asked)}; the nearest that it has is ${nearest}`,
      );
    }
    this.#answered.add(entry);
    const { status, statusText, headers, content } = entry.response;
    const body = bodyOf(content);
    return { status, statusText, headers: new Headers(headers.map(({ name, value }) => [name, value])), body: chunksOf(body) };
  }

  #nearest(asked: HarRequest): string {
    const scored = this.#entries.map(({ request }) => ({ request, score: likeness(request, asked) }));
    const [best] = scored.sort((a, b) => b.score - a.score);
    if (best === undefined) return "none: it is empty";
    return told(best.request) === told(asked) ? `${told(best.request)} with another body` : told(best.request);
  }
}

/** Reads a whole file, or the entries of one that a crash left without its end. */
function readEntries(path: string): HarEntry[] {
  const text = readFileSync(path, "utf8");
  const whole = parse(text) as { log?: { entries?: HarEntry[] } } | undefined;
  const entries = whole?.log?.entries ?? text.split("\n").map((line) => parse(line.replace(/,\s*$/, "").replace(/^,/, "")) as HarEntry);
  const usable = entries.filter((entry) => typeof entry?.request?.url === "string" && typeof entry.response?.status === "number");
  if (whole?.log?.entries === undefined && usable.length === 0) throw new Error(`${path} is no HAR file`);
  return usable;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isAlike(recorded: HarRequest, asked: HarRequest): boolean {
  if (recorded.method !== asked.method || bodyText(recorded) !== bodyText(asked)) return false;
  const [a, b] = [addressOf(recorded), addressOf(asked)];
  return a !== undefined && b !== undefined && a.place === b.place && a.query === b.query;
}

function bodyText({ postData }: HarRequest): string {
  return postData?.text ?? "";
}

/** With query parameters in any order, and without those that hold what was redacted. */
function addressOf({ url }: HarRequest): { place: string; query: string } | undefined {
  if (!URL.canParse(url)) return undefined;
  const address = new URL(url);
  const query = [...address.searchParams].filter(([, value]) => !value.includes(REDACTED));
  return { place: address.origin + address.pathname, query: new URLSearchParams(query.sort(byText)).toString() };
}

function byText(a: readonly string[], b: readonly string[]): number {
  return a.join("=") < b.join("=") ? -1 : 1;
}

function told({ method, url }: HarRequest): string {
  return `${method} ${url}`;
}

/** How many parts of two addresses are the same. */
function likeness(recorded: HarRequest, asked: HarRequest): number {
  const parts = ({ method, url }: HarRequest) => [method, ...url.split(/[/?&]/)];
  const wanted = new Set(parts(asked));
  return parts(recorded).filter((part) => wanted.has(part)).length;
}

async function* chunksOf(body: Uint8Array): AsyncGenerator<Uint8Array> {
  if (body.length > 0) yield body;
}
