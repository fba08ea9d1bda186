"""What the documents of the benchmark are made of, in Python: for the connector, its bare side, and the other programs that it
is measured against (bench/peers)."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

CONTENT_BYTES = 1024
METADATA_FIELDS = 8
WORDS = (
    "the quarterly report of the northern office lists every contract signed since spring with its owner its value and the "
    "day on which it ends so that nobody has to look for it in a folder again and the people who answer questions about it "
    "find the newest version first "
)
TEXTS = WORDS * (CONTENT_BYTES // len(WORDS) + 2)
"""The texts are pieces of it."""
CREATED_AT = datetime.fromtimestamp(1_600_000_000, timezone.utc)


def identifier(number: int) -> str:
    return f"document-{number:09}"


def fields(number: int) -> dict[str, Any]:
    """All but the permissions: the same as bench/src/source.rs makes, field by field."""
    begin = f"{number} 1 "
    start = number % len(WORDS)
    return {
        "id": identifier(number),
        "title": f"Document {number}",
        "url": f"https://documents.example/{number}",
        "content": begin + TEXTS[start : start + CONTENT_BYTES - len(begin)],
        "media_type": "text/plain",
        "metadata": {f"field_{field}": metadata(number, field) for field in range(METADATA_FIELDS)},
        "created_at": CREATED_AT,
        "updated_at": datetime.fromtimestamp(1_700_000_000 + number, timezone.utc),
    }


def metadata(number: int, field: int) -> str | int | bool:
    kind = field % 4
    if kind == 0:
        return f"value {field * 7} of {number}"
    if kind == 1:
        return number * (field + 1)
    if kind == 2:
        return f"folder/{number % 97}/{number % 1009}"
    return number % 2 == 0


def allow(number: int) -> list[str]:
    """Who may read it; its visibility is private."""
    return [f"user:person-{number % 211}@acme.example", f"group:team-{number % 13}@acme.example", "domain:acme.example"]
