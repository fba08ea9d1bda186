"""Waits where the source says so, and tries again what may be tried again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import httpx

from ..classify import retry_after
from .rates import MAX_WAIT_SECONDS, Limiter

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Doing them twice is doing them once."""
_PASSING = frozenset({502, 503, 504})
_MAX_ATTEMPTS = 4
_BACKOFF_SECONDS = 0.5

Sleep = Callable[[float], Awaitable[None]]


class Waiting(httpx.AsyncBaseTransport):
    """Sends a request until it is answered, or waiting any longer is the server's."""

    def __init__(self, inner: httpx.AsyncBaseTransport, limiters: list[Limiter], sleep: Sleep = asyncio.sleep) -> None:
        self._inner = inner
        self._limiters = limiters
        self._sleep = sleep

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Every attempt counts for the rate limits."""
        failures = throttled = 0
        waited = 0.0
        # A body that is streamed is gone after the first attempt.
        again = isinstance(request.stream, httpx.ByteStream)
        safe = again and request.method in SAFE_METHODS
        while True:
            for limiter in self._limiters:
                await limiter.admit()
            try:
                response = await self._inner.handle_async_request(request)
            except httpx.TransportError:
                failures += 1
                if not safe or failures >= _MAX_ATTEMPTS:
                    raise
                await self._sleep(_full_jitter(failures))
                continue
            wait = _throttled(response, throttled)
            # What takes longer in all is the server's to wait for: it holds no worker meanwhile.
            if wait is not None and again and waited + wait <= MAX_WAIT_SECONDS:
                throttled += 1
                waited += wait
            elif wait is None and safe and response.status_code in _PASSING and failures + 1 < _MAX_ATTEMPTS:
                failures += 1
                wait = _full_jitter(failures)
            else:
                return response
            await response.aclose()
            await self._sleep(wait)

    async def aclose(self) -> None:
        """Closes what is beneath."""
        await self._inner.aclose()


def _throttled(response: httpx.Response, before: int) -> float | None:
    """How long the source wants to be left alone. None: it does not say so."""
    if response.status_code not in (429, 503):
        return None
    told = retry_after(response.headers)
    if told is None and response.status_code == 429:
        return float(2**before) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    return told


def _full_jitter(failures: int) -> float:
    return random.uniform(0, _BACKOFF_SECONDS * 2.0**failures)  # noqa: S311
