/** Credentials: whatever form they come in, and that printing one shows nothing. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { format, inspect } from "node:util";
import { ConnectorError } from "@superfasttt/connector";
import { credentialOf } from "#sdk/cli/options.js";
import { Credential } from "#sdk/credential.js";
import { readManifest } from "#sdk/manifest.js";
import { manifest } from "./support/author.js";

function credential(auth: object, given: string): Credential {
  const read = readManifest(manifest({ auth }));
  return new Credential(credentialOf(given, read), read);
}

test("printing a credential shows its type and no secret", () => {
  const one = credential({ type: "oauth2" }, "s3cret-value");
  for (const text of [String(one), JSON.stringify({ one }), inspect(one, { depth: 9, showHidden: true }), format("%o %s", one, one)]) {
    assert.ok(text.includes("oauth2") && !text.includes("s3cret"), text);
  }
  assert.equal(one.token(), "s3cret-value");
});

test("values that a person enters by the manifest's fields stand for the type", () => {
  const fields = [{ name: "key" }, { name: "region", secret: false }];
  const key = credential({ type: "api_key", fields }, '{"key": "the-key", "region": "europe"}');
  assert.deepEqual([key.type, key.token(), key.field("region"), key.secrets()], ["api_key", "the-key", "europe", ["the-key"]]);
  const only = credential({ type: "bearer_token", fields: [{ name: "pat" }] }, "the-token");
  assert.equal(only.token(), "the-token");
  const basic = credential({ type: "basic", fields: [{ name: "username" }, { name: "password" }] }, '{"username": "u", "password": "p"}');
  assert.deepEqual(basic.basic(), { username: "u", password: "p" });
});

test("what a credential has not is SETTINGS_INVALID, and no name of JavaScript's own is a field", () => {
  const basic = credential({ type: "basic" }, "user:pass:word");
  assert.deepEqual(basic.basic(), { username: "user", password: "pass:word" });
  const invalid = (error: unknown) =>
    error instanceof ConnectorError && error.reason === "SETTINGS_INVALID" && !error.message.includes("pass");
  assert.throws(() => basic.token(), invalid);
  assert.throws(() => basic.clientCertificate(), invalid);
  assert.throws(() => credential({ type: "api_key", fields: [{ name: "a" }] }, '{"a": "1"}').field("constructor"), invalid);
  assert.equal(basic.extra("constructor"), undefined);
});
