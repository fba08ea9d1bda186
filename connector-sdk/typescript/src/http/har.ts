/** Entries of a HAR 1.2 file, and what of a request and its answer may stand in one. */

import { REDACTED, type Redactor } from "../redact.js";
import type { IncomingResponse, OutgoingRequest } from "./exchange.js";

/** A header or query parameter. */
export interface NameValue {
  name: string;
  value: string;
}

/** What was asked, without secrets. */
export interface HarRequest {
  method: string;
  url: string;
  httpVersion: string;
  cookies: [];
  headers: NameValue[];
  queryString: NameValue[];
  headersSize: -1;
  bodySize: number;
  postData?: { mimeType: string; text: string; encoding?: "base64" };
}

/** What was answered, without secrets. */
export interface HarResponse {
  status: number;
  statusText: string;
  httpVersion: string;
  cookies: [];
  headers: NameValue[];
  content: { size: number; mimeType: string; text: string; encoding?: "base64" };
  redirectURL: string;
  headersSize: -1;
  bodySize: number;
}

/** One request and its answer. */
export interface HarEntry {
  startedDateTime: string;
  time: number;
  request: HarRequest;
  response: HarResponse;
  cache: object;
  timings: { send: number; wait: number; receive: number };
}

/** The client decodes bodies, so these would not be true of what is kept. */
const OF_THE_WIRE: readonly string[] = ["content-encoding", "content-length", "transfer-encoding"];
const SECRET_HEADERS: readonly string[] = ["authorization", "cookie", "set-cookie", "proxy-authorization"];
const SECRET_WORD = /(?:token|secret|password)s?$|^(?:api|access|auth|private|client|consumer|secret|session)?keys?$/i;

export function harRequest({ method, url, headers, body }: OutgoingRequest, redactor: Redactor): HarRequest {
  const address = redactedAddress(url, redactor);
  const request: HarRequest = {
    method,
    url: address.href,
    httpVersion: "HTTP/1.1",
    cookies: [],
    headers: redactedHeaders(headers, redactor),
    queryString: [...address.searchParams].map(([name, value]) => ({ name, value })),
    headersSize: -1,
    bodySize: body?.length ?? 0,
  };
  if (body !== undefined) {
    const mimeType = headers.get("content-type") ?? "";
    request.postData = { mimeType, ...redactedBody(body, mimeType, redactor) };
  }
  return request;
}

/** The answer to a request of `url`. */
export function harResponse(
  url: URL,
  { status, statusText, headers: given }: IncomingResponse,
  body: Uint8Array,
  redactor: Redactor,
): HarResponse {
  const headers = new Headers(given);
  const location = given.get("location");
  // Where a redirect leads to is an address as much as the one that was asked.
  if (location !== null && URL.canParse(location, url.href))
    headers.set("location", redactedAddress(new URL(location, url), redactor).href);
  const mimeType = headers.get("content-type") ?? "";
  return {
    status,
    statusText,
    httpVersion: "HTTP/1.1",
    cookies: [],
    headers: redactedHeaders(headers, redactor).filter(({ name }) => !OF_THE_WIRE.includes(name)),
    content: { size: body.length, mimeType, ...redactedBody(body, mimeType, redactor) },
    redirectURL: redactor.redact(headers.get("location") ?? ""),
    headersSize: -1,
    bodySize: body.length,
  };
}

/** The bytes of a recorded body. */
export function bodyOf({ text, encoding }: { text?: string; encoding?: string }): Uint8Array {
  return Buffer.from(text ?? "", encoding === "base64" ? "base64" : "utf8");
}

/** Whether a name says that its value is a secret: "access_token", "X-Api-Key", "clientSecret". */
export function saysSecret(name: string): boolean {
  const words = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").split(/[^A-Za-z0-9]+/);
  return SECRET_HEADERS.includes(name.toLowerCase()) || words.some((word) => SECRET_WORD.test(word));
}

function redactedAddress(url: URL, redactor: Redactor): URL {
  const address = new URL(url);
  const query = [...address.searchParams].map(([name, value]): [string, string] => [
    name,
    saysSecret(name) ? REDACTED : redactor.redact(value),
  ]);
  address.search = new URLSearchParams(query).toString();
  address.hash = "";
  address.pathname = redactor.redact(address.pathname);
  return address;
}

function redactedHeaders(headers: Headers, redactor: Redactor): NameValue[] {
  return [...headers].map(([name, value]) => ({ name, value: saysSecret(name) ? REDACTED : redactor.redact(value) }));
}

function redactedBody(body: Uint8Array, mimeType: string, redactor: Redactor): { text: string; encoding?: "base64" } {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    // Secrets stand in bytes that are no text as they are, one byte a sign.
    const bytes = Buffer.from(redactor.redact(Buffer.from(body).toString("latin1")), "latin1");
    return { text: bytes.toString("base64"), encoding: "base64" };
  }
  return { text: redactor.redact(mimeType.startsWith("application/x-www-form-urlencoded") ? redactedForm(text) : redactedJson(text)) };
}

function redactedForm(text: string): string {
  const fields = [...new URLSearchParams(text)];
  if (!fields.some(([name]) => saysSecret(name))) return text;
  return new URLSearchParams(fields.map(([name, value]): [string, string] => [name, saysSecret(name) ? REDACTED : value])).toString();
}

/** Text that is no JSON, or has no secret field, stays as it is. */
function redactedJson(text: string): string {
  if (!/^\s*[[{]/.test(text)) return text;
  let found = false;
  try {
    const value: unknown = JSON.parse(text, (name, inner: unknown) => {
      if (!saysSecret(name)) return inner;
      const hidden = hide(inner);
      found ||= hidden !== inner;
      return hidden;
    });
    return found ? JSON.stringify(value) : text;
  } catch {
    return text;
  }
}

function hide(value: unknown): unknown {
  if (typeof value === "string" || typeof value === "number") return REDACTED;
  if (Array.isArray(value) && value.length > 0) return value.map(hide);
  return value;
}
