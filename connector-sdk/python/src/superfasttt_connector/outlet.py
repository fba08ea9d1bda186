"""The sending half of a pull: one stream of pages, checkpoints and notes, in the order in which they were given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from superfasttt.connector.v1 import connector_pb2 as pb

from .errors import ConnectorError
from .limits import MAX_CHANGE_BYTES, MAX_ID_BYTES
from .listing import Listing
from .wire import field

_DEFAULT_PAGE_BYTES = 1024 * 1024
_DEFAULT_PAGE_CHANGES = 500
_FLUSH_EVERY_SECONDS = 1.0
_MAX_NOTES = 1000
"""Log records that wait for a page; more are left out, so that a flood of them cannot fill the memory."""

Write = Callable[[bytes], Awaitable[None]]


class Outlet:
    """Fills pages of encoded changes and writes them. Writing waits where the server is slower than the source."""

    def __init__(self, write: Write, limits: pb.PullLimits, listing: Listing) -> None:
        self._write = write
        self.listing = listing
        self.scope = ""
        """Whose changes are added now."""
        most = min(limits.max_page_bytes or _DEFAULT_PAGE_BYTES, MAX_CHANGE_BYTES)
        self._max_bytes = max(0, most - MAX_ID_BYTES - 8)  # the scope's name is part of the page
        self._max_changes = limits.max_page_changes or _DEFAULT_PAGE_CHANGES
        self._page: list[bytes] = []
        self._page_bytes = 0
        self._page_scope = ""
        self._notes: list[bytes] = []
        self._notes_left_out = 0
        self._progress: pb.Progress | None = None
        self._violation: ConnectorError | None = None
        self._writing = asyncio.Lock()

    def add(self, change: bytes) -> bool:
        """Adds a framed change to the open page. False: the page is full; `flush`, and add it then."""
        page = self._page
        if page:
            size = self._page_bytes + len(change)
            if size > self._max_bytes or len(page) >= self._max_changes or self._page_scope != self.scope:
                return False
            self._page_bytes = size
        else:
            # An empty page takes any change: one over the page's limit still has to travel.
            self._page_bytes = len(change)
            self._page_scope = self.scope
        page.append(change)
        return True

    async def flush(self, *, with_progress: bool = False) -> None:
        """Writes the open page, and the log records that were made meanwhile."""
        async with self._writing:
            await self._flush()
            progress = self._progress if with_progress else None
            if progress is not None:
                self._progress = None
                await self._write(pb.PullResponse(progress=progress).SerializeToString())

    async def _flush(self) -> None:
        notes, self._notes = self._notes, []
        page, scope = self._page, self._page_scope
        self._page = []
        for note in notes:
            await self._write(note)
        if page:
            await self._write(_page(scope, page))

    async def checkpoint(self, cursor: bytes, has_more: bool) -> None:
        """Writes a checkpoint of the present scope with the changes that it covers."""
        self._allowed(self.listing.check_cursor, cursor)
        await self._checkpoint(self.scope, pb.Checkpoint(cursor=cursor, has_more=has_more))

    async def _checkpoint(self, scope: str, checkpoint: pb.Checkpoint) -> None:
        async with self._writing:
            if self._notes or self._page_scope != scope:
                await self._flush()
            page, self._page = self._page, []
            await self._write(_page(scope, page, checkpoint))

    def complete_listing(self, cursor: bytes) -> None:
        """Keeps the end of the present scope's listing for `finish`."""
        self._allowed(self.listing.declare_end, self.scope, cursor)

    async def send(self, response: pb.PullResponse) -> None:
        """Writes what is no page after the changes given before it."""
        async with self._writing:
            await self._flush()
            await self._write(response.SerializeToString())

    def log(self, record: pb.LogRecord) -> None:
        """Keeps a record for the next write."""
        if len(self._notes) < _MAX_NOTES:
            self._notes.append(pb.PullResponse(log=record).SerializeToString())
        else:
            self._notes_left_out += 1

    def progress(self, progress: pb.Progress) -> None:
        """Keeps the newest for the next second."""
        self._progress = progress

    def refuse(self, error: ConnectorError) -> ConnectorError:
        """Remembers a breach of the contract: the pull fails with it, whatever the author makes of the error."""
        self._violation = self._violation or error
        return error

    def _allowed(self, check: Callable[..., None], *args: object) -> None:
        try:
            check(*args)
        except ConnectorError as error:
            raise self.refuse(error) from None

    @asynccontextmanager
    async def ticking(self) -> AsyncIterator[None]:
        """Meanwhile, once a second, what would wait for a page to fill is written."""
        ticker = asyncio.ensure_future(self._tick())
        # Where the client is gone its write fails; so does the author's, and that is told.
        ticker.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        try:
            yield
        finally:
            # A write that has begun ends first: another one, of the status, may not begin beside it.
            async with self._writing:
                ticker.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_EVERY_SECONDS)
            if self._writing.locked():
                continue  # the server is behind, and nothing waits for want of a page
            await self.flush(with_progress=True)

    async def finish(self, error: ConnectorError | None) -> None:
        """After the author's code: writes what is left, then the ends of the listings if it ended well.

        Raises:
            ConnectorError: `error`, or a breach of the contract that the author's code has dropped.
        """
        error = error or self._violation
        if error is not None:
            await self.flush(with_progress=True)
            raise error
        for scope, cursor, reason in self.listing.ends():
            if reason:
                message = f"the listing of scope {scope!r} is not complete: {reason}"
                self._notes.append(_warning(message))
            if cursor is not None:
                await self._checkpoint(scope, pb.Checkpoint(cursor=cursor, listing_complete=not reason))
        if self._notes_left_out:
            message = f"{self._notes_left_out} log records were left out: too many at once"
            self._notes.append(_warning(message))
        await self.flush(with_progress=True)


def _warning(message: str) -> bytes:
    return pb.PullResponse(log=pb.LogRecord(level=pb.LogRecord.LEVEL_WARN, message=message)).SerializeToString()


def frame(change: bytes) -> bytes:
    """An encoded `Change` as it stands in a page."""
    return field(b"\x12", change)


def _page(scope: str, changes: list[bytes], checkpoint: pb.Checkpoint | None = None) -> bytes:
    """A `PullResponse` with a page, put together of what is encoded already."""
    parts = [field(b"\x0a", scope.encode())] if scope else []
    parts += changes
    if checkpoint is not None:
        parts.append(field(b"\x1a", checkpoint.SerializeToString()))
    return field(b"\x0a", b"".join(parts))
