/** The Normalize rpc: kept raw items in, envelopes out, one for one and in order. */

import { create, type JsonObject, toBinary } from "@bufbuild/protobuf";
import { checkRevision } from "./calls.js";
import type { LoadedConnector } from "./connector.js";
import { violation } from "./errors.js";
import {
  type NormalizeRequest,
  type NormalizeResponse,
  NormalizeResponseSchema,
  type RawItem,
} from "./gen/superfasttt/connector/v1/connector_pb.js";
import { fit } from "./limits.js";
import { Making } from "./making.js";
import type { Send } from "./outlet.js";

/** Answers each raw item. */
export async function normalize(
  connector: LoadedConnector,
  requests: AsyncIterable<NormalizeRequest>,
  send: Send,
  redact: (text: string) => string,
  logStack: (stack: string) => void,
): Promise<void> {
  let making: Making<unknown> | undefined;
  for await (const { kind } of requests) {
    if (kind.case === "start" && making === undefined) {
      checkRevision(kind.value.contractRevision);
      const settings: JsonObject = connector.settings.read(kind.value.settings, true);
      making = new Making(connector, settings, false, redact, logStack);
    } else if (kind.case === "raw" && making !== undefined) {
      await send(toBinary(NormalizeResponseSchema, answer(making, kind.value)));
    } else {
      throw violation("the first message of Normalize carries `start`, and every later one `raw`");
    }
  }
}

function answer(making: Making<unknown>, raw: RawItem): NormalizeResponse {
  const kind = fit(making.again(raw));
  // The item that was asked for is answered for, whatever became of it.
  if (kind.case === "itemError")
    return create(NormalizeResponseSchema, {
      kind: { case: "itemError", value: { ...kind.value, target: { case: "id", value: raw.id } } },
    });
  if (kind.case === "document") return create(NormalizeResponseSchema, { kind });
  throw violation("normalize made neither a document nor an error");
}
