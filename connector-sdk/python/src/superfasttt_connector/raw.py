"""Raw items as bytes, by default JSON."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel


def to_json(item: Any) -> bytes:
    """The item as JSON; pydantic models, times, decimals and UUIDs too. Other things raise TypeError."""
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()


def from_json(data: bytes) -> Any:
    """The item again."""
    return json.loads(data)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    raise TypeError(f"a raw item holds a value of type {type(value).__name__}: override encode_raw and decode_raw")
