/** What a pull may say about scopes: which mode allows what, and whether a listing was complete. */

import type { Cursor } from "./change.js";
import { violation } from "./errors.js";
import { PullMode } from "./gen/superfasttt/connector/v1/connector_pb.js";
import { MAX_CURSOR_BYTES } from "./limits.js";

/** What a pull is asked to bring, in the words of `PullMode`. */
export type Mode = "incremental" | "full" | "list" | "targeted";

/** The modes as the contract numbers them. */
export const PULL_MODES: Readonly<Record<Mode, PullMode>> = {
  incremental: PullMode.INCREMENTAL,
  full: PullMode.FULL,
  list: PullMode.LIST,
  targeted: PullMode.TARGETED,
};

/** How the listing of a scope ended. */
export interface ListingEnd {
  scope: string;
  /** Absent: an error stopped the scope before its end. */
  cursor: Uint8Array | undefined;
  /** Why nothing may be taken as gone. Absent: everything was named. */
  incomplete: string | undefined;
}

interface ScopeRecord {
  /** Items that failed without a name: any document might be one of them. */
  skippedUnnamed: number;
  /** A scope error, or the scope's removal. */
  stopped: boolean;
  /** The cursor of the listing's end, once the author has declared it. */
  end: Uint8Array | undefined;
}

/** What was said of each scope in one pull. A listing's end is held back until the author's code has ended well. */
export class Listing {
  readonly #mode: Mode;
  readonly #fullListing: boolean;
  readonly #scopes = new Map<string, ScopeRecord>();

  constructor(mode: Mode, fullListing: boolean) {
    this.#mode = mode;
    this.#fullListing = fullListing;
  }

  /** Whether absence means deletion at the end of this pull. */
  get isListing(): boolean {
    return this.#mode === "full" || this.#mode === "list";
  }

  /** The bytes of a cursor that the mode and the contract allow. @throws ConnectorError PROTOCOL_VIOLATION */
  checkpoint(cursor: Cursor): Uint8Array {
    if (this.#mode === "targeted") throw violation("a checkpoint was made in a TARGETED pull, which has none");
    const bytes = cursor instanceof Uint8Array ? cursor : Buffer.from(typeof cursor === "string" ? cursor : (JSON.stringify(cursor) ?? ""));
    if (bytes.length === 0 || bytes.length > MAX_CURSOR_BYTES) {
      throw violation(
        `a cursor of ${bytes.length} bytes was given; it has 1 to ${MAX_CURSOR_BYTES} bytes, more than that means more scopes`,
      );
    }
    return bytes;
  }

  checkPresent(): void {
    if (!this.isListing) throw violation("`present` was given outside FULL and LIST, where it says nothing");
  }

  /** The author has named everything in `scope`. @throws ConnectorError PROTOCOL_VIOLATION */
  declareEnd(scope: string, cursor: Cursor): void {
    const bytes = this.checkpoint(cursor);
    if (!this.isListing) throw violation("a listing was completed outside FULL and LIST");
    if (!this.#fullListing) throw violation("a listing was completed and the manifest does not declare full_listing");
    this.#record(scope).end = bytes;
  }

  skippedUnnamed(scope: string): void {
    this.#record(scope).skippedUnnamed += 1;
  }

  stopped(scope: string): void {
    this.#record(scope).stopped = true;
  }

  /** How each listing ended whose end the author declared. */
  ends(): ListingEnd[] {
    return [...this.#scopes].flatMap(([scope, { end, stopped, skippedUnnamed }]): ListingEnd[] => {
      if (end === undefined) return [];
      if (stopped) return [{ scope, cursor: undefined, incomplete: "the scope ended with an error" }];
      const incomplete = skippedUnnamed > 0 ? `${skippedUnnamed} items could not be read and not be named` : undefined;
      return [{ scope, cursor: end, incomplete }];
    });
  }

  #record(scope: string): ScopeRecord {
    const known = this.#scopes.get(scope);
    if (known) return known;
    const record: ScopeRecord = { skippedUnnamed: 0, stopped: false, end: undefined };
    this.#scopes.set(scope, record);
    return record;
  }
}
