/** The HTTP client: what an author need not write. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import { ConnectorError, type Reason } from "@superfasttt/connector";
import { AllowedHosts } from "#sdk/http/hosts.js";
import { PACKAGE } from "./support/paths.js";
import { run } from "./support/processes.js";
import { answering, breaking, clientOf, source } from "./support/source.js";

function reason(wanted: Reason, look: (error: ConnectorError) => void = () => {}) {
  return (error: unknown) => {
    assert.ok(error instanceof ConnectorError, String(error));
    assert.equal(error.reason, wanted, error.message);
    look(error);
    return true;
  };
}

test("the credential, the agent and the trace go with each request, and a relative address is below the base", async (t) => {
  const asked = await source(t, answering(200, { ok: true }));
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const base = (settings: object) => `${(settings as { url: string }).url}/api/`;
  for (const [auth, credential, expected] of [
    ["api_key", "key-1", "Bearer key-1"],
    ["bearer_token", "token-1", "Bearer token-1"],
    ["oauth2", "access-1", "Bearer access-1"],
    ["basic", "alex:pass:word", `Basic ${Buffer.from("alex:pass:word").toString("base64")}`],
  ] as const) {
    const { http } = clientOf(t, {
      manifest: { auth: { type: auth } },
      credential,
      settings: { url: asked.url },
      http: { baseUrl: base },
      traceparent,
    });
    assert.deepEqual(await http.json("/items", { query: { page: 2, tag: ["a", "b c"], none: undefined } }), { ok: true });
    const last = asked.asked.at(-1);
    assert.equal(last?.path, "/api/items?page=2&tag=a&tag=b+c");
    assert.equal(last?.headers.authorization, expected);
    assert.equal(last?.headers["traceparent"], traceparent);
    assert.match(last?.headers["user-agent"] ?? "", /^test\/0\.0\.0 superfasttt-connector-typescript\//);
  }
  const { http } = clientOf(t, { credential: "key-1" });
  await http.post(asked.url, { json: { a: 1 }, authorize: false });
  assert.deepEqual([asked.asked.at(-1)?.body, asked.asked.at(-1)?.headers.authorization], ['{"a":1}', undefined]);
});

test("429 and 503 with Retry-After are waited for, as seconds or as a date", async (t) => {
  const { url, asked } = await source(
    t,
    answering(429, "", { "retry-after": "7" }),
    answering(503, "", { "retry-after": "Thu, 01 Jan 2026 00:00:27 GMT" }),
    answering(200, { ok: true }),
  );
  const { http, clock } = clientOf(t);
  // A POST too: the source has said that it did nothing.
  assert.deepEqual((await http.post(url, { json: {} })).json(), { ok: true });
  assert.deepEqual([clock.time, asked.length], [27_000, 3]);
});

test("a longer wait is the server's: RATE_LIMITED with the time", async (t) => {
  const { url, asked } = await source(t, answering(429, "", { "retry-after": "61" }));
  const { http, clock } = clientOf(t);
  await assert.rejects(
    http.get(url),
    reason("RATE_LIMITED", ({ retryAfterMs }) => assert.equal(retryAfterMs, 61_000)),
  );
  assert.deepEqual([clock.time, asked.length], [0, 1]);
  const absurd = await source(t, answering(429, "", { "retry-after": "9".repeat(400) }));
  await assert.rejects(http.get(absurd.url), reason("RATE_LIMITED"));
});

test("a 429 without a time backs off from a second, doubled, and is not waited for for ever", async (t) => {
  const { url } = await source(t, answering(429));
  const { http, clock } = clientOf(t);
  await assert.rejects(
    http.get(url),
    reason("RATE_LIMITED", ({ retryAfterMs }) => assert.ok((retryAfterMs ?? 0) > 0)),
  );
  assert.deepEqual(clock.slept.slice(0, 4), [750, 1500, 3000, 6000]);
  assert.ok(clock.time <= 60_000);
});

test("what is safe is tried four times on a broken connection and on 502, 503, 504; nothing else is", async (t) => {
  for (const [answer, method, times] of [
    [breaking, "GET", 4],
    [breaking, "PUT", 4],
    [breaking, "POST", 1],
    [breaking, "PATCH", 1],
    [answering(502), "GET", 4],
    [answering(503), "DELETE", 4],
    [answering(504), "POST", 1],
    [answering(500), "GET", 1],
  ] as const) {
    const { url, asked } = await source(t, answer);
    const { http } = clientOf(t);
    await assert.rejects(http.request(method, url), reason("SOURCE_UNAVAILABLE"));
    assert.equal(asked.length, times, `${method} ${answer}`);
  }
});

test("a body that breaks off is asked for again", async (t) => {
  const { url, asked } = await source(
    t,
    (_asked, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("half", () => response.destroy());
    },
    answering(200, { whole: true }),
  );
  const { http } = clientOf(t);
  assert.deepEqual(await http.json(url), { whole: true });
  assert.equal(asked.length, 2);
});

test("answers have their reasons, and an author's tables come first", async (t) => {
  for (const [status, auth, expected] of [
    [401, "oauth2", "CREDENTIAL_EXPIRED"],
    [401, "api_key", "CREDENTIAL_REVOKED"],
    [403, "api_key", "ACCESS_DENIED"],
    [404, "api_key", "NOT_FOUND"],
    [410, "api_key", "NOT_FOUND"],
    [413, "api_key", "CONTENT_TOO_LARGE"],
    [418, "api_key", "INTERNAL"],
    [500, "api_key", "SOURCE_UNAVAILABLE"],
  ] as const) {
    const { url } = await source(t, answering(status, { quota: "day" }));
    const { http } = clientOf(t, { manifest: { auth: { type: auth } }, credential: "secret-value" });
    await assert.rejects(
      http.get(`${url}/p?token=secret-value`),
      reason(expected, ({ message }) => assert.ok(message.includes(String(status)) && !message.includes("secret-value"))),
    );
  }
  const { url } = await source(t, answering(403, { quota: "day" }));
  const errors = {
    403: (response: { json<T>(): T }) => (response.json<{ quota: string }>().quota === "day" ? ("QUOTA_EXHAUSTED" as const) : undefined),
  };
  const { http } = clientOf(t, { http: { errors } });
  await assert.rejects(http.get(url), reason("QUOTA_EXHAUSTED"));
  await assert.rejects(http.get(url, { errors: { 403: "SCOPE_MISSING" } }), reason("SCOPE_MISSING"));
});

test("only allowed hosts are asked, also after a redirect, and the error says which line is missing", async (t) => {
  const { url, asked } = await source(t, answering(302, "", { location: "http://localhost:1/elsewhere" }));
  const { http } = clientOf(t);
  await assert.rejects(
    http.get(url),
    reason("SETTINGS_INVALID", ({ message }) => assert.match(message, /allowed_hosts has no line "localhost"/)),
  );
  assert.equal(asked.length, 1);
  for (const wrong of [
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "http://user:pass@127.0.0.1/",
    "http://127.0.0.1.example.com/",
    "not an address",
    "//127.0.0.1/x",
  ]) {
    await assert.rejects(
      http.get(wrong),
      reason("SETTINGS_INVALID", ({ message }) => assert.ok(!message.includes("pass@"))),
      wrong,
    );
  }
});

test("lines of allowed_hosts: a name, any name below, a port", () => {
  const hosts = new AllowedHosts(["api.example.com", "*.example.org", "only.example.net:8443"]);
  for (const url of ["https://API.EXAMPLE.COM./", "https://a.b.example.org:444/", "https://only.example.net:8443/"])
    hosts.check(new URL(url));
  const others = ["api.example.com.evil.test", "example.org", "badexample.org", "only.example.net", "x.api.example.com"];
  for (const host of others) assert.throws(() => hosts.check(new URL(`https://${host}/`)), reason("SETTINGS_INVALID"), host);
});

test("without allowed_hosts no host of this machine or a private network is asked, by whatever name", async (t) => {
  const { asked, url } = await source(t, answering(200));
  const port = new URL(url).port;
  const { http } = clientOf(t, { manifest: { allowed_hosts: [] } });
  const hosts = [
    "127.0.0.1",
    "localhost",
    "2130706433",
    "0x7f.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "0.0.0.0",
    "10.1.2.3",
    "172.20.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "[fd00::1]",
    "[fe80::1]",
    "[64:ff9b::7f00:1]",
    "metadata.google.internal",
    "printer.local",
  ];
  for (const host of hosts) await assert.rejects(http.get(`http://${host}:${port}/`), reason("SETTINGS_INVALID"), host);
  assert.equal(asked.length, 0);
});

test("a redirect to another host loses the credential, to the same one it keeps it", async (t) => {
  const other = await source(t, answering(200, { ok: true }));
  const there = await source(t, answering(302, "", { location: "/moved" }), answering(307, "", { location: `${other.url}/away` }));
  const { http } = clientOf(t, { credential: "key-1" });
  assert.deepEqual(await http.json(there.url, { headers: { "x-api-key": "key-1", "x-page": "1" } }), { ok: true });
  assert.equal(there.asked[1]?.headers.authorization, "Bearer key-1");
  const [away] = other.asked;
  assert.deepEqual(
    [away?.path, away?.headers.authorization, away?.headers["x-api-key"], away?.headers["x-page"]],
    ["/away", undefined, undefined, "1"],
  );
});

test("redirects that go round in a circle end", async (t) => {
  const { url, asked } = await source(t, answering(302, "", { location: "/again" }));
  const { http } = clientOf(t);
  await assert.rejects(http.get(url), reason("SOURCE_UNAVAILABLE"));
  assert.equal(asked.length, 11);
});

test("the rate limits of the manifest are kept for each connection", async (t) => {
  const times: number[] = [];
  const { url } = await source(t, (_asked, response) => {
    times.push(clock.time);
    response.end("{}");
  });
  const { http, clock, another } = clientOf(t, {
    manifest: {
      rate_limits: [
        { requests: 3, per: "1s" },
        { requests: 5, per: "1m" },
      ],
    },
  });
  for (let request = 0; request < 7; request += 1) await http.get(url);
  assert.deepEqual(times, [0, 0, 0, 1000, 1000, 60_000, 60_000]);
  const before = clock.time;
  await another({ url: "of another connection" }).get(url);
  assert.equal(clock.time, before, "another connection waits for its own requests only");
});

test("a source that says when holds back what else the connection asks", async (t) => {
  const { url } = await source(t, answering(429, "", { "retry-after": "5" }), answering(200));
  const { http, clock } = clientOf(t);
  await http.get(url);
  await http.get(url);
  assert.equal(clock.time, 5000);
});

test("a certificate of the credential is shown to its host, and not to the one that a redirect leads to", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "certificate-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const made = await run(
    "openssl",
    [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "2",
      "-subj",
      "/CN=127.0.0.1",
      "-addext",
      "subjectAltName=IP:127.0.0.1",
      "-keyout",
      "key.pem",
      "-out",
      "certificate.pem",
    ],
    { cwd: folder },
  );
  assert.equal(made.code, 0, made.stderr);
  const [cert, key] = ["certificate.pem", "key.pem"].map((name) => readFileSync(join(folder, name), "utf8"));
  const shown: string[] = [];
  const secure = (answer: (response: ServerResponse) => void) =>
    new Promise<string>((resolve) => {
      const server = createServer({ cert, key, ca: cert, requestCert: true, rejectUnauthorized: false }, (request, response) => {
        const { subject } = (request.socket as TLSSocket).getPeerCertificate();
        shown.push(`${request.url} ${subject?.CN ?? "nobody"}`);
        answer(response);
      });
      t.after(() => {
        server.closeAllConnections();
        server.close();
      });
      server.listen(0, "127.0.0.1", () => resolve(`https://127.0.0.1:${(server.address() as AddressInfo).port}`));
    });
  const other = await secure((response) => response.end("{}"));
  const url = await secure((response) => response.writeHead(302, { location: `${other}/other` }).end());
  // The connector trusts what the system trusts; here that is our own certificate too.
  const program = `
    import { readFileSync } from "node:fs";
    import { connect } from "@superfasttt/connector/testing";
    const manifest = JSON.stringify({ id: "test", auth: { type: "client_certificate" }, sync: { mode: "full" }, allowed_hosts: ["127.0.0.1"] });
    const connector = await connect({ manifest, normalize: () => ({}), async *pull(ctx) { await ctx.http.get(${JSON.stringify(`${url}/first`)}); } });
    const client_certificate = { certificate_pem: readFileSync("certificate.pem", "utf8"), private_key_pem: readFileSync("key.pem", "utf8") };
    const { error } = await connector.pull({ credential: JSON.stringify({ client_certificate }) });
    await connector.close();
    process.exit(error ? (console.error(error), 1) : 0);`;
  const file = join(PACKAGE, "build", `certificate-${process.pid}.mjs`);
  writeFileSync(file, program);
  t.after(() => rmSync(file, { force: true }));
  const pulled = await run(process.execPath, [file], { cwd: folder, env: { NODE_EXTRA_CA_CERTS: join(folder, "certificate.pem") } });
  assert.equal(pulled.code, 0, pulled.stderr);
  assert.deepEqual(shown, ["/first 127.0.0.1", "/other nobody"]);
});

test("a cancelled call ends its request", async (t) => {
  let isClosed: Promise<unknown> | undefined;
  const { url } = await source(t, (_asked, response) => {
    isClosed = once(response, "close");
    cancel();
  });
  const { http, cancel } = clientOf(t);
  await assert.rejects(
    http.get(url),
    reason("SOURCE_UNAVAILABLE", ({ message }) => assert.equal(message, "cancelled")),
  );
  await isClosed;
});

test("what is no JSON is said without quoting it, and a credential that no header carries neither", async (t) => {
  const { url } = await source(t, answering(200, "<html>secret page</html>", { "content-type": "text/html" }));
  const { http } = clientOf(t);
  await assert.rejects(
    http.json(url),
    reason("SOURCE_UNAVAILABLE", ({ message }) => assert.ok(!message.includes("secret page"))),
  );
  const broken = clientOf(t, { credential: "key\nwith a line" });
  await assert.rejects(
    broken.http.get(url),
    reason("CREDENTIAL_REVOKED", (error) => assert.ok(!JSON.stringify([error.message, error.stack]).includes("with a line"))),
  );
});

test("a stream gives the bytes as they come", async (t) => {
  const { url } = await source(t, (_asked, response) => {
    response.write("first ");
    response.end("second");
  });
  const { http } = clientOf(t);
  const { body } = await http.stream(url);
  let text = "";
  for await (const chunk of body) text += Buffer.from(chunk).toString();
  assert.equal(text, "first second");
});
