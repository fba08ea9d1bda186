/** `grpc.health.v1.Health`: how connectord knows that this process answers. */

import { once } from "node:events";
import { create, toBinary } from "@bufbuild/protobuf";
import { ConnectorError } from "./errors.js";
import {
  HealthCheckResponseSchema,
  Health as HealthService,
  HealthCheckResponse_ServingStatus as Status,
} from "./gen/grpc/health/v1/health_pb.js";
import { Connector as ConnectorService } from "./gen/superfasttt/connector/v1/connector_pb.js";
import { type Handlers, type Handling, unlessAborted } from "./grpc.js";

const SERVICES: readonly string[] = ["", ConnectorService.typeName];

/** Answers for this process: SERVING until `stopping`, and then NOT_SERVING for as long as `handling` lets calls run. */
export function healthHandlers(handling: Handling, stopping: AbortSignal): Handlers {
  const statusOf = (service: string) => {
    if (!SERVICES.includes(service)) return undefined;
    return stopping.aborted ? Status.NOT_SERVING : Status.SERVING;
  };
  return {
    check: handling.unary(HealthService.method.check, async ({ service }) => {
      const status = statusOf(service);
      if (status === undefined) throw new ConnectorError("NOT_FOUND", "no such service is watched");
      return create(HealthCheckResponseSchema, { status });
    }),
    watch: handling.serverStreaming(HealthService.method.watch, async ({ service }, send, { signal }) => {
      const tell = (status: Status | undefined) =>
        send(toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status: status ?? Status.SERVICE_UNKNOWN })));
      const status = statusOf(service);
      await tell(status);
      if (status === Status.SERVING) {
        await unlessAborted(signal, once(stopping, "abort"));
        await tell(Status.NOT_SERVING);
      }
      // A watch is never ended by the server of its own accord.
      await unlessAborted(signal, new Promise<never>(() => {}));
    }),
  };
}
