/** One request and its answer, wherever the answer comes from: the network, or a recording of it. */

/** A request as it goes out, the credential in it. */
export interface OutgoingRequest {
  method: string;
  url: URL;
  headers: Headers;
  body: Uint8Array | undefined;
  /** Another host was asked first and sent us here: what is the first one's alone is not shown. */
  isForeign: boolean;
}

/** An answer, its body perhaps still on the way. */
export interface IncomingResponse {
  status: number;
  statusText: string;
  headers: Headers;
  body: AsyncIterable<Uint8Array>;
}

/**
 * Brings the answer to a request.
 *
 * @throws NetworkError where none came.
 */
export type Exchange = (request: OutgoingRequest, signal: AbortSignal) => Promise<IncomingResponse>;

/** No answer came, or not the whole of it. The message quotes neither address nor data. */
export class NetworkError extends Error {
  override readonly name = "NetworkError";
}
