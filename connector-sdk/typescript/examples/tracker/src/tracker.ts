/** Reads the sample tracker: its issues page by page, then what changed, with deletions. */

import {
  ConnectorError,
  checkpoint,
  completeListing,
  defineConnector,
  deletion,
  document,
  type PullContext,
  passed,
} from "@superfasttt/connector";

type Settings = { url: string };
type Issue = {
  number: number;
  title: string | null;
  body: string;
  author: string;
  private: boolean;
  created_at: string;
  updated_at: string;
  url: string;
  sequence: number;
};
type Listing = { issues: Issue[]; next_page: number | null; sequence: number };
type Changes = { changes: { issue?: Issue; deleted?: number }[]; sequence: number; has_more: boolean };

/** Up to where the changes are known, and in a listing the page that comes next. */
type Cursor = { since: number; page?: number };
const isCursor = (value: unknown): value is Cursor =>
  Number.isInteger((value as Cursor | null)?.since) && ["undefined", "number"].includes(typeof (value as Cursor).page);

const issueDocument = (issue: Issue) => document(`issue-${issue.number}`, issue, { version: String(issue.sequence) });

/** Every issue. The changes begin where the listing began, so that nothing which happens meanwhile is missed. */
async function* listing(ctx: PullContext<Settings>) {
  const begun = ctx.cursorJson(isCursor);
  let [since, page] = [begun?.since, begun?.page];
  do {
    const { issues, next_page, sequence } = await ctx.http.json<Listing>("/issues", { query: { page, limit: 100 } });
    since ??= sequence;
    yield* issues.map(issueDocument);
    page = next_page ?? undefined;
    if (page !== undefined) yield checkpoint({ since, page }, { hasMore: true });
  } while (page !== undefined);
  yield completeListing({ since });
}

/** What happened since the cursor. */
async function* changes(ctx: PullContext<Settings>) {
  let since = ctx.cursorJson(isCursor)?.since ?? 0;
  for (let more = true; more; ) {
    const page = await ctx.http.json<Changes>("/changes", { query: { since, limit: 100 }, errors: { 410: "CURSOR_INVALID" } });
    for (const { issue, deleted } of page.changes) yield issue ? issueDocument(issue) : deletion({ id: `issue-${deleted}` });
    [since, more] = [page.sequence, page.has_more];
    yield checkpoint({ since }, { hasMore: more });
  }
}

/** Exactly the issues that are asked for. */
async function* targeted(ctx: PullContext<Settings>) {
  for (const id of ctx.ids) {
    try {
      yield issueDocument(await ctx.http.json<Issue>(`/issues/${encodeURIComponent(id.replace("issue-", ""))}`));
    } catch (error) {
      if (!(error instanceof ConnectorError && error.reason === "NOT_FOUND")) throw error;
      yield deletion({ id });
    }
  }
}

export const tracker = defineConnector<Settings, Issue>({
  manifest: new URL("../manifest.json", import.meta.url),
  http: { baseUrl: (settings) => settings.url },

  pull: (ctx) => (ctx.mode === "incremental" ? changes(ctx) : ctx.mode === "targeted" ? targeted(ctx) : listing(ctx)),

  normalize(_key, { title, body, url, author, private: isPrivate, created_at, updated_at }) {
    if (title === null) throw new ConnectorError("CONTENT_UNREADABLE", "the issue has no title");
    const permissions = isPrivate ? { visibility: "private" as const, allow: [`user:${author}`] } : { visibility: "organization" as const };
    return { title, content: body, url, permissions, metadata: { owner: author }, createdAt: created_at, updatedAt: updated_at };
  },

  async testConnection({ http }) {
    const { id, name, email } = await http.json<{ id: string; name: string; email: string }>("/account");
    return { checks: [passed("key_accepted", `the tracker knows the key as ${name}`)], account: { id, displayName: name, email } };
  },
});
