"""The benchmark's source in Python: as a connector, and as the bare gRPC stream that it is measured against.

    source.py                connectord starts it
    source.py bare SOCKET    the bare side: says SOCKET on stdout when it listens, and serves until it is killed

`make bench` runs both, see docs/benchmarks.md. Both sides make their documents as they go, with `documents.py`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from pydantic import BaseModel

from documents import allow, fields, identifier
from superfasttt.connector.v1 import connector_pb2 as pb
from superfasttt.connector.v1 import document_pb2
from superfasttt_connector import BaseConnector, Checkpoint, DocumentEnvelope, Key, ListingComplete, Permissions, run

PER_CHECKPOINT = 1000
PER_PAGE = 500
"""Of the bare side: two pages to a checkpoint, and each about as large as those of the SDK."""


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
    documents = int(request.settings.fields["documents"].number_value)
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
