"""Documents per second of the SDK beside a bare gRPC stream of the same messages, in Python both. Ends by itself.

    .venv/bin/python bench/stream.py [--documents 50000] [--rounds 3]

Each side is a process of its own, read by the same client. The bare side makes the messages with the generated classes and
yields them in pages of 500 from a `grpc.aio` handler: what an author would write without an SDK.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from superfasttt.connector.v1 import connector_pb2 as pb
from superfasttt.connector.v1 import document_pb2
from superfasttt_connector import BaseConnector, DocumentEnvelope, Key, Permissions
from superfasttt_connector.call import Program
from superfasttt_connector.manifest import parse
from superfasttt_connector.serve import start

PULL = "/superfasttt.connector.v1.Connector/Pull"
NORMALIZE = "/superfasttt.connector.v1.Connector/Normalize"
TOKEN = "bench"
OPTIONS = [("grpc.max_receive_message_length", 16 << 20)]
PER_PAGE = 500
TEXT = "A paragraph of text, as there are many in any knowledge base. " * 16


def items(count: int) -> Iterator[dict[str, Any]]:
    """What a source gives."""
    for number in range(count):
        yield {
            "id": f"item-{number:08}",
            "name": f"Document {number}.pdf",
            "text": TEXT,
            "webViewLink": f"https://drive.example/items/{number}",
            "mime_type": "application/pdf",
            "owner": "alex@acme.example",
            "size": number,
            "starred": False,
        }


def metadata(item: dict[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in ("mime_type", "owner", "size", "starred")}


class Sdk(BaseConnector):
    """The author's side, as the README tells to write it."""

    async def pull(self, cursor: Any = None) -> AsyncIterator[Any]:
        for item in items(int(os.environ["BENCH_DOCUMENTS"])):
            yield item

    def key(self, item: Any) -> Key:
        return Key(item["id"], version="1")

    def normalize(self, item: Any) -> DocumentEnvelope:
        return DocumentEnvelope(
            id=item["id"],
            title=item["name"],
            content=item["text"],
            url=item["webViewLink"],
            metadata=metadata(item),
            permissions=Permissions("organization"),
        )


def bare_document(item: dict[str, Any]) -> document_pb2.DocumentEnvelope:
    document = document_pb2.DocumentEnvelope(
        id=item["id"],
        title=item["name"],
        content=item["text"],
        url=item["webViewLink"],
        version="1",
        permissions=document_pb2.Permissions(visibility="organization"),
    )
    document.metadata.update(metadata(item))
    return document


async def bare_pull(_: Any, __: Any) -> AsyncIterator[pb.PullResponse]:
    changes: list[pb.Change] = []
    for item in items(int(os.environ["BENCH_DOCUMENTS"])):
        changes.append(pb.Change(document=bare_document(item)))
        if len(changes) == PER_PAGE:
            yield pb.PullResponse(page=pb.Page(changes=changes))
            changes = []
    if changes:
        yield pb.PullResponse(page=pb.Page(changes=changes))


async def bare_normalize(requests: Any, _: Any) -> AsyncIterator[pb.NormalizeResponse]:
    async for request in requests:
        if request.HasField("raw"):
            yield pb.NormalizeResponse(document=bare_document(json.loads(request.raw.data)))


async def serve(side: str, address: str) -> None:
    if side == "sdk":
        stop: Any = (await start(Program(Sdk, parse('{"id": "bench"}')), address, TOKEN)).stop
    else:
        server = grpc.aio.server(options=OPTIONS)
        handlers = {
            "Pull": grpc.unary_stream_rpc_method_handler(
                bare_pull, pb.PullRequest.FromString, pb.PullResponse.SerializeToString
            ),
            "Normalize": grpc.stream_stream_rpc_method_handler(
                bare_normalize, pb.NormalizeRequest.FromString, pb.NormalizeResponse.SerializeToString
            ),
        }
        name = "superfasttt.connector.v1.Connector"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        server.add_insecure_port(address)
        await server.start()
        stop = functools.partial(server.stop, 0)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started it ends
    await stop()
    os._exit(0)


async def pull(address: str) -> int:
    """Reads it all as bytes: the client's own work must not count."""
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        call = channel.unary_stream(PULL, request_serializer=pb.PullRequest.SerializeToString)
        request = pb.PullRequest(mode=pb.PULL_MODE_FULL, contract_revision=1)
        read = 0
        async for data in call(request, metadata=(("authorization", f"Bearer {TOKEN}"),)):
            read += len(data)
        return read


async def normalize(address: str) -> int:
    count = int(os.environ["BENCH_DOCUMENTS"]) // 10

    async def requests() -> AsyncIterator[bytes]:
        yield pb.NormalizeRequest(start=pb.NormalizeStart(contract_revision=1)).SerializeToString()
        for item in items(count):
            raw = pb.RawItem(id=item["id"], version="1", schema="item/1", data=json.dumps(item).encode())
            yield pb.NormalizeRequest(raw=raw).SerializeToString()

    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        read = 0
        async for data in channel.stream_stream(NORMALIZE)(requests(), metadata=(("authorization", f"Bearer {TOKEN}"),)):
            read += len(data)
        return read


def processor_seconds(pid: int) -> float:
    """What a process has used so far: on a busy machine this tells more than the clock."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(address: str, pid: int, work: Any, count: int) -> tuple[float, float]:
    """Documents per second, by the clock and of the serving process's processor time."""
    began, used = time.perf_counter(), processor_seconds(pid)
    read = asyncio.run(work(address))
    assert read > count * len(TEXT)
    return count / (time.perf_counter() - began), count / (processor_seconds(pid) - used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", nargs=2, metavar=("SIDE", "ADDRESS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(*options.serve))
        return
    os.environ["BENCH_DOCUMENTS"] = str(options.documents)
    with tempfile.TemporaryDirectory() as folder:
        sides: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}
        for side in ("bare", "sdk"):
            address = f"unix:{Path(folder) / side}"
            command = [sys.executable, __file__, "--serve", side, address]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()
            sides[side] = (address, process)
        for name, work, count in (("pull", pull, options.documents), ("normalize", normalize, options.documents // 10)):
            # The sides take turns, so that what else the machine does meets both.
            rates: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
            for _ in range(options.rounds):
                for side, (address, process) in sides.items():
                    rates[side].append(measure(address, process.pid, work, count))
            for kind, column in (("clock", 0), ("processor", 1)):
                bare, sdk = (max(rate[column] for rate in rates[side]) for side in ("bare", "sdk"))
                print(f"{name:9}  {kind:9}  bare {bare:8.0f}/s   sdk {sdk:8.0f}/s   ratio {sdk / bare:.2f}")
        for _, process in sides.values():
            process.communicate()


if __name__ == "__main__":
    main()
