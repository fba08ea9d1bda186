"""The protobuf wire format of what is sent once per document, written by hand.

Setting up a message object field by field, with a `Struct` in it, costs several times what the bytes cost; and the
limits of the contract are lengths of the encoded fields, which are at hand here. Everything else uses the generated
classes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import date, datetime, timezone
from decimal import Decimal
from math import isfinite
from typing import Any
from uuid import UUID

MAX_STRUCT_DEPTH = 16
"""How many objects and lists may lie in each other, the metadata itself among them.

Decoders give up at 100 messages in each other, and each level is three.
"""

_DOUBLE = struct.Struct("<d").pack
_VARINTS: list[bytes] = []
"""The lengths that nearly all fields have."""


def varint(number: int) -> bytes:
    """A whole number of 0 or more."""
    if number < len(_VARINTS):
        return _VARINTS[number]
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


_VARINTS.extend([varint(number) for number in range(1 << 12)])


def field(tag: bytes, data: bytes) -> bytes:
    """A field of length-delimited bytes under its tag (number * 8 + 2)."""
    return tag + varint(len(data)) + data


def timestamp(moment: datetime) -> bytes:
    """A `google.protobuf.Timestamp`.

    Raises:
        ValueError: the time has no zone, so nobody knows when it was.
    """
    if moment.tzinfo is None:
        raise ValueError("a time has no zone: use datetime.now(timezone.utc) or parse one with its offset")
    since = moment - _EPOCH
    seconds = since.days * 86400 + since.seconds
    nanos = since.microseconds * 1000
    # Negative numbers are ten bytes of two's complement.
    encoded = b"\x08" + varint(seconds & 0xFFFFFFFFFFFFFFFF) if seconds else b""
    return encoded + b"\x10" + varint(nanos) if nanos else encoded


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def struct_of(values: Mapping[str, Any], depth: int = 0) -> bytes:
    """A `google.protobuf.Struct` of plain data: what JSON has, and times, dates, decimals and UUIDs as their text.

    Raises:
        TypeError: something else is in it.
        ValueError: it lies too deep.
    """
    if depth >= MAX_STRUCT_DEPTH:
        raise ValueError(f"metadata lies more than {MAX_STRUCT_DEPTH} levels deep")
    parts = []
    for name, item in values.items():
        key = (name if type(name) is str else str(name)).encode()
        # Texts are most of what there is: their value is put together here, without a call.
        if type(item) is str:
            text = item.encode()
            data = b"\x1a" + varint(len(text)) + text
        else:
            data = _value(item, depth)
        entry = b"\n" + varint(len(key)) + key + b"\x12" + varint(len(data)) + data
        parts.append(b"\n" + varint(len(entry)) + entry)
    return b"".join(parts)


def _value(item: Any, depth: int) -> bytes:
    kind = type(item)
    if kind is str:
        return field(b"\x1a", item.encode())
    if kind is bool:
        return b"\x20\x01" if item else b"\x20\x00"
    if item is None:
        return b"\x08\x00"
    if kind is int or kind is float:
        # JSON has no word for infinity and not-a-number.
        return b"\x11" + _DOUBLE(item) if kind is int or isfinite(item) else b"\x08\x00"
    if isinstance(item, Mapping):
        return field(b"\x2a", struct_of(item, depth + 1))
    if isinstance(item, (list, tuple)):
        if depth >= MAX_STRUCT_DEPTH - 1:
            raise ValueError(f"metadata lies more than {MAX_STRUCT_DEPTH} levels deep")
        return field(b"\x32", b"".join([field(b"\n", _value(part, depth + 1)) for part in item]))
    if isinstance(item, (datetime, date)):
        return field(b"\x1a", item.isoformat().encode())
    if isinstance(item, (str, int, float)):  # a subclass, such as an enum's member
        base = str if isinstance(item, str) else int if isinstance(item, int) else float
        return _value(base(item), depth)
    if isinstance(item, (Decimal, UUID)):
        return field(b"\x1a", str(item).encode())
    raise TypeError(f"metadata holds a value of type {kind.__name__}, which JSON does not have")
