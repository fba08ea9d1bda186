"""Sends the bytes of one document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from superfasttt.connector.v1 import connector_pb2 as pb

from .answers import Content
from .errors import ConnectorError, ContentTooLarge

_MAX_CHUNK_BYTES = 512 * 1024


async def send(content: Content, max_bytes: int, write: Callable[[bytes], Awaitable[None]]) -> None:
    """Writes the header, then the bytes in chunks. `max_bytes` is what the server takes; 0: it does not say.

    Raises:
        ContentTooLarge: it is more than the server takes; where the length is known, nothing is read.
        ConnectorError: another number of bytes came than was announced.
    """
    if not isinstance(content, Content):
        raise ConnectorError(f"`fetch_content` has to give Content, and gave {type(content).__name__}")
    length = len(content.data) if isinstance(content.data, bytes) else content.length
    _check(length or 0, max_bytes)
    header = pb.ContentHeader(media_type=content.media_type, length_bytes=length, version=content.version)
    await write(pb.FetchContentResponse(header=header).SerializeToString())
    sent = 0
    async for data in _parts(content.data):
        sent += len(data)
        _check(sent, max_bytes)
        for start in range(0, len(data), _MAX_CHUNK_BYTES):
            chunk = data[start : start + _MAX_CHUNK_BYTES]
            await write(pb.FetchContentResponse(chunk=chunk).SerializeToString())
    if length is not None and sent != length:
        raise ConnectorError(f"{length} bytes were announced and {sent} were given")


async def _parts(data: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(data, bytes):
        yield data
        return
    try:
        async for part in data:
            yield part
    finally:
        close = getattr(data, "aclose", None)
        if close is not None:
            await close()


def _check(size: int, max_bytes: int) -> None:
    if max_bytes and size > max_bytes:
        raise ContentTooLarge(f"the document has {size} bytes or more and at most {max_bytes} are taken")
