/** How fast a source is asked, and how long a request waits for it. */

import { createHash } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import type { RateLimit } from "../manifest.js";

/** Time and chance, which tests bring themselves. */
export interface Clock {
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
  /** The time of day, for dates in answers. */
  date(): number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** From 0 up to 1. */
  random(): number;
}

export const REAL_CLOCK: Clock = {
  now: () => performance.now(),
  date: () => Date.now(),
  sleep: async (ms, signal) => {
    try {
      await wait(ms, undefined, { signal });
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    }
  },
  random: Math.random,
};

/** How many milliseconds `Retry-After` says, as seconds or as a date. Undefined: nothing, or nothing that can be read. */
export function retryAfterMs(headers: Headers, clock: Clock): number | undefined {
  const value = headers.get("retry-after")?.trim();
  if (!value) return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const date = /^[A-Za-z]{3}/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - clock.date());
}

/** Lets requests through no faster than some limits allow: in no stretch of a limit's time more than its number. */
export class Pace {
  readonly #limits: readonly { requests: number; perMs: number; sent: number[] }[];
  readonly #clock: Clock;
  #notBefore = 0;
  #line: Promise<void> = Promise.resolve();
  lastUsed = 0;

  constructor(limits: readonly RateLimit[], clock: Clock) {
    this.#limits = limits.map(({ requests, perMs }) => ({ requests, perMs, sent: [] }));
    this.#clock = clock;
  }

  /** Waits for this request's turn, first come first served. */
  async turn(signal: AbortSignal): Promise<void> {
    const mine = this.#line.then(() => this.#wait(signal));
    // One that is cancelled gives its place up.
    this.#line = mine.catch(() => {});
    return mine;
  }

  /** The source said that it wants no request for a while. */
  pause(ms: number): void {
    this.#notBefore = Math.max(this.#notBefore, this.#clock.now() + ms);
  }

  async #wait(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const now = this.#clock.now();
      const free = this.#limits.map(({ requests, perMs, sent }) =>
        sent.length < requests ? 0 : (sent[sent.length - requests] ?? 0) + perMs,
      );
      const delay = Math.max(this.#notBefore, ...free) - now;
      if (delay <= 0) break;
      await this.#clock.sleep(Math.ceil(delay), signal);
    }
    const now = this.#clock.now();
    this.lastUsed = now;
    for (const { requests, sent } of this.#limits) {
      sent.push(now);
      if (sent.length > requests) sent.shift();
    }
  }
}

/** The paces of a process: one for each connection, and one that all share. */
export class Paces {
  readonly #limits: readonly RateLimit[];
  readonly #clock: Clock;
  readonly #shared: Pace;
  readonly #ofConnections = new Map<string, Pace>();
  readonly #forgetAfterMs: number;

  constructor(limits: readonly RateLimit[], clock: Clock) {
    this.#limits = limits.filter(({ perConnection }) => perConnection);
    this.#shared = new Pace(
      limits.filter(({ perConnection }) => !perConnection),
      clock,
    );
    this.#clock = clock;
    this.#forgetAfterMs = Math.max(10 * 60_000, ...this.#limits.map(({ perMs }) => perMs));
  }

  /** The pace of what all connections share. */
  get shared(): Pace {
    return this.#shared;
  }

  /** The pace of one connection, which its settings and credential tell from others. Neither is kept. */
  of(settings: unknown, secrets: readonly string[]): Pace {
    const key = createHash("sha256")
      .update(JSON.stringify([settings, secrets]))
      .digest("base64");
    const now = this.#clock.now();
    for (const [other, { lastUsed }] of this.#ofConnections) {
      if (now - lastUsed > this.#forgetAfterMs) this.#ofConnections.delete(other);
    }
    const pace = this.#ofConnections.get(key) ?? new Pace(this.#limits, this.#clock);
    pace.lastUsed = now;
    this.#ofConnections.set(key, pace);
    return pace;
  }
}
