"""What the methods beside `pull` are asked, and what they answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from superfasttt.connector.v1 import connector_pb2 as pb


class Checks:
    """The answer of `test_connection`: named checks in the order in which a person should read them."""

    def __init__(self) -> None:
        self.response = pb.TestConnectionResponse()

    def passed(self, name: str, message: str) -> Checks:
        """It is as it should be. `name` is a stable snake_case name, such as "root_readable"."""
        return self._add(name, pb.Check.OUTCOME_PASSED, message, "")

    def failed(self, name: str, message: str, fix: str) -> Checks:
        """It must be mended, in the way that `fix` tells, before a sync can work."""
        return self._add(name, pb.Check.OUTCOME_FAILED, message, fix)

    def warning(self, name: str, message: str, fix: str) -> Checks:
        """A sync works, but not as well as it could."""
        return self._add(name, pb.Check.OUTCOME_WARNING, message, fix)

    def skipped(self, name: str, message: str) -> Checks:
        """It was not tried, because an earlier one failed."""
        return self._add(name, pb.Check.OUTCOME_SKIPPED, message, "")

    def account(self, id: str, display_name: str = "", email: str = "") -> Checks:
        """Says whose account the connection reads, by the source's stable identifier."""
        self.response.account.CopyFrom(pb.AccountIdentity(id=id, display_name=display_name, email=email))
        return self

    def _add(self, name: str, outcome: pb.Check.Outcome, message: str, fix: str) -> Checks:
        self.response.checks.append(pb.Check(name=name, outcome=outcome, message=message, fix=fix))
        return self


@dataclass(slots=True)
class Discover:
    """Asks for the resources under a parent. The settings may be incomplete, so they come as plain data."""

    settings: dict[str, Any]
    picker: str = ""
    """Which of the settings' pickers asks. Empty: the only one."""
    parent_id: str = ""
    """The resource to look under. Empty: the top."""
    query: str = ""
    """Words that a person typed to search. Empty: everything."""
    page_size: int = 100
    """How many at most, 1 to 1,000."""
    page_token: str = ""
    """`next_page_token` of the answer before. Empty: the first page."""


@dataclass(slots=True)
class Resource:
    """Something a person may pick in settings."""

    id: str
    name: str
    kind: str = ""
    """What it is, such as "folder". Empty: not said."""
    has_children: bool = False
    selectable: bool = True


@dataclass(slots=True)
class Resources:
    """The answer of `discover`."""

    resources: Sequence[Resource]
    next_page_token: str = ""
    """Empty: this was the last page."""


@dataclass(slots=True)
class Content:
    """The answer of `fetch_content`: the bytes, or an async iterator over them such as `response.aiter_bytes()`."""

    data: bytes | AsyncIterator[bytes]
    media_type: str = ""
    length: int | None = None
    """How many bytes follow. None: not known. Where it is over what the server takes, nothing is read."""
    version: str = ""
    """The version that is served."""


@dataclass(slots=True)
class Event:
    """A webhook as it came."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    """Names lower-case."""
    body: bytes
    signing_secret: str = field(repr=False, default="")
    """What the source signs with. Empty: nothing was set."""
    for_app: bool = False
    """It came to an application's URL: there are no settings and no credential; answer with `routing_keys`."""


@dataclass(slots=True)
class EventAnswer:
    """What a webhook means."""

    verified: bool
    """False: the signature is wrong or missing. The server answers 401 and does nothing else."""
    changed_ids: Sequence[str] = ()
    scopes: Sequence[str] = ()
    """Scopes to pull now."""
    all_scopes: bool = False
    status: int = 0
    """What to answer to the source, with `content_type` and `body`. 0: 204 and no body."""
    content_type: str = ""
    body: bytes = b""
    routing_keys: Sequence[str] = ()


@dataclass(slots=True)
class Action:
    """Asks for an action that the manifest declares."""

    name: str
    input: dict[str, Any]
    idempotency_key: str = ""
    """The same key means the same deed, done once. Empty: each call is its own."""
