"""The process as connectord sees it."""

from __future__ import annotations

import queue
import signal
import socket as sockets
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import process
from superfasttt.connector.v1 import connector_pb2 as pb

PROGRAM = Path(__file__).parent / "served" / "connector.py"


@pytest.fixture
def connector() -> Iterator[process.Connector]:
    with process.running(PROGRAM) as running:
        yield running


def test_started_by_hand_it_says_who_starts_it() -> None:
    for missing in ({}, {"CONNECTOR_SOCKET": "/tmp/x"}, {"CONNECTOR_TOKEN": "t"}):
        command = [sys.executable, PROGRAM.name]
        ran = subprocess.run(command, cwd=PROGRAM.parent, env=process.environment(**missing), capture_output=True, text=True)
        assert ran.returncode == 2
        assert "connectord starts it" in ran.stderr
        assert ran.stdout == ""


def test_every_call_needs_the_token(connector: process.Connector) -> None:
    calls: list[tuple[str, Any, Any]] = [
        ("Describe", pb.DescribeRequest(contract_revision=1), pb.DescribeResponse),
        ("/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse),
    ]
    for wrong in ((), (("authorization", "Bearer other"),), (("authorization", process.TOKEN),)):
        for method, request, response in calls:
            with pytest.raises(grpc.RpcError) as raised:
                connector.unary(method, request, response, metadata=wrong)
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError) as raised:
            list(connector.stream("Pull", pb.PullRequest(mode=pb.PULL_MODE_FULL), pb.PullResponse, metadata=wrong))
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_the_service_and_gives_its_files(connector: process.Connector, version: str) -> None:
    call = connector.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    name = "superfasttt.connector.v1.Connector"
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=name),
    ]
    listed, files = list(call(iter(asked), metadata=process.AUTHORIZED, timeout=30))
    assert {name, "grpc.health.v1.Health"} <= {service.name for service in listed.list_services_response.service}
    assert files.file_descriptor_response.file_descriptor_proto
    with pytest.raises(grpc.RpcError) as raised:
        list(call(iter(asked), timeout=30))
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_describe_equals_the_manifest(connector: process.Connector) -> None:
    answer = connector.unary("Describe", pb.DescribeRequest(contract_revision=1), pb.DescribeResponse)
    assert answer.manifest_json == (PROGRAM.parent / "manifest.json").read_text()
    assert answer.capabilities == pb.Capabilities(fetch_content=True, discover=True, execute=True, handle_event=True)
    assert list(answer.contract_revisions) == [1]
    assert answer.sdk.startswith("python/")
    health = health_pb2.HealthCheckRequest(service="superfasttt.connector.v1.Connector")
    status = connector.unary("/grpc.health.v1.Health/Check", health, health_pb2.HealthCheckResponse).status
    assert status == health_pb2.HealthCheckResponse.SERVING


def test_an_older_revision_and_an_unset_mode_are_refused(connector: process.Connector) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        connector.unary("Describe", pb.DescribeRequest(), pb.DescribeResponse)
    assert process.reason_of(raised.value) == "PROTOCOL_VIOLATION"
    with pytest.raises(grpc.RpcError) as raised:
        list(connector.pull({"how": "own"}, mode=pb.PULL_MODE_UNSPECIFIED))
    assert process.reason_of(raised.value) == "PROTOCOL_VIOLATION"
    with pytest.raises(grpc.RpcError) as raised:
        list(connector.pull({"how": "own"}, mode=pb.PULL_MODE_LIST))
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_large_request_is_taken(connector: process.Connector) -> None:
    settings = {"how": "own", "name": "a", "more": "x" * 10 * 1024 * 1024}
    assert len(list(connector.pull(settings, token="t"))) == 1


def test_what_the_manifest_does_not_declare_is_unimplemented() -> None:
    with process.running(PROGRAM.parents[2] / "examples" / "tracker" / "connector.py") as tracker:
        for method, request, response in (
            ("Discover", pb.DiscoverRequest(contract_revision=1), pb.DiscoverResponse),
            ("HandleEvent", pb.HandleEventRequest(contract_revision=1), pb.HandleEventResponse),
            ("Execute", pb.ExecuteRequest(contract_revision=1), pb.ExecuteResponse),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                tracker.unary(method, request, response)
            assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert process.reason_of(raised.value) == "UNIMPLEMENTED"
        with pytest.raises(grpc.RpcError) as raised:
            fetch(tracker, "x")
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "messages",
    [
        [pb.NormalizeRequest(raw=pb.RawItem(id="a"))],
        [pb.NormalizeRequest()],
        [pb.NormalizeRequest(start=pb.NormalizeStart(contract_revision=1))] * 2,
        [pb.NormalizeRequest(start=pb.NormalizeStart())],
    ],
)
def test_normalize_keeps_to_its_order(connector: process.Connector, messages: list[pb.NormalizeRequest]) -> None:
    call = connector.channel.stream_stream(
        f"{process.SERVICE}/Normalize", pb.NormalizeRequest.SerializeToString, pb.NormalizeResponse.FromString
    )
    with pytest.raises(grpc.RpcError) as raised:
        list(call(iter(messages), metadata=process.AUTHORIZED, timeout=30))
    assert process.reason_of(raised.value) == "PROTOCOL_VIOLATION"


