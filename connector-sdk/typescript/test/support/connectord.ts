/** A connectord of a test's own, with connectors that are started by a command. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { run, start, until } from "./processes.js";

/** The server, and connectorctl to talk to it. */
export interface Connectord {
  /** Runs connectorctl; throws where it fails. Gives what it printed. */
  ctl(...args: string[]): Promise<string>;
  /** The same with `--output json`, which prints an object a line. */
  ctlJson(...args: string[]): Promise<Record<string, unknown>[]>;
  /** The documents of a connection by id, with their contents. */
  documents(connection: string): Promise<Map<string, Record<string, unknown>>>;
  log(): string;
  pid: number;
}

/** Starts a server that knows the connector of `folder`. */
export async function startConnectord(t: TestContext, binaries: string, folder: string): Promise<Connectord> {
  const home = mkdtempSync(join(tmpdir(), "connector-test-"));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as { id: string; runtime: { command: string[] } };
  const place = join(home, "connectors", manifest.id);
  mkdirSync(place, { recursive: true });
  // The program stays where its packages are.
  const command = manifest.runtime.command.map((part) => (part.includes("/") ? join(folder, part) : part));
  command[0] = command[0] === "node" ? process.execPath : (command[0] ?? "");
  writeFileSync(join(place, "manifest.json"), JSON.stringify({ ...manifest, runtime: { command } }));

  const [control, open] = [await freePort(), await freePort()];
  // Nothing of the environment of the tests, of which the server would take each CONNECTORD_ name for its configuration.
  const { PATH, TMPDIR } = process.env;
  const env = {
    PATH,
    TMPDIR,
    CONNECTORD_SERVER__CONTROL_LISTEN: `127.0.0.1:${control}`,
    CONNECTORD_SERVER__PUBLIC_LISTEN: `127.0.0.1:${open}`,
  };
  const server = start(t, join(binaries, "connectord"), ["--data-dir", join(home, "data"), "--connectors-dir", join(home, "connectors")], {
    env,
    cwd: home,
  });
  const ctl = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(join(binaries, "connectorctl"), ["--server", `http://127.0.0.1:${control}`, ...args], {
      input: "tracker-key",
    });
    if (code !== 0) throw new Error(`connectorctl ${args.join(" ")} ended with ${code}: ${stderr}${stdout}\n${server.stderr()}`);
    return stdout;
  };
  const ctlJson = async (...args: string[]) => {
    const lines = (await ctl("--output", "json", ...args)).trim().split("\n");
    return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  await until("connectord serves", () => {
    if (server.child.exitCode !== null) throw new Error(`connectord did not start: ${server.stderr()}`);
    return ctl("status").catch(() => undefined);
  });
  return {
    ctl,
    ctlJson,
    documents: async (connection) => {
      const entries = (await ctlJson("documents", "list", "--connection", connection, "--content")) as { document: { id: string } }[];
      return new Map(entries.map(({ document }) => [document.id, document]));
    },
    log: server.stderr,
    pid: server.child.pid ?? 0,
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
