/**
 * Drives a connector in a test: the real service and a real client over a socket, without a server.
 *
 *     await using tracker = await connect(definition, { replay: "test/recording.har" });
 *     const pulled = await tracker.pull({ settings: { url }, credential: "tracker-key" });
 *     assert.equal(pulled.error, undefined);
 *     assert.equal(pulled.documents.length, 249);
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { CONTRACT_REVISION } from "../calls.js";
import { credentialOf } from "../cli/options.js";
import { type AnyDefinition, type LoadedConnector, loadConnector } from "../connector.js";
import { ConnectorError } from "../errors.js";
import {
  Connector,
  type ContentHeader,
  type Credential,
  DescribeRequestSchema,
  type DescribeResponse,
  DiscoverRequestSchema,
  type DiscoverResponse,
  ExecuteRequestSchema,
  type ExecuteResponse,
  FetchContentRequestSchema,
  type FetchContentResponse,
  HandleEventRequestSchema,
  type HandleEventResponse,
  type NormalizeRequest,
  NormalizeRequestSchema,
  type NormalizeResponse,
  PullRequestSchema,
  type PullResponse,
  type RawItem,
  TestConnectionRequestSchema,
  type TestConnectionResponse,
} from "../gen/superfasttt/connector/v1/connector_pb.js";
import type { DocumentEnvelope } from "../gen/superfasttt/connector/v1/document_pb.js";
import { serviceDefinition } from "../grpc.js";
import type { RecordingFiles } from "../http/traffic.js";
import { type Mode, PULL_MODES } from "../listing.js";
import { Log } from "../log.js";
import { serveOn } from "../serve.js";
import { fromStatus } from "../status.js";
import { Pulled } from "./pulled.js";

export { Pulled } from "./pulled.js";

const TOKEN = "token-of-a-test";
/** What a connection is. */
export interface Connection {
  settings?: JsonObject;
  /** As on the command line: the one secret, `user:password`, or JSON of the fields. */
  credential?: string;
}

/** What is pulled. */
export interface PullOptions extends Connection {
  /** Default: full. */
  mode?: Mode;
  /** Where each scope stands; a string is the cursor of the scope "". */
  cursors?: string | Readonly<Record<string, string | Uint8Array>>;
  ids?: string[];
  wantRaw?: boolean;
  /** Anything else of the request. */
  request?: MessageInitShape<typeof PullRequestSchema>;
}

/** How a connector is served for a test. */
export interface ServeForTest extends RecordingFiles {
  /** Gets the lines of the log. Default: nobody. */
  onLog?: (line: string) => void;
}

/** Serves `definition` on a socket of its own, and connects to it. Close it, or bind it with `await using`. */
export async function connect(definition: AnyDefinition, options: ServeForTest = {}): Promise<TestConnector> {
  const folder = await mkdtemp(join(tmpdir(), "connector-"));
  const connector = loadConnector(definition);
  const socket = join(folder, "socket");
  const { onLog = () => {}, record, replay } = options;
  const served = await serveOn(connector, { socket, token: TOKEN, log: new Log("trace", onLog), record, replay });
  return new TestConnector(connector, socket, async () => {
    await served.stop();
    await rm(folder, { recursive: true, force: true });
  });
}

/** A connector that is served for a test. */
export class TestConnector {
  readonly #connector: LoadedConnector;
  readonly #client: grpc.Client;
  readonly #close: () => Promise<void>;
  readonly #service = serviceDefinition(Connector);

  /** @internal */
  constructor(connector: LoadedConnector, socket: string, close: () => Promise<void>) {
    this.#connector = connector;
    this.#close = close;
    const limits = { "grpc.max_receive_message_length": 4 * 1024 * 1024, "grpc.use_local_subchannel_pool": 1 };
    this.#client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), limits);
  }

  /** Pulls to the end and keeps everything. */
  async pull(options: PullOptions): Promise<Pulled> {
    const responses: PullResponse[] = [];
    const call = this.startPull(options);
    try {
      for await (const response of call) responses.push(response as PullResponse);
      return new Pulled(responses, undefined);
    } catch (error) {
      return new Pulled(responses, fromStatus(error as grpc.ServiceError));
    }
  }

