/** What an author writes. `pull` and `normalize` are required; the others answer UNIMPLEMENTED until the manifest declares them. */

import type { JsonObject } from "@bufbuild/protobuf";
import type { PullEvent } from "./change.js";
import type { CallContext, DiscoverContext, EventContext, ExecuteContext, FetchContentContext, PullContext } from "./context.js";
import type { Document, ItemKey } from "./document.js";
import type { ErrorTable } from "./http/errors.js";
import { decodeJson, type Normalizing } from "./making.js";
import { type Capability, type Manifest, ManifestError, readManifest } from "./manifest.js";
import { SettingsReader } from "./settings.js";
import type { Sink } from "./sink.js";

/**
 * One kind of source. It serves many connections at the same time and keeps nothing between calls: everything that a call needs comes
 * with its context.
 */
export interface ConnectorDefinition<Settings, Raw> {
  /** Where manifest.json lies, usually `new URL("../manifest.json", import.meta.url)`; or its text. */
  manifest: URL | string;

  /** How `ctx.http` reaches the source. */
  http?: {
    /** What relative addresses are relative to. */
    baseUrl?: string | ((settings: Settings) => string);
    /** Headers of every request, beside the credential. */
    headers?: Readonly<Record<string, string>>;
    /** What the source's answers mean; comes before the SDK's own table. */
    errors?: ErrorTable;
  };

  /**
   * Brings changes: reads the source from where `ctx.cursor()` says, and yields them. A checkpoint comes at least every 60 seconds or 1,000
   * items. Written as `async *pull(ctx)` it yields what `document`, `deletion`, `checkpoint` and the others make; a source that is read in
   * several places at once gives the same to `sink`. What it throws concerns the whole connection.
   */
  pull(ctx: PullContext<Settings>, sink: Sink<Raw>): AsyncIterable<PullEvent<Raw>> | Promise<void>;

  /**
   * Turns an item into a document. Pure: the same answer for the same item each time, no network, no clock. In the Normalize rpc there are no
   * settings marked `x-secret`. What it throws is the item's error, and the pull goes on.
   */
  normalize(key: ItemKey, raw: Raw, settings: Settings): Document;

  /** Names the shape of `Raw`; a new name when the shape changes. At most 255 bytes. Default "item/1". */
  rawSchema?: string;

  /** Reads a raw item that was kept, perhaps by an older version of this connector. Default: JSON of the present `rawSchema`. */
  decodeRaw?(schema: string, data: Uint8Array): Raw;

  /** Tries a connection. What it throws becomes a failed check. Default: the settings are checked. */
  testConnection?(ctx: CallContext<Settings>): Promise<TestResult>;

  /** Lists what a person may pick in settings, one level under a parent. */
  discover?(ctx: DiscoverContext): Promise<DiscoverResult>;

  /** Gives the bytes behind a `contentRef`. */
  fetchContent?(ctx: FetchContentContext<Settings>): Promise<Content>;

  /** Verifies a webhook and says what it means. A wrong signature is an answer: `verified: false`. */
  handleEvent?(ctx: EventContext<Settings>): Promise<EventResult>;

  /** Carries out an action of the manifest and gives its output. */
  execute?(ctx: ExecuteContext<Settings>): Promise<JsonObject>;
}

/** How a connection does. */
export interface TestResult {
  /** In the order in which a person should read them. */
  checks: readonly Check[];
  /** Whose account this is. */
  account?: { id: string; displayName?: string; email?: string };
}

/** One named check. */
export interface Check {
  /** A stable snake_case name, such as "root_readable". */
  name: string;
  outcome: "passed" | "failed" | "warning" | "skipped";
  /** What was found, for a person. */
  message: string;
  /** What to do about it. */
  fix?: string;
}

/** Resources under a parent. */
export interface DiscoverResult {
  resources: readonly Resource[];
  /** Absent: this was the last page. */
  nextPageToken?: string;
}

/** Something a person may pick in settings. */
export interface Resource {
  /** The value that goes into the settings. */
  id: string;
  name: string;
  /** What it is, such as "folder". */
  kind?: string;
  hasChildren?: boolean;
  selectable?: boolean;
}

/** A document's bytes. */
export interface Content {
  mediaType?: string;
  /** How many bytes there are, where that is known. */
  lengthBytes?: number;
  /** The version that is served. */
  version?: string;
  body: Uint8Array | AsyncIterable<Uint8Array>;
}

/** What a webhook means. */
export interface EventResult {
  verified: boolean;
  /** Ids that changed, at most 1,000. */
  changedIds?: readonly string[];
  /** Scopes to pull now. */
  scopes?: readonly string[];
  allScopes?: boolean;
  /** What to answer to the source. Absent: 204. */
  answer?: { status: number; contentType?: string; body?: string | Uint8Array };
  /** For an app's URL: values that tell which connections are meant. */
  routingKeys?: readonly string[];
}

/** Says what the types of a connector are: `defineConnector<Settings, Raw>({…})`. */
export function defineConnector<Settings = JsonObject, Raw = JsonObject>(
  definition: ConnectorDefinition<Settings, Raw>,
): ConnectorDefinition<Settings, Raw> {
  return definition;
}

/** A definition of any types. The SDK hands its values through without a look into them. */
// biome-ignore lint/suspicious/noExplicitAny: methods of an author's types can be called with values of these types only
export type AnyDefinition = ConnectorDefinition<any, any>;

/** A definition with its manifest read. */
export interface LoadedConnector extends Normalizing<never, unknown> {
  definition: AnyDefinition;
  manifest: Manifest;
  settings: SettingsReader;
}

const METHODS: Readonly<Partial<Record<Capability, keyof AnyDefinition>>> = {
  discover: "discover",
  fetch_content: "fetchContent",
  handle_event: "handleEvent",
  execute: "execute",
};

/**
 * Reads the manifest of a definition.
 *
 * @throws ManifestError when it cannot be served, also where it promises what the program has not.
 */
export function loadConnector(definition: AnyDefinition): LoadedConnector {
  const manifest = readManifest(definition.manifest);
  for (const [capability, method] of Object.entries(METHODS)) {
    if (manifest.capabilities.has(capability as Capability) && definition[method] === undefined) {
      throw new ManifestError(`capabilities has ${capability}, and the connector has no ${method}`);
    }
  }
  const rawSchema = definition.rawSchema ?? "item/1";
  return {
    definition,
    manifest,
    settings: new SettingsReader(manifest),
    rawSchema,
    normalize: (key, raw, settings) => definition.normalize(key, raw, settings),
    decodeRaw: definition.decodeRaw?.bind(definition) ?? ((schema, data) => decodeJson(rawSchema, schema, data)),
  };
}
