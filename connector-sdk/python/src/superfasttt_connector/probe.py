"""Whether a source can be read at all, for the test of a connection whose author has not written one."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from . import threads

if TYPE_CHECKING:
    from .connector import BaseConnector

FIRST_PAGE_SECONDS = 10


async def first_page(connector: BaseConnector[Any]) -> bool:
    """Begins a listing of the first scope, and ends it with its first page or item. False: that takes long.

    What the author's code raises comes out as it is.
    """
    # Not `wait_for`: the author's code may raise the same error as it does.
    reading = asyncio.ensure_future(_read(connector))
    try:
        await asyncio.wait({reading}, timeout=FIRST_PAGE_SECONDS)
        if not reading.done():
            return False
        reading.result()
        return True
    finally:
        reading.cancel()


async def _read(connector: BaseConnector[Any]) -> None:
    names = [scope for scope in await threads.called(connector.scopes) if isinstance(scope, str)]
    if not names:
        return
    connector.scope = names[0]
    if inspect.isasyncgenfunction(connector.pull):
        events = connector.pull(None)
    elif inspect.isgeneratorfunction(connector.pull):
        events = threads.iterated(connector.pull(None))
    else:
        await threads.called(connector.pull, None)
        return
    try:
        await anext(events, None)
    finally:
        await events.aclose()
