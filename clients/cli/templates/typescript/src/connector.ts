/** My service: the items of a file, a JSON object a line. Write your source where this reads the file. */

import { readFile } from "node:fs/promises";
import { ConnectorError, checkpoint, completeListing, defineConnector, deletion, document, passed } from "@superfasttt/connector";

/** Small, so that the few items in testdata/ have several. Some hundreds are usual; 1,000 is the most. */
const ITEMS_A_CHECKPOINT = 10;

/** What a person sets, as the manifest's `settings` says it. */
type Settings = { file: string };

/** An item as the source gives it: everything that is worth keeping, also what no document shows yet. */
type Item = { id: string; updated: string; deleted?: boolean; title?: string | null; text?: string; author?: string };

/** Up to which item everything was given. Several items may have one time, so the id is part of it. */
type Cursor = { updated: string; id: string };
const isCursor = (value: unknown): value is Cursor =>
  typeof (value as Cursor | null)?.updated === "string" && typeof (value as Cursor).id === "string";
const NOTHING: Cursor = { updated: "", id: "" };

const at = ({ updated, id }: Cursor): Cursor => ({ updated, id });

/** Times in one form (ISO 8601, UTC) have the order of texts. */
function compare(a: Cursor, b: Cursor): number {
  const [one, other] = a.updated === b.updated ? [a.id, b.id] : [a.updated, b.updated];
  return one < other ? -1 : one > other ? 1 : 0;
}

export const connector = defineConnector<Settings, Item>({
  manifest: new URL("../../manifest.json", import.meta.url),

  /** Brings what comes after the cursor, oldest first: so a listing goes on where it was cut, and changes follow on it. */
  async *pull(ctx) {
    const isListing = ctx.mode === "full" || ctx.mode === "list";
    const begin = ctx.cursorJson(isCursor);
    if (begin === undefined && !isListing) throw new ConnectorError("CURSOR_INVALID", "changes begin where a listing ended");
    const items = (await read(ctx.settings, ctx.signal)).sort(compare);
    const newest = at(items.at(-1) ?? NOTHING);
    if (compare(begin ?? NOTHING, newest) > 0) {
      throw new ConnectorError("CURSOR_INVALID", "the source has nothing as new as this any more");
    }
    let given = 0;
    for (const item of items.filter((item) => compare(item, begin ?? NOTHING) > 0)) {
      // The version says whether an item is another than before.
      yield item.deleted ? deletion({ id: item.id }) : document(item.id, item, { version: item.updated });
      if (++given % ITEMS_A_CHECKPOINT === 0) yield checkpoint(at(item), { hasMore: true });
    }
    // Only a listing has named everything, so only after it what was not named is deleted.
    yield isListing ? completeListing(newest) : checkpoint(newest);
  },

  /** Makes a document of an item: pure, without network and clock. What it throws is this item's error alone. */
  normalize(_key, { title, text, author, updated }) {
    if (title == null) throw new ConnectorError("CONTENT_UNREADABLE", "the item has no title");
    return {
      title,
      content: text ?? "",
      metadata: { owner: author ?? "" },
      permissions: { visibility: "private" }, // "organization" where everybody may see it
      updatedAt: updated,
    };
  },

  /** Tells a person whether the settings work, before the first sync. What it throws becomes a failed check. */
  async testConnection(ctx) {
    await read(ctx.settings, ctx.signal);
    return { checks: [passed("file_readable", "the file can be read")] };
  },
});

/** The source. Yours asks page by page with `ctx.http`, which waits, retries and authenticates. */
async function read({ file }: Settings, signal: AbortSignal): Promise<Item[]> {
  const text = await readFile(file, { encoding: "utf8", signal }).catch((error: NodeJS.ErrnoException) => {
    throw error.code === "ENOENT" ? new ConnectorError("NOT_FOUND", "the file is not there") : error;
  });
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => JSON.parse(line) as Item);
}
