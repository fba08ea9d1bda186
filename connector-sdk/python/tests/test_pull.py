"""What an author's `pull` may look like, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from superfasttt.connector.v1 import connector_pb2 as pb
from superfasttt_connector import (
    AccessDenied,
    BaseConnector,
    Checkpoint,
    DocumentEnvelope,
    Key,
    ListingComplete,
    Mode,
    Page,
    PaginationLoop,
    testing,
)

MANIFEST = json.dumps(
    {
        "id": "demo",
        "auth": {"type": "none"},
        "sync": {"mode": "incremental"},
        "capabilities": ["full_listing", "list", "targeted"],
    }
)


class Base(BaseConnector):
    """Documents of whatever has an id."""

    def normalize(self, raw_item: Any) -> DocumentEnvelope:
        return DocumentEnvelope(id=str(raw_item["id"]), title=raw_item["id"])


def pull(connector: type[BaseConnector[Any]], manifest: str = MANIFEST, **asked: Any) -> testing.Pulled:
    return testing.pull(testing.program(connector, manifest_json=manifest), **asked)


def items(*ids: str) -> list[dict[str, str]]:
    return [{"id": each} for each in ids]


# The shapes of `pull`.


class AsyncGenerator(Base):
    async def pull(self, cursor: Any = None) -> AsyncIterator[Any]:
        for item in items("a", "b"):
            yield item
        yield ListingComplete("end")


class BlockingGenerator(Base):
    def pull(self, cursor: Any = None) -> Iterator[Any]:
        yield from items("a", "b")
        yield ListingComplete("end")


class ReturnsGenerator(Base):
    async def pull(self, cursor: Any = None) -> Any:
        return (each for each in [*items("a", "b"), ListingComplete("end")])


class AsyncList(Base):
    async def pull(self, cursor: Any = None) -> Any:
        return items("a", "b")


class BlockingList(Base):
    def pull(self, cursor: Any = None) -> Any:
        return tuple(items("a", "b"))


class DictPages(Base):
    async def pull(self, cursor: Any = None) -> Any:
        return {"items": items("a"), "next_cursor": 2} if cursor is None else {"items": items("b"), "next_cursor": None}


class BlockingPages(Base):
    def pull(self, cursor: Any = None) -> Any:
        return Page(items("a"), next_cursor=2) if cursor is None else Page(items("b"))


class AsyncNormalize(AsyncList):
    async def normalize(self, raw_item: Any) -> DocumentEnvelope:  # type: ignore[override]
        return DocumentEnvelope(id=raw_item["id"])


@pytest.mark.parametrize(
    "connector",
    [
        AsyncGenerator,
        BlockingGenerator,
        ReturnsGenerator,
        AsyncList,
        BlockingList,
        DictPages,
        BlockingPages,
        AsyncNormalize,
    ],
)
def test_every_shape_gives_the_same(connector: type[BaseConnector[Any]]) -> None:
    pulled = pull(connector)
    assert pulled.error is None
    assert list(pulled.documents) == ["a", "b"]
    assert pulled.complete


def test_a_list_is_the_whole_listing_and_the_next_pull_begins_anew() -> None:
    first = pull(AsyncList)
    assert first.states == {"": b"null"}
    again = pull(AsyncList, mode=Mode.INCREMENTAL, states=first.states)
    assert list(again.documents) == ["a", "b"]
    assert not again.complete


def test_a_list_completes_nothing_without_full_listing() -> None:
    pulled = pull(AsyncList, manifest='{"id": "demo"}')
    assert pulled.error is None
    assert not pulled.complete
    assert [checkpoint.has_more for _, checkpoint in pulled.checkpoints] == [False]


def test_pages_are_checkpointed_each_so_that_a_cut_costs_one() -> None:
    pulled = pull(DictPages)
    assert [(point.cursor, point.has_more, point.listing_complete) for _, point in pulled.checkpoints] == [
        (b"2", True, False),
        (b"null", False, True),
    ]
    resumed = pull(DictPages, states={"": b"2"})
    assert list(resumed.documents) == ["b"]
    assert resumed.complete


def test_a_change_feed_ends_where_it_says_so_or_gives_nothing_new() -> None:
    class Feed(Base):
        async def pull(self, cursor: Any = None) -> Any:
            said = {"has_more": cursor is None} if self.settings.says else {}
            return {"items": items("a") if cursor is None else [], "next_cursor": (cursor or 0) + 1, **said}

    for says in (True, False):
        pulled = pull(Feed, settings={"says": says}, mode=Mode.INCREMENTAL)
        assert pulled.error is None
        assert pulled.states == {"": b"2"}
        assert not pulled.checkpoints[-1][1].has_more


def test_pages_that_go_round_in_a_circle_stop_the_scope() -> None:
    class Circle(Base):
        async def pull(self, cursor: Any = None) -> Any:
            return {"items": items(f"item-{cursor}"), "next_cursor": ((cursor or 0) + 1) % 3}

    pulled = pull(Circle)
    assert pulled.scope_errors[""].error.reason == PaginationLoop.reason
    assert "given before" in pulled.scope_errors[""].error.message
    assert not pulled.complete


def test_empty_pages_in_the_middle_of_a_listing_do_not_end_it() -> None:
    class Gaps(Base):
        async def pull(self, cursor: Any = None) -> Any:
            page = cursor or 0
            return {"items": items(str(page)) if page % 3 == 0 else [], "next_cursor": page + 1 if page < 9 else None}

    pulled = pull(Gaps)
    assert list(pulled.documents) == ["0", "3", "6", "9"]
    assert pulled.complete


@pytest.mark.parametrize("returned", [None, "text", 5, {"item": []}])
def test_what_is_no_page_is_told(returned: Any) -> None:
    class Wrong(Base):
        async def pull(self, cursor: Any = None) -> Any:
            return returned

    error = pull(Wrong).error
    assert error is not None
    assert error.reason == "INTERNAL"
    assert "`pull`" in error.message


class Reuses(Base):
    """As code does that fills one object again and again."""

    def pull(self, cursor: Any = None) -> Iterator[Any]:
        item, where = {"id": ""}, {"at": 0}
        for number in range(1000):
            item["id"] = str(number)
            yield item
            where["at"] = number
            if number % 100 == 99:
                yield Checkpoint(where)


class ReusesAsync(Reuses):
    async def pull(self, cursor: Any = None) -> AsyncIterator[Any]:  # type: ignore[override]
        for event in super().pull(cursor):
            yield event


@pytest.mark.parametrize("connector", [Reuses, ReusesAsync])
@pytest.mark.parametrize("want_raw", [False, True])
def test_what_is_given_counts_as_it_is_then(connector: type[BaseConnector[Any]], want_raw: bool) -> None:
    pulled = pull(connector, want_raw=want_raw)
    assert list(pulled.raw if want_raw else pulled.documents) == [str(number) for number in range(1000)]
    assert [json.loads(point.cursor)["at"] for _, point in pulled.checkpoints] == list(range(99, 1000, 100))


# Items that fail.


def test_one_bad_item_never_ends_a_pull() -> None:
    class Bad(Base):
        async def pull(self, cursor: Any = None) -> Any:
            return [*items("a"), {"id": "b", "boom": "s3cret-value"}, {"no": "id"}, {"id": None}, *items("", "x" * 1025, "c")]

        def normalize(self, raw_item: Any) -> DocumentEnvelope:
            if "boom" in raw_item:
                raise ValueError(f"cannot read {raw_item['boom']}")
            return super().normalize(raw_item)

    for want_raw, good in ((False, ["a", "c"]), (True, ["a", "b", "c"])):
        pulled = pull(Bad, want_raw=want_raw)
        assert pulled.error is None
        assert list(pulled.raw if want_raw else pulled.documents) == good
        assert not pulled.complete, "items without a name: any document might be one of them"
        assert any("4 items could not be read" in line for line in pulled.logs)
    told = pull(Bad).item_errors["b"].error
    assert told.message == "the connector's code raised ValueError: its log says where"


def test_the_stack_is_logged_once_for_a_thousand_items(caplog: pytest.LogCaptureFixture) -> None:
    class Bad(Base):
        async def pull(self, cursor: Any = None) -> Any:
            return items(*map(str, range(1000)))

        def normalize(self, raw_item: Any) -> DocumentEnvelope:
            raise KeyError("title")

    pulled = pull(Bad)
    assert len(pulled.item_errors) == 1000
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_a_reason_that_the_author_chose_is_told_with_its_code() -> None:
    class Denied(AsyncList):
        def normalize(self, raw_item: Any) -> DocumentEnvelope:
            raise AccessDenied("downloads are switched off", code="demo.download_forbidden", metadata={"by": "owner"})

    error = pull(Denied).item_errors["a"].error
    assert (error.message, error.code, dict(error.metadata)) == (
        "downloads are switched off",
        "demo.download_forbidden",
        {"by": "owner"},
    )


def test_key_and_normalize_have_to_agree() -> None:
    class Differ(AsyncList):
        def key(self, raw_item: Any) -> str:
            return f"other-{raw_item['id']}"

    pulled = pull(Differ)
    assert not pulled.documents
    assert "different ids" in pulled.item_errors["other-a"].error.message


def test_the_key_gives_version_and_content_ref() -> None:
    class Keyed(AsyncList):
        def key(self, raw_item: Any) -> Key:
            return Key(raw_item["id"], version="v7", content_ref="ref")

    document = pull(Keyed).documents["a"]
    assert (document.version, document.content_ref) == ("v7", "ref")
    raw = pull(Keyed, want_raw=True).raw["a"]
    assert (raw.version, raw.content_ref, raw.schema, json.loads(raw.data)) == ("v7", "ref", "item/1", {"id": "a"})
    assert pull(Keyed, mode=Mode.LIST).present == {"a": "v7", "b": "v7"}


def test_raw_items_normalize_later_to_the_same() -> None:
    program = testing.program(AsyncNormalize, manifest_json=MANIFEST)
    raw = list(testing.pull(program, want_raw=True).raw.values())
    broken = pb.RawItem(id="broken", schema="item/1", data=b"{")
    answers = testing.normalize(program, [*raw, broken])
    assert [answer.document.id for answer in answers] == ["a", "b", ""]
    assert answers[0].document == testing.pull(program).documents["a"]
    assert answers[2].item_error.id == "broken"
