/** The program of a connector: what connectord starts, and a tool for its author. */

import { type AnyDefinition, type LoadedConnector, loadConnector } from "../connector.js";
import { Log, printToLog } from "../log.js";
import { ManifestError } from "../manifest.js";
import { serveOn } from "../serve.js";

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
  return serveFromEnvironment(loadConnector(definition));
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
  process.on("unhandledRejection", (reason) => log.record("error", `a promise that nobody waits for failed: ${reason instanceof Error ? reason.stack : String(reason)}`));
  const stopped = Promise.race(["SIGTERM", "SIGINT"].map((signal) => new Promise<void>((resolve) => process.once(signal, () => resolve()))));
  const served = await serveOn(connector, { socket, token, log, record, replay });
  await stopped;
  await served.stop();
  return 0;
}
