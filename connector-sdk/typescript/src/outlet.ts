/** The sending half of a pull: one stream of pages, checkpoints and notes, in the order in which they were given. */

import { create, toBinary } from "@bufbuild/protobuf";
import type { Cursor } from "./change.js";
import { encodeChange } from "./encode.js";
import { ConnectorError } from "./errors.js";
import {
  type Change,
  CheckpointSchema,
  LogRecord_Level as Level,
  type LogRecord_Level,
  LogRecordSchema,
  type Progress,
  type PullResponse,
  PullResponseSchema,
} from "./gen/superfasttt/connector/v1/connector_pb.js";
import * as limits from "./limits.js";
import type { Listing } from "./listing.js";
import type { OpenPage } from "./page.js";

/**
 * How many messages may be on their way to the server. More than one, so that the author's code goes on while the server takes a page; few,
 * so that a slow server holds that code back and not the memory.
 */
const MESSAGES_WAITING = 2;

/** Sends one message; resolves when the stream has taken it, rejects when nobody reads any more. */
export type Send = (message: Uint8Array) => Promise<void>;

/** Sends what all scopes of one pull are given. */
export class Outlet {
  readonly #send: Send;
  readonly #page: OpenPage;
  readonly #listing: Listing;
  readonly #redact: (text: string) => string;
  readonly #onTheWay: Promise<void>[] = [];
  #progress: Progress | undefined;
  /** The first breach of the contract, so that an author who drops a thrown error still hears of it. */
  #breach: ConnectorError | undefined;

  constructor(send: Send, page: OpenPage, listing: Listing, redact: (text: string) => string) {
    this.#send = send;
    this.#page = page;
    this.#listing = listing;
    this.#redact = redact;
  }

  /** Adds a change to the open page. Gives something to wait for only where the page is full. */
  push(scope: string, kind: Change["kind"]): Promise<void> | undefined {
    const change = this.#encode(scope, kind);
    if (!this.#page.hasRoom(scope, change)) return this.#pushLater(scope, change);
    this.#page.push(scope, change);
    return undefined;
  }

  async checkpoint(scope: string, cursor: Cursor, hasMore: boolean): Promise<void> {
    const bytes = this.note((listing) => listing.checkpoint(cursor));
    await this.#sendCheckpoint(scope, bytes, { hasMore });
  }

  /** Sends what is not a page after the changes given before it. */
  async sendInOrder(kind: PullResponse["kind"]): Promise<void> {
    await this.#flush();
    await this.#write(toBinary(PullResponseSchema, create(PullResponseSchema, { kind })));
  }

  async log(level: LogRecord_Level, message: string, fields: Readonly<Record<string, string>> = {}): Promise<void> {
    const record = create(LogRecordSchema, { level, ...limits.clipLog(message, fields, this.#redact) });
    await this.sendInOrder({ case: "log", value: record });
  }

  /** Keeps the newest progress for the next tick. */
  progress(progress: Progress): void {
    this.#progress = progress;
  }

  /** Notes something about the listing of a scope; a breach of the contract fails the pull, whatever the author makes of the error. */
  note<T>(note: (listing: Listing) => T): T {
    try {
      return note(this.#listing);
    } catch (error) {
      if (error instanceof ConnectorError) this.#breach ??= error;
      throw error;
    }
  }

  /** Once a second: sends what would wait for a page to fill. While the server is behind nothing waits for want of a page. */
  async tick(): Promise<void> {
    if (this.#onTheWay.length > 0) return;
    const progress = this.#progress;
    if (!this.#page.isEmpty) return this.#flush();
    if (progress === undefined) return;
    this.#progress = undefined;
    await this.sendInOrder({ case: "progress", value: progress });
  }

  /** After the author's code: sends what is left, then the ends of the listings if it ended well. */
  async finish(failure: ConnectorError | undefined): Promise<void> {
    await this.#flush();
    if (this.#progress) await this.sendInOrder({ case: "progress", value: this.#progress });
    await Promise.all(this.#onTheWay);
    const error = failure ?? this.#breach;
    if (error) throw error;
    for (const { scope, cursor, incomplete } of this.#listing.ends()) {
      if (incomplete !== undefined)
        await this.log(Level.WARN, `the listing of scope ${JSON.stringify(scope)} is not complete: ${incomplete}`);
      // Also where it is not complete: else the last checkpoint would go on asking for another pull.
      if (cursor) await this.#sendCheckpoint(scope, cursor, { listingComplete: incomplete === undefined });
    }
    await Promise.all(this.#onTheWay);
  }

  async #sendCheckpoint(scope: string, cursor: Uint8Array, flags: { hasMore?: boolean; listingComplete?: boolean }): Promise<void> {
    const checkpoint = create(CheckpointSchema, { cursor, ...flags });
    for (;;) {
      const page = this.#page.takeWith(scope, checkpoint);
      if (page) return this.#write(page);
      await this.#flush();
    }
  }

  async #pushLater(scope: string, change: Uint8Array): Promise<void> {
    // A full page goes out when the next change comes, so that a checkpoint can still join it.
    while (!this.#page.hasRoom(scope, change)) await this.#flush();
    this.#page.push(scope, change);
  }

  #encode(scope: string, given: Change["kind"]): Uint8Array {
    const kind = limits.fit(given);
    let sent = kind;
    let bytes = encodeChange(kind);
    if (bytes.length > limits.MAX_CHANGE_BYTES) {
      sent = limits.tooLarge(kind, bytes.length);
      bytes = encodeChange(sent);
    }
    if (sent.case === "itemError" && sent.value.target.case === undefined) this.#listing.skippedUnnamed(scope);
    return bytes;
  }

  async #flush(): Promise<void> {
    const page = this.#page.take();
    if (page) await this.#write(page);
  }

  /** Hands a message over, in the order of the calls, and waits until few are on their way. */
  async #write(message: Uint8Array): Promise<void> {
    const written = this.#send(message);
    this.#onTheWay.push(written);
    const done = () => void this.#onTheWay.splice(this.#onTheWay.indexOf(written), 1);
    written.then(done, done);
    await this.#room();
  }

  async #room(): Promise<void> {
    while (this.#onTheWay.length >= MESSAGES_WAITING) await this.#onTheWay[0];
  }
}
