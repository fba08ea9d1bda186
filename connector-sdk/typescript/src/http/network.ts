/** Asks the network. */

import { Agent, errors, fetch, type Response } from "undici";
import { ConnectorError } from "../errors.js";
import { type Exchange, type IncomingResponse, NetworkError } from "./exchange.js";
import type { AllowedHosts } from "./hosts.js";

const CONNECT_TIMEOUT_MS = 10_000;
const BYTES_TIMEOUT_MS = 60_000;

/** The codes that people meet, in words; the others are told as they are. */
const WHAT_CODES_SAY: Readonly<Record<string, string>> = {
  EAI_AGAIN: "the host's name cannot be looked up now",
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection broke off",
  ENOTFOUND: "there is no such host",
  UND_ERR_SOCKET: "the connection broke off",
};

/** A certificate to show to the source, and its key, both PEM. */
export interface ClientCertificate {
  certificatePem: string;
  privateKeyPem: string;
}

/** The connections of a process, or of a call that shows a certificate of its own. */
export class Network {
  readonly #hosts: AllowedHosts;
  readonly #agent: Agent;

  constructor(hosts: AllowedHosts, certificate?: ClientCertificate) {
    this.#hosts = hosts;
    const shown = certificate && { cert: certificate.certificatePem, key: certificate.privateKeyPem };
    this.#agent = new Agent({
      connect: { timeout: CONNECT_TIMEOUT_MS, lookup: hosts.lookup, ...shown },
      headersTimeout: BYTES_TIMEOUT_MS,
      bodyTimeout: BYTES_TIMEOUT_MS,
    });
  }

  /** With a certificate of one call's credential. Close it when the call has ended. */
  withCertificate(certificate: ClientCertificate): Network {
    return new Network(this.#hosts, certificate);
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  readonly exchange: Exchange = async (request, signal) => {
    const { method, url, headers, body } = request;
    let response: Response;
    try {
      response = await fetch(url, {
        method,
        headers: [...headers],
        body: body ?? null,
        signal,
        dispatcher: this.#agent,
        redirect: "manual",
      });
    } catch (error) {
      throw whatHappened(error, signal);
    }
    return {
      status: response.status,
      statusText: response.statusText,
      headers: new Headers([...response.headers]),
      body: bytesOf(response, signal),
    };
  };
}

async function* bytesOf(response: Response, signal: AbortSignal): IncomingResponse["body"] {
  if (response.body === null) return;
  try {
    for await (const chunk of response.body) yield chunk as Uint8Array;
  } catch (error) {
    throw whatHappened(error, signal);
  }
}

/** Says it without address and data. A refused host stays what it is. */
function whatHappened(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  const causes: unknown[] = [];
  for (let cause = error; cause instanceof Error && causes.length < 5; cause = cause.cause) {
    if (cause instanceof ConnectorError) return cause;
    causes.push(cause);
  }
  const [innermost] = causes.reverse();
  if (innermost instanceof errors.ConnectTimeoutError)
    return new NetworkError(`no connection within ${CONNECT_TIMEOUT_MS / 1000} s`, { cause: error });
  if (innermost instanceof errors.HeadersTimeoutError || innermost instanceof errors.BodyTimeoutError) {
    return new NetworkError(`nothing came for ${BYTES_TIMEOUT_MS / 1000} s`, { cause: error });
  }
  const code = (innermost as { code?: unknown } | undefined)?.code;
  const known = typeof code === "string" ? (WHAT_CODES_SAY[code] ?? code) : "the connection failed";
  return new NetworkError(known, { cause: error });
}
