"""Runs an author's `pull` through all that one request asks for."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from superfasttt.connector.v1 import connector_pb2 as pb

from . import changes, threads
from .changes import Checkpoint, InScope, ListingComplete, Mode, Page, Progress, ScopeRemoved, encode_cursor
from .errors import AccessDenied, ConnectorError, CursorInvalid, NotFound, PaginationLoop, ProtocolViolation, clip
from .item import Items, framed, may_name
from .limits import MAX_ID_BYTES, MAX_LOCATOR_BYTES, MAX_TITLE_BYTES, item_id, text
from .outlet import Outlet

if TYPE_CHECKING:
    from .connector import BaseConnector

_MAX_EMPTY_PAGES = 1000
"""So many pages without an item, one after the other, and each with a new cursor: nothing will come any more."""
_YIELD_SECONDS = 0.02


class Pull:
    """One pull, in all its scopes."""

    def __init__(self, connector: BaseConnector[Any], request: pb.PullRequest, outlet: Outlet) -> None:
        self._connector = connector
        self._call = connector._call
        self._request = request
        self._mode = connector.mode
        self._outlet = outlet
        self._states = {state.scope: state.cursor for state in request.states}
        named = [*self._states, *request.scopes, *request.known_scopes]
        self._call.known_scopes = list(dict.fromkeys(named))
        self._items = Items(connector, lambda: outlet.listing.skipped_unnamed(outlet.scope))
        self._yields_at = 0.0
        self._change_of, self._is_async = self._items.maker(self._mode, request.want_raw)

    async def run(self) -> None:
        """The whole pull. What ends it is raised."""
        if self._mode is Mode.TARGETED:
            await self._targeted()
            return
        scopes = await threads.called(self._connector.scopes)
        if isinstance(scopes, str):
            raise ConnectorError("`scopes` has to return a list of scopes, and returned text")
        for scope in scopes:
            if isinstance(scope, ScopeRemoved):
                if self._wants(scope.scope):
                    await self._remove(scope)
            elif self._wants(scope):
                await self._scope(scope)

    def _wants(self, scope: str) -> bool:
        wanted = self._request.scopes
        return (not wanted or scope in wanted) and scope not in self._request.except_scopes

    def _enter(self, scope: str) -> None:
        if not isinstance(scope, str) or len(scope.encode(errors="replace")) > MAX_ID_BYTES:
            message = f"a scope's name has over {MAX_ID_BYTES} bytes or is no text"
            raise self._outlet.refuse(ProtocolViolation(message))
        self._connector.scope = self._outlet.scope = scope

    async def _remove(self, removed: ScopeRemoved) -> None:
        self._enter(removed.scope)
        self._outlet.listing.stopped(removed.scope)
        message = pb.ScopeRemoved(scope=removed.scope, reason=removed.cause.value)
        await self._outlet.send(pb.PullResponse(scope_removed=message))

    async def _scope(self, scope: str) -> None:
        self._enter(scope)
        try:
            await self._pull(self._cursor(scope))
        except Exception as error:
            told = self._call.told(error)
            # What concerns a scope ends that scope; of a source that has only one, it is the connection's.
            of_scope = isinstance(told, (CursorInvalid, PaginationLoop)) or (
                scope and isinstance(told, (AccessDenied, NotFound))
            )
            if not of_scope:
                raise
            self._outlet.listing.stopped(scope)
            await self._outlet.send(pb.PullResponse(scope_error=pb.ScopeError(scope=scope, error=told.to_proto())))

    def _cursor(self, scope: str) -> Any:
        state = self._states.get(scope)
        if state is None:
            return None
        try:
            cursor = json.loads(state)
            model = self._connector.cursor_model
            return cursor if model is None or cursor is None else model.model_validate(cursor)
        except ValueError:  # pydantic's is one
            message = "the cursor is not one that this version of the connector wrote"
            raise CursorInvalid(message, metadata={"scope": scope}) from None

    async def _pull(self, cursor: Any) -> None:
        pull = self._connector.pull
        if inspect.isasyncgenfunction(pull):
            await self._generated(pull(cursor))
        elif inspect.isgeneratorfunction(pull):
            await self._generated(threads.iterated(pull(cursor), self._taken))
        else:
            await self._paged(cursor)

    async def _generated(self, events: AsyncIterator[Any]) -> None:
        try:
            async for event in events:
                await self._give(event)
        finally:
            # Where the pull ends in the middle, the author's `finally` runs now and not when memory is cleared.
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    async def _paged(self, cursor: Any) -> None:
        """Pages that `pull` returns, each called for with the cursor of the one before."""
        seen = {_digest(encode_cursor(cursor))}
        empty = 0
        while True:
            page = self._page(await threads.called(self._connector.pull, cursor))
            if not isinstance(page, Page):
                await self._generated(page)
                return
            for item in page.items:
                await self._give(item)
            empty = 0 if page.items else empty + 1
            following = page.next_cursor
            if self._ends(page, cursor):
                await self._end(following)
                return
            key = encode_cursor(following)
            digest = _digest(key)
            if digest in seen or empty > _MAX_EMPTY_PAGES:
                raise PaginationLoop("the source gives a cursor for the next page that it has given before")
            seen.add(digest)
            await self._outlet.checkpoint(key, has_more=True)
            cursor = following

    def _page(self, given: Any) -> Any:
        """What `pull` returned: a page, or a generator that it made."""
        if isinstance(given, Page):
            return given
        if isinstance(given, dict):
            if "items" not in given:
                raise ConnectorError('`pull` returned a dict without "items"')
            return Page(given["items"], given.get("next_cursor"), given.get("has_more"))
        if isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
            return Page(given)
        if isinstance(given, AsyncIterable):
            return aiter(given)
        if isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
            return threads.iterated(iter(given), self._taken)
        raise ConnectorError(f"`pull` has to return items or yield them, and returned {type(given).__name__}")

    def _ends(self, page: Page, cursor: Any) -> bool:
        if page.next_cursor is None or page.has_more is False:
            return True
        # A change feed that says nothing of its end has one where it gives nothing new. A listing must not be taken as
        # complete for that: sources give empty pages in the middle of one.
        nothing_new = not page.items and (self._mode is Mode.INCREMENTAL or page.next_cursor == cursor)
        return page.has_more is None and nothing_new

    async def _end(self, cursor: Any) -> None:
        encoded = encode_cursor(cursor)
        if self._mode.is_listing and self._outlet.listing.full_listing:
            self._outlet.complete_listing(encoded)
        else:
            await self._outlet.checkpoint(encoded, has_more=False)

    async def _targeted(self) -> None:
        scopes = list(self._request.scopes)
        home = scopes[0] if len(scopes) == 1 else ""
        for identifier in dict.fromkeys(self._request.ids):
            self._enter(home)
            try:
                item = await threads.called(self._connector.get, identifier)
            except Exception as error:
                if self._call.classifier.classify(error).ends_pull:
                    raise
                await self._add(self._items.item_error(error, identifier))
                continue
            if isinstance(item, InScope):
                self._enter(item.scope)
                item = item.item
            if item is None:
                await self._give(changes.Deletion(identifier))
            else:
                await self._answer(identifier, item)

    async def _answer(self, identifier: str, item: Any) -> None:
        """Gives what `get` read. An item of another id would leave the one that was asked for unanswered."""
        if type(item) not in _CONTROLS:
            try:
                key = self._connector.key(item)
                found = key if isinstance(key, str) else key.id
            except Exception as error:  # noqa: BLE001 - told below, as this item's
                await self._add(self._items.item_error(error, identifier))
                return
            if found != identifier:
                message = "`get` gave another item than the one that was asked for"
                await self._add(self._items.item_error(ProtocolViolation(message), identifier))
                return
        await self._give(item)

    def _taken(self, event: Any) -> Any:
        """In the author's thread: an item is taken as it is now, because that thread goes on and may change it."""
        return event if self._is_async or type(event) in _CONTROLS else _Made(self._change_of(event))

    async def _give(self, event: Any) -> None:
        control = _CONTROLS.get(type(event))
        if control is None:
            change = self._change_of(event)
            if self._is_async:
                change = await change
        else:
            given = control(self, event)
            change = await given if inspect.isawaitable(given) else given
            if change is None:
                return
        await self._add(change)

    async def _add(self, change: bytes) -> None:
        if not self._outlet.add(change):
            await self._outlet.flush()
            self._outlet.add(change)
        if monotonic() > self._yields_at:
            # Code that never waits must not hold up the other calls of this process, nor its own cancellation.
            await asyncio.sleep(0)
            self._yields_at = monotonic() + _YIELD_SECONDS

    # What an author may give beside items: a change to add to the page, or None where it is something else.

    async def _checkpoint(self, given: Checkpoint) -> None:
        await self._outlet.checkpoint(given.encoded, given.has_more)

    def _complete(self, given: ListingComplete) -> None:
        self._outlet.complete_listing(given.encoded)

    def _progress(self, given: Progress) -> None:
        self._outlet.progress(pb.Progress(items_seen=given.items_seen, items_total=given.items_total, message=given.message))

    def _present(self, given: changes.Present) -> bytes:
        try:
            self._outlet.listing.check_present()
        except ConnectorError as error:
            raise self._outlet.refuse(error) from None
        return self._checked(
            given.id, lambda: pb.Change(present=pb.Present(id=item_id(given.id).decode(), version=given.version))
        )

    def _permissions(self, given: changes.PermissionsChange) -> bytes | None:
        if self._mode is Mode.LIST:
            return None
        permissions = given.permissions.to_proto()
        return self._checked(
            given.id,
            lambda: pb.Change(permissions=pb.PermissionsChange(id=item_id(given.id).decode(), permissions=permissions)),
        )

    def _deletion(self, given: changes.Deletion) -> bytes | None:
        if self._mode is Mode.LIST:
            return None
        message = pb.Deletion(with_descendants=given.with_descendants)
        if may_name(given.id, MAX_ID_BYTES):
            message.id = given.id
        elif may_name(given.locator, MAX_LOCATOR_BYTES):
            message.locator = given.locator
        else:
            return self._items.item_error(ConnectorError("a deletion names nothing that can be deleted"))
        return framed(pb.Change(deletion=message))

    def _container(self, given: changes.Container) -> bytes | None:
        if self._mode is Mode.LIST:
            return None

        def change() -> pb.Change:
            container = pb.Container(
                id=item_id(given.id).decode(),
                parent_id=text("parent_id", given.parent_id, MAX_ID_BYTES).decode(),
                name=clip(given.name, MAX_TITLE_BYTES),
                locator=text("locator", given.locator, MAX_LOCATOR_BYTES).decode(),
            )
            return pb.Change(container=container)

        return self._checked(given.id, change)

    def _item_error(self, given: changes.ItemError) -> bytes:
        return self._items.item_error(given.error, given.id, given.locator, given.with_descendants)

    def _checked(self, name: str, change: Callable[[], pb.Change]) -> bytes:
        try:
            return framed(change())
        except Exception as error:  # noqa: BLE001 - what cannot be sent is the item's error
            return self._items.item_error(error, name if isinstance(name, str) else "")


class _Made(bytes):
    """A change that is made already."""


_CONTROLS: dict[type, Callable[[Pull, Any], Any]] = {
    Checkpoint: Pull._checkpoint,
    ListingComplete: Pull._complete,
    Progress: Pull._progress,
    changes.Present: Pull._present,
    changes.PermissionsChange: Pull._permissions,
    changes.Deletion: Pull._deletion,
    changes.Container: Pull._container,
    changes.ItemError: Pull._item_error,
    _Made: lambda _, made: made,
}


def _digest(cursor: bytes) -> bytes:
    """Many cursors are remembered, and each may be long."""
    return hashlib.blake2b(cursor, digest_size=16).digest()
