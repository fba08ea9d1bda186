"""The connector's own command line, and what `info` finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from superfasttt_connector import BaseConnector, DocumentEnvelope, cli, info, testing
from superfasttt_connector.manifest import ManifestError, read

PROGRAM = """
from superfasttt_connector import BaseConnector, Checks, DocumentEnvelope, ItemError, AccessDenied, ListingComplete, Page, run

class Numbers(BaseConnector):
    async def pull(self, cursor=None):
        start = cursor or 0
        if start == self.settings.get_to:
            return Page([])
        self.log.info("reading", start=start)
        return Page([{"id": start}, {"id": start + 1}, ItemError(AccessDenied("closed"), id="x")], next_cursor=start + 2)

    def normalize(self, raw_item):
        return DocumentEnvelope(id=str(raw_item["id"]), title=f"Number {raw_item['id']}")

    async def test_connection(self):
        checks = Checks().passed("reachable", "it answers").account("me", "My account")
        if self.credential.token == "wrong":
            checks.failed("key_accepted", "the key is refused", "enter another one")
        return checks

if __name__ == "__main__":
    run(Numbers)
"""
MANIFEST: dict[str, Any] = {
    "id": "numbers",
    "auth": {"type": "api_key"},
    "sync": {"mode": "full"},
    "capabilities": ["full_listing"],
    "settings": {"type": "object", "properties": {"get_to": {"type": "integer", "default": 6}}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As a package, for `python -m numbers_connector`."""
    package = tmp_path / "numbers_connector"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(PROGRAM)
    (package / "manifest.json").write_text(json.dumps(MANIFEST))
    (tmp_path / "key").write_text("right\n")
    (tmp_path / "wrong").write_text("wrong\n")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "numbers_connector", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def lines(ran: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_info(folder: Path) -> None:
    ran = run(folder, "info")
    assert ran.returncode == 0
    assert "numbers" in ran.stdout
    [found] = lines(run(folder, "info", "--json"))
    assert found["connector"]["capabilities"] == ["full_listing"]
    assert found["connector"]["problems"] == []


def test_checks_say_what_to_do(folder: Path) -> None:
    good = run(folder, "test", "--credential", "key", "--json")
    assert good.returncode == 0
    assert lines(good)[-1] == {"account": {"id": "me", "display_name": "My account", "email": ""}}
    bad = run(folder, "test", "--credential", "wrong")
    assert bad.returncode == 1
    assert "key_accepted: the key is refused; enter another one" in bad.stdout


def test_a_pull_goes_on_until_it_is_caught_up(folder: Path) -> None:
    ran = run(folder, "pull", "--credential", "key", "--json", "--cursor", "cursor.json")
    assert ran.returncode == 0, ran.stderr
    said = lines(ran)
    assert [line["document"]["id"] for line in said if "document" in line] == ["0", "1", "2", "3", "4", "5"]
    assert said[-1] == {"end": {"counts": {"document": 6, "item_error": 3}, "cursors": {"": "null"}}}
    assert [line["log"]["message"] for line in said if "log" in line] == ["reading"] * 3
    assert json.loads((folder / "cursor.json").read_text()) == {"": "bnVsbA=="}
    people = run(folder, "pull", "--credential", "key", "--set", "get_to=2")
    assert "document    1  Number 1" in people.stdout
    assert people.stdout.endswith("pulled 2 document, 1 item_error\ncursor of '': null\n")


def test_a_limit_ends_a_pull(folder: Path) -> None:
    ran = run(folder, "pull", "--credential", "key", "--json", "--limit", "3")
    assert ran.returncode == 0
    assert len([line for line in lines(ran) if "document" in line]) == 3


def test_what_fails_ends_with_1(folder: Path) -> None:
    ran = run(folder, "pull", "--mode", "incremental", "--json")
    assert ran.returncode == 1
    assert lines(ran)[-1]["error"]["reason"] == "UNIMPLEMENTED"


@pytest.mark.parametrize(
    "arguments",
    [
        ["push"],
        ["pull", "--mode", "sideways"],
        ["pull", "--set", "get_to"],
        ["pull", "--set", "get_to=five"],
        ["pull", "--settings", "no-such-file"],
        ["pull", "--credential", "no-such-file"],
        ["pull", "--credential-env", "NO_SUCH_VARIABLE"],
        ["pull", "--credential", "key", "--credential-env", "HOME"],
        ["pull", "--id", "5"],
        ["pull", "--mode", "targeted"],
        ["pull", "--cursor", "key"],
        ["test", "--record", "a", "--replay", "b"],
    ],
)
def test_wrong_usage_ends_with_2(
    folder: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    program = testing.program(Typed, manifest_json=json.dumps(MANIFEST))
    try:
        code: Any = cli.main(program, arguments)
    except SystemExit as ended:  # argparse's own
        code = ended.code
    told = capsys.readouterr()
    assert code == 2, told.out
    assert told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("{", "not JSON"),
        ("[]", '"id"'),
        ('{"id": "x", "capabilities": ["fetch"]}', "capabilities[0] is 'fetch'"),
        ('{"id": "x", "rate_limits": [{"requests": 1, "per": "often"}]}', "'often' is no duration"),
        ('{"id": "x", "auth": ["none"]}', "a field is not of its kind"),
    ],
)
def test_a_manifest_that_cannot_be_served_says_why(folder: Path, manifest: str, says: str) -> None:
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(ManifestError) as raised:
        read(folder / "manifest.json")
    assert says in str(raised.value)


