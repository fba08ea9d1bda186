/** The file of `--cursor`: where each scope stands, as connectord would keep it between pulls. */

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { type Checkpoint, type ScopeState, ScopeStateSchema } from "../gen/superfasttt/connector/v1/connector_pb.js";
import type { Mode } from "../listing.js";
import { UsageError } from "./options.js";

/** Scope to cursor, the cursors as base64. */
type States = Record<string, string>;

/** Keeps cursors in a file, or only in memory where none is named. A listing has cursors of its own until it is complete. */
export class Cursors {
  readonly #file: string | undefined;
  #changes: States = {};
  #listing: States = {};

  constructor(file: string | undefined) {
    this.#file = file;
    if (file === undefined || !existsSync(file)) return;
    try {
      const { changes = {}, listing = {} } = JSON.parse(readFileSync(file, "utf8")) as { changes?: States; listing?: States };
      [this.#changes, this.#listing] = [changes, listing];
    } catch {
      throw new UsageError(`${file} is no file of cursors`);
    }
  }

  /** Whether there is something to go on from. */
  get hasChanges(): boolean {
    return Object.keys(this.#changes).length > 0;
  }

  /** What a pull begins from. */
  states(mode: Mode): ScopeState[] {
    const states = mode === "incremental" ? this.#changes : mode === "targeted" ? {} : this.#listing;
    return Object.entries(states).map(([scope, cursor]) => create(ScopeStateSchema, { scope, cursor: Buffer.from(cursor, "base64") }));
  }

  /** Keeps a checkpoint before anything else is done. */
  keep(mode: Mode, scope: string, { cursor, listingComplete }: Checkpoint): void {
    const text = Buffer.from(cursor).toString("base64");
    if (mode === "incremental") this.#changes[scope] = text;
    else this.#listing[scope] = text;
    if (listingComplete) this.#completed(mode, scope);
    this.#write();
  }

  /** A listing that ended without a proof that it was complete is over all the same. */
  ended(mode: Mode): void {
    if (mode !== "full" && mode !== "list") return;
    for (const scope of Object.keys(this.#listing)) this.#completed(mode, scope);
    this.#write();
  }

  /** As people read them: text where they are text. */
  shown(mode: Mode): Record<string, string> {
    const states = mode === "incremental" || Object.keys(this.#listing).length === 0 ? this.#changes : this.#listing;
    return Object.fromEntries(Object.entries(states).map(([scope, cursor]) => [scope, textOf(cursor)]));
  }

  #completed(mode: Mode, scope: string): void {
    const cursor = this.#listing[scope];
    delete this.#listing[scope];
    // A LIST never moves the cursor of the changes.
    if (mode === "full" && cursor !== undefined) this.#changes[scope] = cursor;
  }

  #write(): void {
    if (this.#file === undefined) return;
    // In the place of the old one only when it is whole.
    const fresh = `${this.#file}.new`;
    writeFileSync(fresh, `${JSON.stringify({ changes: this.#changes, listing: this.#listing }, null, 2)}\n`);
    renameSync(fresh, this.#file);
  }
}

function textOf(base64: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(base64, "base64"));
  } catch {
    return `base64:${base64}`;
  }
}
