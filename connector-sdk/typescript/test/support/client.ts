/** A client of a connector's process, as connectord is one. */

import { create } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { Health } from "#sdk/gen/grpc/health/v1/health_pb.js";
import {
  Connector,
  PullMode,
  type PullRequest,
  PullRequestSchema,
  type PullResponse,
} from "#sdk/gen/superfasttt/connector/v1/connector_pb.js";
import { serviceDefinition } from "#sdk/grpc.js";

export class ProcessClient {
  readonly #client: grpc.Client;
  readonly #token: string | undefined;

  constructor(socket: string, token: string | undefined) {
    this.#client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
    this.#token = token;
  }

  pull(settings: Record<string, string>, key?: string): grpc.ClientReadableStream<PullResponse> {
    const credential = key !== undefined && { credential: { kind: { case: "apiKey" as const, value: { key } } } };
    const request: PullRequest = create(PullRequestSchema, { mode: PullMode.FULL, contractRevision: 1, settings, ...credential });
    return this.stream("/superfasttt.connector.v1.Connector/Pull", request) as grpc.ClientReadableStream<PullResponse>;
  }

  /** Any call of the contract or of health, by its path. */
  stream(path: string, request: unknown): grpc.ClientReadableStream<unknown> {
    const methods = [...Object.values(serviceDefinition(Connector)), ...Object.values(serviceDefinition(Health))];
    const method = methods.find((one) => one.path === path);
    const serialize = method?.requestSerialize ?? (() => Buffer.alloc(0));
    const deserialize = method?.responseDeserialize ?? ((bytes: Buffer) => bytes);
    return this.#client.makeServerStreamRequest(path, serialize, deserialize, request, this.#metadata());
  }

  /** Waits until the process answers. */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => this.#client.waitForReady(Date.now() + 30_000, (error) => (error ? reject(error) : resolve())));
  }

  close(): void {
    this.#client.close();
  }

  #metadata(): grpc.Metadata {
    const metadata = new grpc.Metadata();
    if (this.#token !== undefined) metadata.set("authorization", `Bearer ${this.#token}`);
    return metadata;
  }
}

/** Reads a stream to its end: the messages, and the status where it is an error. */
export async function collect<T>(stream: grpc.ClientReadableStream<T>): Promise<{ messages: T[]; error: grpc.ServiceError | undefined }> {
  const messages: T[] = [];
  try {
    for await (const message of stream) messages.push(message as T);
    return { messages, error: undefined };
  } catch (error) {
    return { messages, error: error as grpc.ServiceError };
  }
}
