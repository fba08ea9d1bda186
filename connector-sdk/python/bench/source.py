"""The benchmark's source in Python: as a connector, and as the bare gRPC stream that it is measured against.

    source.py                connectord starts it
    source.py bare SOCKET    the bare side: says SOCKET on stdout when it listens, and serves until it is killed

`make bench` runs both, see docs/benchmarks.md. Both sides make their documents as they go, with `fields`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from pydantic import BaseModel

from superfasttt.connector.v1 import connector_pb2 as pb
from superfasttt.connector.v1 import document_pb2
from superfasttt_connector import BaseConnector, Checkpoint, DocumentEnvelope, Key, ListingComplete, Permissions, run

CONTENT_BYTES = 1024
METADATA_FIELDS = 8
PER_CHECKPOINT = 1000
PER_PAGE = 500
"""Of the bare side: two pages to a checkpoint, and each about as large as those of the SDK."""
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
    """What both sides make a document of: the same as bench/src/source.rs makes, field by field."""
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
    return [f"user:person-{number % 211}@acme.example", f"group:team-{number % 13}@acme.example", "domain:acme.example"]


class Settings(BaseModel):
    documents: int


class Source(BaseConnector[Settings]):
    """The cursor of a listing is the number of the last document that it named."""

    async def pull(self, cursor: int | None = None) -> AsyncIterator[Any]:
        for number in range((cursor or 0) + 1, self.settings.documents + 1):
            yield number
            if number % PER_CHECKPOINT == 0:
                yield Checkpoint(number, has_more=True)
        yield ListingComplete(0)

    def key(self, item: int) -> Key:
        return Key(identifier(item), version="1")

    def normalize(self, item: int) -> DocumentEnvelope:
        return DocumentEnvelope(**fields(item), permissions=Permissions("private", allow(item)))


def bare_change(number: int) -> pb.Change:
    permissions = document_pb2.Permissions(visibility="private", allow=allow(number))
    return pb.Change(document=document_pb2.DocumentEnvelope(**fields(number), version="1", permissions=permissions))


async def bare_pull(request: pb.PullRequest, _: Any) -> AsyncIterator[pb.PullResponse]:
    """What an author would write without an SDK, and nothing that a connector has to do beside."""
    documents = int(request.settings["documents"])
    for first in range(1, documents + 1, PER_PAGE):
        last = min(first + PER_PAGE - 1, documents)
        page = pb.Page(changes=[bare_change(number) for number in range(first, last + 1)])
        if last % PER_CHECKPOINT == 0:
            page.checkpoint.CopyFrom(pb.Checkpoint(cursor=str(last).encode(), has_more=True))
        yield pb.PullResponse(page=page)


async def serve_bare(socket: str) -> None:
    server = grpc.aio.server()
    pull = grpc.unary_stream_rpc_method_handler(
        bare_pull,
        request_deserializer=pb.PullRequest.FromString,
        response_serializer=pb.PullResponse.SerializeToString,
    )
    name = "superfasttt.connector.v1.Connector"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Pull": pull}),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    print(socket, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        asyncio.run(serve_bare(sys.argv[2]))
    else:
        # The benchmark writes it into the folder that connectord starts this program in.
        run(Source, manifest=Path("manifest.json"))
