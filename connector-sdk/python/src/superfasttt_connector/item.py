"""The change that is made of an author's item: its envelope, the raw item, or its id and version alone.

This is what happens to each item, so it keeps to few steps. Whatever the author's `key` and `normalize` raise is the
item's error, and the pull goes on.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from superfasttt.connector.v1 import connector_pb2 as pb

from . import envelope, wire
from .changes import Key, Mode
from .envelope import DocumentEnvelope
from .errors import ConnectorError, ContentTooLarge, ProtocolViolation, Reason
from .limits import (
    MAX_CHANGE_BYTES,
    MAX_CONTENT_REF_BYTES,
    MAX_ID_BYTES,
    MAX_INLINE_BYTES,
    MAX_LOCATOR_BYTES,
    item_id,
    text,
    too_large,
)
from .outlet import frame

if TYPE_CHECKING:
    from .connector import BaseConnector

_DOCUMENT = b"\x0a"
_RAW = b"\x12"


class Items:
    """Makes framed changes of the items of one call."""

    def __init__(self, connector: BaseConnector[Any], skipped_unnamed: Callable[[], None]) -> None:
        self._connector = connector
        self._call = connector._call
        self._skipped_unnamed = skipped_unnamed
        self._key = connector.key
        self._normalize = connector.normalize
        self._logged: set[tuple[object, ...]] = set()
        self.normalize_is_async = inspect.iscoroutinefunction(connector.normalize)

    def maker(self, mode: Mode, want_raw: bool) -> tuple[Callable[[Any], Any], bool]:
        """What makes a change of an item in this pull, and whether it has to be awaited."""
        if mode is Mode.LIST:
            return self.present, False
        if want_raw:
            return self.raw, False
        return (self.document_async, True) if self.normalize_is_async else (self.document, False)

    def document(self, item: Any) -> bytes:
        """The item's envelope."""
        identifier = None
        try:
            identifier, version, content_ref = self._named(item)
            return self._framed(self._normalize(item), identifier, version, content_ref)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this item's
            return self.failed(identifier, error)

    async def document_async(self, item: Any) -> bytes:
        """The same where `normalize` is a coroutine."""
        identifier = None
        try:
            identifier, version, content_ref = self._named(item)
            made: Awaitable[Any] = self._normalize(item)
            return self._framed(await made, identifier, version, content_ref)
        except Exception as error:  # noqa: BLE001
            return self.failed(identifier, error)

    def raw(self, item: Any) -> bytes:
        """The item as it is kept."""
        identifier = None
        try:
            identifier, version, content_ref = self._named(item)
            data = self._connector.encode_raw(item)
            if len(data) > MAX_INLINE_BYTES:
                raise too_large("raw data", len(data), MAX_INLINE_BYTES)
            raw = pb.RawItem(
                id=identifier.decode(),
                version=version.decode(),
                content_ref=content_ref.decode(),
                schema=self._connector.raw_schema,
                data=data,
            )
            return frame(wire.field(_RAW, raw.SerializeToString()))
        except Exception as error:  # noqa: BLE001
            return self.failed(identifier, error)

    def present(self, item: Any) -> bytes:
        """The item's id and version alone."""
        identifier = None
        try:
            identifier, version, _ = self._named(item)
            return framed(pb.Change(present=pb.Present(id=identifier.decode(), version=version.decode())))
        except Exception as error:  # noqa: BLE001
            return self.failed(identifier, error)

    def normalized(self, raw: pb.RawItem, made: Any) -> bytes:
        """A `NormalizeResponse` with the envelope that `normalize` made of a kept item."""
        document = self._encoded(made, raw.id.encode(), raw.version.encode(), raw.content_ref.encode())
        return wire.field(b"\x0a", document)

    def failed(self, identifier: bytes | None, error: BaseException) -> bytes:
        """The change that says an item could not be read."""
        return self.item_error(error, identifier.decode() if identifier else "")

    def item_error(self, error: BaseException, id: str = "", locator: str = "", below: bool = False) -> bytes:
        """The same, for an item that the author names."""
        change = self.error_message(error, id, locator, below)
        if change.WhichOneof("target") is None:
            self._skipped_unnamed()
        return framed(pb.Change(item_error=change))

    def error_message(self, error: BaseException, id: str, locator: str = "", below: bool = False) -> pb.ItemError:
        """The message of an item that failed. A name that the contract does not take is left out."""
        told = self._call.told(error).to_proto()
        if told.reason == Reason.REASON_INTERNAL and not isinstance(error, ConnectorError):
            self._log_once(error)
        change = pb.ItemError(error=told, with_descendants=below)
        if may_name(id, MAX_ID_BYTES):
            change.id = id
        elif may_name(locator, MAX_LOCATOR_BYTES):
            change.locator = locator
        return change

    def _named(self, item: Any) -> tuple[bytes, bytes, bytes]:
        key = self._key(item)
        if type(key) is str:
            return item_id(key), b"", b""
        if not isinstance(key, Key):
            raise ConnectorError(f"`key` has to give text or a Key, and gave {type(key).__name__}")
        version = text("version", key.version, MAX_ID_BYTES) if key.version else b""
        content_ref = text("content_ref", key.content_ref, MAX_CONTENT_REF_BYTES) if key.content_ref else b""
        return item_id(key.id), version, content_ref

    def _framed(self, made: Any, identifier: bytes, version: bytes, content_ref: bytes) -> bytes:
        encoded = self._encoded(made, identifier, version, content_ref)
        if len(encoded) > MAX_CHANGE_BYTES:
            raise ContentTooLarge(f"the item is {len(encoded)} bytes encoded and at most {MAX_CHANGE_BYTES} are sent")
        return frame(_DOCUMENT + wire.varint(len(encoded)) + encoded)

    def _encoded(self, made: Any, identifier: bytes, version: bytes, content_ref: bytes) -> bytes:
        if not isinstance(made, DocumentEnvelope):
            raise ConnectorError(f"`normalize` has to give a DocumentEnvelope, and gave {type(made).__name__}")
        if made.id.encode() != identifier if type(made.id) is str else str(made.id).encode() != identifier:
            raise ProtocolViolation("`key` and `normalize` give the item different ids: override `key`")
        return envelope.encode(made, identifier, version, content_ref)

    def _log_once(self, error: BaseException) -> None:
        """The stack of what the author's code raises, once for each place: a thousand items fail alike."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = (type(error), trace and (trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        if place not in self._logged and len(self._logged) < 20:
            self._logged.add(place)
            self._call.log.exception("an item could not be read; others that fail here are not logged again", error)


def framed(change: pb.Change) -> bytes:
    """A change as it stands in a page."""
    return frame(change.SerializeToString())


def may_name(name: str, max_bytes: int) -> bool:
    """Whether an item can be named so."""
    try:
        return isinstance(name, str) and 1 <= len(name.encode()) <= max_bytes
    except UnicodeEncodeError:
        return False
