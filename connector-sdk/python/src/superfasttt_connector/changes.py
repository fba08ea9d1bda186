"""What `pull` may yield beside the source's items."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pydantic import BaseModel

from superfasttt.connector.v1 import connector_pb2 as pb

from .envelope import Permissions
from .errors import ConnectorError, ProtocolViolation


def encode_cursor(cursor: Any) -> bytes:
    """A cursor as the server keeps it; the same one is always written alike.

    Raises:
        ProtocolViolation: it is nothing that JSON has.
    """
    plain = cursor.model_dump(mode="json") if isinstance(cursor, BaseModel) else cursor
    try:
        return json.dumps(plain, separators=(",", ":"), sort_keys=True).encode()
    except (TypeError, ValueError) as error:
        raise ProtocolViolation(f"the cursor cannot be written as JSON: {error}") from None


class Mode(Enum):
    """What a pull is asked to bring."""

    INCREMENTAL = pb.PULL_MODE_INCREMENTAL
    """Changes since the cursor."""
    FULL = pb.PULL_MODE_FULL
    """A listing of everything: begun where there is no cursor, else resumed from it."""
    LIST = pb.PULL_MODE_LIST
    """A listing of ids and versions: items are given as in FULL, and the SDK sends what `key` says of each."""
    TARGETED = pb.PULL_MODE_TARGETED
    """Single items: `get` is called, not `pull`."""

    @property
    def is_listing(self) -> bool:
        """Whether everything is named, so that what is not is gone."""
        return self in (Mode.FULL, Mode.LIST)


@dataclass(slots=True)
class Key:
    """What the server needs to know of an item before anything is made of it."""

    id: str
    """The source's own stable identifier, unique within a connection, 1 to 1,024 bytes."""
    version: str = ""
    """The source's etag or revision; content is fetched again when it differs. Empty: the source has none."""
    content_ref: str = ""
    """What `fetch_content` needs to read this item's bytes. Empty: there is nothing to fetch."""


@dataclass(slots=True)
class Page:
    """One page of the source, returned by `pull`; `{"items": …, "next_cursor": …}` is the same.

    While there is a `next_cursor`, `pull` is called again with it. A listing ends with a page that has none.
    """

    items: Sequence[Any]
    """Items, and changes of this module among them."""
    next_cursor: Any = None
    """Where the next page begins: anything that JSON has, or a pydantic model. None: this was the last one."""
    has_more: bool | None = None
    """For change feeds, whose cursor never ends: False says that this page was the last one for now."""


@dataclass(slots=True)
class Checkpoint:
    """Everything given so far for this scope is covered by `cursor`: the next pull is given it."""

    cursor: Any
    """Anything that JSON has, or a pydantic model; at most 64 KiB. It names no secret: the server stores it as it is."""
    has_more: bool = False
    """Pull again at once when this pull has ended. Without: the scope is caught up."""
    encoded: bytes = field(init=False, repr=False)
    """As the server keeps it: what becomes of `cursor` after this line does not count."""

    def __post_init__(self) -> None:
        self.encoded = encode_cursor(self.cursor)


@dataclass(slots=True)
class ListingComplete:
    """Everything in this scope was named since its listing began. FULL and LIST only, and only when it is true.

    It is sent when `pull` has ended well and nothing was left out: what was not named is then deleted.
    """

    cursor: Any
    """Where the next INCREMENTAL starts."""
    encoded: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.encoded = encode_cursor(self.cursor)


@dataclass(slots=True)
class Present:
    """The document exists at this version, and nothing else is said. FULL and LIST only."""

    id: str
    version: str = ""


@dataclass(slots=True)
class Deletion:
    """The source said that it is gone from this scope. By `id`, or by `locator` where the source names paths."""

    id: str = ""
    locator: str = ""
    with_descendants: bool = False
    """Everything under it is gone too."""


@dataclass(slots=True)
class PermissionsChange:
    """The permissions of a document alone."""

    id: str
    permissions: Permissions


@dataclass(slots=True)
class Container:
    """A folder, or whatever else holds documents."""

    id: str
    name: str
    parent_id: str = ""
    """What holds it. Empty: it stands at the top of its scope."""
    locator: str = ""


@dataclass(slots=True)
class ItemError:
    """This item could not be read. It takes no part in deletion by absence, and the pull goes on.

    Without `id` and `locator` nothing in this scope is deleted by absence now.
    """

    error: ConnectorError
    id: str = ""
    locator: str = ""
    with_descendants: bool = False
    """And what is under it: a folder that could not be opened."""


class Cause(Enum):
    """Why a scope is gone."""

    GONE = pb.ScopeRemoved.CAUSE_GONE
    """It no longer exists in the source."""
    ACCESS_LOST = pb.ScopeRemoved.CAUSE_ACCESS_LOST
    """The account may no longer read it."""
    DESELECTED = pb.ScopeRemoved.CAUSE_DESELECTED
    """The settings no longer choose it."""


@dataclass(slots=True)
class ScopeRemoved:
    """The source said that this scope is gone: its documents are deleted. Yielded by `scopes`."""

    scope: str
    cause: Cause = Cause.GONE


@dataclass(slots=True)
class Progress:
    """How far the pull is. Sent at most once a second, so it may be yielded for each item."""

    items_seen: int = 0
    items_total: int = 0
    """0: not known."""
    message: str = ""


@dataclass(slots=True)
class InScope:
    """What `get` returns where the source has several scopes: the item, or None when it is gone, and its scope."""

    scope: str
    item: Any
