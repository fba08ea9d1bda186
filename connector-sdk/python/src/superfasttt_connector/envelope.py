"""The one shape in which every connector gives its documents."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from superfasttt.connector.v1 import document_pb2

from . import wire
from .errors import ConnectorError, ContentTooLarge, clip
from .limits import (
    MAX_ID_BYTES,
    MAX_INLINE_BYTES,
    MAX_LOCATOR_BYTES,
    MAX_MEDIA_TYPE_BYTES,
    MAX_METADATA_BYTES,
    MAX_TITLE_BYTES,
    MAX_URL_BYTES,
    text,
    too_large,
)


@dataclass(slots=True)
class Permissions:
    """Who may see a document. Principals are compact: `user:alex@acme.fr`, `group:google:eng@acme.fr`, `domain:acme.fr`."""

    visibility: str = "private"
    """`private` (only `allow`), `organization` or `public`."""
    allow: Sequence[str] = field(default_factory=tuple)
    """Who may read. A group is named, never expanded."""
    deny: Sequence[str] = field(default_factory=tuple)
    """Who may not, whatever else says that they may."""

    def to_proto(self) -> document_pb2.Permissions:
        """The contract's message.

        Raises:
            ConnectorError: a principal is over 1,024 bytes, or one text stands where a list has to.
        """
        for principals in (self.allow, self.deny):
            if isinstance(principals, str):
                raise ConnectorError("permissions name a list of principals, not a text")
            for principal in principals:
                text("principal", principal, MAX_ID_BYTES)
        return document_pb2.Permissions(visibility=self.visibility, allow=self.allow, deny=self.deny)


@dataclass(slots=True)
class DocumentEnvelope:
    """One document. Only `id` is required. `BaseConnector.key` gives version and content_ref."""

    id: str
    """The source's own stable identifier, unique within a connection, 1 to 1,024 bytes."""
    title: str = ""
    """The name that a person knows it by. Cut at 4,096 bytes; empty: the id is shown."""
    content: str | None = None
    """Its text, at most 1 MiB. None: no text is given here; "": it has no text."""
    source: str = ""
    """The connector's id. Empty: the server fills it in."""
    url: str = ""
    """Where a person opens it."""
    metadata: Mapping[str, Any] | None = None
    """Everything else worth keeping, at most 64 KiB; by convention `mime_type`, `owner`, `size`, `path`."""
    permissions: Permissions | None = None
    """Who may see it. None: not known, which is treated as private."""
    media_type: str = ""
    """The media type of the bytes that `fetch_content` gives."""
    created_at: datetime | str | None = None
    """When it was made: with a zone, or as RFC 3339 text."""
    updated_at: datetime | str | None = None
    """When it last changed: with a zone, or as RFC 3339 text."""
    parent_id: str = ""
    """The container or document that holds it. Empty: the top of its scope."""
    locator: str = ""
    """A second key, unique within a scope, such as a path; for sources whose deletions name a path."""


def encode(document: DocumentEnvelope, identifier: bytes, version: bytes, content_ref: bytes) -> bytes:
    """The document as the contract's `DocumentEnvelope` message, under the key that `BaseConnector.key` gave.

    Raises:
        ConnectorError: something in it is not what the contract takes; it becomes the item's error.
    """
    parts = [b"\x0a", wire.varint(len(identifier)), identifier]
    if document.title:
        title = text("title", document.title, MAX_INLINE_BYTES * 4)
        if len(title) > MAX_TITLE_BYTES:
            title = clip(document.title, MAX_TITLE_BYTES).encode()
        parts += (b"\x12", wire.varint(len(title)), title)
    if document.content is not None:
        content = _content(document.content)
        parts += (b"\x1a", wire.varint(len(content)), content)
    if document.source:
        parts.append(wire.field(b"\x22", text("source", document.source, MAX_ID_BYTES)))
    if document.url:
        parts.append(wire.field(b"\x2a", text("url", document.url, MAX_URL_BYTES)))
    if document.metadata is not None:
        metadata = _metadata(document.metadata)
        if len(metadata) > MAX_METADATA_BYTES:
            raise too_large("metadata", len(metadata), MAX_METADATA_BYTES)
        parts += (b"\x32", wire.varint(len(metadata)), metadata)
    if document.permissions is not None:
        if not isinstance(document.permissions, Permissions):
            raise ConnectorError(f"permissions has to be Permissions, and is {type(document.permissions).__name__}")
        parts.append(wire.field(b"\x3a", document.permissions.to_proto().SerializeToString()))
    if version:
        parts.append(wire.field(b"\x42", version))
    if content_ref:
        parts.append(wire.field(b"\x4a", content_ref))
    if document.media_type:
        parts.append(wire.field(b"\x52", text("media_type", document.media_type, MAX_MEDIA_TYPE_BYTES)))
    if document.created_at is not None:
        parts.append(wire.field(b"\x5a", _time("created_at", document.created_at)))
    if document.updated_at is not None:
        parts.append(wire.field(b"\x62", _time("updated_at", document.updated_at)))
    if document.parent_id:
        parts.append(wire.field(b"\x6a", text("parent_id", document.parent_id, MAX_ID_BYTES)))
    if document.locator:
        parts.append(wire.field(b"\x72", text("locator", document.locator, MAX_LOCATOR_BYTES)))
    return b"".join(parts)


def _content(content: object) -> bytes:
    data = text("content", content, MAX_INLINE_BYTES * 64)
    if len(data) > MAX_INLINE_BYTES:
        raise ContentTooLarge(
            f"the text is {len(data)} bytes and at most {MAX_INLINE_BYTES} are sent inline: the connector's author must "
            "give a content_ref in `key` and serve `fetch_content`"
        )
    return data


def _metadata(metadata: Mapping[str, Any]) -> bytes:
    try:
        return wire.struct_of(metadata)
    except (TypeError, ValueError, OverflowError, AttributeError, struct.error) as error:
        raise ConnectorError(f"the item's metadata cannot be sent: {error}") from None


_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:([Zz])|([+-]\d\d):?(\d\d))")


def _time(name: str, moment: datetime | str) -> bytes:
    try:
        return wire.timestamp(_parsed(moment) if isinstance(moment, str) else moment)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConnectorError(f"the item's {name} cannot be sent: {error}") from None


def _parsed(text: str) -> datetime:
    """A time as JSON APIs write it. Before Python 3.11 `fromisoformat` reads only some of them."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError("it is no RFC 3339 time with a zone")
    day, time, fraction, zulu, hours, minutes = found.groups()
    zone = "+00:00" if zulu else f"{hours}:{minutes}"
    return datetime.fromisoformat(f"{day}T{time}.{(fraction or '0')[:6]:0<6}{zone}")
