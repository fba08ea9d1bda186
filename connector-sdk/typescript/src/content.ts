/** The FetchContent rpc: a header, then the bytes in chunks. */

import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { Content } from "./connector.js";
import { ConnectorError } from "./errors.js";
import { FetchContentResponseSchema } from "./gen/superfasttt/connector/v1/connector_pb.js";
import type { Send } from "./outlet.js";

const MAX_CHUNK_BYTES = 512 * 1024;

/** Sends what the author gave. */
export async function sendContent(content: Content, maxBytes: number | undefined, send: Send): Promise<void> {
  const { mediaType = "", lengthBytes, version = "", body } = content;
  const sendKind = (kind: NonNullable<MessageInitShape<typeof FetchContentResponseSchema>["kind"]>) =>
    send(toBinary(FetchContentResponseSchema, create(FetchContentResponseSchema, { kind })));
  const announced = lengthBytes ?? (body instanceof Uint8Array ? body.length : undefined);
  // Before the first byte is asked for.
  checkSize(announced ?? 0, maxBytes);
  const length = announced !== undefined && { lengthBytes: BigInt(announced) };
  await sendKind({ case: "header", value: { mediaType, version, ...length } });
  let sent = 0;
  for await (const chunk of body instanceof Uint8Array ? [body] : body) {
    sent += chunk.length;
    checkSize(sent, maxBytes);
    for (let start = 0; start < chunk.length; start += MAX_CHUNK_BYTES) {
      await sendKind({ case: "chunk", value: chunk.subarray(start, start + MAX_CHUNK_BYTES) });
    }
  }
  if (announced !== undefined && announced !== sent) {
    throw new ConnectorError("INTERNAL", `${announced} bytes were announced and ${sent} were given`);
  }
}

function checkSize(bytes: number, maxBytes: number | undefined): void {
  if (maxBytes !== undefined && bytes > maxBytes) {
    throw new ConnectorError("CONTENT_TOO_LARGE", `the document has ${bytes} bytes or more and at most ${maxBytes} are taken`);
  }
}
