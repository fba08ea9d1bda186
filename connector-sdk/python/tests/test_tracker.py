"""The example: alone, offline from a recording, and through a real connectord."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import server
from superfasttt_connector import CursorInvalid, Mode, testing
from superfasttt_connector.http import replay

EXAMPLE = Path(__file__).parents[1] / "examples" / "tracker"
TRACKER = server.REPOSITORY / "samples" / "tracker" / "tracker.py"
ISSUES = 250
BROKEN = "13"
KEY = "tracker-key"


class Tracker:
    """The sample tracker, and what a person would do in it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def change(self, **changes: Any) -> None:
        request = urllib.request.Request(f"{self.url}/_control", json.dumps(changes).encode())
        urllib.request.urlopen(request, timeout=10).close()

    def paths(self) -> list[str]:
        with urllib.request.urlopen(f"{self.url}/_requests", timeout=10) as answer:
            return [request["path"] for request in json.load(answer)]


@contextmanager
def running() -> Iterator[Tracker]:
    command = [sys.executable, str(TRACKER), "--port", "0", "--issues", str(ISSUES), "--with-stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield Tracker(json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    with running() as started:
        yield started


def load() -> Any:
    spec = importlib.util.spec_from_file_location("tracker_connector", EXAMPLE / "connector.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tracker_connector"] = module
    spec.loader.exec_module(module)
    return module.Tracker


def pull(url: str, **asked: Any) -> testing.Pulled:
    return testing.pull(load(), {"url": url}, credential=KEY, **asked)


def test_it_is_short() -> None:
    lines = (EXAMPLE / "connector.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) < 80


def test_its_manifest_is_that_of_the_sample() -> None:
    manifest = json.loads((EXAMPLE / "manifest.json").read_text())
    del manifest["runtime"]
    assert manifest == json.loads((TRACKER.parent / "manifest.json").read_text())


def test_a_listing_and_the_changes_after_it(tracker: Tracker) -> None:
    listed = pull(tracker.url)
    assert listed.error is None
    assert listed.complete
    assert len(listed.documents) == ISSUES - 1
    assert listed.item_errors[BROKEN].error.code == "tracker.no_title"
    assert [point.has_more for _, point in listed.checkpoints] == [True, True, False, False]
    again = pull(tracker.url, states=listed.states)
    assert (again.documents, again.complete) == ({}, True), "it stands at its end"
    private = listed.documents["5"]
    assert (private.permissions.visibility, list(private.permissions.allow)) == ("private", ["user:user5@tracker.example"])
    assert listed.documents["6"].permissions.visibility == "organization"
    throttled = [path for path in tracker.paths() if path.startswith("/issues?page=100")]
    assert len(throttled) == 2, "the second page was refused once"

    tracker.change(put=[{"number": 7, "title": "Renamed"}, {"number": 300}], delete=[3])
    changed = pull(tracker.url, mode=Mode.INCREMENTAL, states=listed.states)
    assert sorted(changed.documents) == ["300", "7"]
    assert changed.documents["7"].title == "Renamed"
    assert changed.deletions == ["3"]
    assert not pull(tracker.url, mode=Mode.INCREMENTAL, states=changed.states).changes


def test_a_listing_that_was_cut_goes_on_where_it_was(tracker: Tracker) -> None:
    first = pull(tracker.url).checkpoints[0][1].cursor
    tracker.change(put=[{"number": 7, "title": "Renamed"}])
    resumed = pull(tracker.url, states={"": first})
    assert resumed.complete
    assert len(resumed.documents) == ISSUES - 100
    # What changed in the part that was listed before the cut is in the feed.
    assert list(pull(tracker.url, mode=Mode.INCREMENTAL, states=resumed.states).documents) == ["7"]


def test_a_cursor_that_is_too_old_or_of_somebody_else(tracker: Tracker) -> None:
    tracker.change(history=1, put=[{"number": 1}, {"number": 2}, {"number": 4}])
    for cursor in (b'{"since":1}', b'{"since":99999}', b'{"sinse":1}', b"[]", b'{"since":"x"}', b"\x00", None):
        pulled = pull(tracker.url, mode=Mode.INCREMENTAL, states={"": cursor} if cursor else {})
        assert pulled.error is None
        assert pulled.scope_errors[""].error.reason == CursorInvalid.reason, cursor


def test_single_issues_and_a_list(tracker: Tracker) -> None:
    pulled = pull(tracker.url, mode=Mode.TARGETED, ids=["5", BROKEN, "999"])
    assert (list(pulled.documents), pulled.deletions, list(pulled.item_errors)) == (["5"], ["999"], [BROKEN])
    listed = pull(tracker.url, mode=Mode.LIST)
    assert len(listed.present) == ISSUES
    assert listed.present["5"] == "5"


def test_its_test_says_whose_key_it_is(tracker: Tracker) -> None:
    answer = testing.checks(load(), {"url": tracker.url}, credential=KEY)
    assert answer.account.id == "acct-1"
    tracker.change(key="another")
    [check] = testing.checks(load(), {"url": tracker.url}, credential=KEY).checks
    assert (check.name, check.outcome) == ("credential_revoked", 2)


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "connector.py", *arguments],
        cwd=EXAMPLE,
        env={**os.environ, "TRACKER_KEY": KEY, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_recorded_once_it_pulls_offline(tracker: Tracker, tmp_path: Path) -> None:
    file = tmp_path / "traffic.har"
    common = ["pull", "--set", f"url={tracker.url}", "--credential-env", "TRACKER_KEY", "--json"]
    online = command(*common, "--record", str(file))
    assert online.returncode == 0, online.stderr
    assert KEY not in file.read_text()
    tracker.change(key="nobody may ask any more")
    offline = command(*common, "--replay", str(file))
    assert offline.returncode == 0, offline.stderr
    assert offline.stdout == online.stdout
    assert len(online.stdout.splitlines()) == ISSUES + 1
    replay.recording.cache_clear()


def test_through_connectord(connectord: server.Server, tracker: Tracker) -> None:
    manifest = json.loads((EXAMPLE / "manifest.json").read_text())
    connectord.add("tracker", manifest, EXAMPLE / "connector.py")
    connectord.start()
    connectord.ctl("connections", "create", "--connector", "tracker", "--name", "issues", "--set", f"url={tracker.url}")
    connectord.ctl("credentials", "set", "issues", "--field", "key=-", stdin=KEY)
    [status] = connectord.ctl("credentials", "status", "issues")
    assert "acct-1" in json.dumps(status)

    [full] = connectord.ctl("sync", "issues", "--wait")
    documents = connectord.documents("issues")
    assert full["state"] == "STATE_SUCCEEDED_WITH_ERRORS", "issue 13"
    assert sorted(documents, key=int) == [str(number) for number in range(1, ISSUES + 1) if str(number) != BROKEN]
    assert documents["5"]["permissions"] == {"visibility": "private", "allow": ["user:user5@tracker.example"]}
    assert documents["6"]["content"] == "What happened in issue 6."
    [error] = connectord.ctl("errors", "list", "issues")
    assert "no title" in json.dumps(error)

    tracker.change(put=[{"number": 7, "title": "Renamed"}, {"number": 300}], delete=[3])
    [incremental] = connectord.ctl("sync", "issues", "--wait")
    documents = connectord.documents("issues")
    assert incremental["mode"] == "PULL_MODE_INCREMENTAL"
    assert (documents["7"]["title"], "3" in documents, "300" in documents) == ("Renamed", False, True)

    connectord.ctl(
        "connections", "create", "--connector", "tracker", "--name", "kept", "--keep-raw", "--set", f"url={tracker.url}"
    )
    connectord.ctl("credentials", "set", "kept", "--field", "key=-", stdin=KEY)
    connectord.ctl("sync", "kept", "--wait")
    assert connectord.documents("kept") == documents, "made by Normalize of what was kept"

    # Mended, and tried again by itself: a targeted pull.
    tracker.change(put=[{"number": int(BROKEN), "title": "Mended"}])
    connectord.ctl("errors", "retry", "issues", "--wait")
    assert f"/issues/{BROKEN}" in tracker.paths()
    assert connectord.documents("issues")[BROKEN]["title"] == "Mended"

    [listed] = connectord.ctl("sync", "issues", "--full", "--wait")
    assert listed["state"] == "STATE_SUCCEEDED"
    assert len(connectord.documents("issues")) == ISSUES
    assert KEY not in connectord.log.read_text()
