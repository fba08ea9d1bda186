/** A sample tracker of a test's own. */

import { join } from "node:path";
import type { TestContext } from "node:test";
import { REPOSITORY } from "./paths.js";
import { firstLine, start } from "./processes.js";

export const KEY = "tracker-key";

/** What a person would do in the tracker, and what was asked of it. */
export interface Tracker {
  url: string;
  control(what: { put?: object[]; delete?: number[]; history?: number; key?: string }): Promise<void>;
  /** The paths that were asked for, in order. */
  requests(): Promise<string[]>;
}

export async function startTracker(t: TestContext, issues = 250, port = 0): Promise<Tracker> {
  const program = join(REPOSITORY, "samples/tracker/tracker.py");
  const running = start(t, "python3", [program, "--port", String(port), "--issues", String(issues), "--with-stdin"]);
  const { url } = JSON.parse(await firstLine(running)) as { url: string };
  return {
    url,
    control: async (what) => {
      const response = await fetch(`${url}/_control`, { method: "POST", body: JSON.stringify(what) });
      if (!response.ok) throw new Error(`the tracker answered ${response.status}`);
    },
    requests: async () => {
      const asked = (await (await fetch(`${url}/_requests`)).json()) as { path: string }[];
      return asked.map(({ path }) => path);
    },
  };
}
