"""From the environment that the server starts a connector in, to a service that answers."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from . import info, log
from .call import Program
from .service import SERVICE, Service

_logger = logging.getLogger("connector.sdk")
_STOP_WITHIN_SECONDS = 1.0
"""After a signal, calls get this long to end; with what else there is to do the process is gone within 2 seconds."""
_MAX_SEND_BYTES = 4 * 1024 * 1024
_MAX_RECEIVE_BYTES = 16 * 1024 * 1024


class StartedByHandError(Exception):
    """The program was not started by connectord."""


def serve(program: Program) -> int:
    """Serves until a signal comes. The exit code, with which the process has to end at once: 0 after a signal, 1 where it
    cannot be served, 2 where it was started by hand.
    """
    try:
        socket, token = (_environment(name) for name in ("CONNECTOR_SOCKET", "CONNECTOR_TOKEN"))
    except StartedByHandError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    log.to_stderr()
    for problem in info.problems(program):
        _logger.warning("%s", problem)
    try:
        # Not asyncio.run: it waits for threads of an author, which may wait for their source.
        asyncio.new_event_loop().run_until_complete(_until_signal(program, socket, token))
    except (OSError, RuntimeError) as error:
        sys.stderr.write(f"ERROR cannot listen on CONNECTOR_SOCKET={socket}: {error}\n")
        return 1
    finally:
        # The folder is the server's, which removes it too.
        _remove(socket)
    return 0


def _environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise StartedByHandError(
            "this program is a connector: connectord starts it with CONNECTOR_SOCKET and CONNECTOR_TOKEN set, and "
            f"{name} is not. Put its folder under the server's --connectors-dir; --help says what else it does"
        )
    return value


async def _until_signal(program: Program, socket: str, token: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # One left by a process that was killed would refuse the bind.
    _remove(socket)
    running = await start(program, f"unix:{socket}", token)
    await stop.wait()
    await running.stop()


class Running:
    """A connector that is served."""

    def __init__(self, server: Any, service: Service, healthy: Any, names: tuple[str, ...]) -> None:
        self._server = server
        self._service = service
        self._healthy = healthy
        self._names = names

    async def stop(self) -> None:
        """Not ready any more; running calls end with UNAVAILABLE; then the end."""
        for name in self._names:
            await self._healthy.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        self._service.stop()
        await self._server.stop(_STOP_WITHIN_SECONDS)


async def start(program: Program, address: str, token: str) -> Running:
    """Serves on an address of gRPC, such as `unix:/path`. Every call has to show the token.

    Raises:
        RuntimeError: the address cannot be bound.
    """
    options = [("grpc.max_send_message_length", _MAX_SEND_BYTES), ("grpc.max_receive_message_length", _MAX_RECEIVE_BYTES)]
    server = grpc.aio.server(interceptors=[_TokenCheck(token)], options=options)
    service = Service(program)
    server.add_generic_rpc_handlers((service.handlers(),))
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    _reflect(server, (SERVICE, health.SERVICE_NAME))
    server.add_insecure_port(address)
    await server.start()
    names = ("", SERVICE)
    for name in names:
        await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    return Running(server, service, healthy, names)


def _reflect(server: Any, names: tuple[str, ...]) -> None:
    """Reflection as `v1alpha`, and as `v1`: the same messages under another name, which grpcio-reflection does not have."""
    served = (*names, "grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)
    reflection.enable_server_reflection(served, server)
    handler = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(served).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.reflection.v1.ServerReflection", methods),))


class _TokenCheck(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Lets a call pass that carries the token: this service, health and reflection alike."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()
        # Of the widest shape, so that it answers before any message has come.
        self._refusal = grpc.stream_stream_rpc_method_handler(_refuse)

    async def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        given = next((value for key, value in details.invocation_metadata if key == "authorization"), "")
        data = given if isinstance(given, bytes) else given.encode()
        if hmac.compare_digest(data, self._expected):
            return await continuation(details)
        return self._refusal


async def _refuse(_: Any, context: Any) -> None:
    await context.abort(
        grpc.StatusCode.UNAUTHENTICATED,
        "the call carries no valid token: only the server that started this connector may call it, with "
        "`authorization: Bearer` and the value of CONNECTOR_TOKEN",
    )


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