  /** Begins to pull, for a test that cuts it off with `cancel()`, or reads it slowly. */
  startPull({
    mode = "full",
    cursors = {},
    ids = [],
    wantRaw = false,
    request = {},
    ...connection
  }: PullOptions): grpc.ClientReadableStream<PullResponse> {
    const byScope = typeof cursors === "string" ? { "": cursors } : cursors;
    const states = Object.entries(byScope).map(([scope, cursor]) => ({ scope, cursor: Buffer.from(cursor) }));
    const message = create(PullRequestSchema, {
      ...this.#connection(connection),
      mode: PULL_MODES[mode],
      states,
      ids,
      wantRaw,
      ...request,
    });
    const { path, requestSerialize, responseDeserialize } = this.#method("pull");
    return this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize as (bytes: Buffer) => PullResponse,
      message,
      metadata(),
    );
  }

  /** @throws ConnectorError what the connector answered */
  testConnection(connection: Connection = {}): Promise<TestConnectionResponse> {
    return this.#unary(
      "testConnection",
      create(TestConnectionRequestSchema, this.#connection(connection)),
    ) as Promise<TestConnectionResponse>;
  }

  /** @throws ConnectorError what the connector answered */
  describe(): Promise<DescribeResponse> {
    return this.#unary("describe", create(DescribeRequestSchema, { contractRevision: CONTRACT_REVISION })) as Promise<DescribeResponse>;
  }

  /** @throws ConnectorError what the connector answered */
  discover(
    request: Connection & { picker?: string; parentId?: string; query?: string; pageSize?: number; pageToken?: string },
  ): Promise<DiscoverResponse> {
    const { settings: _, credential: __, ...rest } = request;
    return this.#unary("discover", create(DiscoverRequestSchema, { ...this.#connection(request), ...rest })) as Promise<DiscoverResponse>;
  }

  /** @throws ConnectorError what the connector answered */
  handleEvent(
    request: Partial<Connection> & {
      method?: string;
      path?: string;
      headers?: Record<string, string>;
      body?: string | Uint8Array;
      signingSecret?: string;
    },
  ): Promise<HandleEventResponse> {
    const { settings, credential, method = "POST", path = "/", headers = {}, body = "", signingSecret = "" } = request;
    const { settings: given, ...connection } = this.#connection({
      ...(settings && { settings }),
      ...(credential !== undefined && { credential }),
    });
    const message = create(HandleEventRequestSchema, {
      ...connection,
      ...(settings && { settings: given }),
      method,
      path,
      headers: Object.entries(headers).map(([name, value]) => ({ name: name.toLowerCase(), value })),
      body: Buffer.from(body),
      signingSecret,
    });
    return this.#unary("handleEvent", message) as Promise<HandleEventResponse>;
  }

  /** The output of an action. @throws ConnectorError what the connector answered */
  async execute(request: Connection & { action: string; input?: JsonObject; idempotencyKey?: string }): Promise<JsonObject> {
    const { action, input = {}, idempotencyKey = "" } = request;
    const message = create(ExecuteRequestSchema, { ...this.#connection(request), action, input, idempotencyKey });
    const { output } = (await this.#unary("execute", message)) as ExecuteResponse;
    return output ?? {};
  }

  /** Has raw items normalized, as the server does with those that it kept: for each its envelope, or why there is none. */
  async normalize(items: readonly RawItem[], settings: JsonObject = {}): Promise<(DocumentEnvelope | ConnectorError)[]> {
    const { path, requestSerialize, responseDeserialize } = this.#method("normalize");
    const call = this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize as (bytes: Buffer) => NormalizeResponse,
      metadata(),
    );
    const start = create(NormalizeRequestSchema, { kind: { case: "start", value: { settings, contractRevision: CONTRACT_REVISION } } });
    const answers: (DocumentEnvelope | ConnectorError)[] = [];
    const read = (async () => {
      for await (const { kind } of call.iterator({ destroyOnReturn: false }) as AsyncIterable<NormalizeResponse>) {
        if (kind.case === "document") answers.push(kind.value);
        else answers.push(ConnectorError.fromProto(kind.value?.error));
      }
    })();
    const requests: NormalizeRequest[] = [start, ...items.map((value) => create(NormalizeRequestSchema, { kind: { case: "raw", value } }))];
    for (const request of requests) call.write(request);
    call.end();
    try {
      await read;
    } catch (error) {
      throw fromStatus(error as grpc.ServiceError);
    }
    return answers;
  }

  /** Fetches a document's bytes to the end. @throws ConnectorError what the connector answered */
  async fetchContent(
    request: Connection & { id: string; contentRef: string; maxBytes?: bigint },
  ): Promise<{ header: ContentHeader; bytes: Uint8Array }> {
    const { id, contentRef, maxBytes = 0n } = request;
    const message = create(FetchContentRequestSchema, { ...this.#connection(request), id, contentRef, maxBytes });
    const { path, requestSerialize, responseDeserialize } = this.#method("fetchContent");
    const call = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize as (bytes: Buffer) => FetchContentResponse,
      message,
      metadata(),
    );
    const chunks: Uint8Array[] = [];
    let header: ContentHeader | undefined;
    try {
      for await (const { kind } of call as AsyncIterable<FetchContentResponse>) {
        if (kind.case === "header") header = kind.value;
        if (kind.case === "chunk") chunks.push(kind.value);
      }
    } catch (error) {
      throw fromStatus(error as grpc.ServiceError);
    }
    if (header === undefined) throw new Error("the connector sent no header");
    return { header, bytes: Buffer.concat(chunks) };
  }

  async close(): Promise<void> {
    this.#client.close();
    await this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #connection({ settings = {}, credential }: Connection): { settings: JsonObject; credential?: Credential; contractRevision: number } {
    const given = credential !== undefined && { credential: credentialOf(credential, this.#connector.manifest) };
    return { settings, contractRevision: CONTRACT_REVISION, ...given };
  }

  #method(name: string): grpc.MethodDefinition<unknown, unknown> {
    const method = this.#service[name];
    if (method === undefined) throw new Error(`the contract has no ${name}`);
    return method;
  }

  #unary(name: string, request: unknown): Promise<unknown> {
    const { path, requestSerialize, responseDeserialize } = this.#method(name);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata(), (error, response) =>
        error ? reject(fromStatus(error)) : resolve(response),
      );
    });
  }
}

function metadata(): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${TOKEN}`);
  return metadata;
}
