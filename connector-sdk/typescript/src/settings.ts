/** Settings, checked against the JSON Schema of the manifest: the one place where an author says what they are. */

import type { JsonObject } from "@bufbuild/protobuf";
import { Ajv2020, type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js";
import { ConnectorError } from "./errors.js";
import { type Manifest, ManifestError } from "./manifest.js";

type Schema = Record<string, unknown>;

/** Reads the settings of calls. */
export class SettingsReader {
  readonly #whole: ValidateFunction;
  readonly #withoutSecrets: ValidateFunction;

  constructor(manifest: Manifest) {
    // Unknown keywords are notes for people and for the server (`x-secret`); formats are not asserted, as the draft has it.
    const ajv = new Ajv2020({ strict: false, allErrors: false, useDefaults: true, validateFormats: false, logger: false });
    try {
      this.#whole = ajv.compile(manifest.settings);
      this.#withoutSecrets = ajv.compile(withoutSecrets(manifest.settings) as Schema);
    } catch (error) {
      throw new ManifestError(`settings is no JSON Schema: ${(error as Error).message}`);
    }
  }

  /**
   * The settings with their defaults. `Normalize` is given none that are marked `x-secret`.
   *
   * @throws ConnectorError SETTINGS_INVALID, which names the setting and never its value.
   */
  read(given: JsonObject | undefined, secretsLeftOut = false): JsonObject {
    const settings = structuredClone(given ?? {});
    const check = secretsLeftOut ? this.#withoutSecrets : this.#whole;
    if (check(settings)) return settings;
    const [fault] = check.errors ?? [];
    const field = fault ? fieldOf(fault) : "";
    throw new ConnectorError(
      "SETTINGS_INVALID",
      `${field === "" ? "the settings" : `the setting ${field}`} ${fault?.message ?? "cannot be read"}`,
      {
        metadata: field === "" ? {} : { field },
      },
    );
  }
}

function fieldOf(fault: ErrorObject): string {
  const within = fault.instancePath
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  const missing: unknown = fault.params["missingProperty"] ?? fault.params["additionalProperty"];
  return [...within, ...(typeof missing === "string" ? [missing] : [])].join(".");
}

/** The same schema with nothing required that is marked `x-secret`. */
function withoutSecrets(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutSecrets);
  if (typeof schema !== "object" || schema === null) return schema;
  const copy: Schema = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, withoutSecrets(value)]));
  const { required, properties } = copy;
  if (Array.isArray(required) && typeof properties === "object" && properties !== null) {
    const declared = properties as Record<string, unknown>;
    copy["required"] = required.filter((name) => (declared[String(name)] as Schema | undefined)?.["x-secret"] !== true);
  }
  // Two schemas of one name cannot be compiled side by side.
  delete copy["$id"];
  return copy;
}
