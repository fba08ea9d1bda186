/** From a socket's path and a token to a service that answers. */

import { rm } from "node:fs/promises";
import * as grpc from "@grpc/grpc-js";
import { bearerCheck } from "./auth.js";
import type { LoadedConnector } from "./connector.js";
import { classify } from "./errors.js";
import { Health } from "./gen/grpc/health/v1/health_pb.js";
import { ServerReflection as ReflectionV1 } from "./gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ReflectionV1Alpha } from "./gen/grpc/reflection/v1alpha/reflection_pb.js";
import { Connector } from "./gen/superfasttt/connector/v1/connector_pb.js";
import { Handling, serviceDefinition } from "./grpc.js";
import { healthHandlers } from "./health.js";
import { type RecordingFiles, Traffic } from "./http/traffic.js";
import { clipError } from "./limits.js";
import type { Log } from "./log.js";
import { reflectionHandlers } from "./reflection.js";
import { connectorHandlers } from "./service.js";

const MAX_SENT_BYTES = 4 * 1024 * 1024;
const MAX_TAKEN_BYTES = 16 * 1024 * 1024;
/** After a stop, calls get this long to end. */
const STOP_WITHIN_MS = 1000;

/** Where to listen and who may call. */
export interface ServeOptions extends RecordingFiles {
  /** The path of the Unix socket to bind. */
  socket: string;
  /** What every call has to carry as `authorization: Bearer`. */
  token: string;
  log: Log;
}

/** A connector that is served. */
export interface Served {
  /** Health turns NOT_SERVING, running calls end with UNAVAILABLE. Resolves when all have ended, or have had their time. */
  stop(): Promise<void>;
}

/** Serves a connector on a Unix socket. */
export async function serveOn(connector: LoadedConnector, options: ServeOptions): Promise<Served> {
  const { socket, token, log } = options;
  const traffic = new Traffic(connector, options);
  const [stopping, ended] = [new AbortController(), new AbortController()];
  const clean = (error: unknown) =>
    clipError(
      classify(error, (stack) => log.record("error", stack)),
      (text) => log.redact(text),
    );
  const handling = new Handling(stopping.signal, clean);
  const beside = new Handling(ended.signal, clean);
  const reflection = reflectionHandlers(beside);

  const server = new grpc.Server({
    "grpc.max_send_message_length": MAX_SENT_BYTES,
    "grpc.max_receive_message_length": MAX_TAKEN_BYTES,
    "grpc.enable_channelz": 0,
    interceptors: [bearerCheck(token)],
  });
  server.addService(serviceDefinition(Connector), connectorHandlers(connector, traffic, log, handling));
  server.addService(serviceDefinition(Health), healthHandlers(beside, stopping.signal));
  server.addService(serviceDefinition(ReflectionV1), reflection.v1);
  server.addService(serviceDefinition(ReflectionV1Alpha), reflection.v1alpha);

  // A socket left by a process that was killed would refuse the bind.
  await rm(socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve()));
  });

  return {
    stop: async () => {
      stopping.abort();
      await new Promise<void>((resolve) => {
        const late = setTimeout(resolve, STOP_WITHIN_MS);
        server.tryShutdown(() => {
          clearTimeout(late);
          resolve();
        });
      });
      ended.abort();
      server.forceShutdown();
      await traffic.close();
      // Best effort: the folder is the server's, which removes it too.
      await rm(socket, { force: true });
    },
  };
}