def test_normalize_answers_while_requests_still_come(connector: process.Connector) -> None:
    call = connector.channel.stream_stream(
        f"{process.SERVICE}/Normalize", pb.NormalizeRequest.SerializeToString, pb.NormalizeResponse.FromString
    )
    waiting: queue.Queue[pb.NormalizeRequest | None] = queue.Queue()
    answers = call(iter(waiting.get, None), metadata=process.AUTHORIZED, timeout=30)
    waiting.put(pb.NormalizeRequest(start=pb.NormalizeStart(contract_revision=1)))
    for number in range(5):
        raw = pb.RawItem(id=str(number), version="v", schema="item/1", data=f'{{"id": "{number}"}}'.encode())
        waiting.put(pb.NormalizeRequest(raw=raw))
        answer = next(answers).document
        assert (answer.id, answer.version) == (str(number), "v")
    waiting.put(None)
    assert list(answers) == []


def test_large_pages_travel(connector: process.Connector) -> None:
    messages = list(connector.pull({"how": "large"}))
    assert sum(len(message.page.changes) for message in messages) == 12
    assert max(message.ByteSize() for message in messages) < 4 * 1024 * 1024


def test_an_open_page_leaves_after_a_second(connector: process.Connector) -> None:
    began = time.monotonic()
    call = connector.pull({"how": "slow"})
    assert next(call).page.changes[0].document.id == "first"
    assert time.monotonic() - began < 3
    call.cancel()


def test_code_that_never_waits_holds_up_nobody(connector: process.Connector) -> None:
    busy = connector.pull({"how": "busy"})
    next(busy)
    began = time.monotonic()
    assert list(connector.pull({"how": "own", "name": "other"}, token="t"))
    assert time.monotonic() - began < 2
    busy.cancel()
    connector.process.send_signal(signal.SIGTERM)
    assert connector.process.wait(5) == 0


@pytest.mark.parametrize("how", ["waits", "blocking"])
def test_what_is_cancelled_stops_within_a_second(connector: process.Connector, tmp_path: Path, how: str) -> None:
    closed = tmp_path / "closed"
    call = connector.pull({"how": how, "closed": str(closed)})
    next(call)
    call.cancel()
    assert process.wait_for(closed, 5) < 1


