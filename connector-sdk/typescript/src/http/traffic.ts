/** How the calls of a process reach their source: over the network, with a recording of it, or by a recording alone. */

import type { JsonObject } from "@bufbuild/protobuf";
import type { LoadedConnector } from "../connector.js";
import type { Credential } from "../credential.js";
import { Redactor } from "../redact.js";
import { SDK_VERSION } from "../version.js";
import { HttpClient } from "./client.js";
import type { Exchange } from "./exchange.js";
import { AllowedHosts } from "./hosts.js";
import { Network } from "./network.js";
import { type Clock, type Pace, Paces, REAL_CLOCK } from "./pacing.js";
import { Recording } from "./recording.js";
import { Replay } from "./replay.js";

/** Files of recordings. At most one of them. */
export interface RecordingFiles {
  record?: string | undefined;
  replay?: string | undefined;
}

/** The call that a client is for. */
export interface ClientCall {
  settings: JsonObject | undefined;
  credential: Credential | undefined;
  /** Everything that must not be written anywhere. */
  secrets: readonly string[];
  signal: AbortSignal;
  traceparent: string | undefined;
}

/** Makes the HTTP client of each call. */
export class Traffic {
  readonly #connector: LoadedConnector;
  readonly #hosts: AllowedHosts;
  readonly #network: Network;
  readonly #paces: Paces;
  readonly #clock: Clock;
  readonly #recording: Recording | undefined;
  readonly #replay: Replay | undefined;

  constructor(connector: LoadedConnector, files: RecordingFiles, clock: Clock = REAL_CLOCK) {
    const { allowedHosts, rateLimits } = connector.manifest;
    this.#connector = connector;
    this.#hosts = new AllowedHosts(allowedHosts);
    this.#network = new Network(this.#hosts);
    this.#paces = new Paces(rateLimits, clock);
    this.#recording = files.record ? new Recording(files.record) : undefined;
    this.#replay = files.replay ? new Replay(files.replay) : undefined;
    // A recording is answered from at once.
    this.#clock = this.#replay ? { ...clock, sleep: async () => {} } : clock;
  }

  client(call: ClientCall): HttpClient {
    const { definition, manifest } = this.#connector;
    const { baseUrl, headers, errors = {} } = definition.http ?? {};
    return new HttpClient({
      exchange: this.#exchange(call),
      paces: this.#replay ? [] : this.#pacesOf(call),
      clock: this.#clock,
      hosts: this.#hosts,
      baseUrl: () => (typeof baseUrl === "function" ? baseUrl(call.settings) : baseUrl),
      headers: {
        "user-agent": `${manifest.id}/${manifest.version} superfasttt-connector-typescript/${SDK_VERSION}`,
        ...headers,
        ...(call.traceparent !== undefined && { traceparent: call.traceparent }),
      },
      errors,
      credential: call.credential,
      signal: call.signal,
    });
  }

  async close(): Promise<void> {
    this.#recording?.close();
    await this.#network.close();
  }

  #pacesOf({ settings, secrets }: ClientCall): Pace[] {
    return [this.#paces.shared, this.#paces.of(settings, secrets)];
  }

  #exchange({ credential, secrets, signal }: ClientCall): Exchange {
    const redactor = new Redactor(secrets);
    if (this.#replay) return this.#replay.around(redactor);
    let exchange = this.#network.exchange;
    if (credential?.type === "client_certificate") {
      const own = this.#network.withCertificate(credential.clientCertificate());
      signal.addEventListener("abort", () => void own.close(), { once: true });
      exchange = (request, aborted) => (request.isForeign ? this.#network : own).exchange(request, aborted);
    }
    return this.#recording ? this.#recording.around(exchange, redactor) : exchange;
  }
}
