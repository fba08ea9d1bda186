/** The Pull rpc: the author's code run against a stream. */

import type { JsonObject } from "@bufbuild/protobuf";
import type { LoadedConnector } from "./connector.js";
import { type CallContext, PullContext } from "./context.js";
import { type ConnectorError, classify, unimplemented, violation } from "./errors.js";
import type { PullRequest } from "./gen/superfasttt/connector/v1/connector_pb.js";
import { unlessAborted } from "./grpc.js";
import { Listing, type Mode, PULL_MODES } from "./listing.js";
import { Making } from "./making.js";
import type { Capability, Manifest } from "./manifest.js";
import { Outlet, type Send } from "./outlet.js";
import { OpenPage } from "./page.js";
import { Sink } from "./sink.js";

/** A change waits no longer than this for its page to fill. */
const FLUSH_EVERY_MS = 1000;
/** The contract's own limit on ids in one request. */
const MAX_TARGETED_IDS = 1000;

/** Pulls, and sends what the pull brings. `redact` takes the secrets of the process out of texts. */
export async function pull(
  connector: LoadedConnector,
  request: PullRequest,
  call: CallContext<JsonObject>,
  send: Send,
  redact: (text: string) => string,
): Promise<void> {
  const mode = checkedMode(request, connector.manifest);
  const listing = new Listing(mode, connector.manifest.capabilities.has("full_listing"));
  const logStack = (stack: string) => call.log.error(stack);
  const outlet = new Outlet(send, new OpenPage(request.limits), listing, redact);
  const making = new Making(connector, call.settings, request.wantRaw, redact, logStack);
  const sink = new Sink(outlet, making, mode, request.ids, call.signal);
  const ticking = setInterval(() => void outlet.tick().catch(() => {}), FLUSH_EVERY_MS);
  let failure: ConnectorError | undefined;
  try {
    await unlessAborted(call.signal, run(connector, new PullContext(call, mode, request), sink));
    await sink.answerTheRest();
  } catch (error) {
    call.signal.throwIfAborted();
    failure = classify(error, logStack);
  } finally {
    clearInterval(ticking);
  }
  await sink.close();
  await outlet.finish(failure);
}

async function run({ definition }: LoadedConnector, context: PullContext<JsonObject>, sink: Sink<unknown>): Promise<void> {
  const pulled = definition.pull(context, sink);
  if (!(Symbol.asyncIterator in pulled)) return pulled;
  // Once the call is cancelled the sink refuses, which ends the generator where it yields: its `finally` runs.
  for await (const event of pulled) {
    const waiting = sink.take(event);
    if (waiting) await waiting;
  }
}

/** Whether the manifest and the contract allow this pull. */
function checkedMode({ mode: given, ids }: PullRequest, manifest: Manifest): Mode {
  const mode = (Object.keys(PULL_MODES) as Mode[]).find((name) => PULL_MODES[name] === given);
  if (mode === undefined) throw violation("the pull names no mode that is known");
  const needed: Partial<Record<Mode, Capability>> = { incremental: "incremental", list: "list", targeted: "targeted" };
  const capability = needed[mode];
  if (capability !== undefined && !manifest.capabilities.has(capability)) throw unimplemented(`${mode.toUpperCase()} pulls`);
  if ((mode === "targeted") !== ids.length > 0 || ids.length > MAX_TARGETED_IDS) {
    throw violation(`a TARGETED pull names 1 to ${MAX_TARGETED_IDS} ids and no other names any: ${ids.length}`);
  }
  return mode;
}
