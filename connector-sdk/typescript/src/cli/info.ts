/** `info`: who the connector is and what it serves. */

import type { AnyDefinition, LoadedConnector } from "../connector.js";
import { SDK_VERSION } from "../version.js";
import type { Printer } from "./printer.js";

const DECLARED_BY: readonly (readonly [keyof AnyDefinition, "discover" | "fetch_content" | "handle_event" | "execute"])[] = [
  ["discover", "discover"],
  ["fetchContent", "fetch_content"],
  ["handleEvent", "handle_event"],
  ["execute", "execute"],
];

/** Tells it, and what an author may have forgotten. What cannot be served at all has been told before. */
export function runInfo({ definition, manifest }: LoadedConnector, printer: Printer): void {
  const capabilities = [...manifest.capabilities];
  const forgotten = DECLARED_BY.filter(([method, capability]) => definition[method] && !manifest.capabilities.has(capability));
  const notes = forgotten.map(
    ([method, capability]) => `the connector has ${method}, and capabilities has no ${capability}: it is not served`,
  );
  if (manifest.allowedHosts.length === 0)
    notes.push("allowed_hosts names no host: the HTTP client asks any that is not of a private network");
  const { id, version, authType } = manifest;
  printer.line(
    [
      `${id} ${version}`,
      `  authenticates with ${authType}`,
      `  can: ${capabilities.join(", ") || "full pulls"}`,
      ...notes.map((note) => `  note: ${note}`),
    ].join("\n"),
    { manifest: JSON.parse(manifest.text) as unknown, capabilities, notes, sdk: `typescript/${SDK_VERSION}` },
  );
}
