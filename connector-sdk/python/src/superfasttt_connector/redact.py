"""Keeps secrets out of logs, errors and recordings."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
_SHORTEST = 4
"""A shorter value would redact half of every text."""


class Redactor:
    """Replaces some secrets wherever they stand: plain, as base64, and percent-encoded."""

    def __init__(self, secrets: Iterable[str]) -> None:
        views: set[str] = set()
        for secret in secrets:
            if len(secret) >= _SHORTEST:
                views |= _views(secret)
        # The longest first: one secret may be the beginning of another.
        ordered = sorted(views, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def mask(self, text: str) -> str:
        """The text without the secrets."""
        return self._pattern.sub(REDACTED, text) if self._pattern else text


def _views(secret: str) -> set[str]:
    data = secret.encode(errors="replace")
    plain = base64.b64encode(data).decode()
    urlsafe = base64.urlsafe_b64encode(data).decode()
    escaped = secret.encode("unicode_escape").decode()
    views = {secret, plain, plain.rstrip("="), urlsafe, urlsafe.rstrip("="), quote(secret, safe=""), quote_plus(secret)}
    return views | {quote(secret), escaped, secret.replace("\n", "\\n")}
