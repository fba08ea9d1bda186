"""My service: the items of a file, a JSON object a line. Write your source where this reads the file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from superfasttt_connector import (
    BaseConnector,
    Checkpoint,
    ContentUnreadable,
    CursorInvalid,
    Deletion,
    DocumentEnvelope,
    Key,
    ListingComplete,
    NotFound,
    Permissions,
    run,
)

# Small, so that the few items in testdata/ have several. Some hundreds are usual; 1,000 is the most.
ITEMS_A_CHECKPOINT = 10


class Settings(BaseModel):
    """What a person sets. The manifest's `settings` says the same for forms."""

    file: str


class Cursor(BaseModel):
    """Up to which item everything was given. Several items may have one time, so the id is part of it."""

    updated: str
    id: str


class Source(BaseConnector[Settings]):
    cursor_model = Cursor
    # Which exceptions and HTTP statuses mean what: it decides what the server does, and what people are told.
    error_table = {FileNotFoundError: lambda _: NotFound("the file is not there")}

    # A plain function runs in a thread. With `async def` you have `self.http`, which waits, retries and authenticates.
    def pull(self, cursor: Cursor | None = None) -> Iterator[Any]:
        """Brings what comes after the cursor, oldest first: so a listing goes on where it was cut, and changes follow on it."""
        if cursor is None and not self.mode.is_listing:
            raise CursorInvalid("changes begin where a listing ended")
        items = sorted(self.read(), key=position)
        newest = position(items[-1]) if items else ("", "")
        begin = (cursor.updated, cursor.id) if cursor else ("", "")
        if begin > newest:
            raise CursorInvalid("the source has nothing as new as this any more")
        coming = [item for item in items if position(item) > begin]
        for number, item in enumerate(coming, 1):
            yield Deletion(item["id"]) if item.get("deleted") else item
            if number % ITEMS_A_CHECKPOINT == 0:
                yield Checkpoint(at(item), has_more=True)
        end = Cursor(updated=newest[0], id=newest[1])
        # Only a listing has named everything, so only after it what was not named is deleted.
        yield ListingComplete(end) if self.mode.is_listing else Checkpoint(end)

    def key(self, item: Any) -> Key:
        """The id is stable for ever. The version says whether an item is another than before."""
        return Key(item["id"], version=item["updated"])

    def normalize(self, item: Any) -> DocumentEnvelope:
        """Makes a document of an item: pure, without network and clock. What it raises is this item's error alone."""
        if item.get("title") is None:
            raise ContentUnreadable("the item has no title")
        return DocumentEnvelope(
            id=item["id"],
            title=item["title"],
            content=item.get("text"),
            metadata={"owner": item.get("author")},
            permissions=Permissions("private"),  # "organization" where everybody may see it
            updated_at=item["updated"],
        )

    def read(self) -> Iterator[Any]:
        """The source. Yours asks page by page, and is not held in memory."""
        with Path(self.settings.file).open(encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    yield json.loads(line)


def position(item: Any) -> tuple[str, str]:
    """Times in one form (ISO 8601, UTC) have the order of texts."""
    return item["updated"], item["id"]


def at(item: Any) -> Cursor:
    return Cursor(updated=item["updated"], id=item["id"])


if __name__ == "__main__":
    run(Source)
