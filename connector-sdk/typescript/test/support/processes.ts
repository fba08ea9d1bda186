/** Programs that a test starts: none outlives it. */

import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";

/** A program that runs beside a test. */
export interface Running {
  child: ChildProcess;
  /** What it has said on stderr so far. */
  stderr(): string;
  /** Asks it to end, and waits for that. Gives its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts a program and ends it with the test, whatever becomes of that. */
export function start(t: TestContext, command: string, args: readonly string[], options: SpawnOptions = {}): Running {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], ...options });
  let said = "";
  child.stderr?.on("data", (chunk) => (said += chunk));
  const ended = once(child, "exit");
  const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      const late = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await ended;
      clearTimeout(late);
    }
    return child.exitCode;
  };
  t.after(() => stop("SIGKILL"));
  return { child, stderr: () => said, stop };
}

/** Runs a program to its end. */
export async function run(command: string, args: readonly string[], options: SpawnOptions & { input?: string } = {}) {
  const { input, ...rest } = options;
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], ...rest });
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => {
    let text = "";
    stream?.setEncoding("utf8").on("data", (chunk) => (text += chunk));
    return () => text;
  });
  child.stdin?.on("error", () => {});
  child.stdin?.end(input ?? "");
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout: stdout?.() ?? "", stderr: stderr?.() ?? "" };
}

/** The first line that a program says on stdout. */
export async function firstLine({ child }: Running): Promise<string> {
  if (!child.stdout) throw new Error("its stdout is not a pipe");
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, "line")) as [string];
  return line;
}

/** Waits until `look` finds something, and says what was wanted if that takes too long. */
export async function until<T>(wanted: string, look: () => T | undefined | Promise<T | undefined>, withinMs = 60_000): Promise<T> {
  const end = Date.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > end) throw new Error(`it did not happen in time: ${wanted}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