def test_without_a_manifest_it_ends_with_1(folder: Path) -> None:
    (folder / "numbers_connector" / "manifest.json").unlink()
    ran = run(folder, "info")
    assert ran.returncode == 1
    assert "there is no manifest.json" in ran.stderr
    assert "Traceback" not in ran.stderr


class Settings(BaseModel):
    root: str
    depth: int = 3
    ratio: float = 0.5
    secret: str
    extra: str | None = None


class Typed(BaseConnector[Settings]):
    async def get(self, id: str) -> Any:
        return None

    def normalize(self, raw_item: Any) -> DocumentEnvelope:
        return DocumentEnvelope(id="a")


def test_settings_and_methods_are_compared_with_the_manifest() -> None:
    properties = {
        "root": {"type": "string"},
        "depth": {"type": "string"},
        "ratio": {"type": "integer"},
        "secret": {"type": "string", "x-secret": True},
        "unknown": {"type": "string"},
    }
    schema = {"type": "object", "required": ["secret"], "properties": properties}
    manifest = json.dumps({"id": "x", "settings": schema, "capabilities": ["fetch_content"]})
    found = "\n".join(info.describe(testing.program(Typed, manifest_json=manifest))["problems"])
    for problem in (
        "does not override `pull`",
        "declares fetch_content and Typed does not override",
        "overrides `get` and the manifest does not declare targeted",
        "'unknown' is not in Settings",
        "Settings.extra is not in the manifest",
        "'depth' is string in the manifest and integer in the model",
        "'root' need not be given",
        "'secret' is secret",
    ):
        assert problem in found, found
    assert "'ratio'" not in found


def test_settings_that_do_not_fit_are_told_without_their_values() -> None:
    class Plain(BaseConnector[Settings]):
        def pull(self, cursor: Any = None) -> Any:
            return []

    program = testing.program(Plain, manifest_json='{"id": "x"}')
    settings = {"root": "/", "secret": "s", "depth": "s3cret-depth"}
    error = testing.pull(program, settings).error
    assert error is not None
    assert error.reason == "SETTINGS_INVALID"
    assert "'depth'" in error.message
    assert "s3cret" not in error.message
    # A failed check is an answer: a person sees it beside the settings.
    [check] = testing.checks(program, settings).checks
    assert (check.name, check.outcome) == ("settings_invalid", 2)
