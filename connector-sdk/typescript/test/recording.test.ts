/** Recordings: what is in them, what is not, and that they answer. */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ConnectorError } from "@superfasttt/connector";
import { saysSecret } from "#sdk/http/har.js";
import { answering, clientOf, source } from "./support/source.js";

function file(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "recording-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "recording.har");
}

const SECRET = 'p4ss/word+"é ü';

test("a recording holds no secret, however it is written, and is a whole HAR after each entry", async (t) => {
  const record = file(t);
  const echoes = {
    plain: SECRET,
    base64: Buffer.from(SECRET).toString("base64"),
    inside: Buffer.from(`user:${SECRET}`).toString("base64"),
    url: Buffer.from(`xy${SECRET}!`).toString("base64url"),
    percent: encodeURIComponent(SECRET),
    form: new URLSearchParams({ "": SECRET }).toString(),
    session_token: "given-by-the-source",
    api: [{ clientSecret: "another-of-it", key: 7 }],
    next_page: "kept",
  };
  const { url } = await source(
    t,
    answering(200, echoes, { "set-cookie": "session=cookie-value", "x-auth-token": "header-value", "content-type": "application/json" }),
  );
  const { http } = clientOf(t, { manifest: { auth: { type: "basic" } }, credential: `user:${SECRET}`, files: { record } });
  const entries = () => (JSON.parse(readFileSync(record, "utf8")) as { log: { version: string; entries: unknown[] } }).log.entries;
  assert.equal(entries().length, 0);
  const response = await http.post(url, {
    query: { access_token: "in-the-query", page: 2, q: SECRET },
    form: { password: SECRET, name: "kept" },
  });
  assert.equal(response.json<typeof echoes>().plain, SECRET, "the author is given what came");
  assert.equal(entries().length, 1);
  await http.post(`${url}/bytes`, { body: Buffer.concat([Buffer.from([0xff, 0x00]), Buffer.from(SECRET)]) });
  assert.equal(entries().length, 2);

  const text = readFileSync(record, "utf8");
  const hidden = [
    "p4ss",
    "cDRzc",
    encodeURIComponent(SECRET),
    "given-by",
    "another-of-it",
    "cookie-value",
    "header-value",
    "in-the-query",
    Buffer.from(SECRET).toString("base64").slice(4, 12),
  ];
  for (const secret of hidden) assert.ok(!text.includes(secret), secret);
  assert.ok(text.includes("kept") && text.includes("page=2") && text.includes("[redacted]"));
  const bytes = (entries()[1] as { request: { postData: { text: string } } }).request.postData.text;
  assert.ok(!Buffer.from(bytes, "base64").toString("latin1").includes("p4ss"));
  assert.equal(statSync(record).mode & 0o077, 0, "it is its owner's alone");
  assert.equal(text.trimEnd().split("\n").length, 4, "an entry a line");
});

test("names that say token, secret, password or key", () => {
  for (const name of [
    "token",
    "access_token",
    "X-Api-Key",
    "clientSecret",
    "PASSWORD",
    "private_key",
    "apikey",
    "Set-Cookie",
    "keys",
    "refreshToken",
  ]) {
    assert.ok(saysSecret(name), name);
  }
  for (const name of ["monkey", "keyboard", "tokenizer_name", "page", "accept", "keynote"]) assert.ok(!saysSecret(name), name);
});

test("a recording answers without network, waits and limits, and with another secret", async (t) => {
  const record = file(t);
  const { url } = await source(
    t,
    answering(429, "", { "retry-after": "60" }),
    answering(200, { page: 1 }),
    answering(200, { page: 2 }),
    (_asked, response) => void response.end(Buffer.from([0xff, 0xfe, 0x00])),
  );
  const recorded = clientOf(t, { credential: "key-of-the-author", files: { record } });
  const ask = async (http: typeof recorded.http) => [
    await http.json(url, { query: { b: 2, a: 1, token: "t-1" } }),
    await http.json(url, { query: { a: 1, b: 2, token: "t-2" } }),
    Buffer.from((await http.post(url, { json: { q: 1 } })).body).toString("hex"),
  ];
  const answers = await ask(recorded.http);
  assert.deepEqual(answers, [{ page: 1 }, { page: 2 }, "fffe00"]);
  assert.equal(recorded.clock.time, 60_000);

  const replayed = clientOf(t, {
    credential: "key-of-another",
    files: { replay: record },
    manifest: { rate_limits: [{ requests: 1, per: "1h" }] },
  });
  assert.deepEqual(await ask(replayed.http), answers);
  assert.equal(replayed.clock.time, 0);
  assert.deepEqual(await replayed.http.json(url, { query: { a: 1, b: 2, token: "t-3" } }), { page: 2 }, "the last one goes on answering");

  const missing = (error: unknown) => {
    assert.ok(error instanceof ConnectorError && error.reason === "SOURCE_UNAVAILABLE");
    return error.message;
  };
  const other = await replayed.http.get(url, { query: { a: 1, b: 3 } }).then(() => "", missing);
  assert.match(other, /no answer to GET .*a=1&b=3; the nearest that it has is GET .*a=1/);
  const body = await replayed.http.post(url, { json: { q: 2 } }).then(() => "", missing);
  assert.match(body, /with another body/);
});

test("redirects are recorded one by one, and their addresses are redacted", async (t) => {
  const record = file(t);
  const { url } = await source(
    t,
    answering(302, "", { location: "/moved?signature_key=of-this-moment&page=1" }),
    answering(200, { ok: true }),
  );
  assert.deepEqual(await clientOf(t, { files: { record } }).http.json(url), { ok: true });
  assert.ok(!readFileSync(record, "utf8").includes("of-this-moment"));
  assert.deepEqual(await clientOf(t, { files: { replay: record } }).http.json(url), { ok: true });
});

test("a recording that a crash cut off answers with what is whole in it; another file is refused", async (t) => {
  const record = file(t);
  const { url } = await source(t, answering(200, { page: 1 }));
  const { http } = clientOf(t, { files: { record } });
  await http.json(url);
  await http.json(`${url}/second`);
  const text = readFileSync(record, "utf8");
  writeFileSync(record, text.slice(0, text.length - 200));
  assert.deepEqual(await clientOf(t, { files: { replay: record } }).http.json(url), { page: 1 });
  writeFileSync(record, "a letter");
  assert.throws(() => clientOf(t, { files: { replay: record } }), /no HAR/);
});
