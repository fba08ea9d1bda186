"""The issues of samples/tracker: pages, a change feed with deletions, a broken issue, a 429, permissions."""

from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel

from superfasttt_connector import (
    BaseConnector,
    Checkpoint,
    Checks,
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


class Settings(BaseModel):
    url: str = "http://127.0.0.1:7090"


class Cursor(BaseModel):
    """Where the changes go on; of a listing also the page that comes next."""

    since: int
    page: int | None = None


class Tracker(BaseConnector[Settings]):
    cursor_model = Cursor
    error_table = {410: CursorInvalid}  # of the change feed: the cursor is too old

    async def pull(self, cursor: Cursor | None = None) -> AsyncIterator[Any]:
        if self.mode.is_listing:
            # Changes that come while it is listed are in the feed from here on.
            cursor = cursor or Cursor(since=(await self.read("/changes"))["sequence"], page=0)
            while cursor.page is not None:
                listing = await self.read("/issues", page=cursor.page, limit=100)
                for issue in listing["issues"]:
                    yield issue
                cursor.page = listing["next_page"]
                yield Checkpoint(cursor, has_more=cursor.page is not None)
            yield ListingComplete(cursor)
            return
        if cursor is None:
            raise CursorInvalid("changes begin where a listing was")
        has_more = True
        while has_more:
            feed = await self.read("/changes", since=cursor.since, limit=100)
            for change in feed["changes"]:
                yield change["issue"] if "issue" in change else Deletion(str(change["deleted"]))
            cursor, has_more = Cursor(since=feed["sequence"]), feed["has_more"]
            yield Checkpoint(cursor, has_more=has_more)

    async def get(self, id: str) -> Any:
        try:
            return await self.read(f"/issues/{id}")
        except NotFound:
            return None

    def key(self, issue: Any) -> Key:
        return Key(str(issue["number"]), version=str(issue["sequence"]))

    def normalize(self, issue: Any) -> DocumentEnvelope:
        if issue["title"] is None:
            raise ContentUnreadable("the issue has no title", code="tracker.no_title")
        allow = [f"user:{issue['author']}"] if issue["private"] else []
        return DocumentEnvelope(
            id=str(issue["number"]),
            title=issue["title"],
            content=issue["body"],
            url=issue["url"],
            metadata={"owner": issue["author"]},
            permissions=Permissions("private" if issue["private"] else "organization", allow),
            created_at=issue["created_at"],
            updated_at=issue["updated_at"],
        )

    async def test_connection(self) -> Checks:
        account = await self.read("/account")
        checks = Checks().passed("key_accepted", f"the tracker knows the key as {account['name']}")
        return checks.account(account["id"], account["name"], account["email"])

    async def read(self, path: str, **query: int) -> Any:
        return (await self.http.get(self.settings.url + path, params=query)).json()


if __name__ == "__main__":
    run(Tracker)
