"""Drives a connector as connectord does, in this process: for the tests that an author writes.

    pulled = testing.pull(Tracker, {"url": url}, credential="tracker-key")
    assert pulled.documents["7"].title == "Issue 7"
    assert pulled.complete

    changed = testing.pull(Tracker, {"url": url}, credential="tracker-key", mode=Mode.INCREMENTAL, states=pulled.states)

These are plain functions: call them outside of a running event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from superfasttt.connector.v1 import connector_pb2 as pb
from superfasttt.connector.v1 import document_pb2

from . import local, manifest
from .call import Factory, Program
from .changes import Mode
from .connector import BaseConnector
from .local import Asked, Failure


@dataclass(slots=True)
class Pulled:
    """What a pull brought."""

    messages: list[pb.PullResponse] = field(default_factory=list)
    """All that was sent, in its order."""
    documents: dict[str, document_pb2.DocumentEnvelope] = field(default_factory=dict)
    """The documents by id; of one that was deleted after it was given nothing is left."""
    raw: dict[str, pb.RawItem] = field(default_factory=dict)
    present: dict[str, str] = field(default_factory=dict)
    """The versions that a LIST brought, by id."""
    deletions: list[str] = field(default_factory=list)
    """Ids, or locators."""
    item_errors: dict[str, pb.ItemError] = field(default_factory=dict)
    """By id or locator; "" for those without."""
    scope_errors: dict[str, pb.ScopeError] = field(default_factory=dict)
    scopes_removed: dict[str, pb.ScopeRemoved] = field(default_factory=dict)
    logs: list[str] = field(default_factory=list)
    states: dict[str, bytes] = field(default_factory=dict)
    """The cursor of each scope as the server would keep it. Give it to the next pull."""
    checkpoints: list[tuple[str, pb.Checkpoint]] = field(default_factory=list)
    error: Failure | None = None
    """What ended the pull, where it was no good end."""

    @property
    def changes(self) -> list[pb.Change]:
        """The changes of all pages."""
        return [change for message in self.messages for change in message.page.changes]

    @property
    def complete(self) -> bool:
        """Whether a listing was completed in some scope: what was not named there is then deleted."""
        return any(checkpoint.listing_complete for _, checkpoint in self.checkpoints)

    def take(self, response: pb.PullResponse) -> None:
        """Adds a message of the stream."""
        self.messages.append(response)
        match response.WhichOneof("kind"):
            case "page":
                for change in response.page.changes:
                    self._take_change(change)
                if response.page.HasField("checkpoint"):
                    self.checkpoints.append((response.page.scope, response.page.checkpoint))
                    self.states[response.page.scope] = response.page.checkpoint.cursor
            case "scope_error":
                self.scope_errors[response.scope_error.scope] = response.scope_error
            case "scope_removed":
                self.scopes_removed[response.scope_removed.scope] = response.scope_removed
            case "log":
                self.logs.append(response.log.message)

    def _take_change(self, change: pb.Change) -> None:
        match change.WhichOneof("kind"):
            case "document":
                self.documents[change.document.id] = change.document
            case "raw":
                self.raw[change.raw.id] = change.raw
            case "present":
                self.present[change.present.id] = change.present.version
            case "deletion":
                name = change.deletion.id or change.deletion.locator
                self.deletions.append(name)
                self.documents.pop(name, None)
            case "item_error":
                self.item_errors[change.item_error.id or change.item_error.locator] = change.item_error


def program(
    connector: type[BaseConnector[Any]],
    *,
    loader: Factory | None = None,
    api: Factory | None = None,
    manifest_json: str | None = None,
) -> Program:
    """A connector with its manifest, which is found as `run` finds it unless it is given here."""
    found = manifest.read(manifest.find(connector)) if manifest_json is None else manifest.parse(manifest_json)
    factories = {name: factory for name, factory in (("loader", loader), ("api", api)) if factory is not None}
    return Program(connector, found, factories)


def pull(
    connector: type[BaseConnector[Any]] | Program,
    settings: Mapping[str, Any] | None = None,
    *,
    credential: str | None = None,
    mode: Mode = Mode.FULL,
    states: Mapping[str, bytes] | None = None,
    scopes: Sequence[str] = (),
    ids: Sequence[str] = (),
    want_raw: bool = False,
    limits: pb.PullLimits | None = None,
) -> Pulled:
    """One pull, as one call of the server.

    Args:
        connector: the class, or what `program` made of it.
        settings: the connection's settings.
        credential: a token or key, or JSON with the fields of several.
        mode: what is asked.
        states: where the scopes stand; `Pulled.states` of an earlier pull.
        scopes: only these.
        ids: those that TARGETED asks for.
        want_raw: items before `normalize`, as connections with `keep_raw` are given them.
        limits: how large pages may be.
    """
    served = connector if isinstance(connector, Program) else program(connector)
    request = pb.PullRequest(mode=mode.value, ids=ids, scopes=scopes, want_raw=want_raw, limits=limits)
    request.states.extend(pb.ScopeState(scope=scope, cursor=cursor) for scope, cursor in (states or {}).items())
    pulled = Pulled()
    given = local.credential(served.manifest, credential) if credential is not None else None
    pulled.error = asyncio.run(local.pull_once(served, Asked(settings or {}, given), request, pulled.take))
    return pulled


def normalize(
    connector: type[BaseConnector[Any]] | Program,
    items: Iterable[pb.RawItem],
    settings: Mapping[str, Any] | None = None,
) -> list[pb.NormalizeResponse]:
    """Runs kept items through the connector: what `pull(…, want_raw=True)` brought, or files beside your tests."""
    served = connector if isinstance(connector, Program) else program(connector)
    return asyncio.run(local.normalize(served, Asked(settings or {}), items))


def checks(
    connector: type[BaseConnector[Any]] | Program,
    settings: Mapping[str, Any] | None = None,
    *,
    credential: str | None = None,
) -> pb.TestConnectionResponse:
    """What `test_connection` finds.

    Raises:
        AssertionError: the call itself failed.
    """
    served = connector if isinstance(connector, Program) else program(connector)
    given = local.credential(served.manifest, credential) if credential is not None else None
    tested = asyncio.run(local.test_connection(served, Asked(settings or {}, given)))
    if tested.error is not None:
        raise AssertionError(f"TestConnection ended with {tested.error.reason}: {tested.error.message}")
    return tested.response
