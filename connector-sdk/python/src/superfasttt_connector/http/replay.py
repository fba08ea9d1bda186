"""Answers from a recording, without network."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx

from ..errors import SourceUnavailable
from ..redact import REDACTED, Redactor
from . import har


class Recording:
    """The entries of a file, and which of them have answered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries = list(_entries(path))
        self._used: set[int] = set()

    def answer(self, request: httpx.Request, body: bytes, redactor: Redactor) -> httpx.Response:
        """The recorded answer: of several that are alike the next one, the last of them again and again.

        Raises:
            SourceUnavailable: it is not there; the message says what was asked and the nearest that is there.
        """
        alike = [index for index, entry in enumerate(self._entries) if _same(entry["request"], request, body, redactor)]
        if not alike:
            raise SourceUnavailable(self._missing(request, redactor))
        index = next((index for index in alike if index not in self._used), alike[-1])
        self._used.add(index)
        return har.response_of(self._entries[index], request)

    def _missing(self, request: httpx.Request, redactor: Redactor) -> str:
        asked = f"{request.method} {har.address(request.url, redactor)}"
        there = [f"{entry['request']['method']} {entry['request']['url']}" for entry in self._entries]
        nearest = difflib.get_close_matches(asked, there, n=1, cutoff=0.0)
        told = f"; the nearest that is there is {nearest[0]}" if nearest else "; it is empty"
        if nearest and nearest[0] == asked:
            told = "; there it has another body"
        return f"the recording {self._path.name} has no answer to {asked}{told}"


class Replay(httpx.AsyncBaseTransport):
    """Takes the network's place."""

    def __init__(self, recording: Recording, redactor: Redactor) -> None:
        self._recording = recording
        self._redactor = redactor

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx has it."""
        return self._recording.answer(request, await request.aread(), self._redactor)


@functools.lru_cache
def recording(path: Path) -> Recording:
    """The recording of a file. All calls of this process go on in it: what comes later was recorded later.

    Raises:
        SourceUnavailable: it cannot be read.
    """
    try:
        return Recording(path)
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise SourceUnavailable(f"the recording {path.name} cannot be read: {error}") from None


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a whole HAR file, or of one that was cut off, or of lines with an entry each."""
    text = path.read_text(encoding="utf-8")
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    if isinstance(whole, dict) and "log" in whole:
        yield from whole["log"]["entries"]
        return
    for line in text.splitlines():
        try:
            entry = json.loads(line.strip().rstrip(","))
        except ValueError:
            continue
        if isinstance(entry, dict) and "request" in entry and "response" in entry:
            yield entry


def _same(recorded: dict[str, Any], request: httpx.Request, body: bytes, redactor: Redactor) -> bool:
    if recorded["method"] != request.method:
        return False
    there, asked = httpx.URL(recorded["url"]), httpx.URL(har.address(request.url, redactor))
    if (there.scheme, there.host, there.port, there.path) != (asked.scheme, asked.host, asked.port, asked.path):
        return False
    if not _same_pairs(there.params.multi_items(), asked.params.multi_items()):
        return False
    media_type = request.headers.get("content-type", "")
    return _same_body((recorded.get("postData") or {}).get("text") or "", har.redacted_body(body, media_type, redactor))


def _same_pairs(there: list[tuple[str, str]], asked: list[tuple[str, str]]) -> bool:
    """In any order; what is redacted on one side is left out on both."""
    hidden = {name for name, value in [*there, *asked] if REDACTED in value}
    return sorted(pair for pair in there if pair[0] not in hidden) == sorted(pair for pair in asked if pair[0] not in hidden)


def _same_body(there: str, asked: str) -> bool:
    if there == asked:
        return True
    try:
        return _same_json(json.loads(there), json.loads(asked))
    except ValueError:
        pass
    if "=" not in there or "=" not in asked:
        return False
    return _same_pairs(parse_qsl(there, keep_blank_values=True), parse_qsl(asked, keep_blank_values=True))


def _same_json(there: Any, asked: Any) -> bool:
    if REDACTED in (there, asked):
        return True
    if isinstance(there, dict) and isinstance(asked, dict):
        return there.keys() == asked.keys() and all(_same_json(there[name], asked[name]) for name in there)
    if isinstance(there, list) and isinstance(asked, list):
        return len(there) == len(asked) and all(map(_same_json, there, asked))
    return bool(there == asked)
