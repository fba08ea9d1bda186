"""Drives the connector as connectord does, in this process."""

import shutil
from pathlib import Path

from connector import Source
from superfasttt_connector import Mode, testing

TESTDATA = Path(__file__).parent / "testdata"


def test_a_listing_brings_every_item():
    pulled = testing.pull(Source, {"file": str(TESTDATA / "items.jsonl")})
    assert pulled.error is None
    assert pulled.complete
    assert len(pulled.documents) == 24
    assert pulled.documents["item-7"].title == "Item 7"
    assert list(pulled.item_errors) == ["item-13"]


def test_a_listing_that_was_cut_goes_on_at_its_last_checkpoint():
    settings = {"file": str(TESTDATA / "items.jsonl")}
    _, cut_after = testing.pull(Source, settings).checkpoints[0]
    resumed = testing.pull(Source, settings, states={"": cut_after.cursor})
    assert resumed.complete
    assert "item-10" not in resumed.documents
    assert "item-11" in resumed.documents


def test_changes_follow_on_a_listing(tmp_path):
    file = tmp_path / "items.jsonl"
    shutil.copy(TESTDATA / "items.jsonl", file)
    listed = testing.pull(Source, {"file": str(file)})
    shutil.copy(TESTDATA / "items-changed.jsonl", file)
    changed = testing.pull(Source, {"file": str(file)}, mode=Mode.INCREMENTAL, states=listed.states)
    titles = {name: document.title for name, document in changed.documents.items()}
    assert titles == {"item-7": "Item 7, renamed", "item-26": "Item 26"}
    assert changed.deletions == ["item-9"]


def test_a_file_that_is_not_there_is_said():
    pulled = testing.pull(Source, {"file": "/no/such/file"})
    assert pulled.error is not None
    assert pulled.error.reason == "NOT_FOUND"
