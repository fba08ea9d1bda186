/** The page that is being filled, as bytes: each change is encoded once, which also tells its size. */

import { toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  type Checkpoint,
  CheckpointSchema,
  PageSchema,
  type PullLimits,
  PullResponseSchema,
} from "./gen/superfasttt/connector/v1/connector_pb.js";
import { MAX_CHANGE_BYTES, MAX_ID_BYTES } from "./limits.js";

const DEFAULT_PAGE_BYTES = 1024 * 1024;
const DEFAULT_PAGE_CHANGES = 500;

const PAGE = PullResponseSchema.field["page"]?.number ?? 0;
const SCOPE = PageSchema.field["scope"]?.number ?? 0;
const CHANGES = PageSchema.field["changes"]?.number ?? 0;
const CHECKPOINT = PageSchema.field["checkpoint"]?.number ?? 0;

/** Changes of one scope that wait for the page to be full. */
export class OpenPage {
  readonly #maxBytes: number;
  readonly #maxChanges: number;
  #scope = "";
  #changes: Uint8Array[] = [];
  #bytes = 0;

  /** With the limits of a request. Whatever it asks, a page stays under 4 MiB with its scope and cursor. */
  constructor(limits: PullLimits | undefined) {
    const bytes = Math.min(limits?.maxPageBytes || DEFAULT_PAGE_BYTES, MAX_CHANGE_BYTES);
    // The scope's name is part of the page, and the page has a frame of its own.
    this.#maxBytes = Math.max(0, bytes - MAX_ID_BYTES - 16);
    this.#maxChanges = limits?.maxPageChanges || DEFAULT_PAGE_CHANGES;
  }

  get isEmpty(): boolean {
    return this.#changes.length === 0;
  }

  /** Whether an encoded change of `scope` can join. An empty page takes any, because one over the page's limit still has to travel. */
  hasRoom(scope: string, change: Uint8Array): boolean {
    if (this.isEmpty) return true;
    const fits = this.#changes.length < this.#maxChanges && this.#bytes + framed(change.length) <= this.#maxBytes;
    return fits && this.#scope === scope;
  }

  /** Adds an encoded change that `hasRoom` said yes to. */
  push(scope: string, change: Uint8Array): void {
    this.#scope = scope;
    this.#changes.push(change);
    this.#bytes += framed(change.length);
  }

  /** Takes what is there as an encoded PullResponse, if anything is there. */
  take(): Uint8Array | undefined {
    return this.isEmpty ? undefined : this.#encode(this.#scope, undefined);
  }

  /** The same with a checkpoint of `scope`; undefined while changes of another scope have to go first. */
  takeWith(scope: string, checkpoint: Checkpoint): Uint8Array | undefined {
    return this.isEmpty || this.#scope === scope ? this.#encode(scope, checkpoint) : undefined;
  }

  #encode(scope: string, checkpoint: Checkpoint | undefined): Uint8Array {
    const writer = new BinaryWriter();
    writer.tag(PAGE, WireType.LengthDelimited).fork();
    if (scope !== "") writer.tag(SCOPE, WireType.LengthDelimited).string(scope);
    for (const change of this.#changes) writer.tag(CHANGES, WireType.LengthDelimited).bytes(change);
    if (checkpoint) writer.tag(CHECKPOINT, WireType.LengthDelimited).bytes(toBinary(CheckpointSchema, checkpoint));
    this.#changes = [];
    this.#bytes = 0;
    return writer.join().finish();
  }
}

/** What a change adds to its page: field number, length, and itself. */
function framed(bytes: number): number {
  return 1 + Math.max(1, Math.ceil(Math.log2(bytes + 1) / 7)) + bytes;
}
