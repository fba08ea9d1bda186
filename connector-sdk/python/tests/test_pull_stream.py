"""What may be given beside items, and how scopes, pages, single items and listings end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from superfasttt.connector.v1 import connector_pb2 as pb
from superfasttt_connector import (
    AccessDenied,
    BaseConnector,
    Cause,
    Checkpoint,
    ConnectorError,
    Container,
    CredentialExpired,
    CursorInvalid,
    Deletion,
    InScope,
    ItemError,
    ListingComplete,
    Mode,
    NotFound,
    Permissions,
    PermissionsChange,
    Present,
    Progress,
    ProtocolViolation,
    RateLimited,
    ScopeRemoved,
    testing,
)
from test_pull import MANIFEST, AsyncGenerator, AsyncList, Base, BlockingGenerator, BlockingPages, pull

# What else may be given.


def test_all_that_may_be_given_arrives_in_its_order() -> None:
    class Everything(Base):
        async def pull(self, cursor: Any = None) -> AsyncIterator[Any]:
            yield Container("folder", "Reports", parent_id="", locator="/reports")
            yield {"id": "a"}
            yield PermissionsChange("a", Permissions("public"))
            yield ItemError(AccessDenied("closed"), id="folder", with_descendants=True)
            yield ItemError(AccessDenied("closed"), locator="/x")
            yield Deletion("old", with_descendants=True)
            yield Deletion(locator="/gone")
            yield Progress(3, 10, "reading")
            yield Checkpoint({"at": 1})

    pulled = pull(Everything, mode=Mode.INCREMENTAL, states={"": b"{}"})
    assert pulled.error is None
    kinds = [change.WhichOneof("kind") for change in pulled.changes]
    assert kinds == ["container", "document", "permissions", "item_error", "item_error", "deletion", "deletion"]
    assert pulled.deletions == ["old", "/gone"]
    assert pulled.item_errors["folder"].with_descendants
    assert pulled.states == {"": b'{"at":1}'}


def test_a_list_takes_what_is_a_document_and_leaves_out_the_rest() -> None:
    class Listed(Base):
        async def pull(self, cursor: Any = None) -> AsyncIterator[Any]:
            yield Container("folder", "Reports")
            yield {"id": "a"}
            yield Present("b", "2")
            yield Deletion("c")
            yield PermissionsChange("a", Permissions())
            yield ListingComplete(1)

    pulled = pull(Listed, mode=Mode.LIST)
    assert pulled.present == {"a": "", "b": "2"}
    assert len(pulled.changes) == 2
    assert pulled.complete


@pytest.mark.parametrize(
    ("given", "mode", "says"),
    [
        (Checkpoint("x" * 70_000), Mode.FULL, "65536 bytes"),
        (ListingComplete(1), Mode.INCREMENTAL, "outside FULL and LIST"),
        (Present("a"), Mode.INCREMENTAL, "outside FULL and LIST"),
    ],
)
def test_what_breaks_the_contract_ends_the_pull_also_where_the_author_drops_the_error(
    given: Any, mode: Mode, says: str
) -> None:
    class Breaks(Base):
        async def pull(self, cursor: Any = None) -> AsyncIterator[Any]:
            yield {"id": "a"}
            yield given

        async def sync(self) -> None:
            with contextlib.suppress(ConnectorError):
                await self.run_incremental_sync()

    error = pull(Breaks, mode=mode).error
    assert error is not None
    assert error.reason == "PROTOCOL_VIOLATION"
    assert says in error.message


def test_a_cursor_that_json_does_not_have_is_refused_where_it_is_given() -> None:
    for kind in (Checkpoint, ListingComplete):
        with pytest.raises(ProtocolViolation, match="cannot be written as JSON"):
            kind(object())


def test_a_listing_is_not_complete_when_the_pull_fails_after_all() -> None:
    class Fails(Base):
        async def pull(self, cursor: Any = None) -> AsyncIterator[Any]:
            yield {"id": "a"}
            yield ListingComplete(1)
            raise RateLimited("slow down", retry_after=30)

    pulled = pull(Fails)
    assert list(pulled.documents) == ["a"], "what was given before still leaves"
    assert not pulled.complete
    assert pulled.error is not None
    assert (pulled.error.reason, pulled.error.retry_after) == ("RATE_LIMITED", 30)


# Pages of the stream.


def test_pages_keep_to_the_limits_of_the_request_and_lose_nothing() -> None:
    class Many(Base):
        def pull(self, cursor: Any = None) -> Iterator[Any]:
            for number in range(1000):
                yield {"id": f"{number:0900}"}
            yield Checkpoint(1)

    program = testing.program(Many, manifest_json=MANIFEST)
    for limits, most in ((pb.PullLimits(max_page_changes=7), 7), (pb.PullLimits(max_page_bytes=64 * 1024), 80), (None, 500)):
        pulled = testing.pull(program, limits=limits)
        assert len(pulled.documents) == 1000
        assert max(len(message.page.changes) for message in pulled.messages) <= most
        largest = limits.max_page_bytes if limits is not None and limits.max_page_bytes else 1024 * 1024
        assert max(message.ByteSize() for message in pulled.messages) <= largest


# The connection's test that an author gets.


@pytest.mark.parametrize("connector", [AsyncGenerator, BlockingGenerator, AsyncList, BlockingPages])
def test_the_default_test_reads_the_first_page(connector: type[BaseConnector[Any]]) -> None:
    [check] = testing.checks(testing.program(connector, manifest_json=MANIFEST)).checks
    assert (check.name, check.outcome) == ("readable", pb.Check.OUTCOME_PASSED)


def test_what_stands_in_the_way_is_a_failed_check() -> None:
    class Closed(Base):
        async def pull(self, cursor: Any = None) -> AsyncIterator[Any]:
            raise AccessDenied("the account is closed")
            yield

    [check] = testing.checks(testing.program(Closed, manifest_json=MANIFEST)).checks
    assert (check.name, check.outcome) == ("access_denied", pb.Check.OUTCOME_FAILED)
    assert check.message == "the account is closed"
    assert "administrator" in check.fix


def test_a_token_that_ended_is_no_check_because_the_server_refreshes_it() -> None:
    class Ended(Base):
        async def test_connection(self) -> Any:
            raise CredentialExpired("the token has ended")

    with pytest.raises(AssertionError, match="CREDENTIAL_EXPIRED"):
        testing.checks(testing.program(Ended, manifest_json=MANIFEST))


def test_progress_and_logs_travel_beside_the_pages_and_a_flood_is_cut() -> None:
    class Talks(Base):
        async def pull(self, cursor: Any = None) -> AsyncIterator[Any]:
            for number in range(3000):
                self.log.info("reading", number=number)
                self.log.debug("not for users")
            yield Progress(3, 10, "reading")
            yield {"id": "a"}
            yield Checkpoint(1)

    pulled = pull(Talks)
    assert pulled.error is None
    assert pulled.logs.count("reading") == 1000
    assert pulled.logs[-1] == "2000 log records were left out: too many at once"
    [progress] = [message.progress for message in pulled.messages if message.HasField("progress")]
    assert (progress.items_seen, progress.items_total, progress.message) == (3, 10, "reading")


# Scopes.


class Drives(Base):
    async def scopes(self) -> list[Any]:
        return ["one", "two", ScopeRemoved("gone", Cause.ACCESS_LOST), "three"]

    async def pull(self, cursor: Any = None) -> AsyncIterator[Any]:
        if self.scope == "two":
            raise AccessDenied("drive two is closed")
        yield {"id": f"{self.scope}-{cursor}"}
        yield ListingComplete({"drive": self.scope})


def test_a_scope_that_fails_stops_alone() -> None:
    pulled = pull(Drives)
    assert pulled.error is None
    assert sorted(pulled.documents) == ["one-None", "three-None"]
    assert pulled.scope_errors["two"].error.message == "drive two is closed"
    assert pulled.scopes_removed["gone"].reason == pb.ScopeRemoved.CAUSE_ACCESS_LOST
    assert pulled.states == {"one": b'{"drive":"one"}', "three": b'{"drive":"three"}'}
    resumed = pull(Drives, states={"one": b"7"}, scopes=["one"])
    assert list(resumed.documents) == ["one-7"]
    assert not resumed.scopes_removed


def test_a_source_with_one_scope_fails_as_a_connection() -> None:
    class Closed(Base):
        async def pull(self, cursor: Any = None) -> Any:
            raise AccessDenied("the account is closed")

    error = pull(Closed).error
    assert error is not None
    assert error.reason == "ACCESS_DENIED"


@pytest.mark.parametrize("cursor", [b"\xff\xfe", b"{", b"too old"])
def test_a_cursor_of_somebody_else_lists_the_scope_in_full(cursor: bytes) -> None:
    pulled = pull(AsyncGenerator, mode=Mode.INCREMENTAL, states={"": cursor})
    assert pulled.error is None
    assert pulled.scope_errors[""].error.reason == CursorInvalid.reason


# Single items.


class Single(AsyncList):
    async def get(self, id: str) -> Any:
        match id:
            case "gone":
                return None
            case "closed":
                raise NotFound("not for you")
            case "broken":
                raise KeyError("x")
            case "other":
                return {"id": "somebody else"}
            case "moved":
                return InScope("drive", {"id": id})
            case "limited":
                raise RateLimited("slow down")
        return {"id": id}


def test_every_id_is_answered() -> None:
    pulled = pull(Single, mode=Mode.TARGETED, ids=["a", "gone", "closed", "broken", "other", "moved", "a"])
    assert pulled.error is None
    assert sorted(pulled.documents) == ["a", "moved"]
    assert pulled.deletions == ["gone"]
    assert sorted(pulled.item_errors) == ["broken", "closed", "other"]
    assert not pulled.checkpoints


def test_what_concerns_the_connection_ends_a_targeted_pull() -> None:
    error = pull(Single, mode=Mode.TARGETED, ids=["a", "limited", "b"]).error
    assert error is not None
    assert error.reason == "RATE_LIMITED"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"mode": Mode.TARGETED}, "PROTOCOL_VIOLATION"),
        ({"mode": Mode.FULL, "ids": ["a"]}, "PROTOCOL_VIOLATION"),
        ({"mode": Mode.TARGETED, "ids": [str(number) for number in range(1001)]}, "PROTOCOL_VIOLATION"),
        ({"mode": Mode.LIST, "manifest": '{"id": "demo"}'}, "UNIMPLEMENTED"),
        ({"mode": Mode.INCREMENTAL, "manifest": '{"id": "demo"}'}, "UNIMPLEMENTED"),
    ],
)
def test_what_may_not_be_asked(asked: dict[str, Any], reason: str) -> None:
    error = pull(Single, **asked).error
    assert error is not None
    assert error.reason == reason
