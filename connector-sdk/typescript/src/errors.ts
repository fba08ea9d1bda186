/** How a failure is told: a reason from the contract's closed list, a message for a person, and facts for a program. */

import { create } from "@bufbuild/protobuf";
import { status as Code } from "@grpc/grpc-js";
import { type Error as ErrorProto, ErrorSchema, Reason as ReasonProto } from "./gen/superfasttt/connector/v1/errors_pb.js";

/** Why something could not be done: the values of `Reason` in errors.proto, which tells who must act and whether waiting helps. */
export type Reason = Exclude<keyof typeof ReasonProto, "UNSPECIFIED">;

type Actor = "user" | "admin" | "author" | "nobody";

/** The gRPC code that a reason travels under, and who has to do something about it. */
export const REASONS: Readonly<Record<Reason, { code: Code; actor: Actor }>> = {
  CREDENTIAL_EXPIRED: { code: Code.UNAUTHENTICATED, actor: "nobody" },
  CREDENTIAL_REVOKED: { code: Code.UNAUTHENTICATED, actor: "user" },
  SCOPE_MISSING: { code: Code.PERMISSION_DENIED, actor: "user" },
  ACCESS_DENIED: { code: Code.PERMISSION_DENIED, actor: "admin" },
  NOT_FOUND: { code: Code.NOT_FOUND, actor: "user" },
  RATE_LIMITED: { code: Code.RESOURCE_EXHAUSTED, actor: "nobody" },
  QUOTA_EXHAUSTED: { code: Code.RESOURCE_EXHAUSTED, actor: "nobody" },
  CURSOR_INVALID: { code: Code.OUT_OF_RANGE, actor: "nobody" },
  PAGINATION_LOOP: { code: Code.INTERNAL, actor: "author" },
  NO_PROGRESS: { code: Code.ABORTED, actor: "author" },
  SETTINGS_INVALID: { code: Code.INVALID_ARGUMENT, actor: "user" },
  SOURCE_UNAVAILABLE: { code: Code.UNAVAILABLE, actor: "nobody" },
  CONTENT_TOO_LARGE: { code: Code.FAILED_PRECONDITION, actor: "user" },
  CONTENT_UNREADABLE: { code: Code.FAILED_PRECONDITION, actor: "user" },
  PERMISSIONS_UNKNOWN: { code: Code.FAILED_PRECONDITION, actor: "nobody" },
  CONNECTOR_CRASHED: { code: Code.UNAVAILABLE, actor: "author" },
  PROTOCOL_VIOLATION: { code: Code.INTERNAL, actor: "author" },
  TOO_MANY_ITEM_ERRORS: { code: Code.ABORTED, actor: "user" },
  UNIMPLEMENTED: { code: Code.UNIMPLEMENTED, actor: "nobody" },
  INTERNAL: { code: Code.INTERNAL, actor: "author" },
};

/** What may be said of a failure beside its reason and message. */
export interface ErrorDetails {
  /** The connector's own stable code below the reason, such as "google-drive.export_size_limit". */
  code?: string;
  /** More facts for a program, never secrets: `field` names a setting, `scope` a scope. */
  metadata?: Record<string, string>;
  /** How long to wait before trying again, where that is known. */
  retryAfterMs?: number;
  /** What it came from. It goes to the log and never travels. */
  cause?: unknown;
}

/**
 * A failure with its reason. Thrown from `pull` it ends the pull; thrown from `normalize`, or given as an item error, it is that
 * item's and the pull goes on. The message is for a person: a lower-case fragment without full stop and without secrets.
 */
export class ConnectorError extends Error {
  override readonly name = "ConnectorError";
  readonly reason: Reason;
  /** Empty: none. */
  readonly code: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;

  constructor(reason: Reason, message: string, details: ErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.reason = reason;
    this.code = details.code ?? "";
    this.metadata = { ...details.metadata };
    this.retryAfterMs = details.retryAfterMs;
  }

  /** The message for one item or scope, sent inside a stream. */
  toProto(): ErrorProto {
    const { message, code, metadata } = this;
    return create(ErrorSchema, { reason: ReasonProto[this.reason], message, code, metadata });
  }

  static fromProto(error: ErrorProto | undefined): ConnectorError {
    const name = ReasonProto[error?.reason ?? 0] as keyof typeof ReasonProto | undefined;
    const reason = name === undefined || name === "UNSPECIFIED" ? "INTERNAL" : name;
    return new ConnectorError(reason, error?.message ?? "", { code: error?.code ?? "", metadata: error?.metadata ?? {} });
  }
}

/** The connector has done what the contract does not allow. */
export function violation(message: string): ConnectorError {
  return new ConnectorError("PROTOCOL_VIOLATION", message);
}

/** The call or capability does not exist in this connector. */
export function unimplemented(what: string): ConnectorError {
  return new ConnectorError("UNIMPLEMENTED", `this connector does not serve ${what}`);
}

/**
 * What travels of whatever the author's code threw. Of an error without a reason only its kind does, because what it says may quote
 * data; `log` gets the stack.
 */
export function classify(thrown: unknown, log: (stack: string) => void): ConnectorError {
  if (thrown instanceof ConnectorError) return thrown;
  const kind = thrown instanceof Error ? thrown.constructor.name : typeof thrown;
  log(thrown instanceof Error ? (thrown.stack ?? String(thrown)) : `something was thrown that is no Error: ${kind}`);
  return new ConnectorError("INTERNAL", `the connector's code ended with ${kind}: its log says where`, { cause: thrown });
}
