/** Errors to and from a gRPC status with `google.rpc` details. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyPack, anyUnpack, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { status as Code, Metadata, type ServiceError } from "@grpc/grpc-js";
import { ConnectorError, REASONS, type Reason } from "./errors.js";
import { ErrorInfoSchema, RetryInfoSchema, StatusSchema } from "./gen/google/rpc/status_pb.js";

const DOMAIN = "connectors.superfasttt";
const DETAILS = "grpc-status-details-bin";

/** What a source asks for beyond this is no time to plan with. */
const MAX_RETRY_AFTER_MS = 366 * 86_400_000;

/** A failed call, as gRPC sends it. */
export interface FailedStatus {
  code: Code;
  details: string;
  metadata: Metadata;
}

/** The status that carries all of `error`. */
export function toStatus(error: ConnectorError): FailedStatus {
  const { code, actor } = REASONS[error.reason];
  const facts = { actor, ...error.metadata, ...(error.code && { code: error.code }) };
  const details = [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: error.reason, domain: DOMAIN, metadata: facts }))];
  if (error.retryAfterMs !== undefined && error.retryAfterMs >= 0) {
    const retryDelay = durationFromMs(Math.min(error.retryAfterMs, MAX_RETRY_AFTER_MS));
    details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay })));
  }
  const metadata = new Metadata();
  const status = create(StatusSchema, { code, message: error.message, details });
  metadata.set(DETAILS, Buffer.from(toBinary(StatusSchema, status)));
  return { code, details: error.message, metadata };
}

/** Reads a status. One without our `ErrorInfo` gets the reason that its code suggests. */
export function fromStatus(error: ServiceError): ConnectorError {
  const [packed] = error.metadata?.get(DETAILS) ?? [];
  const status = packed instanceof Buffer ? fromBinary(StatusSchema, packed) : create(StatusSchema);
  const info = status.details.map((detail) => anyUnpack(detail, ErrorInfoSchema)).find((found) => found?.domain === DOMAIN);
  const retry = status.details.map((detail) => anyUnpack(detail, RetryInfoSchema)).find((found) => found !== undefined);
  const { code, actor: _, ...metadata } = info?.metadata ?? {};
  const delay = retry?.retryDelay;
  return new ConnectorError(info && info.reason in REASONS ? (info.reason as Reason) : suggested(error.code), error.details, {
    ...(code !== undefined && { code }),
    metadata,
    ...(delay && { retryAfterMs: durationMs(delay) }),
  });
}

function suggested(code: Code): Reason {
  if (code === Code.UNIMPLEMENTED) return "UNIMPLEMENTED";
  if (code === Code.UNAVAILABLE) return "SOURCE_UNAVAILABLE";
  return code === Code.RESOURCE_EXHAUSTED ? "RATE_LIMITED" : "INTERNAL";
}
