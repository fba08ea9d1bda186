/** Secrets in texts and in the log. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Log } from "#sdk/log.js";
import { Redactor } from "#sdk/redact.js";

test("a secret is found in each way that it is written", () => {
  for (const secret of ["plain-secret", 'qu"o/te\\d', "clé ü €", "with space+plus", "(a.b*c)"]) {
    const redactor = new Redactor([secret]);
    const written = [
      secret,
      JSON.stringify({ secret }),
      encodeURIComponent(secret),
      encodeURIComponent(secret).toLowerCase(),
      new URLSearchParams({ secret }).toString(),
      Buffer.from(secret).toString("base64"),
      Buffer.from(secret).toString("base64url"),
      ...["a:", "ab:", "abc:"].map((user) => Buffer.from(`${user}${secret}`).toString("base64")),
    ];
    for (const text of written)
      assert.match(redactor.redact(`before ${text} after`), /^before .*\[redacted\].* after$/, `${secret} in ${text}`);
  }
});

test("what is no secret stays, and very short values are not looked for", () => {
  const redactor = new Redactor(["abc", "", "secret-value"]);
  assert.equal(redactor.redact("abc and secret-values"), "abc and [redacted]s");
});

test("the lines of a private key are secrets one by one", () => {
  const key = `-----BEGIN PRIVATE KEY-----\n${"A".repeat(64)}\n${"B".repeat(64)}\n-----END PRIVATE KEY-----\n`;
  assert.equal(new Redactor([key]).redact(`loaded ${"B".repeat(64)}`), "loaded [redacted]");
});

test("a record is a line with its level, and only from the level on", () => {
  const lines: string[] = [];
  const log = new Log("warn", (line) => lines.push(line));
  const logger = log.logger({ rpc: "pull" });
  logger.info("not told");
  logger.warn("two\nlines\u001b[2J", { count: 7, text: "a b", none: undefined });
  assert.deepEqual(lines, ['WARN two\\nlines\\u001b[2J count=7 text="a b" rpc="pull"\n']);
});

test("a secret is hidden for as long as a call holds it", () => {
  const lines: string[] = [];
  const log = new Log("info", (line) => lines.push(line));
  const [one, another] = [log.hide(["secret-value"]), log.hide(["secret-value"])];
  one();
  log.record("info", "secret-value");
  another();
  log.record("info", "secret-value");
  assert.deepEqual(lines, ["INFO [redacted]\n", "INFO secret-value\n"]);
});
