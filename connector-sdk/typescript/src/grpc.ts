/** Between gRPC's server and handlers that are plain async functions: messages, back-pressure, cancellation, errors. */

import { setMaxListeners } from "node:events";
import { type DescMethod, type DescService, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { ConnectorError, violation } from "./errors.js";
import type { Send } from "./outlet.js";
import { toStatus } from "./status.js";

/** What a handler knows of its call besides the request. */
export interface Call {
  /** Aborted when the server goes away or this process is asked to end; its reason is a ConnectorError. */
  signal: AbortSignal;
  metadata: grpc.Metadata;
}

/** What of an error is sent. */
export type Clean = (error: unknown) => ConnectorError;

/** The handlers of a service, by the names of its calls. */
export type Handlers = Record<string, grpc.UntypedHandleCall>;

const MANY = 1_000_000;
const GONE = "the server has gone away";
const STOPPING = "the connector is stopping: call again";

/** Makes gRPC handlers of async functions. */
export class Handling {
  readonly #stopping: AbortSignal;
  readonly #clean: Clean;

  /** `stopping` ends running calls with an error that says to come again. */
  constructor(stopping: AbortSignal, clean: Clean) {
    this.#stopping = stopping;
    // Every call that runs listens.
    setMaxListeners(MANY, stopping);
    this.#clean = clean;
  }

  unary<Method extends DescMethod & { methodKind: "unary" }>(
    _method: Method,
    handle: (request: MessageShape<Method["input"]>, call: Call) => Promise<MessageShape<Method["output"]>>,
  ): grpc.handleUnaryCall<MessageShape<Method["input"]>, MessageShape<Method["output"]>> {
    return (call, callback) => {
      this.#watch(call, (signal) => handle(call.request, { signal, metadata: call.metadata })).then(
        (response) => callback(null, response),
        (error) => callback(toStatus(this.#clean(error))),
      );
    };
  }

  serverStreaming<Method extends DescMethod & { methodKind: "server_streaming" }>(
    _method: Method,
    handle: (request: MessageShape<Method["input"]>, send: Send, call: Call) => Promise<void>,
  ): grpc.handleServerStreamingCall<MessageShape<Method["input"]>, unknown> {
    return (call) => this.#stream(call, (send, signal) => handle(call.request, send, { signal, metadata: call.metadata }));
  }

  bidiStreaming<Method extends DescMethod & { methodKind: "bidi_streaming" }>(
    _method: Method,
    handle: (requests: AsyncIterable<MessageShape<Method["input"]>>, send: Send, call: Call) => Promise<void>,
  ): grpc.handleBidiStreamingCall<MessageShape<Method["input"]>, unknown> {
    return (call) => {
      // An iterator destroys what it has read to the end, and the answers are still to be written.
      const requests: AsyncIterable<MessageShape<Method["input"]>> = call.iterator({ destroyOnReturn: false });
      this.#stream(call, (send, signal) => handle(requests, send, { signal, metadata: call.metadata }));
    };
  }

  #stream(
    call: grpc.ServerWritableStream<unknown, unknown> | grpc.ServerDuplexStream<unknown, unknown>,
    handle: (send: Send, signal: AbortSignal) => Promise<void>,
  ): void {
    // At once: a client may wait for the answer's headers before it does anything else.
    call.sendMetadata(new grpc.Metadata());
    call.on("error", () => {
      // The client has gone; `cancelled` tells the handler.
    });
    this.#watch(call, (signal) => {
      // The callback comes when the transport has taken the message, which is the back-pressure. It does not come once the client has
      // gone, so the signal ends the wait too.
      const send: Send = (message) =>
        new Promise((resolve, reject) => {
          if (signal.aborted) return reject(signal.reason);
          const onAbort = () => reject(signal.reason);
          signal.addEventListener("abort", onAbort, { once: true });
          call.write(message, () => {
            signal.removeEventListener("abort", onAbort);
            resolve();
          });
        });
      return handle(send, signal);
    }).then(
      () => call.end(),
      (error) => void (call.destroyed || call.emit("error", toStatus(this.#clean(error)))),
    );
  }

  /** Runs `work` until it ends, or until nobody waits for it any more. */
  async #watch<T>(call: { on(event: "cancelled", listener: () => void): unknown }, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController();
    // Whatever waits for something in this call listens. Node 20 takes 0, for any number, as a mistake when it is asked for it.
    setMaxListeners(MANY, abort.signal);
    const stop = () => abort.abort(new ConnectorError("SOURCE_UNAVAILABLE", STOPPING));
    call.on("cancelled", () => abort.abort(new ConnectorError("SOURCE_UNAVAILABLE", GONE)));
    if (this.#stopping.aborted) stop();
    this.#stopping.addEventListener("abort", stop, { once: true });
    try {
      return await unlessAborted(abort.signal, work(abort.signal));
    } finally {
      this.#stopping.removeEventListener("abort", stop);
      // What the author's code has left running, such as a request that it did not await, ends with the call.
      abort.abort(violation("the call has ended"));
    }
  }
}

/** Waits for `work`, or throws the signal's reason. Work that goes on is nobody's then, and what it ends with is dropped. */
export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
  aborted.catch(() => {});
  work.catch(() => {});
  try {
    return await Promise.race([work, aborted]);
  } finally {
    if (onAbort) signal.removeEventListener("abort", onAbort);
  }
}

/** How gRPC's server reads and writes the messages of a service. What is bytes already goes out as it is. */
export function serviceDefinition(service: DescService): grpc.ServiceDefinition {
  return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(method)]));
}

function methodDefinition(method: DescMethod): grpc.MethodDefinition<unknown, unknown> {
  const { input, output } = method;
  const encode = (schema: typeof input) => (message: unknown) =>
    asBuffer(message instanceof Uint8Array ? message : toBinary(schema, message as MessageShape<typeof schema>));
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === "bidi_streaming" || method.methodKind === "client_streaming",
    responseStream: method.methodKind === "bidi_streaming" || method.methodKind === "server_streaming",
    requestSerialize: encode(input),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: encode(output),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
