/** Connectors that a test writes in a line. */

import {
  type ConnectorDefinition,
  ConnectorError,
  defineConnector,
  type JsonObject,
  type PullContext,
  type PullEvent,
  type Sink,
} from "@superfasttt/connector";

/** Everything that a manifest can declare of Pull. */
export const CAPABILITIES = ["incremental", "full_listing", "list", "targeted"];

export type Context = PullContext<JsonObject>;

/** A manifest with the fields that a test is about. */
export function manifest(fields: object = {}): string {
  return JSON.stringify({
    id: "test",
    auth: { type: "none" },
    sync: { mode: "full" },
    capabilities: CAPABILITIES,
    settings: { type: "object" },
    ...fields,
  });
}

/** A connector whose raw items are texts: "bad" and "throw" cannot be normalized. */
export function author(
  pull: (ctx: Context, sink: Sink<string>) => AsyncIterable<PullEvent<string>> | Promise<void>,
  more: Partial<ConnectorDefinition<JsonObject, string>> = {},
): ConnectorDefinition<JsonObject, string> {
  return defineConnector<JsonObject, string>({
    manifest: manifest(),
    rawSchema: "text/1",
    pull,
    normalize(_key, raw, settings) {
      if (raw === "bad") throw new ConnectorError("CONTENT_UNREADABLE", "it is bad");
      if (raw === "throw") throw new TypeError(`cannot read ${raw} of the secret s3cret-value`);
      return { title: `${settings["prefix"] ?? ""}${raw.slice(0, 20)}`, content: raw };
    },
    ...more,
  });
}
