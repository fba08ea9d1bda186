/** Logs: a line on stderr for each record, which begins with its level. connectord adds the time. */

import { format } from "node:util";
import { Redactor } from "./redact.js";

const LEVELS = ["error", "warn", "info", "debug", "trace"] as const;

/** More than that of a record is for nobody to read. */
const MAX_LINE = 16_384;

/** How much a record matters. */
export type Level = (typeof LEVELS)[number];

/** Facts of a log record. */
export type Fields = Readonly<Record<string, unknown>>;

/** Writes records. Secrets of the calls that run now are taken out of them. */
export interface Logger {
  error(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  debug(message: string, fields?: Fields): void;
  trace(message: string, fields?: Fields): void;
}

/** Where the records of a process go. */
export class Log {
  readonly #write: (line: string) => void;
  readonly #threshold: number;
  /** The secrets of running calls, with how many calls hold each. */
  readonly #secrets = new Map<string, number>();
  /** Made when it is needed: calls begin more often than something is logged. */
  #redactor: Redactor | undefined;

  constructor(level: string | undefined, write: (line: string) => void) {
    const threshold = LEVELS.indexOf(level as Level);
    this.#threshold = threshold === -1 ? LEVELS.indexOf("info") : threshold;
    this.#write = write;
  }

  /** The log of the process: CONNECTOR_LOG says from which level on. */
  static toStderr(): Log {
    const level = process.env["CONNECTOR_LOG"]?.toLowerCase();
    return new Log(level, (line) => process.stderr.write(line));
  }

  /** Keeps `secrets` out of the log until the returned function is called. */
  hide(secrets: readonly string[]): () => void {
    for (const secret of secrets) this.#hold(secret, 1);
    return () => {
      for (const secret of secrets) this.#hold(secret, -1);
    };
  }

  /** A text without the secrets of running calls. */
  redact(text: string): string {
    this.#redactor ??= new Redactor(this.#secrets.keys());
    return this.#redactor.redact(text);
  }

  record(level: Level, message: string, fields: Fields = {}): void {
    if (LEVELS.indexOf(level) > this.#threshold) return;
    const facts = Object.entries(fields).filter(([, value]) => value !== undefined);
    const text = [message, ...facts.map(([name, value]) => `${name}=${fact(value)}`)].join(" ");
    this.#write(`${level.toUpperCase()} ${oneLine(this.redact(text)).slice(0, MAX_LINE)}\n`);
  }

  /** A logger whose records all carry `common`. */
  logger(common: Fields = {}): Logger {
    const at = (level: Level) => (message: string, fields?: Fields) => this.record(level, message, { ...fields, ...common });
    return { error: at("error"), warn: at("warn"), info: at("info"), debug: at("debug"), trace: at("trace") };
  }

  #hold(secret: string, more: 1 | -1): void {
    const before = this.#secrets.get(secret) ?? 0;
    if (before + more > 0) this.#secrets.set(secret, before + more);
    else this.#secrets.delete(secret);
    if (before === 0 || before + more === 0) this.#redactor = undefined;
  }
}

/** What libraries and authors print goes to the log, because stdout is not to be written to. */
export function printToLog(log: Log): void {
  const levels = { log: "info", info: "info", debug: "debug", trace: "debug", warn: "warn", error: "error" } as const;
  for (const [method, level] of Object.entries(levels)) {
    console[method as keyof typeof levels] = (...parts: unknown[]) => log.record(level, format(...parts));
  }
  process.stdout.write = ((text: string | Uint8Array, ...rest: unknown[]) => {
    const line = (typeof text === "string" ? text : Buffer.from(text).toString()).trimEnd();
    if (line !== "") log.record("info", line);
    const done = rest.find((argument) => typeof argument === "function");
    if (done) process.nextTick(done as () => void);
    return true;
  }) as typeof process.stdout.write;
}

function fact(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (typeof value === "string") return JSON.stringify(value);
  return JSON.stringify(format("%o", value));
}

/** A record is one line whatever is in it, and moves no cursor of a terminal. */
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f\u0085\u2028\u2029]/g, (sign) => {
    if (sign === "\n") return "\\n";
    return sign === "\r" ? "\\r" : `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
