/** Everything that a pull brought, in order. */

import { ConnectorError } from "../errors.js";
import type { Change, PullResponse } from "../gen/superfasttt/connector/v1/connector_pb.js";
import type { DocumentEnvelope } from "../gen/superfasttt/connector/v1/document_pb.js";

type Kind = Change["kind"];
type ValueOf<Case extends NonNullable<Kind["case"]>> = Extract<Kind, { case: Case }>["value"];

/** A pull that has ended. */
export class Pulled {
  /** The messages of the stream. */
  readonly responses: readonly PullResponse[];
  /** The error that it ended with. */
  readonly error: ConnectorError | undefined;

  constructor(responses: readonly PullResponse[], error: ConnectorError | undefined) {
    this.responses = responses;
    this.error = error;
  }

  get pages() {
    return this.responses.flatMap(({ kind }) => (kind.case === "page" ? [kind.value] : []));
  }

  get changes(): Kind[] {
    return this.pages.flatMap(({ changes }) => changes.map(({ kind }) => kind));
  }

  get documents(): DocumentEnvelope[] {
    return this.#of("document");
  }

  get rawItems() {
    return this.#of("raw");
  }

  get present() {
    return this.#of("present");
  }

  get deletions() {
    return this.#of("deletion");
  }

  get containers() {
    return this.#of("container");
  }

  /** The items that failed: their ids or locators, and why. */
  get itemErrors(): { target: string | undefined; error: ConnectorError }[] {
    return this.#of("itemError").map(({ target, error }) => ({ target: target.value, error: ConnectorError.fromProto(error) }));
  }

  /** The checkpoints with their scopes. */
  get checkpoints(): { scope: string; cursor: string; hasMore: boolean; listingComplete: boolean }[] {
    return this.pages.flatMap(({ scope, checkpoint }) => {
      if (checkpoint === undefined) return [];
      const { cursor, hasMore, listingComplete } = checkpoint;
      return [{ scope, cursor: Buffer.from(cursor).toString(), hasMore, listingComplete }];
    });
  }

  /** The lines for the run's log. */
  get logs(): string[] {
    return this.responses.flatMap(({ kind }) => (kind.case === "log" ? [kind.value.message] : []));
  }

  #of<Case extends NonNullable<Kind["case"]>>(name: Case): ValueOf<Case>[] {
    return this.changes.flatMap((kind) => (kind.case === name ? [kind.value as ValueOf<Case>] : []));
  }
}
