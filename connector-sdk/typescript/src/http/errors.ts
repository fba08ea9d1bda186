/** What the source's answers mean: the author's table first, then the usual. */

import { ConnectorError, type ErrorDetails, type Reason } from "../errors.js";
import type { HttpResponse } from "./response.js";

/** The reason of an answer by its status; a function looks at the answer and says nothing where the usual holds. */
export type ErrorTable = Readonly<Record<number, Reason | ((response: HttpResponse) => Reason | ConnectorError | undefined)>>;

/** The error that an answer is. `tables` come before the usual, in their order. */
export function errorOf(
  response: HttpResponse,
  tables: readonly ErrorTable[],
  isOauth: boolean,
  retryAfterMs: number | undefined,
): ConnectorError {
  const { status } = response;
  const details: ErrorDetails = { metadata: { http_status: String(status) }, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  for (const table of tables) {
    const entry = table[status];
    const said = typeof entry === "function" ? entry(response) : entry;
    if (said instanceof ConnectorError) return said;
    if (said !== undefined) return new ConnectorError(said, messageOf(response), details);
  }
  return new ConnectorError(usual(status, isOauth), messageOf(response), details);
}

function usual(status: number, isOauth: boolean): Reason {
  if (status === 401) return isOauth ? "CREDENTIAL_EXPIRED" : "CREDENTIAL_REVOKED";
  if (status === 403) return "ACCESS_DENIED";
  if (status === 404 || status === 410) return "NOT_FOUND";
  if (status === 413) return "CONTENT_TOO_LARGE";
  if (status === 429) return "RATE_LIMITED";
  return status >= 500 ? "SOURCE_UNAVAILABLE" : "INTERNAL";
}

/** Tells the request by its path: a query may hold what is nobody's business. */
function messageOf({ status, statusText, request }: HttpResponse): string {
  const { hostname, pathname } = new URL(request.url);
  return `the source answered ${status}${statusText && ` ${statusText}`} to ${request.method} ${hostname}${pathname}`;
}
