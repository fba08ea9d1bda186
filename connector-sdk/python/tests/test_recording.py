"""Recording and replaying what goes through `self.http`."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import web
from superfasttt.connector.v1 import connector_pb2 as pb
from superfasttt_connector import BaseConnector, RateLimited, SourceUnavailable
from superfasttt_connector.http import record, replay
from test_http import answering, use

SECRET = "s3cret/of+mine=="


@pytest.fixture
def file(tmp_path: Path) -> Path:
    # Files are remembered by their path for the life of a process.
    record.recording_file.cache_clear()
    replay.recording.cache_clear()
    return tmp_path / "traffic.har"


def with_file(monkeypatch: pytest.MonkeyPatch, name: str, file: Path) -> None:
    for each in ("RECORD", "REPLAY"):
        monkeypatch.delenv(f"CONNECTOR_HTTP_{each}", raising=False)
    monkeypatch.setenv(f"CONNECTOR_HTTP_{name}", str(file))


def entries(file: Path) -> list[dict[str, Any]]:
    found = json.loads(file.read_text())["log"]
    assert found["version"] == "1.2"
    return list(found["entries"])


def key(secret: str = SECRET) -> pb.Credential:
    return pb.Credential(api_key=pb.ApiKey(key=secret))


async def several(url: str, connector: BaseConnector[Any]) -> list[Any]:
    http, secret = connector.http, connector.credential.token
    answers = [
        await http.get(f"{url}/list", params={"page": 1, "b": "x y", "access_token": secret}),
        await http.get(f"{url}/echo/{quote(secret, safe='')}"),
        await http.post(f"{url}/form", data={"user": "alex", "password": "p4ss", "note": secret}),
        await http.post(f"{url}/json", json={"client_secret": "c1", "deep": [{"apiKey": "k1", "plain": "kept"}]}),
        await http.get(f"{url}/bytes"),
        await http.get(f"{url}/zipped"),
    ]
    return [(answer.status_code, answer.content) for answer in answers]


def source(request: web.Request) -> web.Answer:
    if request.path == "/bytes":
        return web.Answer(200, b"\xff\xfe" + SECRET.encode(), {"set-cookie": "session=c00kie"})
    if request.path == "/zipped":
        body = gzip.compress(b'{"next_page_token": "n3xt", "name": "kept"}')
        return web.Answer(200, body, {"content-encoding": "gzip", "content-type": "application/json"})
    encoded = base64.b64encode(SECRET.encode()).decode()
    return web.Answer(200, {"said": f"{SECRET} and {encoded}", "token": "t0ken", "path": request.path})


def test_what_is_recorded_has_no_secret_and_answers_offline(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    with web.web(source) as served:
        with_file(monkeypatch, "RECORD", file)
        first = use(lambda connector: several(served.url, connector), auth="api_key", credential=key())
        url = served.url
    text = file.read_text()
    encoded = base64.b64encode(SECRET.encode()).decode()
    hidden = [SECRET, quote(SECRET, safe=""), encoded, encoded.rstrip("="), "c00kie", "p4ss", "c1", "k1", "t0ken", "n3xt"]
    for secret in hidden:
        assert f'"{secret}' not in text, secret
        assert secret not in text.replace("\\", "") or len(secret) < 3, secret
    for told in ("kept", "alex", "[redacted]"):
        assert told in text
    assert file.stat().st_mode & 0o077 == 0, "only its owner reads it"
    lines = text.splitlines()
    assert len(lines) == 1 + len(entries(file)) + 1, "an entry a line"

    with_file(monkeypatch, "REPLAY", file)
    again = use(lambda connector: several(url, connector), auth="api_key", credential=key("another-key"))
    assert [status for status, _ in again] == [status for status, _ in first]
    assert json.loads(again[5][1]) == {"next_page_token": "[redacted]", "name": "kept"}
    assert again[4][1].startswith(b"\xff\xfe")


def test_each_entry_is_there_before_the_author_has_the_response(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    with answering(web.Answer(200, {"n": 1})) as served:
        with_file(monkeypatch, "RECORD", file)

        async def work(connector: BaseConnector[Any]) -> None:
            for number in range(1, 4):
                await connector.http.get(f"{served.url}/{number}")
                assert len(entries(file)) == number

        use(work)


def recorded(monkeypatch: pytest.MonkeyPatch, file: Path, *answers: web.Answer, path: str = "/x") -> str:
    """Records one request for each answer, and gives the address."""
    with answering(*answers) as served:
        with_file(monkeypatch, "RECORD", file)

        async def work(connector: BaseConnector[Any]) -> None:
            for _ in answers:
                await connector.http.get(served.url + path)

        use(work)
        url = served.url
    with_file(monkeypatch, "REPLAY", file)
    return url


def replayed(url: str, **asked: Any) -> Any:
    return use(lambda connector: connector.http.get(url, **asked)).json()


def test_alike_ones_answer_in_their_order_and_the_last_goes_on(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    url = recorded(monkeypatch, file, web.Answer(200, {"n": 1}), web.Answer(200, {"n": 2}))
    assert [replayed(f"{url}/x")["n"] for _ in range(4)] == [1, 2, 2, 2]


def test_parameters_are_compared_in_any_order_and_values_count(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    url = recorded(monkeypatch, file, web.Answer(200, {"n": 1}), path="/x?b=2&a=1&api_key=k")
    assert replayed(f"{url}/x", params={"a": "1", "api_key": "other", "b": "2"})["n"] == 1
    with pytest.raises(SourceUnavailable, match=r"no answer to GET .*a=2.*nearest that is there is GET .*/x\?b=2&a=1"):
        replayed(f"{url}/x?a=2&b=2&api_key=k")


def test_a_body_counts(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    with answering(web.Answer(200, {"n": 1})) as served:
        with_file(monkeypatch, "RECORD", file)
        use(lambda connector: connector.http.post(f"{served.url}/q", json={"query": "a", "token": "t1"}))
        url = served.url
    with_file(monkeypatch, "REPLAY", file)
    body = {"token": "other", "query": "a"}
    assert use(lambda connector: connector.http.post(f"{url}/q", json=body)).json() == {"n": 1}
    with pytest.raises(SourceUnavailable, match="another body"):
        use(lambda connector: connector.http.post(f"{url}/q", json={"query": "b", "token": "t1"}))


def test_refusals_are_replayed_without_their_waits(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    later = web.Answer(429, headers={"retry-after": "1"})
    with answering(later, web.Answer(200, {"n": 1})) as served:
        with_file(monkeypatch, "RECORD", file)
        use(lambda connector: connector.http.get(f"{served.url}/x"))
        url = served.url
    assert [entry["response"]["status"] for entry in entries(file)] == [429, 200]
    with_file(monkeypatch, "REPLAY", file)
    monkeypatch.setattr("asyncio.sleep", None)
    assert replayed(f"{url}/x") == {"n": 1}


def test_a_long_refusal_is_the_same_offline(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    with answering(web.Answer(429, headers={"retry-after": "900"})) as served:
        with_file(monkeypatch, "RECORD", file)
        with pytest.raises(RateLimited):
            use(lambda connector: connector.http.get(f"{served.url}/x"))
        url = served.url
    with_file(monkeypatch, "REPLAY", file)
    with pytest.raises(RateLimited) as raised:
        replayed(f"{url}/x")
    assert raised.value.retry_after == 900


def cut_off(text: str) -> str:
    return text[: text.rindex("{")]


def line_by_line(text: str) -> str:
    return "\n".join(line.rstrip(",") for line in text.splitlines()[1:-1])


def pretty(text: str) -> str:
    return json.dumps(json.loads(text), indent=2)


@pytest.mark.parametrize("shape", [cut_off, line_by_line, pretty])
def test_files_of_others_are_read(monkeypatch: pytest.MonkeyPatch, file: Path, shape: Callable[[str], str]) -> None:
    url = recorded(monkeypatch, file, web.Answer(200, {"n": 1}), web.Answer(200, {"n": 2}))
    file.write_text(shape(file.read_text()))
    assert replayed(f"{url}/x") == {"n": 1}


def test_a_missing_file_is_told(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    with_file(monkeypatch, "REPLAY", file)
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        replayed("http://127.0.0.1/x")
