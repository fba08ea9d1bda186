"""Blocking code of an author, beside the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_EXECUTOR = ThreadPoolExecutor(max_workers=256, thread_name_prefix="author")
"""A pull may block for minutes, and many connections are pulled at once: one waiting thread each."""
_MAX_AHEAD = 256
"""How many items a blocking generator may be ahead of the server."""


async def called(function: Callable[..., Any], *args: Any) -> Any:
    """What the author's function returns, awaited where it is a coroutine, else from a thread."""
    if inspect.iscoroutinefunction(function):
        return await function(*args)
    if inspect.isasyncgenfunction(function):
        return function(*args)
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_EXECUTOR, lambda: context.run(function, *args))
    return await found if inspect.isawaitable(found) else found


def _as_it_is(item: Any) -> Any:
    return item


async def iterated(iterator: Iterator[Any], take: Callable[[Any], Any] = _as_it_is) -> AsyncIterator[Any]:
    """What `take` makes of the items of a blocking iterator, which runs in a thread of its own until nobody wants more.

    `take` is called in that thread, before the iterator goes on and may change what it has given. The iterator is closed
    there too, as soon as it has given its present item: a thread cannot be interrupted.
    """
    feed = _Feed(iterator, take, asyncio.get_running_loop())
    context = contextvars.copy_context()
    _EXECUTOR.submit(context.run, feed.fill)
    try:
        while True:
            items, ended = await feed.take()
            for item in items:
                yield item
            if ended:
                if feed.error is not None:
                    raise feed.error
                return
    finally:
        feed.stop()


class _Feed:
    """Hands items from a thread to the event loop, many at a time: waking the loop for each would cost more than the item."""

    def __init__(self, iterator: Iterator[Any], take: Callable[[Any], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.error: BaseException | None = None
        self._iterator = iterator
        self._take = take
        self._loop = loop
        self._there = asyncio.Event()
        self._changed = threading.Condition()
        self._items: list[Any] = []
        self._ended = False
        self._stopped = False

    def fill(self) -> None:
        """In the thread: takes from the iterator, and waits where the server is slower."""
        try:
            for given in self._iterator:
                item = self._take(given)
                with self._changed:
                    while len(self._items) >= _MAX_AHEAD and not self._stopped:
                        self._changed.wait()
                    if self._stopped:
                        break
                    self._items.append(item)
                    first = len(self._items) == 1
                if first:
                    self._wake()
            close = getattr(self._iterator, "close", None)
            if close is not None:
                close()
        except BaseException as error:  # noqa: BLE001 - raised again where the items are taken
            self.error = error
        with self._changed:
            self._ended = True
        self._wake()

    async def take(self) -> tuple[list[Any], bool]:
        """In the loop: what is there, and whether that is all."""
        await self._there.wait()
        self._there.clear()
        with self._changed:
            items, self._items = self._items, []
            self._changed.notify()
            return items, self._ended

    def stop(self) -> None:
        """Nobody wants more."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._there.set)
        except RuntimeError:  # the loop has ended: so has everybody who waited
            self.stop()
