"""Puts the client of a call together: hosts, the credential, waiting, rate limits, reasons, recording."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

from .. import VERSION
from ..errors import ConnectorError
from . import har, hosts, rates
from .record import Recorder, RecordingFile, recording_file
from .replay import Replay, recording
from .waits import Waiting

if TYPE_CHECKING:
    from ..call import Call
    from ..credential import Credential

_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def make(call: Call) -> httpx.AsyncClient:
    """The client of one call. It ends with the call."""
    manifest = call.program.manifest
    headers = {"user-agent": f"{manifest.id} superfasttt-connector-python/{VERSION}"}
    if _TRACEPARENT.fullmatch(call.trace):
        headers["traceparent"] = call.trace
    replayed, recorded = os.environ.get("CONNECTOR_HTTP_REPLAY"), os.environ.get("CONNECTOR_HTTP_RECORD")
    transport: httpx.AsyncBaseTransport
    if replayed:
        transport = Waiting(Replay(recording(Path(replayed)), call.redactor), [], sleep=_at_once)
    else:
        transport = _Network(call.credential, public_only=not manifest.allowed_hosts)
        if recorded:
            transport = Recorder(transport, _file(Path(recorded)), call.redactor)
        transport = Waiting(transport, _limiters(call))
    return httpx.AsyncClient(
        transport=_Guard(transport, manifest.allowed_hosts),
        auth=_auth(call.credential, manifest.auth_type),
        headers=headers,
        timeout=_TIMEOUT,
        follow_redirects=True,
        trust_env=False,
        event_hooks={"response": [functools.partial(_raise, call)]},
    )


def _file(path: Path) -> RecordingFile:
    try:
        return recording_file(path)
    except OSError as error:
        raise ConnectorError(f"the recording {path.name} cannot be written: {error.strerror}") from None


async def _raise(call: Call, response: httpx.Response) -> None:
    """Turns an answer of 400 and above into its reason. `__cause__` of what is raised has the response."""
    address = har.address(response.request.url, call.redactor)
    call.log.debug(f"{response.request.method} {address} answers {response.status_code}")
    if response.status_code < 400:
        return
    await response.aread()
    error = httpx.HTTPStatusError(f"the source answers {response.status_code}", request=response.request, response=response)
    raise call.classifier.of_status(response.status_code, error) from error


async def _at_once(_: float) -> None:
    """A recording is not waited for."""


class _Guard(httpx.AsyncBaseTransport):
    """Refuses hosts that the manifest does not name, also where a redirect leads to them."""

    def __init__(self, inner: httpx.AsyncBaseTransport, allowed: tuple[str, ...]) -> None:
        self._inner = inner
        self._allowed = allowed

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        hosts.check(request.url, self._allowed)
        # A redirect has the extensions of the request before it.
        request.extensions.setdefault("first_host", request.url.host)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Network(httpx.AsyncBaseTransport):
    """The network. A client certificate is shown to the host that was asked, and to none that it redirects to."""

    def __init__(self, credential: Credential, *, public_only: bool) -> None:
        self._public_only = public_only
        self._plain = _Fenced(_tls(), public_only=public_only)
        certificate = _certificate(credential)
        self._own = _Fenced(certificate, public_only=public_only) if certificate is not None else self._plain

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        own = request.extensions.get("first_host") == request.url.host
        return await (self._own if own else self._plain).handle_async_request(request)

    async def aclose(self) -> None:
        await self._plain.aclose()
        await self._own.aclose()


class _Fenced(httpx.AsyncHTTPTransport):
    """httpx's own transport; with `public_only` it reaches the internet alone."""

    def __init__(self, tls: ssl.SSLContext, *, public_only: bool) -> None:
        super().__init__(verify=tls)
        if public_only:
            # httpx has no parameter for it. Where it is built in another way some day, nothing is sent.
            if not isinstance(getattr(self, "_pool", None), httpcore.AsyncConnectionPool):
                raise ConnectorError("this version of httpx cannot be kept from private networks")
            self._pool = httpcore.AsyncConnectionPool(ssl_context=tls, network_backend=hosts.PublicOnly())


@functools.lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Reading the certificates that are trusted takes longer than a request, and they are the same for all."""
    return httpx.create_ssl_context()


def _certificate(credential: Credential) -> ssl.SSLContext | None:
    try:
        chain, key = credential.client_certificate
    except ConnectorError:
        return None
    context = httpx.create_ssl_context()
    # OpenSSL reads them from files only. This one has no name that anybody else could open, where the system can do that.
    with tempfile.TemporaryFile() as file:
        file.write(f"{chain}\n{key}\n".encode())
        file.seek(0)
        context.load_cert_chain(f"/dev/fd/{file.fileno()}")
    return context


class _Header(httpx.Auth):
    """Sets `authorization`, unless the author has."""

    def __init__(self, value: str) -> None:
        self._value = value

    def auth_flow(self, request: httpx.Request) -> Any:
        request.headers.setdefault("authorization", self._value)
        yield request


def _auth(credential: Credential, auth_type: str) -> httpx.Auth | None:
    """How the credential is presented. None: there is nothing that could be, or the author has to."""
    try:
        if auth_type == "basic" or credential.kind == "basic":
            return httpx.BasicAuth(*credential.basic)
        kind = credential.token_type if credential.kind == "oauth2" else "Bearer"
        # Providers write it in small letters, and many sources take it only as the standard has it.
        return _Header(f"{'Bearer' if kind.lower() == 'bearer' else kind} {credential.token}")
    except ConnectorError:
        return None


def _limiters(call: Call) -> list[rates.Limiter]:
    """The rate limits of this call's connection, and those that all connections share."""
    found = []
    settings = json.dumps(call.settings_values, sort_keys=True, default=str)
    identity = hashlib.sha256(call.credential.identity() + settings.encode()).hexdigest()
    for shared in (False, True):
        limits = [limit for limit in call.program.manifest.rate_limits if limit.shared is shared]
        if limits:
            key = (call.program.manifest.id, "" if shared else identity)
            found.append(rates.limiter(key, limits))
    return found
