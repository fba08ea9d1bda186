"""A real connectord with a folder of connectors, and connectorctl to talk to it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
BIN_DIR = Path(os.environ.get("SUPERFASTTT_BIN_DIR", REPOSITORY / "target" / "debug"))
READY_SECONDS = 30


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Server:
    """connectord with its state in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connectors = folder / "connectors"
        self.connectors.mkdir(parents=True)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = folder / "connectord.log"
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, name: str, manifest: dict[str, Any], program: Path) -> None:
        """Puts a connector there: its manifest, and its program as connector.py, run by this Python."""
        place = self.connectors / name
        place.mkdir()
        shutil.copyfile(program, place / "connector.py")
        runtime = {"command": [sys.executable, "connector.py"]}
        (place / "manifest.json").write_text(json.dumps({**manifest, "runtime": runtime}))

    def start(self) -> None:
        # connectord takes every CONNECTORD_… for configuration.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTORD_")}
        environment = {
            **inherited,
            "CONNECTORD_SERVER__CONTROL_LISTEN": self.url.removeprefix("http://"),
            "CONNECTORD_SERVER__PUBLIC_LISTEN": f"127.0.0.1:{free_port()}",
            "CONNECTORD_OAUTH__ALLOW_LOOPBACK": "true",
        }
        command = [str(BIN_DIR / "connectord"), "--data-dir", str(self.folder / "data")]
        command += ["--connectors-dir", str(self.connectors)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        until = time.monotonic() + READY_SECONDS
        while subprocess.run([BIN_DIR / "connectorctl", "--server", self.url, "status"], capture_output=True).returncode:
            if self._process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"connectord does not start:\n{self.log.read_text()}")
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def ctl(self, *arguments: str, stdin: str = "", fails: bool = False) -> list[dict[str, Any]]:
        """What connectorctl answers, line by line."""
        command = [str(BIN_DIR / "connectorctl"), "--server", self.url, "--output", "json", *arguments]
        ran = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)
        if (ran.returncode != 0) != fails:
            raise AssertionError(
                f"{arguments} ended with {ran.returncode}:\n{ran.stderr}\n{ran.stdout}\n{self.log.read_text()}"
            )
        return [json.loads(line) for line in ran.stdout.splitlines() if line.strip()]

    def documents(self, connection: str) -> dict[str, dict[str, Any]]:
        entries = self.ctl("documents", "list", "--connection", connection, "--content")
        return {entry["document"]["id"]: entry["document"] for entry in entries}


@contextmanager
def connectord(folder: Path) -> Iterator[Server]:
    """A server that is stopped at the end. `add` connectors and `start` it."""
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()
