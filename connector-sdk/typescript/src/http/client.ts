/** Asks the source: the credential set, hosts kept to, limits waited for, failures retried, answers classified. */

import type { Credential } from "../credential.js";
import { ConnectorError } from "../errors.js";
import { type ErrorTable, errorOf } from "./errors.js";
import { type Exchange, type IncomingResponse, NetworkError, type OutgoingRequest } from "./exchange.js";
import type { AllowedHosts } from "./hosts.js";
import { type Clock, type Pace, retryAfterMs } from "./pacing.js";
import { HttpResponse } from "./response.js";

const SAFE_METHODS: readonly string[] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"];
const MAX_ATTEMPTS = 4;
const RETRY_BASE_MS = 500;
const MAX_RETRY_AFTER_MS = 60_000;
/** A request waits no longer than this in all for a source that goes on saying that it is asked too often. */
const MAX_WAITING_MS = 60_000;
const MAX_REDIRECTS = 10;
/** What is larger is read as a stream. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;

const MAX_DISCARDED_BYTES = 64 * 1024;

/** How a request differs from the plain one. */
export interface RequestOptions {
  /** Added to the address; what is undefined is left out, a list is repeated. */
  query?: Readonly<Record<string, string | number | boolean | undefined | readonly (string | number)[]>>;
  headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as a form. */
  form?: Readonly<Record<string, string>>;
  /** Sent as it is. */
  body?: string | Uint8Array;
  /** What answers to this request mean; comes before the connector's own table. */
  errors?: ErrorTable;
  /** False: the credential is not shown. */
  authorize?: boolean;
}

/** An answer whose body is read as it comes. */
export interface StreamedResponse {
  status: number;
  headers: Headers;
  body: AsyncIterable<Uint8Array>;
}

/** What a client needs besides the request. */
export interface HttpSetup {
  exchange: Exchange;
  /** Whose turn a request waits for. None: a recording answers. */
  paces: readonly Pace[];
  clock: Clock;
  hosts: AllowedHosts;
  /** What relative addresses are relative to; asked for only where one is. */
  baseUrl: () => string | undefined;
  headers: Readonly<Record<string, string>>;
  errors: ErrorTable;
  credential: Credential | undefined;
  signal: AbortSignal;
}

/** The client of one call. */
export class HttpClient {
  readonly #setup: HttpSetup;

  /** @internal */
  constructor(setup: HttpSetup) {
    this.#setup = setup;
  }

  get(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
    return this.request("GET", url, options);
  }

  post(url: string | URL, options?: RequestOptions): Promise<HttpResponse> {
    return this.request("POST", url, options);
  }

  /** The JSON that `url` answers with. */
  async json<T = unknown>(url: string | URL, options?: RequestOptions): Promise<T> {
    const response = await this.get(url, { ...options, headers: { accept: "application/json", ...options?.headers } });
    return response.json<T>();
  }

  /**
   * Asks, and reads the answer to its end.
   *
   * @throws ConnectorError for every answer of 300 and above but 304, with the reason that the tables give it; when no answer came; when the host is
   * not allowed; when the call has been cancelled.
   */
  async request(method: string, url: string | URL, options: RequestOptions = {}): Promise<HttpResponse> {
    return this.#asking(method, url, options, readWhole);
  }

  /** Asks, and gives the body as it comes. It is not retried once it has begun to come. */
  async stream(url: string | URL, options: RequestOptions = {}): Promise<StreamedResponse> {
    return this.#asking("GET", url, options, async ({ status, headers, body }) => ({ status, headers, body: sourceErrors(body) }));
  }

