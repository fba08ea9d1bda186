/** The contract's service, answered by an author's connector. */

import { create } from "@bufbuild/protobuf";
import { Calls, CONTRACT_REVISION, checkRevision } from "./calls.js";
import { testConnection, toTestResponse } from "./checks.js";
import type { LoadedConnector } from "./connector.js";
import { sendContent } from "./content.js";
import { unimplemented, violation } from "./errors.js";
import {
  Connector as ConnectorService,
  DescribeResponseSchema,
  DiscoverResponseSchema,
  ExecuteResponseSchema,
  HandleEventResponseSchema,
} from "./gen/superfasttt/connector/v1/connector_pb.js";
import type { Handlers, Handling } from "./grpc.js";
import type { Traffic } from "./http/traffic.js";
import type { Log } from "./log.js";
import { normalize } from "./normalizing.js";
import { pull } from "./pulling.js";
import { SDK_VERSION } from "./version.js";

const DEFAULT_DISCOVER_PAGE = 100;
const MAX_DISCOVER_PAGE = 1000;

/** The handlers of `superfasttt.connector.v1.Connector`. */
export function connectorHandlers(connector: LoadedConnector, traffic: Traffic, log: Log, handling: Handling): Handlers {
  const { definition, manifest } = connector;
  const { method } = ConnectorService;
  const calls = new Calls(connector, traffic, log);
  const redact = (text: string) => log.redact(text);

  return {
    describe: handling.unary(method.describe, async ({ contractRevision }) => {
      checkRevision(contractRevision);
      return create(DescribeResponseSchema, {
        manifestJson: manifest.text,
        capabilities: Object.fromEntries(
          [...manifest.capabilities].map((name) => [name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()), true]),
        ),
        contractRevisions: [CONTRACT_REVISION],
        sdk: `typescript/${SDK_VERSION}`,
      });
    }),

    testConnection: handling.unary(method.testConnection, async (request, call) =>
      toTestResponse(await testConnection(connector, () => calls.checked("test_connection", request, call))),
    ),

    discover: handling.unary(method.discover, async (request, call) => {
      if (!definition.discover || !manifest.capabilities.has("discover")) throw unimplemented("discover");
      if (request.pageSize < 0) throw violation("page_size is negative");
      const { picker, parentId, query, pageToken } = request;
      const pageSize = Math.min(request.pageSize || DEFAULT_DISCOVER_PAGE, MAX_DISCOVER_PAGE);
      const context = calls.unchecked("discover", request, call);
      const { resources, nextPageToken = "" } = await definition.discover({ ...context, picker, parentId, query, pageSize, pageToken });
      return create(DiscoverResponseSchema, { resources: [...resources], nextPageToken });
    }),

    pull: handling.serverStreaming(method.pull, (request, send, call) =>
      pull(connector, request, calls.checked("pull", request, call), send, redact),
    ),

    normalize: handling.bidiStreaming(method.normalize, (requests, send) =>
      normalize(connector, requests, send, redact, (stack) => log.record("error", stack, { rpc: "normalize" })),
    ),

    fetchContent: handling.serverStreaming(method.fetchContent, async (request, send, call) => {
      if (!definition.fetchContent || !manifest.capabilities.has("fetch_content")) throw unimplemented("fetch_content");
      const { id, contentRef, version } = request;
      const maxBytes = request.maxBytes > 0n ? Number(request.maxBytes) : undefined;
      const context = calls.checked("fetch_content", request, call);
      await sendContent(await definition.fetchContent({ ...context, id, contentRef, version, maxBytes }), maxBytes, send);
    }),

    handleEvent: handling.unary(method.handleEvent, async (request, call) => {
      if (!definition.handleEvent || !manifest.capabilities.has("handle_event")) throw unimplemented("handle_event");
      const { method: httpMethod, path, body, signingSecret } = request;
      const settings = request.settings && connector.settings.read(request.settings);
      const context = calls.unchecked("handle_event", request, call, [signingSecret]);
      const headers = new Headers(request.headers.map(({ name, value }): [string, string] => [name, value]));
      const { answer, ...meaning } = await definition.handleEvent({
        ...context,
        settings,
        method: httpMethod,
        path,
        headers,
        body,
        signingSecret,
      });
      return create(HandleEventResponseSchema, {
        verified: meaning.verified,
        changedIds: [...(meaning.changedIds ?? [])],
        scopes: [...(meaning.scopes ?? [])],
        allScopes: meaning.allScopes ?? false,
        routingKeys: [...(meaning.routingKeys ?? [])],
        ...(answer && { answer: { status: answer.status, contentType: answer.contentType ?? "", body: Buffer.from(answer.body ?? "") } }),
      });
    }),

    execute: handling.unary(method.execute, async (request, call) => {
      if (!definition.execute || !manifest.capabilities.has("execute")) throw unimplemented("execute");
      const { action, input = {}, idempotencyKey } = request;
      const context = calls.checked("execute", request, call);
      return create(ExecuteResponseSchema, { output: await definition.execute({ ...context, action, input, idempotencyKey }) });
    }),
  };
}
