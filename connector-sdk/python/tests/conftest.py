"""What several tests need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import server


@pytest.fixture
def connectord(tmp_path: Path) -> Iterator[server.Server]:
    """A server that is not started yet: add connectors first."""
    if not (server.BIN_DIR / "connectord").exists():
        build = "cargo build -p connectord -p connectorctl"
        missing = f"connectord is not in {server.BIN_DIR}: {build}, or set SUPERFASTTT_BIN_DIR"
        if os.environ.get("CI") == "true" or os.environ.get("DEMAND_TOOLCHAINS") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    with server.connectord(tmp_path / "server") as running:
        yield running


@pytest.fixture(autouse=True)
def no_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that records or replays says so itself."""
    monkeypatch.delenv("CONNECTOR_HTTP_RECORD", raising=False)
    monkeypatch.delenv("CONNECTOR_HTTP_REPLAY", raising=False)
