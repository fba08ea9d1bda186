/** Writes what goes through the HTTP client to a file that is a whole HAR after each entry. */

import { closeSync, openSync, writeSync } from "node:fs";
import type { Redactor } from "../redact.js";
import { SDK_VERSION } from "../version.js";
import type { Exchange } from "./exchange.js";
import { type HarEntry, harRequest, harResponse } from "./har.js";

const HEAD = `{"log":{"version":"1.2","creator":{"name":"@superfasttt/connector","version":"${SDK_VERSION}"},"entries":[\n`;
const TAIL = "\n]}}\n";

/** A file that is begun anew. */
export class Recording {
  readonly #file: number;
  /** Where the next entry goes: over the tail. */
  #end = Buffer.byteLength(HEAD);
  #isEmpty = true;

  constructor(path: string) {
    // What was read from the source stands in it, so it is its owner's alone.
    this.#file = openSync(path, "w", 0o600);
    writeSync(this.#file, HEAD + TAIL, 0);
  }

  /** An exchange whose answers are given when they have been written. `redactor` knows the secrets of the call. */
  around(exchange: Exchange, redactor: Redactor): Exchange {
    return async (request, signal) => {
      const started = new Date();
      const begun = performance.now();
      const response = await exchange(request, signal);
      const wait = performance.now() - begun;
      const chunks: Uint8Array[] = [];
      for await (const chunk of response.body) chunks.push(chunk);
      const body = Buffer.concat(chunks);
      const time = performance.now() - begun;
      this.#write({
        startedDateTime: started.toISOString(),
        time,
        request: harRequest(request, redactor),
        response: harResponse(request.url, response, body, redactor),
        cache: {},
        timings: { send: 0, wait, receive: time - wait },
      });
      return { ...response, body: once(body) };
    };
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(entry: HarEntry): void {
    const line = Buffer.from(`${this.#isEmpty ? "" : ",\n"}${JSON.stringify(entry)}`);
    const bytes = Buffer.concat([line, Buffer.from(TAIL)]);
    // In one write, so that a process which is killed leaves a whole file.
    writeSync(this.#file, bytes, 0, bytes.length, this.#end);
    this.#end += line.length;
    this.#isEmpty = false;
  }
}

async function* once(body: Uint8Array): AsyncGenerator<Uint8Array> {
  if (body.length > 0) yield body;
}
