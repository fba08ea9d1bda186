"""Does what its settings say, for tests of the process."""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from superfasttt_connector import (
    Action,
    BaseConnector,
    Checkpoint,
    Content,
    Discover,
    DocumentEnvelope,
    Event,
    EventAnswer,
    RateLimited,
    Resource,
    Resources,
    run,
)


class Served(BaseConnector):
    def pull(self, cursor: Any = None) -> Any:
        return self.blocking() if self.settings.how == "blocking" else self.streaming()

    def blocking(self) -> Iterator[Any]:
        try:
            while True:
                yield {"id": "again"}
                yield Checkpoint(1)
                time.sleep(0.05)
        finally:
            Path(self.settings.closed).write_text("closed")

    async def streaming(self) -> AsyncIterator[Any]:
        how = self.settings.how
        if how == "asleep":
            yield {"id": "first"}
            await asyncio.to_thread(time.sleep, 60)
        if how == "waits":
            try:
                yield {"id": "first"}
                yield Checkpoint(1)
                await asyncio.sleep(60)
            finally:
                Path(self.settings.closed).write_text("closed")
        if how == "slow":
            yield {"id": "first"}
            await asyncio.sleep(60)
        if how == "leaks":
            self.log.warn("the token is", token=self.credential.token)
            logging.getLogger("a.library").error("it is %s", self.credential.token)
            raise RuntimeError(f"cannot use {self.credential.token}")
        if how == "verbose":
            raise RateLimited("é" * 5000, metadata={f"fact {n}": "é" * 1000 for n in range(40)}, retry_after=5)
        if how == "cancels itself":
            raise asyncio.CancelledError
        if how == "exits":
            sys.exit(0)
        if how == "busy":
            for number in range(100_000):
                time.sleep(0.002)  # as code does that computes
                yield {"id": str(number)}
        if how == "own":
            for number in range(20):
                await asyncio.sleep(0)
                yield {"id": f"{self.settings.name}-{number}", "who": self.credential.token}
        if how == "large":
            for number in range(12):
                yield {"id": str(number), "text": "x" * 1024 * 1024}

    def normalize(self, raw_item: Any) -> DocumentEnvelope:
        return DocumentEnvelope(id=raw_item["id"], title=raw_item.get("who", ""), content=raw_item.get("text"))

    async def fetch_content(self, id: str, content_ref: str, version: str) -> Content:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"y" * 400_000

        match content_ref:
            case "short":
                return Content(parts(), length=5)
            case "unknown length":
                return Content(parts(), "text/plain")
        return Content(b"z" * 1_200_000, version="2")

    async def discover(self, request: Discover) -> Resources:
        return Resources([Resource(f"{request.parent_id}/{request.query}", "found", "folder", has_children=True)], "more")

    async def handle_event(self, event: Event) -> EventAnswer:
        return EventAnswer(event.signing_secret == "right", changed_ids=["a"], status=200, body=event.body)

    async def execute(self, action: Action) -> dict[str, Any]:
        return {"did": action.name, "with": action.input, "key": action.idempotency_key}


if __name__ == "__main__":
    run(Served)
