/** What the author of a connector imports. README.md tells the first ten minutes. */

export type { JsonObject, JsonValue } from "@bufbuild/protobuf";
export {
  type Container,
  type Cursor,
  checkpoint,
  completeListing,
  container,
  deletion,
  document,
  itemError,
  log,
  type PullEvent,
  permissions,
  present,
  type RemovalCause,
  scopeError,
  scopeRemoved,
  type Target,
} from "./change.js";
export { failed, passed, skipped, warning } from "./checks.js";
export { serve } from "./cli/main.js";
export {
  type Check,
  type ConnectorDefinition,
  type Content,
  type DiscoverResult,
  defineConnector,
  type EventResult,
  type Resource,
  type TestResult,
} from "./connector.js";
export type { CallContext, DiscoverContext, EventContext, ExecuteContext, FetchContentContext, PullContext } from "./context.js";
export type { Credential } from "./credential.js";
export type { Document, ItemKey, Permissions, Time } from "./document.js";
export { ConnectorError, type ErrorDetails, type Reason } from "./errors.js";
export type { HttpClient, RequestOptions, StreamedResponse } from "./http/client.js";
export type { ErrorTable } from "./http/errors.js";
export type { HttpResponse } from "./http/response.js";
export type { Mode } from "./listing.js";
export type { Logger } from "./log.js";
export type { Sink } from "./sink.js";
