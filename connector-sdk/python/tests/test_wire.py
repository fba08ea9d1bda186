"""What is encoded by hand is what the generated classes read."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf import struct_pb2, timestamp_pb2

from superfasttt.connector.v1 import document_pb2
from superfasttt_connector import ConnectorError, DocumentEnvelope, Permissions, envelope, wire
from superfasttt_connector.settings import struct_to_dict

TEXTS = ["", "a", "é", "日本語", "x" * 127, "x" * 128, "y" * 20_000, '"\\\n\x00']


def anything(rng: random.Random, depth: int) -> Any:
    kinds: list[Callable[[], Any]] = [
        lambda: rng.choice(TEXTS),
        lambda: rng.randint(-(2**53), 2**53),
        lambda: rng.random() * 1e300,
        lambda: rng.choice([True, False, None]),
    ]
    if depth:
        kinds.append(lambda: [anything(rng, depth - 1) for _ in range(rng.randint(0, 4))])
        kinds.append(lambda: {rng.choice(TEXTS): anything(rng, depth - 1) for _ in range(rng.randint(0, 4))})
    return rng.choice(kinds)()


@pytest.mark.parametrize("seed", range(200))
def test_any_json_comes_out_as_it_went_in(seed: int) -> None:
    rng = random.Random(seed)
    given = {f"field {number}": anything(rng, 4) for number in range(rng.randint(0, 6))}
    read = struct_pb2.Struct.FromString(wire.struct_of(given))
    assert struct_to_dict(read) == given


@pytest.mark.parametrize("seed", range(50))
def test_a_document_reads_as_it_was_made(seed: int) -> None:
    rng = random.Random(seed)
    short = [text for text in TEXTS if len(text.encode()) < 200]
    given: dict[str, Any] = {
        name: rng.choice(short) for name in ("source", "url", "media_type", "parent_id", "locator", "title")
    }
    moment = datetime(1969, 7, 20, 20, 17, 40, 123456, timezone.utc) + timedelta(seconds=rng.randint(0, 4_000_000_000))
    permissions = Permissions("organization", ["user:a@b.fr", "domain:b.fr"], ["user:c@b.fr"])
    document = DocumentEnvelope(
        id="the id",
        content=rng.choice([None, *TEXTS]),
        metadata=rng.choice([None, {}, {"size": 5}]),
        permissions=rng.choice([None, permissions]),
        created_at=moment,
        updated_at=moment.isoformat().replace("+00:00", "Z"),
        **given,
    )
    read = document_pb2.DocumentEnvelope.FromString(envelope.encode(document, b"the id", b"v1", b"ref"))
    expected = document_pb2.DocumentEnvelope(id="the id", version="v1", content_ref="ref", content=document.content, **given)
    if document.metadata is not None:
        expected.metadata.SetInParent()
        expected.metadata.update(document.metadata)
    if document.permissions is not None:
        expected.permissions.CopyFrom(
            document_pb2.Permissions(visibility="organization", allow=permissions.allow, deny=permissions.deny)
        )
    expected.created_at.FromDatetime(moment)
    expected.updated_at.FromDatetime(moment)
    assert read == expected
    assert read.HasField("content") == (document.content is not None)


def test_times_before_the_epoch_and_without_fractions() -> None:
    for moment in (datetime(1, 1, 1, tzinfo=timezone.utc), datetime(1970, 1, 1, tzinfo=timezone.utc)):
        read = timestamp_pb2.Timestamp.FromString(wire.timestamp(moment))
        assert read.ToDatetime(tzinfo=timezone.utc) == moment


def test_what_json_has_no_word_for() -> None:
    read = struct_to_dict(struct_pb2.Struct.FromString(wire.struct_of({"a": math.inf, "b": math.nan, 7: "seven"})))  # type: ignore[dict-item]
    assert read == {"a": None, "b": None, "7": "seven"}


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {"leaf": 1}
    for level in range(depth):
        found = {"in": [found] if level % 2 else found}
    return found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metadata", {"x": object()}),
        ("metadata", {"x": b"bytes"}),
        ("metadata", {"x": 10**400}),
        ("metadata", {"x": "\ud800"}),
        ("metadata", nested(11)),
        ("metadata", nested(40)),
        ("metadata", {"x": "y" * 70_000}),
        ("metadata", ["no mapping"]),
        ("title", 5),
        ("title", "\ud800"),
        ("content", b"bytes"),
        ("content", "x" * (1024 * 1024 + 1)),
        ("url", "u" * 8193),
        ("media_type", "m" * 256),
        ("created_at", datetime(2026, 1, 1)),
        ("created_at", "yesterday"),
        ("created_at", "2026-01-01T00:00:00"),
        ("created_at", "2026-02-30T00:00:00Z"),
        ("permissions", {"visibility": "private"}),
        ("permissions", Permissions(allow="user:a")),
        ("permissions", Permissions(allow=["u" * 1025])),
        ("created_at", 1767225600),
        ("locator", "l" * 4097),
        ("parent_id", "p" * 1025),
    ],
)
def test_what_the_contract_does_not_take_is_told_and_not_sent(field: str, value: Any) -> None:
    document = DocumentEnvelope(id="a", **{field: value})
    with pytest.raises(ConnectorError) as raised:
        envelope.encode(document, b"a", b"", b"")
    assert field.partition("_")[0] in raised.value.message or "text" in raised.value.message or "principal" in str(raised)


@pytest.mark.parametrize(
    "text", ["2026-03-04T05:06:07Z", "2026-03-04 05:06:07.000+0000", "2026-03-04t06:06:07.0000000009+01:00"]
)
def test_times_as_apis_write_them(text: str) -> None:
    encoded = envelope.encode(DocumentEnvelope(id="a", created_at=text), b"a", b"", b"")
    read = document_pb2.DocumentEnvelope.FromString(encoded).created_at
    assert read.ToDatetime() == datetime(2026, 3, 4, 5, 6, 7)


def test_metadata_is_as_deep_as_every_decoder_goes() -> None:
    # Eleven objects and five lists.
    document = DocumentEnvelope(id="a", metadata=nested(10))
    assert envelope.encode(document, b"a", b"", b"")


def test_a_long_title_is_cut_at_a_character() -> None:
    encoded = envelope.encode(DocumentEnvelope(id="a", title="é" * 3000), b"a", b"", b"")
    assert document_pb2.DocumentEnvelope.FromString(encoded).title == "é" * 2048
