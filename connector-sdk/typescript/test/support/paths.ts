/** Where things lie, seen from the compiled tests. */

import { existsSync } from "node:fs";
import { join } from "node:path";

/** The folder of this package. */
export const PACKAGE = join(import.meta.dirname, "../../..");
/** The folder of the repository. */
export const REPOSITORY = join(PACKAGE, "../..");
export const TRACKER_EXAMPLE = join(PACKAGE, "examples/tracker");

/** The folder of connectord and connectorctl; undefined where they are not built. */
export function serverBinaries(): string | undefined {
  const folder = process.env["SUPERFASTTT_BIN_DIR"] ?? join(REPOSITORY, "target/debug");
  return ["connectord", "connectorctl"].every((name) => existsSync(join(folder, name))) ? folder : undefined;
}