def test_a_client_that_vanishes_is_noticed(connector: process.Connector, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    next(connector.pull({"how": "waits", "closed": str(closed)}))
    connector.channel.close()
    assert process.wait_for(closed, 5) < 1


@pytest.mark.parametrize("how", ["waits", "asleep", "blocking"])
def test_a_stop_ends_calls_with_an_error_that_says_to_call_again(
    connector: process.Connector, tmp_path: Path, how: str
) -> None:
    call = connector.pull({"how": how, "closed": str(tmp_path / "closed")})
    next(call)
    began = time.monotonic()
    connector.process.send_signal(signal.SIGTERM)
    with pytest.raises(grpc.RpcError) as raised:
        for _ in call:
            pass
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert process.reason_of(raised.value) == "SOURCE_UNAVAILABLE"
    assert connector.process.wait(5) == 0
    assert time.monotonic() - began < 2
    assert not connector.socket.exists()
    assert connector.process.stdout is not None
    assert connector.process.stdout.read() == ""


def test_an_idle_process_stops_at_once(connector: process.Connector) -> None:
    connector.process.send_signal(signal.SIGINT)
    assert connector.process.wait(2) == 0


def test_a_socket_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    left = tmp_path / "socket"
    with sockets.socket(sockets.AF_UNIX) as listener:
        listener.bind(str(left))
    environment = process.environment(CONNECTOR_SOCKET=str(left), CONNECTOR_TOKEN=process.TOKEN)
    started = subprocess.Popen([sys.executable, PROGRAM.name], cwd=PROGRAM.parent, env=environment, stderr=subprocess.PIPE)
    try:
        with grpc.insecure_channel(f"unix:{left}") as channel:
            grpc.channel_ready_future(channel).result(process.READY_SECONDS)
    finally:
        started.kill()
        started.communicate()


def test_a_hundred_connections_at_once_stay_apart(connector: process.Connector) -> None:
    def own(number: int) -> None:
        changes = [
            change.document
            for message in connector.pull({"how": "own", "name": f"c{number}"}, token=f"token-{number}")
            for change in message.page.changes
        ]
        assert [document.id for document in changes] == [f"c{number}-{each}" for each in range(20)]
        assert {document.title for document in changes} == {f"token-{number}"}

    with ThreadPoolExecutor(100) as pool:
        list(pool.map(own, range(100)))


def test_secrets_reach_neither_the_log_nor_the_error() -> None:
    secret = "very-s3cret/+=token"
    with process.running(PROGRAM, log="trace") as connector:
        messages = []
        with pytest.raises(grpc.RpcError) as raised:
            messages.extend(connector.pull({"how": "leaks"}, token=secret))
        assert process.reason_of(raised.value) == "INTERNAL"
        assert raised.value.details() == "the connector's code raised RuntimeError: its log says where"
        connector.process.send_signal(signal.SIGTERM)
        out, err = connector.process.communicate(timeout=5)
    told = out + err + str(messages) + str(raised.value.trailing_metadata())
    assert secret not in told, told
    assert "the token is" in err
    assert 'raise RuntimeError(f"cannot use' in err, "the author finds the place"
    assert all(line.split(" ")[0] in ("ERROR", "WARN", "INFO", "DEBUG", "TRACE") for line in err.splitlines()), err


def test_the_largest_error_fits_the_headers(connector: process.Connector) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        list(connector.pull({"how": "verbose"}))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert process.reason_of(raised.value) == "RATE_LIMITED"


@pytest.mark.parametrize("how", ["exits", "cancels itself"])
def test_a_library_that_ends_the_program_ends_its_call_only(connector: process.Connector, how: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        list(connector.pull({"how": how}))
    assert process.reason_of(raised.value) == "INTERNAL"
    assert list(connector.pull({"how": "own", "name": "still"}, token="t"))


def fetch(connector: process.Connector, ref: str, max_bytes: int = 0) -> list[pb.FetchContentResponse]:
    request = pb.FetchContentRequest(contract_revision=1, id="a", content_ref=ref, max_bytes=max_bytes)
    return list(connector.stream("FetchContent", request, pb.FetchContentResponse))


def test_content_comes_as_header_and_chunks(connector: process.Connector) -> None:
    header, *chunks = fetch(connector, "known")
    assert (header.header.length_bytes, header.header.version) == (1_200_000, "2")
    assert b"".join(chunk.chunk for chunk in chunks) == b"z" * 1_200_000
    assert max(len(chunk.chunk) for chunk in chunks) <= 1024 * 1024
    header, *chunks = fetch(connector, "unknown length", 1_200_000)
    assert not header.header.HasField("length_bytes")
    assert b"".join(chunk.chunk for chunk in chunks) == b"y" * 1_200_000


@pytest.mark.parametrize(
    ("ref", "max_bytes", "reason"),
    [("known", 1000, "CONTENT_TOO_LARGE"), ("unknown length", 500_000, "CONTENT_TOO_LARGE"), ("short", 0, "INTERNAL")],
)
def test_content_that_is_not_what_it_should_be(connector: process.Connector, ref: str, max_bytes: int, reason: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        fetch(connector, ref, max_bytes)
    assert process.reason_of(raised.value) == reason


def test_what_else_is_served(connector: process.Connector) -> None:
    asked = pb.DiscoverRequest(contract_revision=1, parent_id="top", query="words")
    found = connector.unary("Discover", asked, pb.DiscoverResponse)
    assert (found.resources[0].id, found.next_page_token) == ("top/words", "more")
    event = pb.HandleEventRequest(contract_revision=1, method="POST", body=b"challenge", signing_secret="right")
    said = connector.unary("HandleEvent", event, pb.HandleEventResponse)
    assert (said.verified, list(said.changed_ids), said.answer.body) == (True, ["a"], b"challenge")
    action = pb.ExecuteRequest(contract_revision=1, action="send", input=process.struct({"n": 5}), idempotency_key="k")
    did = connector.unary("Execute", action, pb.ExecuteResponse)
    assert (did.output["did"], did.output["with"]["n"], did.output["key"]) == ("send", 5.0, "k")
