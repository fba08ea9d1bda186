#!/usr/bin/env python3
"""Tries a connector of the sample tracker through real connectord and connectorctl, whatever language it is in.

    python3 samples/tracker/through_connectord.py FOLDER

FOLDER has the connector as connectord starts it: manifest.json and the program. The binaries are looked for in
CONNECTORD_BIN_DIR, else in target/debug. It ends by itself, with 0 where all is as it should be, and leaves no process.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
BINARIES = Path(os.environ.get("CONNECTORD_BIN_DIR", HERE.parent.parent / "target/debug")).resolve()
KEY = "tracker-key"
DEADLINE_S = 120


def until(what: str, ready: Callable[[], object]) -> object:
    """Waits for something to become true."""
    end = time.monotonic() + DEADLINE_S
    while True:
        if result := ready():
            return result
        if time.monotonic() > end:
            raise AssertionError(f"still waiting for {what} after {DEADLINE_S} s")
        time.sleep(0.02)


class Tracker:
    """The sample tracker as a process."""

    def __init__(self, issues: int) -> None:
        command = [sys.executable, str(HERE / "tracker.py"), "--port", "0", "--issues", str(issues), "--with-stdin"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout
        self.url: str = json.loads(self.process.stdout.readline())["url"]

    def control(self, **what: object) -> dict:
        """Does what a person would do in the tracker."""
        request = urllib.request.Request(f"{self.url}/_control", json.dumps(what).encode())
        return json.load(urllib.request.urlopen(request, timeout=10))

    def asked(self) -> list[str]:
        """The paths of all requests so far."""
        return [request["path"] for request in json.load(urllib.request.urlopen(f"{self.url}/_requests", timeout=10))]

    def stop(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(10)


class Server:
    """connectord with one connector, and connectorctl to talk to it."""

    def __init__(self, folder: Path, connector: Path) -> None:
        shutil.copytree(connector, folder / "connectors" / "tracker", symlinks=True)
        self.log = folder / "connectord.log"
        environment = {
            "PATH": os.environ["PATH"],
            "CONNECTORD_SERVER__CONTROL_LISTEN": "127.0.0.1:0",
            "CONNECTORD_SERVER__PUBLIC_LISTEN": "127.0.0.1:0",
            "CONNECTORD_SYNC__RETRY_BACKOFF_INITIAL": "10ms",
            "CONNECTORD_SYNC__RETRY_BACKOFF_MAX": "100ms",
            "CONNECTORD_SYNC__SCHEDULE_POLL": "50ms",
            "CONNECTORD_PROCESS__RESTART_BACKOFF_INITIAL": "10ms",
            "CONNECTORD_PROCESS__RESTART_BACKOFF_MAX": "100ms",
        }
        arguments = ["--data-dir", str(folder / "data"), "--connectors-dir", str(folder / "connectors")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(BINARIES / "connectord"), *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stderr=log
            )
        found = until("connectord", lambda: self.process.poll() or re.search(r"is serving.*\baddress=(\S+)", self.log.read_text()))
        assert isinstance(found, re.Match), self.log.read_text()
        self.address = f"http://{found.group(1)}"

    def ctl(self, *arguments: str, given: str = "", fails: bool = False) -> str:
        """Runs connectorctl and gives what it says."""
        command = [str(BINARIES / "connectorctl"), "--server", self.address, "--output", "json", *arguments]
        ran = subprocess.run(command, input=given, capture_output=True, text=True, timeout=DEADLINE_S)
        assert (ran.returncode != 0) == fails, f"{arguments} ended with {ran.returncode}: {ran.stdout}{ran.stderr}"
        return ran.stdout + (ran.stderr if fails else "")

    def lines(self, *arguments: str) -> list[dict]:
        return [json.loads(line) for line in self.ctl(*arguments).splitlines() if line.startswith("{")]

    def connect(self, name: str, tracker: Tracker) -> None:
        self.ctl("connections", "create", "--connector", "tracker", "--name", name, "--set", f"url={tracker.url}", "--frequency", "off")
        self.ctl("credentials", "set", name, "--field", "key=-", given=KEY)

    def documents(self, name: str) -> dict[str, dict]:
        return {document["id"]: document for document in self.lines("documents", "list", "--connection", name, "--content")}

    def failed_items(self, name: str) -> list[str]:
        return sorted(error["id"] for error in self.lines("errors", "list", name))

    def connector_processes(self) -> list[int]:
        """Those that connectord has started in the connector's folder."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if parent == self.process.pid:
                    found.append(int(process.name))
            except OSError:
                continue
        return found

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0


def try_full_and_incremental(server: Server, tracker: Tracker) -> None:
    server.connect("issues", tracker)
    server.ctl("sync", "issues", "--wait")
    documents = server.documents("issues")
    print(json.dumps(documents["10"]))
    assert len(documents) == 249 and "13" not in documents, len(documents)


def main() -> None:
    connector = Path(sys.argv[1]).resolve()
    folder = Path(tempfile.mkdtemp(prefix="tracker-"))
    tracker = Tracker(250)
    server = Server(folder, connector)
    try:
        try_full_and_incremental(server, tracker)
        print(server.ctl("errors", "list", "issues"))
        print(server.ctl("runs", "list", "--connection", "issues"))
        print(server.connector_processes())
        print(server.ctl("connections", "test", "issues"))
    finally:
        server.stop()
        tracker.stop()
        print(server.log.read_text()[-3000:])
        shutil.rmtree(folder)


main()
