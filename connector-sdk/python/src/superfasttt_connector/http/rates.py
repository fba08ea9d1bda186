"""The manifest's rate limits: how many requests may begin in any stretch of time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from ..errors import RateLimited
from ..manifest import RateLimit

MAX_WAIT_SECONDS = 60.0
"""A longer wait is the server's: it holds no worker meanwhile."""
_KEPT = 10_000
"""So many connections are remembered; those that were idle longest are forgotten."""


class Limiter:
    """The limits of one connection."""

    def __init__(self, limits: Sequence[RateLimit]) -> None:
        self._windows = [(limit, deque[float](maxlen=limit.requests)) for limit in limits]

    async def admit(self) -> None:
        """Waits until a request may begin.

        Raises:
            RateLimited: that would take more than a minute.
        """
        now = time.monotonic()
        begins = now
        for limit, begun in self._windows:
            if len(begun) == limit.requests:
                begins = max(begins, begun[0] + limit.seconds)
        wait = begins - now
        if wait > MAX_WAIT_SECONDS:
            raise RateLimited("the rate limit of the manifest is used up", retry_after=wait)
        # The place in the row is taken before the wait, so that those who come meanwhile stand behind it.
        for _, begun in self._windows:
            begun.append(begins)
        if wait > 0:
            await asyncio.sleep(wait)


_limiters: dict[tuple[str, ...], Limiter] = {}


def limiter(key: tuple[str, ...], limits: Sequence[RateLimit]) -> Limiter:
    """The limiter of a connection, shared by all its calls in this process."""
    found = _limiters.pop(key, None) or Limiter(limits)
    _limiters[key] = found  # the youngest last
    while len(_limiters) > _KEPT:
        del _limiters[next(iter(_limiters))]
    return found