  async #asking<T>(
    method: string,
    address: string | URL,
    options: RequestOptions,
    read: (response: IncomingResponse, request: OutgoingRequest) => Promise<T>,
  ): Promise<T> {
    const { clock, signal, paces } = this.#setup;
    const isSafe = SAFE_METHODS.includes(method);
    let waited = 0;
    let backoff = 1000;
    for (let attempt = 1; ; ) {
      let failed: HttpResponse;
      let request: OutgoingRequest;
      try {
        const [response, asked] = await this.#follow(this.#build(method, address, options));
        if (response.status < 300 || response.status === 304) return await read(response, asked);
        [failed, request] = [await readWhole(response, asked), asked];
      } catch (error) {
        if (!(error instanceof NetworkError)) throw error;
        if (!isSafe || attempt === MAX_ATTEMPTS) throw unavailable(error);
        await clock.sleep(fullJitter(attempt, clock), signal);
        attempt += 1;
        continue;
      }
      const { status } = failed;
      const asked = retryAfterMs(failed.headers, clock);
      const error = errorOf(failed, this.#tables(options), this.#setup.credential?.type === "oauth2" && !request.isForeign, asked);
      const isBusy = status === 429 || (status === 503 && asked !== undefined);
      // An author's table may know better, such as that an allowance for the day is used up.
      if (isBusy && (error.reason === "RATE_LIMITED" || error.reason === "SOURCE_UNAVAILABLE")) {
        const delay = asked ?? backoff * (0.5 + clock.random() / 2);
        if (delay > MAX_RETRY_AFTER_MS || waited + delay > MAX_WAITING_MS) throw tooOften(error, asked ?? MAX_RETRY_AFTER_MS);
        waited += delay;
        backoff *= 2;
        // What else this connection asks waits too, instead of being told the same.
        for (const pace of paces) pace.pause(delay);
        await clock.sleep(delay, signal);
      } else if (isSafe && attempt < MAX_ATTEMPTS && [502, 503, 504].includes(status)) {
        await clock.sleep(fullJitter(attempt, clock), signal);
        attempt += 1;
      } else {
        throw error;
      }
    }
  }

  /** Brings the last answer of a chain of redirects. */
  async #follow(first: OutgoingRequest): Promise<[IncomingResponse, OutgoingRequest]> {
    const { hosts, exchange, paces, signal } = this.#setup;
    let request = first;
    for (let redirects = 0; ; redirects += 1) {
      hosts.check(request.url);
      for (const pace of paces) await pace.turn(signal);
      signal.throwIfAborted();
      const response = await exchange(request, signal);
      const location = [301, 302, 303, 307, 308].includes(response.status) ? response.headers.get("location") : null;
      if (location === null) return [response, request];
      if (redirects === MAX_REDIRECTS)
        throw new ConnectorError("SOURCE_UNAVAILABLE", `the source redirects more than ${MAX_REDIRECTS} times`);
      await discard(response.body);
      request = redirected(request, response.status, location);
    }
  }

  #build(method: string, address: string | URL, options: RequestOptions): OutgoingRequest {
    const url = this.#address(address, options.query);
    const headers = new Headers({ ...this.#setup.headers, ...options.headers });
    let body: Uint8Array | undefined;
    if (options.json !== undefined) {
      body = Buffer.from(JSON.stringify(options.json));
      if (!headers.has("content-type")) headers.set("content-type", "application/json");
    } else if (options.form !== undefined) {
      body = Buffer.from(new URLSearchParams(options.form).toString());
      if (!headers.has("content-type")) headers.set("content-type", "application/x-www-form-urlencoded");
    } else if (options.body !== undefined) {
      body = typeof options.body === "string" ? Buffer.from(options.body) : options.body;
    }
    if (options.authorize !== false && !headers.has("authorization")) this.#authorize(headers);
    return { method, url, headers, body, isForeign: false };
  }

  #address(address: string | URL, query: RequestOptions["query"] = {}): URL {
    const isWhole = address instanceof URL || /^[a-z][a-z0-9+.-]*:/i.test(address);
    const base = isWhole ? "" : (this.#setup.baseUrl() ?? "");
    let url: URL;
    try {
      // A base has a path more often than not, and what is asked for lies below it.
      url = isWhole ? new URL(address) : new URL(`${base.replace(/\/+$/, "")}/${address.replace(/^\/+/, "")}`);
    } catch {
      throw new ConnectorError("SETTINGS_INVALID", "the address of the source is no address");
    }
    for (const [name, value] of Object.entries(query)) {
      const values = Array.isArray(value) ? value : value === undefined ? [] : [value];
      for (const each of values) url.searchParams.append(name, String(each));
    }
    return url;
  }

  #authorize(headers: Headers): void {
    const { credential } = this.#setup;
    if (credential === undefined) return;
    switch (credential.type) {
      case "oauth2":
      case "api_key":
      case "bearer_token":
        return this.#setAuthorization(headers, `Bearer ${credential.token()}`);
      case "basic": {
        const { username, password } = credential.basic();
        return this.#setAuthorization(headers, `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`);
      }
    }
  }

  #setAuthorization(headers: Headers, value: string): void {
    try {
      headers.set("authorization", value);
    } catch {
      // The platform's own message quotes the value.
      throw new ConnectorError("CREDENTIAL_REVOKED", "the credential has signs in it that no header can carry: enter it again");
    }
  }

  #tables(options: RequestOptions): ErrorTable[] {
    return [...(options.errors ? [options.errors] : []), this.#setup.errors];
  }
}

/** The request that a redirect asks for. To another host nothing goes that was meant for the first one. */
function redirected(request: OutgoingRequest, status: number, location: string): OutgoingRequest {
  let url: URL;
  try {
    url = new URL(location, request.url);
  } catch {
    throw new ConnectorError("SOURCE_UNAVAILABLE", "the source redirects to what is no address");
  }
  const headers = new Headers(request.headers);
  const isAnother = url.host !== request.url.host || (request.url.protocol === "https:" && url.protocol !== "https:");
  if (isAnother)
    for (const name of [...headers.keys()]) if (/^(authorization|cookie)$|token|secret|password|key/i.test(name)) headers.delete(name);
  const { method, body } = request;
  const isForeign = request.isForeign || isAnother;
  const becomesGet = status === 303 ? method !== "HEAD" : status !== 307 && status !== 308 && method === "POST";
  if (!becomesGet) return { method, url, headers, body, isForeign };
  headers.delete("content-type");
  return { method: "GET", url, headers, body: undefined, isForeign };
}

async function readWhole({ status, statusText, headers, body }: IncomingResponse, request: OutgoingRequest): Promise<HttpResponse> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) {
      throw new ConnectorError(
        "CONTENT_TOO_LARGE",
        `the source's answer is over ${MAX_BODY_BYTES} bytes: the connector's author must read it as a stream`,
      );
    }
    chunks.push(chunk);
  }
  return new HttpResponse({ method: request.method, url: request.url.href }, status, statusText, headers, Buffer.concat(chunks));
}

/** A connection is free again only when its answer has been read; what is long is not worth it. */
async function discard(body: AsyncIterable<Uint8Array>): Promise<void> {
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > MAX_DISCARDED_BYTES) break;
  }
}

async function* sourceErrors(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw error instanceof NetworkError ? unavailable(error) : error;
  }
}

function unavailable(error: NetworkError): ConnectorError {
  return new ConnectorError("SOURCE_UNAVAILABLE", `the source does not answer: ${error.message}`, { cause: error });
}

function tooOften({ message, code, metadata }: ConnectorError, retryAfterMs: number): ConnectorError {
  return new ConnectorError("RATE_LIMITED", message, { code, metadata: { ...metadata }, retryAfterMs });
}

function fullJitter(attempt: number, clock: Clock): number {
  return clock.random() * RETRY_BASE_MS * 2 ** attempt;
}
