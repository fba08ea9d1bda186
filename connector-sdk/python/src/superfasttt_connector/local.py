"""Calls a connector within its own process: for its command line, and for tests.

It is the service that connectord calls, without the socket between: the same checks, pages and errors.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import struct_pb2

from superfasttt.connector.v1 import connector_pb2 as pb

from . import wire
from .call import Program
from .errors import ConnectorError
from .manifest import Manifest
from .service import CONTRACT_REVISION, Service


@dataclass(slots=True)
class Asked:
    """Who asks: the settings and the credential of a connection."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    credential: pb.Credential | None = None

    def request(self, request: Any) -> Any:
        """Completes a request with them."""
        struct = struct_pb2.Struct()
        struct.ParseFromString(wire.struct_of(self.settings))
        request.settings.CopyFrom(struct)
        if self.credential is not None and hasattr(request, "credential"):
            request.credential.CopyFrom(self.credential)
        request.contract_revision = CONTRACT_REVISION
        return request


@dataclass(slots=True)
class Failure:
    """How a call failed."""

    reason: str
    message: str
    code: str = ""
    retry_after: float | None = None


@dataclass(slots=True)
class Tested:
    """What `test_connection` brought."""

    response: pb.TestConnectionResponse
    error: Failure | None = None


class _Context:
    """What the service needs of gRPC's context."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    async def write(self, data: bytes) -> None:
        self._write(data)

    def invocation_metadata(self) -> tuple[()]:
        return ()


class _Enough(Exception):
    """Ends a pull early."""


async def test_connection(program: Program, asked: Asked) -> Tested:
    """Tries the connection."""
    try:
        request = asked.request(pb.TestConnectionRequest())
        return Tested(await Service(program).test_connection(request, _Context(lambda _: None)))
    except ConnectorError as error:
        return Tested(pb.TestConnectionResponse(), _failure(error))


async def pull_once(
    program: Program, asked: Asked, request: pb.PullRequest, take: Callable[[pb.PullResponse], None]
) -> Failure | None:
    """One pull. `take` is given each message; what ends the pull is returned."""
    asked.request(request)
    try:
        await Service(program).pull(request, _Context(lambda data: take(pb.PullResponse.FromString(data))))
    except ConnectorError as error:
        return _failure(error)
    return None


async def pull(
    program: Program, asked: Asked, request: pb.PullRequest, take: Callable[[pb.PullResponse], None]
) -> Failure | None:
    """A pull, and others while the last checkpoint of a scope says that it has more."""
    last: dict[str, pb.Checkpoint] = {}

    def taken(response: pb.PullResponse) -> None:
        if response.page.HasField("checkpoint"):
            last[response.page.scope] = response.page.checkpoint
        take(response)

    while True:
        failure = await pull_once(program, asked, request, taken)
        states = [pb.ScopeState(scope=scope, cursor=point.cursor) for scope, point in last.items() if point.has_more]
        if failure is not None or not states:
            return failure
        last.clear()
        del request.states[:], request.scopes[:]
        request.states.extend(states)
        request.scopes.extend(state.scope for state in states)


async def normalize(program: Program, asked: Asked, items: Iterable[pb.RawItem]) -> list[pb.NormalizeResponse]:
    """Runs raw items through the connector; one answer for each, in their order."""
    answers: list[pb.NormalizeResponse] = []

    async def requests() -> AsyncIterator[pb.NormalizeRequest]:
        yield pb.NormalizeRequest(start=asked.request(pb.NormalizeStart()))
        for item in items:
            yield pb.NormalizeRequest(raw=item)

    context = _Context(lambda data: answers.append(pb.NormalizeResponse.FromString(data)))
    await Service(program).normalize(requests(), context)
    return answers


def credential(manifest: Manifest, text: str) -> pb.Credential:
    """The credential that a text is: a token or key by itself, or JSON with fields, as the manifest's auth says."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, dict):
        if manifest.auth_type == "oauth2":
            token = pb.OAuthToken(access_token=str(found.get("access_token", "")))
            extras = {str(name): str(value) for name, value in found.items() if name != "access_token"}
            return pb.Credential(oauth2=token, extras=extras)
        if manifest.auth_type == "basic" and not manifest.fields:
            return pb.Credential(basic=pb.BasicCredential(**found))
        return pb.Credential(fields=pb.FieldsCredential(values={str(key): str(value) for key, value in found.items()}))
    if len(manifest.fields) == 1:
        return pb.Credential(fields=pb.FieldsCredential(values={manifest.fields[0]: text}))
    match manifest.auth_type:
        case "oauth2":
            return pb.Credential(oauth2=pb.OAuthToken(access_token=text))
        case "bearer_token":
            return pb.Credential(bearer_token=pb.BearerToken(token=text))
        case "basic":
            username, _, password = text.partition(":")
            return pb.Credential(basic=pb.BasicCredential(username=username, password=password))
    return pb.Credential(api_key=pb.ApiKey(key=text))


def read_states(path: Path) -> dict[str, bytes]:
    """The cursors that `write_states` wrote; none where there is no file yet."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return {str(scope): base64.b64decode(cursor) for scope, cursor in found.items()}


def write_states(path: Path, states: Mapping[str, bytes]) -> None:
    """Writes the cursor of each scope, whole or not at all."""
    text = json.dumps({scope: base64.b64encode(cursor).decode() for scope, cursor in states.items()}, indent=2)
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text + "\n", encoding="utf-8")
    os.replace(beside, path)


def _failure(error: ConnectorError) -> Failure:
    return Failure(error.reason_name, error.message, error.code, error.retry_after)
