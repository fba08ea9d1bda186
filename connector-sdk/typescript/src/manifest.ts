/** What the SDK reads from manifest.json: what the connector says it can do, and what its HTTP client has to keep to. */

import { readFileSync } from "node:fs";
import { parseDuration } from "./duration.js";

const CAPABILITIES = ["incremental", "full_listing", "list", "targeted", "discover", "fetch_content", "handle_event", "execute"] as const;

/** What a connector can do beyond the required rpcs, in the words of the manifest. */
export type Capability = (typeof CAPABILITIES)[number];

/** How often the source lets itself be asked. */
export interface RateLimit {
  requests: number;
  perMs: number;
  /** Whether it counts per connection, or for all that this process serves. */
  perConnection: boolean;
}

/** A manifest.json that can be served. */
export interface Manifest {
  /** The file as it is. */
  text: string;
  id: string;
  version: string;
  capabilities: ReadonlySet<Capability>;
  /** The JSON Schema of a connection's settings. */
  settings: Record<string, unknown>;
  authType: string;
  /** Names of the fields of the credential, where a person enters more than the one value that the type has. */
  fields: readonly string[];
  /** Those of them that are declared as no secret. */
  openFields: ReadonlySet<string>;
  rateLimits: readonly RateLimit[];
  /** Empty: none are named. */
  allowedHosts: readonly string[];
}

/** manifest.json cannot be used; the message says what to mend. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";

  constructor(message: string) {
    super(`the connector's author must mend manifest.json: ${message}`);
  }
}

/** Reads a manifest: its file, or its text. */
export function readManifest(source: URL | string): Manifest {
  const text = typeof source === "string" ? source : readFileSync(source, "utf8");
  const json = parse(text);
  const id = json["id"];
  if (typeof id !== "string" || id === "") throw new ManifestError("it has no id");
  const auth = object(json["auth"], "auth");
  const fields = list(auth["fields"], "auth.fields").map((field, index) => object(field, `auth.fields[${index}]`));
  return {
    text,
    id,
    version: typeof json["version"] === "string" ? json["version"] : "0.0.0",
    capabilities: readCapabilities(json),
    settings: object(json["settings"], "settings"),
    authType: typeof auth["type"] === "string" ? auth["type"] : "none",
    fields: fields.map((field) => String(field["name"])),
    openFields: new Set(fields.filter((field) => field["secret"] === false).map((field) => String(field["name"]))),
    rateLimits: list(json["rate_limits"], "rate_limits").map(readRateLimit),
    allowedHosts: list(json["allowed_hosts"], "allowed_hosts").map(String),
  };
}

function parse(text: string): Record<string, unknown> {
  try {
    return object(JSON.parse(text), "the whole");
  } catch (error) {
    if (error instanceof ManifestError) throw error;
    throw new ManifestError(`it is no JSON: ${(error as Error).message}`);
  }
}

function readCapabilities(json: Record<string, unknown>): Set<Capability> {
  const capabilities = new Set<Capability>();
  // As the server reads it: an incremental sync mode is the capability.
  if (object(json["sync"], "sync")["mode"] === "incremental") capabilities.add("incremental");
  for (const [index, name] of list(json["capabilities"], "capabilities").entries()) {
    if (!CAPABILITIES.includes(name as Capability)) {
      const known = CAPABILITIES.join(", ");
      throw new ManifestError(`capabilities[${index}] is ${JSON.stringify(name)}; the contract knows ${known}`);
    }
    capabilities.add(name as Capability);
  }
  return capabilities;
}

function readRateLimit(value: unknown, index: number): RateLimit {
  const at = `rate_limits[${index}]`;
  const limit = object(value, at);
  const { requests, per } = limit;
  const perMs = typeof per === "string" ? parseDuration(per) : undefined;
  if (!Number.isInteger(requests) || Number(requests) < 1 || perMs === undefined || perMs === 0) {
    throw new ManifestError(`${at} is not of the form {"requests": 10, "per": "1s"}`);
  }
  return { requests: Number(requests), perMs, perConnection: (limit["reach"] ?? "connection") === "connection" };
}

function object(value: unknown, at: string): Record<string, unknown> {
  if (value === undefined) return {};
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new ManifestError(`${at} is no object`);
}

function list(value: unknown, at: string): unknown[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value;
  throw new ManifestError(`${at} is no list`);
}
