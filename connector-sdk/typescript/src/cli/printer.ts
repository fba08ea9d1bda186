/** What a command says, for people or as a line of JSON each. */

import type { ConnectorError } from "../errors.js";

export class Printer {
  readonly #write: (text: string) => void;
  readonly #json: boolean;

  constructor(write: (text: string) => void, json: boolean) {
    this.#write = write;
    this.#json = json;
  }

  /** The same in both ways. */
  line(text: string, json: unknown): void {
    this.#write(this.#json ? `${JSON.stringify(json)}\n` : `${printable(text)}\n`);
  }

  /** What people need not see. */
  json(json: unknown): void {
    if (this.#json) this.#write(`${JSON.stringify(json)}\n`);
  }

  scopeError(scope: string, error: ConnectorError, json: unknown): void {
    this.line(`scope ${JSON.stringify(scope)} failed  ${error.reason}: ${error.message}`, { scope_error: json });
  }

  failure({ reason, message, code, metadata, retryAfterMs }: ConnectorError): void {
    const details = {
      reason,
      message,
      ...(code && { code }),
      metadata,
      ...(retryAfterMs !== undefined && { retry_after_ms: retryAfterMs }),
    };
    this.line(`failed  ${reason}: ${message}`, { error: details });
  }
}

/** A title moves no cursor of a terminal. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, "\ufffd");
}
