/** The program of a connector: what connectord starts, and a tool for its author. */

import { Metadata } from "@grpc/grpc-js";
import { Calls, CONTRACT_REVISION } from "../calls.js";
import { type AnyDefinition, type LoadedConnector, loadConnector } from "../connector.js";
import { ConnectorError } from "../errors.js";
import { Traffic } from "../http/traffic.js";
import { Log, printToLog } from "../log.js";
import { ManifestError } from "../manifest.js";
import { serveOn } from "../serve.js";
import { runInfo } from "./info.js";
import { asksForHelp, type Options, readOptions, USAGE, UsageError } from "./options.js";
import { Printer } from "./printer.js";
import { runPull } from "./pull.js";
import { runTest } from "./test.js";

/** Done, failed, used wrongly. */
type ExitCode = 0 | 1 | 2;

/**
 * The whole main of a connector. Called by connectord it serves until SIGTERM or SIGINT; `info`, `test` and `pull` on the command line try
 * the connector without a server.
 */
export function serve(definition: AnyDefinition): void {
  main(definition).then(
    (code) => process.exit(code),
    (error: unknown) => {
      process.stderr.write(`${error instanceof ManifestError ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
      process.exit(1);
    },
  );
}

async function main(definition: AnyDefinition): Promise<ExitCode> {
  const args = process.argv.slice(2);
  const write = process.stdout.write.bind(process.stdout);
  if (asksForHelp(args)) {
    write(USAGE);
    return 0;
  }
  try {
    const connector = loadConnector(definition);
    const options = readOptions(args, connector.manifest);
    return options.command === "serve" ? await serveFromEnvironment(connector) : await runAlone(connector, options, write);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n\n${USAGE}`);
    return 2;
  }
}

/** A command of the author's, in this process. */
async function runAlone(connector: LoadedConnector, options: Options, write: (text: string) => void): Promise<ExitCode> {
  // Whoever reads has had enough, as `head` has.
  process.stdout.on("error", () => process.exit(0));
  const printer = new Printer(write, options.json);
  const log = Log.toStderr();
  // What the author's code prints must not stand between lines of JSON.
  printToLog(log);
  if (options.command === "info") {
    runInfo(connector, printer);
    return 0;
  }
  const traffic = new Traffic(connector, options);
  const calls = new Calls(connector, traffic, log);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort(new ConnectorError("SOURCE_UNAVAILABLE", "it was stopped")));
  const { settings, credential } = options;
  const context = (signal: AbortSignal) =>
    calls.checked(options.command, { settings, credential, contractRevision: CONTRACT_REVISION }, { signal, metadata: new Metadata() });
  try {
    const isWell =
      options.command === "test"
        ? await runTest(connector, () => context(stop.signal), printer)
        : await runPull(connector, options, context, stop.signal, (text) => log.redact(text), printer);
    return isWell ? 0 : 1;
  } finally {
    await traffic.close();
  }
}

async function serveFromEnvironment(connector: LoadedConnector): Promise<ExitCode> {
  const { CONNECTOR_SOCKET: socket, CONNECTOR_TOKEN: token, CONNECTOR_HTTP_RECORD: record, CONNECTOR_HTTP_REPLAY: replay } = process.env;
  if (!socket || !token) {
    const missing = socket ? "CONNECTOR_TOKEN" : "CONNECTOR_SOCKET";
    process.stderr.write(
      `this program is a connector: connectord starts it with CONNECTOR_SOCKET and CONNECTOR_TOKEN set, and ${missing} is not. Put its folder under the server's --connectors-dir, or try it by itself: info, test, pull\n`,
    );
    return 2;
  }
  const log = Log.toStderr();
  printToLog(log);
  // Nobody waits for a promise that an author has dropped, so no call can tell of it; the others go on.
  process.removeAllListeners("warning").on("warning", ({ stack, message }) => log.record("warn", stack ?? message));
  process.on("unhandledRejection", (reason) =>
    log.record("error", `a promise that nobody waits for failed: ${reason instanceof Error ? reason.stack : String(reason)}`),
  );
  process.on("uncaughtException", (error) => {
    log.record("error", `the connector ends, because nobody caught: ${error instanceof Error ? error.stack : String(error)}`);
    process.exit(1);
  });
  const stopped = Promise.race(
    ["SIGTERM", "SIGINT"].map((signal) => new Promise<void>((resolve) => process.once(signal, () => resolve()))),
  );
  const served = await serveOn(connector, { socket, token, log, record, replay });
  await stopped;
  await served.stop();
  return 0;
}
