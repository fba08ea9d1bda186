/** An answer of the source, read to its end. */

import { ConnectorError } from "../errors.js";

/** What was asked. */
export interface AskedFor {
  method: string;
  /** Where the answer came from in the end. */
  url: string;
}

/** An answer with its body. */
export class HttpResponse {
  readonly request: AskedFor;
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
  readonly body: Uint8Array;

  /** @internal */
  constructor(request: AskedFor, status: number, statusText: string, headers: Headers, body: Uint8Array) {
    this.request = request;
    this.status = status;
    this.statusText = statusText;
    this.headers = headers;
    this.body = body;
  }

  /** The body as text, in the charset that the source names, else UTF-8. */
  text(): string {
    const charset = /charset="?([^";\s]+)/i.exec(this.headers.get("content-type") ?? "")?.[1] ?? "utf-8";
    try {
      return new TextDecoder(charset).decode(this.body);
    } catch {
      return new TextDecoder().decode(this.body);
    }
  }

  /**
   * The body as JSON. What shape it has, the source promised: check what the connector cannot do without.
   *
   * @throws ConnectorError SOURCE_UNAVAILABLE for what is no JSON, such as the page of a proxy.
   */
  json<T = unknown>(): T {
    try {
      return JSON.parse(this.text()) as T;
    } catch {
      const type = this.headers.get("content-type") ?? "no content type";
      throw new ConnectorError("SOURCE_UNAVAILABLE", `the source answered ${this.status} with what is no JSON (${type.slice(0, 100)})`);
    }
  }
}
