"""HTTP exchanges as entries of HAR 1.2, without secrets."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx

from ..redact import REDACTED, Redactor

_SECRET_HEADERS = frozenset({"authorization", "cookie", "set-cookie", "proxy-authorization"})
_SECRET_NAME = re.compile(r"token|secret|password|key", re.IGNORECASE)
_BODY_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""They tell how a body travelled. The recording has it as it was read."""
_FORM = "application/x-www-form-urlencoded"


def is_secret(name: str) -> bool:
    """Whether a header, parameter or field of this name is never written."""
    return name.lower() in _SECRET_HEADERS or _SECRET_NAME.search(name) is not None


def entry(
    request: httpx.Request, body: bytes, response: httpx.Response, content: bytes, began: datetime, redactor: Redactor
) -> dict[str, Any]:
    """One exchange. `content` is the response's body, decoded."""
    took = max(0.0, (datetime.now(timezone.utc) - began).total_seconds() * 1000)
    asked: dict[str, Any] = {
        "method": request.method,
        "url": address(request.url, redactor),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(request.headers, redactor),
        "queryString": _pairs(request.url.params.multi_items(), redactor),
        "headersSize": -1,
        "bodySize": len(body),
    }
    media_type = request.headers.get("content-type", "")
    if body:
        text, encoding = _body(body, media_type, redactor)
        asked["postData"] = {"mimeType": media_type, "text": text, **({"encoding": encoding} if encoding else {})}
    media_type = response.headers.get("content-type", "")
    text, encoding = _body(content, media_type, redactor)
    told = {"size": len(content), "mimeType": media_type, "text": text, **({"encoding": encoding} if encoding else {})}
    return {
        "startedDateTime": began.isoformat(),
        "time": took,
        "request": asked,
        "response": {
            "status": response.status_code,
            "statusText": response.reason_phrase,
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _headers(without_body_headers(response.headers), redactor),
            "content": told,
            "redirectURL": redactor.mask(response.headers.get("location", "")),
            "headersSize": -1,
            "bodySize": -1,
        },
        "cache": {},
        "timings": {"send": 0, "wait": took, "receive": 0},
    }


def response_of(recorded: dict[str, Any], request: httpx.Request) -> httpx.Response:
    """The answer that an entry holds."""
    response = recorded["response"]
    content = response.get("content") or {}
    text = content.get("text") or ""
    data = base64.b64decode(text) if content.get("encoding") == "base64" else text.encode()
    headers = [(header["name"], header["value"]) for header in response.get("headers") or ()]
    headers = [(name, value) for name, value in headers if name.lower() not in _BODY_HEADERS]
    return httpx.Response(int(response["status"]), headers=headers, content=data, request=request)


def address(url: httpx.URL, redactor: Redactor) -> str:
    """An address without secrets, and without the fragment, which is not sent."""
    pairs = _redacted(url.params.multi_items())
    bare = url.copy_with(username=None, password=None, fragment=None)
    # As it was written, where nothing in it is secret: sources differ in what they escape.
    if pairs != url.params.multi_items():
        bare = bare.copy_with(query=urlencode(pairs, safe="[]").encode())
    return redactor.mask(str(bare))


def redacted_body(data: bytes, media_type: str, redactor: Redactor) -> str:
    """A body as it is compared: without secrets, what is no text as base64."""
    return _body(data, media_type, redactor)[0]


def _body(data: bytes, media_type: str, redactor: Redactor) -> tuple[str, str]:
    """A body's text and its encoding."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # A secret may stand in bytes that are no text as well.
        masked = redactor.mask(data.decode("latin-1")).encode("latin-1")
        return base64.b64encode(masked).decode(), "base64"
    if _FORM in media_type.lower():
        text = urlencode(_redacted(parse_qsl(text, keep_blank_values=True)), safe="[]")
    elif text[:1] in "{[":
        text = _json(text)
    return redactor.mask(text), ""


def _json(text: str) -> str:
    if not _SECRET_NAME.search(text):
        return text
    try:
        found = _without_secrets(json.loads(text), secret=False)
    except (ValueError, RecursionError):
        return text
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def _without_secrets(value: Any, *, secret: bool) -> Any:
    if isinstance(value, dict):
        return {name: _without_secrets(item, secret=is_secret(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item, secret=secret) for item in value]
    return REDACTED if secret and value not in (None, True, False, "") else value


def _redacted(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, REDACTED if is_secret(name) else value) for name, value in pairs]


def _pairs(pairs: Iterable[tuple[str, str]], redactor: Redactor) -> list[dict[str, str]]:
    return [{"name": name, "value": redactor.mask(value)} for name, value in _redacted(pairs)]


def _headers(headers: httpx.Headers, redactor: Redactor) -> list[dict[str, str]]:
    return _pairs(headers.multi_items(), redactor)


def without_body_headers(headers: httpx.Headers) -> httpx.Headers:
    """The headers without those that tell how a body travelled."""
    return httpx.Headers([(name, value) for name, value in headers.multi_items() if name not in _BODY_HEADERS])
