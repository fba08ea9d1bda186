/** The arguments of the command line. */

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { type Credential, CredentialSchema } from "../gen/superfasttt/connector/v1/connector_pb.js";
import type { Mode } from "../listing.js";
import type { Manifest } from "../manifest.js";

export const USAGE = `usage: (none) | serve          what connectord calls
       info                    the manifest, what is served, what is wrong with it
       test                    tries the connection: each check, with what to do
       pull                    pulls in this process: documents, item errors, counts and cursors

  --settings FILE              settings as JSON         --set name=value   one of them, dots go one level down
  --credential-env NAME        the variable, or         --credential FILE  the file with the credential: one secret,
                               user:password, or JSON of the fields
  --mode full|incremental|list|targeted                 --id ID            for targeted, repeated for more
  --cursor FILE                read, and written at each checkpoint
  --limit N                    ends after so many documents
  --json                       a line of JSON for each
  --record FILE                writes what is asked of the source, as HAR
  --replay FILE                answers from such a file, without network
`;

/** Used wrongly: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What the command line says. */
export interface Options {
  command: "serve" | "info" | "test" | "pull";
  settings: JsonObject;
  credential: Credential | undefined;
  mode: Mode | undefined;
  ids: string[];
  cursorFile: string | undefined;
  limit: number | undefined;
  json: boolean;
  record: string | undefined;
  replay: string | undefined;
}

const COMMANDS = ["serve", "info", "test", "pull"] as const;
const MODES = ["full", "incremental", "list", "targeted"] as const;

/** Whether usage is asked for, and nothing else matters. */
export function asksForHelp(args: readonly string[]): boolean {
  return args.includes("--help") || args.includes("-h") || args[0] === "help";
}

/** @throws UsageError */
export function readOptions(args: readonly string[], manifest: Manifest): Options {
  const { values, positionals } = parse(args);
  const [command = "serve", ...rest] = positionals;
  if (!isOneOf(COMMANDS, command) || rest.length > 0) throw new UsageError(`there is no command ${positionals.join(" ")}`);
  const { mode, limit, record, replay } = values;
  if (mode !== undefined && !isOneOf(MODES, mode)) throw new UsageError(`--mode is ${MODES.join(", ")}`);
  if (limit !== undefined && !/^[1-9]\d*$/.test(limit)) throw new UsageError("--limit is a number from 1 on");
  if (record !== undefined && replay !== undefined) throw new UsageError("--record and --replay do not go together");
  return {
    command,
    settings: readSettings(values.settings, values.set, manifest),
    credential: readCredential(values.credential, values["credential-env"], manifest),
    mode,
    ids: values.id,
    cursorFile: values.cursor,
    limit: limit === undefined ? undefined : Number(limit),
    json: values.json,
    record,
    replay,
  };
}

function parse(args: readonly string[]) {
  const text = { type: "string" } as const;
  const list = { type: "string", multiple: true, default: [] as string[] } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        settings: text,
        set: list,
        credential: text,
        "credential-env": text,
        mode: text,
        id: list,
        cursor: text,
        limit: text,
        json: { type: "boolean", default: false },
        record: text,
        replay: text,
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function readSettings(file: string | undefined, set: readonly string[], manifest: Manifest): JsonObject {
  const settings = file === undefined ? {} : jsonObject(readText(file), file);
  for (const assignment of set) {
    const [, path = "", value = ""] = /^([^=]+)=(.*)$/s.exec(assignment) ?? [];
    if (path === "") throw new UsageError(`--set takes name=value, not ${assignment}`);
    const names = path.split(".");
    const last = names.pop() ?? "";
    let within: JsonObject = settings;
    let schema: unknown = manifest.settings;
    for (const name of names) {
      const inner = within[name];
      const next = typeof inner === "object" && inner !== null && !Array.isArray(inner) ? inner : {};
      within[name] = next;
      within = next;
      schema = propertyOf(schema, name);
    }
    within[last] = settingOf(value, propertyOf(schema, last));
  }
  return settings;
}

function propertyOf(schema: unknown, name: string): unknown {
  return (schema as { properties?: Record<string, unknown> } | undefined)?.properties?.[name];
}

/** Text where the schema says so, else what it is as JSON. */
function settingOf(text: string, schema: unknown): JsonValue {
  if ((schema as { type?: unknown } | undefined)?.type === "string") return text;
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
}

function readCredential(file: string | undefined, variable: string | undefined, manifest: Manifest): Credential | undefined {
  if (file !== undefined && variable !== undefined) throw new UsageError("--credential and --credential-env do not go together");
  if (variable !== undefined && process.env[variable] === undefined)
    throw new UsageError(`--credential-env: there is no variable ${variable}`);
  const given = file !== undefined ? readText(file) : variable !== undefined ? process.env[variable] : undefined;
  return given === undefined ? undefined : credentialOf(given.replace(/\r?\n$/, ""), manifest);
}

/** A credential as a person writes it: the one secret, `user:password`, JSON of the fields, or JSON as the contract has it. */
export function credentialOf(given: string, manifest: Manifest): Credential {
  const kinds = CredentialSchema.oneofs[0]?.fields.map((field) => field.name) ?? [];
  if (given.trimStart().startsWith("{")) {
    const json = jsonObject(given, "the credential");
    const isWhole = kinds.some((kind) => typeof json[kind] === "object" && json[kind] !== null);
    return build(isWhole ? json : { fields: { values: json } });
  }
  const [field] = manifest.fields;
  if (field !== undefined) return build({ fields: { values: { [field]: given } } });
  switch (manifest.authType) {
    case "oauth2":
      return build({ oauth2: { access_token: given } });
    case "bearer_token":
      return build({ bearer_token: { token: given } });
    case "basic": {
      const [username = "", ...password] = given.split(":");
      return build({ basic: { username, password: password.join(":") } });
    }
    default:
      return build({ api_key: { key: given } });
  }
}

function build(json: JsonObject): Credential {
  try {
    return fromJson(CredentialSchema, json);
  } catch {
    // The parser's own message quotes the value.
    throw new UsageError("the credential is not of a form that is known: one secret, user:password, or JSON of the fields");
  }
}

function jsonObject(text: string, what: string): JsonObject {
  try {
    const value = JSON.parse(text) as JsonValue;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Told below, without the text.
  }
  throw new UsageError(`${what} is no JSON object`);
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}

function isOneOf<T extends string>(words: readonly T[], word: string): word is T {
  return words.includes(word as T);
}
