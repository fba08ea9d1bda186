"""What is written down twice is the same."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import superfasttt_connector
from superfasttt_connector import ConnectorError, errors

SDK = Path(__file__).parents[1]
GENERATED = Path("superfasttt") / "connector" / "v1"


def test_the_generated_code_is_that_of_the_contract(tmp_path: Path) -> None:
    subprocess.run([SDK / "generate.sh", sys.executable, tmp_path], check=True, timeout=60)
    made = {file.name: file.read_text() for file in (tmp_path / GENERATED).iterdir()}
    kept = {file.name: file.read_text() for file in (SDK / "src" / GENERATED).iterdir() if file.suffix in (".py", ".pyi")}
    assert made == kept, "run ./generate.sh .venv/bin/python"


def test_there_is_a_class_for_each_reason_that_a_connector_gives() -> None:
    classes = {kind.reason: kind for kind in ConnectorError.__subclasses__()}
    # INTERNAL is the class above them; the other three are the server's to say.
    others = {"INTERNAL", "NO_PROGRESS", "CONNECTOR_CRASHED", "TOO_MANY_ITEM_ERRORS", "UNSPECIFIED"}
    names = {name.removeprefix("REASON_") for name in errors.Reason.keys()}  # noqa: SIM118 - not a mapping
    assert {kind("x").reason_name for kind in classes.values()} == names - others
    assert len(classes) == len(names - others)
    for kind in classes.values():
        assert kind.__name__ in superfasttt_connector.__all__


def test_the_first_example_is_as_it_was_written() -> None:
    text = (SDK / "tests" / "seed" / "google_drive" / "connector.py").read_text()
    example = text[text.index("class ConnecteurGoogleDrive") : text.index("\n\n\nif __name__")] + "\n"
    digest = hashlib.sha256(example.encode()).hexdigest()
    assert digest == "aa5bb4e636d180166ef786277c02c3923ede216086d50bc05f0ae0f5dffcd963"
