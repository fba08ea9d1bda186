"""The README's first connector, as it is printed there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from test_tracker import BROKEN, ISSUES, KEY, Tracker, tracker

__all__ = ["tracker"]
README = (Path(__file__).parents[1] / "README.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_first_ten_minutes(tmp_path: Path, tracker: Tracker) -> None:
    (tmp_path / "manifest.json").write_text(block("json"))
    (tmp_path / "connector.py").write_text(block("python"))
    (tmp_path / "key").write_text(KEY)

    def run(*arguments: str) -> str:
        command = [sys.executable, "connector.py", *arguments]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    given = ["--set", f"url={tracker.url}", "--credential", "key"]
    assert "problems      none" in run("info")
    assert "passed" in run("test", *given)
    online = run("pull", *given, "--record", "traffic.har", "--json")
    tracker.change(key="nobody may ask any more")
    assert run("pull", *given, "--replay", "traffic.har", "--json") == online
    said = [json.loads(line) for line in online.splitlines()]
    assert said[-1]["end"]["counts"] == {"document": ISSUES - 1, "item_error": 1}
    assert [line["item_error"]["id"] for line in said if "item_error" in line] == [BROKEN]
