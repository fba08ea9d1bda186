/** What a call authenticates with. Printing it never shows a secret. */

import { inspect } from "node:util";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { ConnectorError } from "./errors.js";
import type { Credential as CredentialProto } from "./gen/superfasttt/connector/v1/connector_pb.js";
import type { Manifest } from "./manifest.js";

/** A fresh credential. It is good for this call only: keep nothing of it. */
export class Credential {
  readonly #proto: CredentialProto;
  readonly #manifest: Manifest;

  constructor(proto: CredentialProto, manifest: Manifest) {
    this.#proto = proto;
    this.#manifest = manifest;
  }

  /** What kind it is, in the words of the manifest's `auth.type`; values of `auth.fields` stand for the type that declares them. */
  get type(): string {
    switch (this.#proto.kind.case) {
      case "oauth2":
        return "oauth2";
      case "apiKey":
        return "api_key";
      case "bearerToken":
        return "bearer_token";
      case "basic":
        return "basic";
      case "clientCertificate":
        return "client_certificate";
      case "fields":
        return this.#manifest.authType;
      default:
        return "none";
    }
  }

  /**
   * The single secret of an OAuth grant, a bearer token or an API key.
   *
   * @throws ConnectorError SETTINGS_INVALID for a credential that has no such single secret.
   */
  token(): string {
    const { kind } = this.#proto;
    if (kind.case === "oauth2") return kind.value.accessToken;
    if (kind.case === "bearerToken") return kind.value.token;
    if (kind.case === "apiKey") return kind.value.key;
    const type = this.type;
    if (type === "api_key" || type === "bearer_token" || type === "oauth2") return this.#single(type === "api_key" ? "key" : "token");
    throw this.#otherKind("a token");
  }

  /**
   * User name and password.
   *
   * @throws ConnectorError SETTINGS_INVALID for a credential of another kind.
   */
  basic(): { username: string; password: string } {
    const { kind } = this.#proto;
    if (kind.case === "basic") return { username: kind.value.username, password: kind.value.password };
    if (this.type === "basic") return { username: this.field("username"), password: this.field("password") };
    throw this.#otherKind("a user name and password");
  }

  /**
   * Certificate chain and private key, both PEM.
   *
   * @throws ConnectorError SETTINGS_INVALID for a credential of another kind.
   */
  clientCertificate(): { certificatePem: string; privateKeyPem: string } {
    const { kind } = this.#proto;
    if (kind.case !== "clientCertificate") throw this.#otherKind("a client certificate");
    return { certificatePem: kind.value.certificatePem, privateKeyPem: kind.value.privateKeyPem };
  }

  /**
   * One of the values that the manifest's `auth.fields` declares.
   *
   * @throws ConnectorError SETTINGS_INVALID when it was not given.
   */
  field(name: string): string {
    const { kind } = this.#proto;
    const value = kind.case === "fields" && Object.hasOwn(kind.value.values, name) ? kind.value.values[name] : undefined;
    if (value === undefined) throw this.#otherKind(`the field ${JSON.stringify(name)}`);
    return value;
  }

  /** A value of the token reply that the manifest asked to keep, such as `instance_url`. */
  extra(name: string): string | undefined {
    return Object.hasOwn(this.#proto.extras, name) ? this.#proto.extras[name] : undefined;
  }

  /** When it ends, where that is known. */
  get expiresAt(): Date | undefined {
    return this.#proto.expiresAt && timestampDate(this.#proto.expiresAt);
  }

  /** Everything of it that must not be seen. Not user names, and not fields that the manifest declares as no secret. */
  secrets(): string[] {
    const { kind } = this.#proto;
    switch (kind.case) {
      case "oauth2":
        return [kind.value.accessToken];
      case "apiKey":
        return [kind.value.key];
      case "bearerToken":
        return [kind.value.token];
      case "basic":
        return [kind.value.password];
      case "clientCertificate":
        return [kind.value.privateKeyPem];
      case "fields":
        return Object.entries(kind.value.values).flatMap(([name, value]) => (this.#manifest.openFields.has(name) ? [] : [value]));
      default:
        return [];
    }
  }

  toJSON(): string {
    return `Credential(${this.type}, REDACTED)`;
  }

  toString(): string {
    return this.toJSON();
  }

  [inspect.custom](): string {
    return this.toJSON();
  }

  /** The one secret among the manifest's `auth.fields`: by its usual name, or because there is no other. */
  #single(name: string): string {
    const { kind } = this.#proto;
    const values = kind.case === "fields" ? kind.value.values : {};
    const secret = Object.keys(values).filter((field) => !this.#manifest.openFields.has(field));
    return this.field(Object.hasOwn(values, name) || secret.length !== 1 ? name : (secret[0] ?? name));
  }

  #otherKind(wanted: string): ConnectorError {
    return new ConnectorError("SETTINGS_INVALID", `this connector needs ${wanted}; the credential is of type ${this.type}`);
  }
}
