"""A connector's process and a client of its socket."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import struct_pb2

from superfasttt.connector.v1 import connector_pb2 as pb

TOKEN = "token-of-this-test"
AUTHORIZED = (("authorization", f"Bearer {TOKEN}"),)
SERVICE = "/superfasttt.connector.v1.Connector"
READY_SECONDS = 20


class Connector:
    """A process that is served, and calls to it."""

    def __init__(self, process: subprocess.Popen[str], channel: Any, socket: Path) -> None:
        self.process = process
        self.channel = channel
        self.socket = socket

    def pull(self, settings: dict[str, Any], token: str = "", *, mode: Any = pb.PULL_MODE_FULL, **more: Any) -> Any:
        request = pb.PullRequest(mode=mode, contract_revision=1, settings=struct(settings), **more)
        if token:
            request.credential.bearer_token.token = token
        return self.stream("Pull", request, pb.PullResponse)

    def stream(self, method: str, request: Any, response: Any, metadata: Any = AUTHORIZED) -> Any:
        call = self.channel.unary_stream(f"{SERVICE}/{method}", type(request).SerializeToString, response.FromString)
        return call(request, metadata=metadata, timeout=60)

    def unary(self, method: str, request: Any, response: Any, metadata: Any = AUTHORIZED) -> Any:
        path = method if method.startswith("/") else f"{SERVICE}/{method}"
        call = self.channel.unary_unary(path, type(request).SerializeToString, response.FromString)
        return call(request, metadata=metadata, timeout=60)


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    found = struct_pb2.Struct()
    found.update(values)
    return found


def environment(**more: str) -> dict[str, str]:
    """As clean as connectord gives it."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **more}


@contextmanager
def running(program: Path, log: str = "info") -> Iterator[Connector]:
    """Starts a connector as connectord does, and waits until its health says that it serves."""
    from grpc_health.v1 import health_pb2

    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "socket"
        process = subprocess.Popen(
            [sys.executable, program.name],
            cwd=program.parent,
            env=environment(CONNECTOR_SOCKET=str(socket), CONNECTOR_TOKEN=TOKEN, CONNECTOR_LOG=log),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        options = [("grpc.max_receive_message_length", 16 << 20)]
        channel = grpc.insecure_channel(f"unix:{socket}", options)
        try:
            until = time.monotonic() + READY_SECONDS
            while not socket.exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < until
                time.sleep(0.02)
            connector = Connector(process, channel, socket)
            grpc.channel_ready_future(channel).result(READY_SECONDS)
            request = health_pb2.HealthCheckRequest()
            answer = connector.unary("/grpc.health.v1.Health/Check", request, health_pb2.HealthCheckResponse)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            yield connector
        finally:
            channel.close()
            process.kill()
            process.communicate()


def wait_for(path: Path, seconds: float) -> float:
    """How long it took until a file was there."""
    began = time.monotonic()
    while not path.exists():
        assert time.monotonic() - began < seconds, f"{path} is not there after {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - began


def reason_of(error: grpc.RpcError) -> str:
    """The reason of the ErrorInfo in a status."""
    trailers = dict(error.trailing_metadata() or ())
    data = trailers.get("grpc-status-details-bin", b"")
    # google.rpc.Status.details[0].value is ErrorInfo, whose first field is the reason.
    marker = b"google.rpc.ErrorInfo"
    start = data.index(marker) + len(marker)
    info = data[start + 2 :] if data[start + 1] < 0x80 else data[start + 3 :]
    length = info[1]
    return str(info[2 : 2 + length].decode())
