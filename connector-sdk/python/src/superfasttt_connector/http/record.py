"""Writes what goes over the network to a file, an entry of HAR 1.2 a line."""

from __future__ import annotations

import functools
import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx

from .. import VERSION
from ..redact import Redactor
from . import har

_CREATOR = {"name": "superfasttt-connector-python", "version": VERSION}
_HEAD = f'{{"log":{{"version":"1.2","creator":{json.dumps(_CREATOR)},"entries":[\n'.encode()
_TAIL = b"\n]}}\n"


class RecordingFile:
    """The file, begun anew. It is whole HAR after each entry."""

    def __init__(self, path: Path) -> None:
        # Only its owner reads it: what a source says is nobody else's, also without secrets.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._end = os.write(self._file, _HEAD)
        os.pwrite(self._file, _TAIL, self._end)
        self._between = b""

    def append(self, entry: dict[str, Any]) -> None:
        """Adds an entry, in one write over the file's tail."""
        line = self._between + json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        os.pwrite(self._file, line + _TAIL, self._end)
        self._end += len(line)
        self._between = b",\n"


recording_file = functools.lru_cache(RecordingFile)
"""The file of a path: all calls of this process write to one."""


class Recorder(httpx.AsyncBaseTransport):
    """Records each attempt, before its response is given on."""

    def __init__(self, inner: httpx.AsyncBaseTransport, file: RecordingFile, redactor: Redactor) -> None:
        self._inner = inner
        self._file = file
        self._redactor = redactor

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx has it."""
        began = datetime.now(timezone.utc)
        body = await request.aread()
        response = await self._inner.handle_async_request(request)
        content = await response.aread()
        await response.aclose()
        self._file.append(har.entry(request, body, response, content, began, self._redactor))
        headers = har.without_body_headers(response.headers)
        return httpx.Response(response.status_code, headers=headers, content=content, request=request)

    async def aclose(self) -> None:
        """Closes what is beneath."""
        await self._inner.aclose()
