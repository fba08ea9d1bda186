"""From an exception of the author's code, or of a library that it uses, to a reason of the contract."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from .errors import (
    AccessDenied,
    ConnectorError,
    ContentTooLarge,
    CredentialExpired,
    CredentialRevoked,
    NotFound,
    RateLimited,
    SourceUnavailable,
)

Rule = type[ConnectorError] | Callable[[Any], ConnectorError]
ErrorTable = Mapping[int | type[BaseException], Rule]
"""What an author extends: an HTTP status or an exception class, to a reason or to a function of the exception.

    error_table = {410: CursorInvalid, ThrottlingError: lambda error: RateLimited("slow down", retry_after=error.seconds)}
"""

_STATUSES: dict[int, type[ConnectorError]] = {
    403: AccessDenied,
    404: NotFound,
    410: NotFound,
    413: ContentTooLarge,
    429: RateLimited,
}
_EXCEPTIONS: dict[type[BaseException], type[ConnectorError]] = {
    httpx.TransportError: SourceUnavailable,
    ConnectionError: SourceUnavailable,
    TimeoutError: SourceUnavailable,
    asyncio.TimeoutError: SourceUnavailable,  # its own class before Python 3.11
}


class Classifier:
    """The table of one connector: the author's first, then that of the contract."""

    def __init__(self, table: ErrorTable, auth_type: str) -> None:
        self._table = table
        # What OAuth gave is refreshed; what a person entered cannot be.
        self._unauthorized: type[ConnectorError] = CredentialExpired if auth_type == "oauth2" else CredentialRevoked

    def classify(self, error: BaseException) -> ConnectorError:
        """The error to tell. What nobody classifies is INTERNAL with the kind of the exception and no value of it."""
        if isinstance(error, ConnectorError):
            return error
        status = _status_of(error)
        for kind in type(error).__mro__:
            if kind in self._table:
                return self._apply(self._table[kind], error, status)
        if status is not None:
            return self.of_status(status, error)
        for kind in type(error).__mro__:
            if kind in _EXCEPTIONS:
                return _EXCEPTIONS[kind](f"the source cannot be reached ({type(error).__name__})")
        return ConnectorError(f"the connector's code raised {type(error).__name__}: its log says where")

    def of_status(self, status: int, error: BaseException) -> ConnectorError:
        """The error of an HTTP status; `error` has the response, as `httpx.HTTPStatusError` has."""
        if status in self._table:
            return self._apply(self._table[status], error, status)
        if status == 401:
            return self._unauthorized("the source answers 401: it does not accept the credential")
        kind: type[ConnectorError] = _STATUSES.get(status, SourceUnavailable if status >= 500 else ConnectorError)
        return kind(f"the source answers {status}", retry_after=retry_after(_headers_of(error)))

    def _apply(self, rule: Rule, error: BaseException, status: int | None) -> ConnectorError:
        if isinstance(rule, type):
            said = type(error).__name__ if status is None else f"the source answers {status}"
            made: ConnectorError = rule(said, retry_after=retry_after(_headers_of(error)))
            return made
        return rule(error)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds of a `Retry-After`, given in seconds or as a date. None: there is none that can be read."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    # An error that is told to wait for ever, or for no time that there is, waits as if nothing had been said.
    return max(0.0, seconds) if seconds < 366 * 86400 else None


def _status_of(error: BaseException) -> int | None:
    """The HTTP status that an exception carries, in the ways in which the common clients do."""
    response = getattr(error, "response", None) or getattr(error, "resp", None)
    for holder, name in ((response, "status_code"), (response, "status"), (error, "status_code"), (error, "status")):
        status = getattr(holder, name, None)
        if isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599:
            return status
    return None


def _headers_of(error: BaseException) -> Mapping[str, str]:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return {str(name).lower(): str(value) for name, value in headers.items()}
    except AttributeError:
        return {}
