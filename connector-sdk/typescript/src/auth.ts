/** The token check on every call: this service, health and reflection alike. */

import { createHash, timingSafeEqual } from "node:crypto";
import * as grpc from "@grpc/grpc-js";

const REFUSED =
  "the call carries no valid token: only the server that started this connector may call it, with `authorization: Bearer` and the value of CONNECTOR_TOKEN";

/** Lets a call pass that carries `authorization: Bearer <token>`. */
export function bearerCheck(token: string): grpc.ServerInterceptor {
  const expected = digest(`Bearer ${token}`);
  const isLetIn = (metadata: grpc.Metadata) => {
    const given = metadata.get("authorization");
    // Compared in constant time, so that timing tells nothing of how much of a guess was right.
    return given.length === 1 && timingSafeEqual(digest(String(given[0])), expected);
  };
  return (_method, call) => {
    const listener = new grpc.ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        if (!isLetIn(metadata)) return call.sendStatus({ code: grpc.status.UNAUTHENTICATED, details: REFUSED });
        metadata.remove("authorization");
        next(metadata);
      })
      .build();
    return new grpc.ServerInterceptingCall(call, { start: (next) => next(listener) });
  };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
