"""`self.http`: hosts, credentials, waiting, retries, rate limits, reasons."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

import web
from superfasttt.connector.v1 import connector_pb2 as pb
from superfasttt_connector import (
    AccessDenied,
    BaseConnector,
    ConnectorError,
    ContentTooLarge,
    CredentialExpired,
    CredentialRevoked,
    CursorInvalid,
    NotFound,
    QuotaExhausted,
    RateLimited,
    SettingsInvalid,
    SourceUnavailable,
    testing,
)
from superfasttt_connector.classify import retry_after
from superfasttt_connector.http import client, hosts, waits
from toolchain import left_out

LOCAL = ["127.0.0.1", "localhost"]


class Plain(BaseConnector):
    pass


def use(
    work: Callable[[BaseConnector[Any]], Awaitable[Any]],
    *,
    connector: type[BaseConnector[Any]] = Plain,
    credential: pb.Credential | None = None,
    auth: str = "none",
    trace: str = "",
    settings: dict[str, Any] | None = None,
    **manifest: Any,
) -> Any:
    """Does `work` with a connector of a call."""
    text = json.dumps({"id": "demo", "auth": {"type": auth}, "allowed_hosts": LOCAL, **manifest})
    program = testing.program(connector, manifest_json=text)

    async def inside() -> Any:
        async with program.call(settings or {}, credential, trace=trace) as instance:
            return await work(instance)

    return asyncio.run(inside())


def get(url: str, **asked: Any) -> Any:
    return use(lambda connector: connector.http.get(url), **asked)


@contextmanager
def answering(*answers: web.Answer) -> Iterator[web.Web]:
    """Gives the answers in their order, the last one again and again."""
    left = list(answers)
    with web.web(lambda _: left.pop(0) if len(left) > 1 else left[0]) as served:
        yield served


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have slept."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(waits.Waiting.__init__, "__defaults__", (sleep,))
    return found


# Hosts.


@pytest.mark.parametrize(
    ("allowed", "url", "may"),
    [
        ("api.example.com", "https://api.example.com/x", True),
        ("api.example.com", "https://API.example.com:8443/x", True),
        ("api.example.com", "https://api.example.com./x", True),
        ("api.example.com:443", "https://api.example.com/x", True),
        ("api.example.com:8443", "https://api.example.com/x", False),
        ("api.example.com", "https://api.example.com.evil.example/x", False),
        ("api.example.com", "https://evil-api.example.com/x", False),
        ("api.example.com", "https://api.example.com@evil.example/x", False),
        ("*.example.com", "https://a.b.example.com/", True),
        ("*.example.com", "https://example.com/", False),
        ("*.example.com", "https://evilexample.com/", False),
        ("*.example.com:444", "https://a.example.com:444/", True),
        ("127.0.0.1", "http://127.1/", False),
    ],
)
def test_hosts_are_those_of_the_manifest(allowed: str, url: str, may: bool) -> None:
    if may:
        hosts.check(httpx.URL(url), (allowed,))
        return
    with pytest.raises(SettingsInvalid, match="allowed_hosts"):
        hosts.check(httpx.URL(url), (allowed,))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "172.16.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "::",
    ],
)  # fmt: skip
def test_addresses_that_are_nobody_elses_business(address: str) -> None:
    assert not hosts.is_public(address)
    assert hosts.is_public("93.184.216.34")
    assert hosts.is_public("2606:2800:220:1:248:1893:25c8:1946")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_without_allowed_hosts_this_machine_is_closed(name: str) -> None:
    with answering(web.Answer()) as source:
        port = source.url.rpartition(":")[2]
        with pytest.raises(SettingsInvalid, match="allowed_hosts"):
            get(f"http://{name}:{port}/", allowed_hosts=[])
        assert not source.requests


def test_a_redirect_to_another_host_loses_the_credential_and_to_a_foreign_one_is_refused() -> None:
    credential = pb.Credential(api_key=pb.ApiKey(key="k3y-of-mine"))
    with answering(web.Answer(200, {"here": True})) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        with answering(web.Answer(302, headers={"location": f"{elsewhere}/there"})) as source:
            assert get(f"{source.url}/x", credential=credential, auth="api_key").json() == {"here": True}
            assert source.requests[0].headers["authorization"] == "Bearer k3y-of-mine"
            assert "authorization" not in other.requests[0].headers
            with pytest.raises(SettingsInvalid, match="localhost"):
                get(f"{source.url}/x", allowed_hosts=["127.0.0.1"])
            assert len(other.requests) == 1


# The credential.


@pytest.mark.parametrize(
    ("auth", "credential", "header"),
    [
        ("oauth2", pb.Credential(oauth2=pb.OAuthToken(access_token="t", token_type="bearer")), "Bearer t"),
        ("oauth2", pb.Credential(oauth2=pb.OAuthToken(access_token="t", token_type="DPoP")), "DPoP t"),
        ("bearer_token", pb.Credential(bearer_token=pb.BearerToken(token="t")), "Bearer t"),
        ("api_key", pb.Credential(api_key=pb.ApiKey(key="k")), "Bearer k"),
        ("api_key", pb.Credential(fields=pb.FieldsCredential(values={"key": "k"})), "Bearer k"),
        ("api_key", pb.Credential(fields=pb.FieldsCredential(values={"one": "k"})), "Bearer k"),
        ("api_key", pb.Credential(fields=pb.FieldsCredential(values={"one": "k", "two": "l"})), None),
        ("basic", pb.Credential(basic=pb.BasicCredential(username="u", password="p")), "Basic dTpw"),
        ("basic", pb.Credential(fields=pb.FieldsCredential(values={"username": "u", "password": "p"})), "Basic dTpw"),
        ("none", None, None),
    ],
)
def test_how_a_credential_is_presented(auth: str, credential: pb.Credential | None, header: str | None) -> None:
    with answering(web.Answer()) as source:
        get(source.url, auth=auth, credential=credential)
        assert source.requests[0].headers.get("authorization") == header


def test_an_authors_own_header_stays_and_the_trace_goes_on() -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    credential = pb.Credential(api_key=pb.ApiKey(key="k"))
    with answering(web.Answer()) as source:
        own = {"authorization": "Token own"}
        use(lambda connector: connector.http.get(source.url, headers=own), credential=credential, trace=trace)
        get(source.url, trace="nonsense\r\nx: y")
        first, second = source.requests
        assert first.headers["authorization"] == "Token own"
        assert first.headers["traceparent"] == trace
        assert "traceparent" not in second.headers


def test_a_client_certificate_is_shown_to_the_source_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("openssl") is None:
        left_out("openssl is missing: apt-get install openssl")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(chain)]
    subprocess.run(command, check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    client._tls.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    context.load_verify_locations(chain)
    context.verify_mode = ssl.CERT_OPTIONAL
    pair = pb.ClientCertificate(certificate_pem=chain.read_text(), private_key_pem=key.read_text())
    credential = pb.Credential(client_certificate=pair)
    try:
        with web.web(lambda request: web.Answer(200, {"shown": request.certificate}), context) as other:
            elsewhere = other.url.replace("127.0.0.1", "localhost")
            assert get(other.url, credential=credential, auth="client_certificate").json() == {"shown": True}
            with web.web(lambda _: web.Answer(302, headers={"location": elsewhere}), context) as source:
                assert get(source.url, credential=credential, auth="client_certificate").json() == {"shown": False}
    finally:
        client._tls.cache_clear()


# Waiting and trying again.


@pytest.mark.parametrize("status", [429, 503])
def test_a_source_that_says_when_is_waited_for(slept: list[float], status: int) -> None:
    with answering(web.Answer(status, headers={"retry-after": "7"}), web.Answer(200, {"ok": 1})) as source:
        assert use(lambda connector: connector.http.post(source.url, json={"a": 1})).json() == {"ok": 1}
        assert slept == [7.0]
        assert [request.body for request in source.requests] == [b'{"a":1}'] * 2


def test_a_date_is_read_and_nonsense_is_not() -> None:
    assert retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)}) == pytest.approx(30, abs=2)
    assert retry_after({"retry-after": formatdate(time.time() - 30, usegmt=True)}) == 0
    for wrong in ("", "soon", "nan", "inf", "-5", "1e99"):
        assert retry_after({"retry-after": wrong}) in (None, 0)


def test_a_long_wait_is_the_servers(slept: list[float]) -> None:
    with answering(web.Answer(429, headers={"retry-after": "3600"})) as source:
        with pytest.raises(RateLimited) as raised:
            get(source.url)
        assert raised.value.retry_after == 3600
        assert (len(source.requests), slept) == (1, [])


def test_a_source_that_never_stops_refusing_is_given_up(slept: list[float]) -> None:
    with answering(web.Answer(429)) as source:
        with pytest.raises(RateLimited):
            get(source.url)
        assert slept[0] <= 1.0
        assert all(2**number / 2 <= wait <= 2**number for number, wait in enumerate(slept))
        assert sum(slept) <= 60


@pytest.mark.parametrize(("method", "asked"), [("GET", 4), ("PUT", 4), ("DELETE", 4), ("POST", 1), ("PATCH", 1)])
def test_what_is_safe_is_tried_four_times_in_all(slept: list[float], method: str, asked: int) -> None:
    with answering(web.Answer(502)) as source:
        with pytest.raises(SourceUnavailable):
            use(lambda connector: connector.http.request(method, source.url))
        assert len(source.requests) == asked
        assert len(slept) == asked - 1


def test_a_failed_connection_is_tried_again(slept: list[float]) -> None:
    with answering(web.Answer()) as source:
        closed = source.url
    with pytest.raises(httpx.ConnectError):
        get(closed)
    assert len(slept) == 3


def test_the_rate_limit_of_the_manifest_is_kept_over_calls_of_one_connection() -> None:
    limit = [{"requests": 3, "per": "500ms"}]
    with answering(web.Answer()) as source:

        async def five(connector: BaseConnector[Any]) -> None:
            await asyncio.gather(*(connector.http.get(source.url) for _ in range(5)))

        began = time.monotonic()
        use(five, rate_limits=limit, settings={"who": "one"})
        use(five, rate_limits=limit, settings={"who": "one"})
        one = time.monotonic() - began
        began = time.monotonic()
        use(lambda connector: connector.http.get(source.url), rate_limits=limit, settings={"who": "two"})
        other = time.monotonic() - began
        assert one >= 1.5, "ten requests at three in half a second"
        assert other < 0.5, "another connection does not wait for the first"


def test_a_limit_that_is_used_up_for_long_is_told() -> None:
    with answering(web.Answer()) as source:

        async def two(connector: BaseConnector[Any]) -> None:
            await connector.http.get(source.url)
            await connector.http.get(source.url)

        with pytest.raises(RateLimited) as raised:
            use(two, rate_limits=[{"requests": 1, "per": "1h"}])
        assert raised.value.retry_after == pytest.approx(3600, abs=5)


# Reasons.


@pytest.mark.parametrize(
    ("status", "auth", "reason"),
    [
        (401, "oauth2", CredentialExpired),
        (401, "api_key", CredentialRevoked),
        (403, "none", AccessDenied),
        (404, "none", NotFound),
        (410, "none", NotFound),
        (413, "none", ContentTooLarge),
        (418, "none", ConnectorError),
        (500, "none", SourceUnavailable),
    ],
)
def test_a_status_is_a_reason(status: int, auth: str, reason: type[ConnectorError]) -> None:
    with answering(web.Answer(status, {"secret": "not to be told"})) as source:
        with pytest.raises(ConnectorError) as raised:
            get(source.url, auth=auth)
        assert type(raised.value) is reason
        assert "not to be told" not in str(raised.value)
        assert isinstance(raised.value.__cause__, httpx.HTTPStatusError)


class Quota(Exception):
    pass


class LibraryError(Exception):
    """As the errors of many clients: with the response that they got."""

    def __init__(self, status: int) -> None:
        self.response = httpx.Response(status, headers={"retry-after": "9"})


class Tabled(BaseConnector):
    error_table = {
        410: CursorInvalid,
        418: lambda error: QuotaExhausted(error.response.json()["why"], retry_after=60),
        Quota: QuotaExhausted,
        LookupError: NotFound,
    }


def test_an_authors_table_comes_first() -> None:
    with answering(web.Answer(410)) as source, pytest.raises(CursorInvalid):
        get(source.url, connector=Tabled)
    with answering(web.Answer(418, {"why": "the month is over"})) as source:
        with pytest.raises(QuotaExhausted, match="the month is over") as raised:
            get(source.url, connector=Tabled)
        assert raised.value.retry_after == 60


@pytest.mark.parametrize(
    ("error", "reason", "wait"),
    [
        (Quota("s3cret"), QuotaExhausted, None),
        (KeyError("s3cret"), NotFound, None),
        (LibraryError(429), RateLimited, 9),
        (LibraryError(401), CredentialRevoked, None),
        (httpx.ReadTimeout("s3cret"), SourceUnavailable, None),
        (ConnectionResetError("s3cret"), SourceUnavailable, None),
        (TimeoutError("s3cret"), SourceUnavailable, None),
        (ZeroDivisionError("s3cret"), ConnectorError, None),
    ],
)
def test_exceptions_of_libraries_are_reasons_without_their_values(
    error: Exception, reason: type[ConnectorError], wait: float | None
) -> None:
    async def work(connector: BaseConnector[Any]) -> ConnectorError:
        return connector._call.classifier.classify(error)

    told = use(work, connector=Tabled)
    assert type(told) is reason
    assert told.retry_after == wait
    assert "s3cret" not in str(told)


def test_every_secret_of_a_call_is_kept_out_of_what_is_told() -> None:
    schema = {
        "properties": {
            "hook": {"type": "string", "x-secret": True},
            "deep": {"type": "array", "items": {"properties": {"pin": {"x-secret": True}}}},
            "open": {"type": "string"},
        }
    }
    auth = {"type": "api_key", "fields": [{"name": "host", "secret": False}, {"name": "key"}]}
    credential = pb.Credential(fields=pb.FieldsCredential(values={"host": "acme.example", "key": "s3cret-key"}))
    settings = {"hook": "s3cret-hook", "deep": [{"pin": "s3cret-pin"}], "open": "told"}

    async def work(connector: BaseConnector[Any]) -> str:
        said = "s3cret-key s3cret-hook s3cret-pin told acme.example"
        error = connector._call.told(NotFound(said, metadata={"where": said}))
        return error.message + error.metadata["where"]

    text = json.dumps({"id": "demo", "auth": auth, "settings": schema})
    program = testing.program(Plain, manifest_json=text)

    async def inside() -> str:
        async with program.call(settings, credential) as instance:
            return await work(instance)

    told = asyncio.run(inside())
    assert "s3cret" not in told
    assert "told acme.example" in told


def test_an_error_travels_with_its_details() -> None:
    from process import reason_of

    class Status:
        def __init__(self, error: ConnectorError) -> None:
            self.error = error

        def trailing_metadata(self) -> Any:
            return (("grpc-status-details-bin", self.error.to_details()),)

    for kind in (ConnectorError, RateLimited, CursorInvalid):
        error = kind("é" * 3000, code="demo.x", metadata={f"k{n}": "v" * 1000 for n in range(40)}, retry_after=1.5)
        assert reason_of(Status(error)) == error.reason_name
        assert len(error.message.encode()) <= 2048
        assert len(error.metadata) == 16
        # Headers of gRPC hold 8 KiB by default.
        assert len(base64.b64encode(error.to_details())) < 16 * 1024
