"""Puts the client of a call together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from ..call import Call


def make(call: Call) -> httpx.AsyncClient:
    """The client of one call."""
    raise NotImplementedError
