/** Which hosts may be asked: those of the manifest's `allowed_hosts`, else any that is not of this machine or a private network. */

import dns from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { ConnectorError } from "../errors.js";

const DEFAULT_PORTS: Readonly<Record<string, string>> = { "http:": "80", "https:": "443" };

const INTERNAL = new BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 3],
] as const) {
  INTERNAL.addSubnet(network, bits, "ipv4");
}
// Unspecified, loopback, addresses of IPv4 in other clothes, unique local, link-local, multicast.
for (const [network, bits] of [
  ["::", 96],
  ["64:ff9b::", 96],
  ["64:ff9b:1::", 48],
  ["2001::", 32],
  ["2002::", 16],
  ["fc00::", 7],
  ["fe80::", 10],
  ["fec0::", 10],
  ["ff00::", 8],
] as const) {
  INTERNAL.addSubnet(network, bits, "ipv6");
}

/** Keeps requests to the hosts that a manifest allows. */
export class AllowedHosts {
  readonly #allowed: readonly string[];

  constructor(allowed: readonly string[]) {
    this.#allowed = allowed;
  }

  /** Says no to an address before anything is sent. @throws ConnectorError SETTINGS_INVALID, which says which line is missing */
  check(url: URL): void {
    if (url.protocol !== "https:" && url.protocol !== "http:") {
      throw new ConnectorError(
        "SETTINGS_INVALID",
        `addresses of the source begin with https:// or http://, and this one with ${url.protocol}`,
      );
    }
    if (url.username !== "" || url.password !== "") {
      throw new ConnectorError(
        "SETTINGS_INVALID",
        "an address of the source has a user name or password in it: a credential is entered as such",
      );
    }
    const name = url.hostname.replace(/^\[|\]$/g, "");
    const isAllowed = this.#allowed.length > 0 ? this.#allowed.some((line) => matches(line, url)) : !isInternal(name);
    if (!isAllowed) throw refused(url.hostname);
  }

  /** How names are resolved. Without `allowed_hosts` a public name may not lead to a private address either. */
  get lookup(): LookupFunction {
    const isNamed = this.#allowed.length > 0;
    return (hostname, options, callback) => {
      dns.lookup(hostname, { ...options, all: true }, (error, addresses) => {
        if (error) return callback(error, "", 0);
        const open = isNamed ? addresses : addresses.filter(({ address }) => !isInternal(address));
        const [first] = open;
        if (first === undefined) return callback(refused(hostname) as NodeJS.ErrnoException, "", 0);
        if (options.all) return callback(null, open);
        callback(null, first.address, first.family);
      });
    };
  }
}

function refused(host: string): ConnectorError {
  const line = JSON.stringify(host);
  return new ConnectorError(
    "SETTINGS_INVALID",
    `the host ${host} is not one that the connector may ask: its manifest's allowed_hosts has no line ${line}`,
    {
      metadata: { host: host.slice(0, 256) },
    },
  );
}

/** `api.example.com`, `*.example.com` for any name below it, each with `:port` where only that one is meant. */
function matches(line: string, url: URL): boolean {
  const [, pattern = "", port] = /^(.*?)(?::(\d+))?$/.exec(line.toLowerCase()) ?? [];
  if (port !== undefined && port !== (url.port || DEFAULT_PORTS[url.protocol])) return false;
  const host = url.hostname.toLowerCase().replace(/\.$/, "");
  return pattern.startsWith("*.") ? host.endsWith(pattern.slice(1)) && host.length > pattern.length - 1 : host === pattern;
}

function isInternal(host: string): boolean {
  const version = isIP(host);
  if (version === 0) return /(^|\.)(localhost|local|internal|localdomain)\.?$/i.test(host);
  if (version === 4) return INTERNAL.check(host, "ipv4");
  // Mapped addresses (::ffff:10.0.0.1) are checked as what they stand for.
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(new URL(`http://[${host}]`).hostname.slice(1, -1));
  if (mapped === null) return INTERNAL.check(host, "ipv6");
  const [high, low] = [Number.parseInt(mapped[1] ?? "", 16), Number.parseInt(mapped[2] ?? "", 16)];
  return INTERNAL.check([high >> 8, high & 255, low >> 8, low & 255].join("."), "ipv4");
}
