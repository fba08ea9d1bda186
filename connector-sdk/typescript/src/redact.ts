/** Takes secrets out of texts: logs, errors and recordings. */

/** What stands in the place of a secret. */
export const REDACTED = "[redacted]";

/**
 * Shorter values are not looked for in free text: "1" or "eu" would be found everywhere, and hide nothing that a guess would not find.
 */
const MIN_SECRET_LENGTH = 4;

/** Removes given values from texts, as they are or encoded. */
export class Redactor {
  readonly #pattern: RegExp | undefined;

  constructor(secrets: Iterable<string>) {
    const forms = new Set([...secrets].filter((secret) => secret.length >= MIN_SECRET_LENGTH).flatMap(formsOf));
    // The longest first, so that a secret which begins with another one is taken whole.
    const longestFirst = [...forms].sort((a, b) => b.length - a.length).map(escapeRegExp);
    this.#pattern = longestFirst.length > 0 ? new RegExp(longestFirst.join("|"), "g") : undefined;
  }

  redact(text: string): string {
    return this.#pattern === undefined ? text : text.replace(this.#pattern, REDACTED);
  }
}

/** Every way in which a secret is written in headers, addresses, forms and JSON. */
function formsOf(secret: string): string[] {
  const percent = encodeURIComponent(secret.toWellFormed());
  const strict = percent.replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
  const lower = (text: string) => text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
  const json = JSON.stringify(secret).slice(1, -1);
  const ascii = json.replace(/[\u007f-\uffff]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const form = new URLSearchParams({ "": secret }).toString().slice(1);
  const encoded = [percent, strict, form].flatMap((text) => [
    text,
    lower(text),
    text.replaceAll("%20", "+"),
    lower(text).replaceAll("+", "%20"),
  ]);
  // The lines of a key in PEM form appear one by one where a log splits them.
  const lines = secret.includes("\n") ? secret.split(/\r?\n/).filter((line) => line.length >= 16 && !line.startsWith("-----")) : [];
  // As it stands in bytes that are no text, of which each is read as a sign.
  const bytes = Buffer.from(secret).toString("latin1");
  return [secret, bytes, json, json.replaceAll("/", "\\/"), ascii, ...encoded, ...base64Forms(secret), ...lines];
}

/** The secret in base64 at each of the three offsets at which it can stand in something longer, such as `user:password`. */
function base64Forms(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const aligned = [0, 1, 2].map((offset) => {
    const padded = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString("base64")
      .replace(/=+$/, "");
    // Signs that also hold bits of a neighbour are left out.
    const start = Math.ceil((offset * 8) / 6);
    const end = Math.floor(((offset + bytes.length) * 8) / 6);
    return padded.slice(start, end);
  });
  const whole = bytes.toString("base64");
  const forms = [whole, ...aligned.filter((form) => form.length >= MIN_SECRET_LENGTH)];
  return [...forms, ...forms.map((form) => form.replaceAll("+", "-").replaceAll("/", "_")), ...forms.map(encodeURIComponent)];
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
