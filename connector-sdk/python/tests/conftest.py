"""What several tests need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import server
from toolchain import left_out


@pytest.fixture
def connectord(tmp_path: Path) -> Iterator[server.Server]:
    """A server that is not started yet: add connectors first."""
    if not (server.BIN_DIR / "connectord").exists():
        build = "cargo build -p connectord -p connectorctl"
        left_out(f"connectord is not in {server.BIN_DIR}: {build}, or set SUPERFASTTT_BIN_DIR")
    with server.connectord(tmp_path / "server") as running:
        yield running


@pytest.fixture(autouse=True)
def no_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that records or replays says so itself."""
    monkeypatch.delenv("CONNECTOR_HTTP_RECORD", raising=False)
    monkeypatch.delenv("CONNECTOR_HTTP_REPLAY", raising=False)
