"""Structured logs: a line each on stderr, and in a pull also a record of the run's log, which users see."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from superfasttt.connector.v1 import connector_pb2 as pb

from .errors import clip
from .limits import MAX_LOG_BYTES
from .redact import Redactor

_TRACE = 5
_LEVELS = {"error": 40, "warn": 30, "info": 20, "debug": 10, "trace": _TRACE}
_PROTO_LEVELS = {
    "error": pb.LogRecord.LEVEL_ERROR,
    "warn": pb.LogRecord.LEVEL_WARN,
    "info": pb.LogRecord.LEVEL_INFO,
    "debug": pb.LogRecord.LEVEL_DEBUG,
}
_MAX_FIELDS = 32
_secrets: dict[int, Redactor] = {}
"""Those of the calls that run now. What other libraries log goes through the same lines."""


def level() -> int:
    """The lowest level that is written, from CONNECTOR_LOG."""
    return _LEVELS.get(os.environ.get("CONNECTOR_LOG", "").strip().lower(), _LEVELS["info"])


def mask(text: str) -> str:
    """The text without the secrets of the calls that run now."""
    for redactor in list(_secrets.values()):
        text = redactor.mask(text)
    return text


@contextmanager
def without_secrets(redactor: Redactor) -> Iterator[None]:
    """Keeps a call's secrets out of whatever is logged meanwhile."""
    _secrets[id(redactor)] = redactor
    try:
        yield
    finally:
        del _secrets[id(redactor)]


class _Lines(logging.Handler):
    """Writes records of `logging` as the server reads them: one line, the level first."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
            if record.exc_info:
                text += "\n" + logging.Formatter().formatException(record.exc_info)
            name = "WARN" if record.levelname == "WARNING" else record.levelname
            # A line each, also of a stack: the server reads lines, and a secret may not hide behind a line's end.
            lines = mask(text).splitlines() or [""]
            self.stream.write("".join(f"{name} {line}\n" for line in lines))
            self.stream.flush()
        except Exception:  # noqa: BLE001, S110 - a log that cannot be written ends nothing
            pass


def to_stderr() -> None:
    """Sends everything that is logged to stderr, from the level of CONNECTOR_LOG on."""
    logging.addLevelName(_TRACE, "TRACE")
    root = logging.getLogger()
    root.handlers[:] = [_Lines(sys.stderr)]
    root.setLevel(level())
    # They write addresses and headers with all that is in them. The client's own lines have no secrets.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


class Log:
    """`self.log`: `self.log.info("pages read", pages=3)`. Secrets of the call are taken out."""

    def __init__(self, name: str, redactor: Redactor, to_run: Callable[[pb.LogRecord], None] | None = None) -> None:
        self._logger = logging.getLogger(f"connector.{name}")
        self._redactor = redactor
        self._to_run = to_run

    def debug(self, message: str, **fields: Any) -> None:
        """For the connector's author; not in the run's log."""
        self._write("debug", message, fields)

    def info(self, message: str, **fields: Any) -> None:
        """Worth knowing."""
        self._write("info", message, fields)

    def warn(self, message: str, **fields: Any) -> None:
        """Something is not as it should be, and work goes on."""
        self._write("warn", message, fields)

    def error(self, message: str, **fields: Any) -> None:
        """Something failed."""
        self._write("error", message, fields)

    def exception(self, message: str, error: BaseException) -> None:
        """Something failed in code: the stack goes to stderr, where its author finds it; a run's log has no use for it."""
        self._logger.error("%s", message, exc_info=error)

    def _write(self, name: str, message: str, fields: dict[str, Any]) -> None:
        number = _LEVELS[name]
        if self._logger.isEnabledFor(number):
            told = "".join(f" {key}={value!r}" for key, value in fields.items())
            self._logger.log(number, "%s", self._redactor.mask(message + told))
        if self._to_run is not None and name != "debug":
            facts = {key: clip(self._redactor.mask(str(value)), 256) for key, value in list(fields.items())[:_MAX_FIELDS]}
            text = clip(self._redactor.mask(message), MAX_LOG_BYTES)
            self._to_run(pb.LogRecord(level=_PROTO_LEVELS[name], message=text, fields=facts))
