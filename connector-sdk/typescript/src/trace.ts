/** The trace that a call is part of: connectord sends it as W3C `traceparent` when it makes traces. */

import type { Metadata } from "@grpc/grpc-js";

const FORM = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;

/** The call's `traceparent`, if it carries one that is well formed. */
export function traceparentOf(metadata: Metadata): string | undefined {
  const [given] = metadata.get("traceparent");
  if (typeof given !== "string" || !FORM.test(given)) return undefined;
  // Only later versions may add parts behind those of the first.
  return given.startsWith("00") && given.length > 55 ? undefined : given;
}
