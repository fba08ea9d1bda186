#!/usr/bin/env python3
"""Tries a connector of the sample tracker through real connectord and connectorctl, whatever language it is in.

    python3 samples/tracker/through_connectord.py FOLDER

FOLDER has the connector as connectord starts it: manifest.json and the program. The binaries are looked for in
SUPERFASTTT_BIN_DIR, else in target/debug. It ends by itself, with 0 where all is as it should be, and leaves no process.
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
BINARIES = Path(os.environ.get("SUPERFASTTT_BIN_DIR", HERE.parent.parent / "target/debug")).resolve()
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
        # What it says of connections that were cut belongs to the tests.
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
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
        listed = self.lines("documents", "list", "--connection", name, "--content")
        return {entry["document"]["id"]: entry["document"] for entry in listed}

    def failed_items(self, name: str) -> list[str]:
        return sorted(error["item"] for error in self.lines("errors", "list", name))

    def last_run(self, name: str) -> dict:
        return self.lines("runs", "list", name)[0]

    def sync(self, name: str, *options: str, fails: bool = False) -> dict:
        """Syncs, and gives how the run went."""
        self.ctl("sync", name, "--wait", *options, fails=fails)
        return self.last_run(name)

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


def try_connection(server: Server, tracker: Tracker) -> None:
    """What a person asks for by hand."""
    shown = server.ctl("connectors", "show", "tracker")
    assert "STATE_READY" in shown, shown
    tested = server.ctl("connections", "test", "issues")
    assert "OUTCOME_PASSED" in tested and "owner@tracker.example" in tested, tested


def try_full(server: Server, tracker: Tracker) -> None:
    """Everything comes but the broken issue, with the permissions; the 429 is waited for."""
    documents = server.documents("issues")
    assert sorted(map(int, documents)) == [number for number in range(1, 251) if number != 13], sorted(documents)
    assert server.failed_items("issues") == ["13"]
    public, private = documents["1"], documents["10"]
    assert public["title"] == "Issue 1" and public["content"] == "What happened in issue 1.", public
    assert public["permissions"]["visibility"] == "organization", public
    assert private["permissions"] == {"visibility": "private", "allow": ["user:user3@tracker.example"]}, private
    pages = [path for path in tracker.asked() if path.startswith("/issues?")]
    assert len(pages) == 6 and len(set(pages)) == 5, f"five pages, one of them twice for its 429: {pages}"


def try_incremental(server: Server, tracker: Tracker) -> None:
    """A change and a deletion come by the change feed alone."""
    tracker.control(put=[{"number": 7, "title": "Seven"}], delete=[3])
    before = len(tracker.asked())
    run = server.sync("issues")
    documents = server.documents("issues")
    assert documents["7"]["title"] == "Seven" and "3" not in documents and len(documents) == 248
    assert all(path.startswith("/changes") for path in tracker.asked()[before:]), tracker.asked()[before:]
    assert run["counts"].get("deleted") in (1, "1"), run
    run = server.sync("issues")
    assert not any(int(run["counts"].get(count, 0)) for count in ("created", "updated", "deleted")), f"nothing had changed: {run}"


def try_targeted(server: Server, tracker: Tracker) -> None:
    """The broken issue is mended, and asked for by its number."""
    # The feed is not read meanwhile: only a retry of the item can bring it.
    tracker.control(put=[{"number": 13, "title": "Mended"}])
    before = len(tracker.asked())
    server.ctl("errors", "retry", "issues")
    until("the mended issue", lambda: "13" in server.documents("issues"))
    assert "/issues/13" in tracker.asked()[before:], tracker.asked()[before:]
    until("the error's end", lambda: server.failed_items("issues") == [])


def try_forgotten_cursor(server: Server, tracker: Tracker) -> None:
    """The tracker no longer knows the place in its feed: all is listed, and what is missing there is gone."""
    tracker.control(put=[{"number": number} for number in range(20, 40)], delete=[50], history=5)
    server.sync("issues")
    documents = server.documents("issues")
    assert "50" not in documents and len(documents) == 248, len(documents)


def try_kill(server: Server) -> None:
    """The connector's process is killed in the middle of a listing: nothing is lost."""
    tracker = Tracker(600)
    try:
        killed = server.connector_processes()
        server.connect("many", tracker)
        # Its second page is refused for a second, so the listing is under way now.
        until("the second page", lambda: any("page=50" in path for path in tracker.asked()))
        for process in killed:
            os.kill(process, signal.SIGKILL)
        until("the end of the sync", lambda: server.last_run("many").get("endedAt"))
        assert server.last_run("many")["state"] == "STATE_SUCCEEDED_WITH_ERRORS", server.last_run("many")
        assert len(server.documents("many")) == 599 and server.failed_items("many") == ["13"]
        assert killed and set(server.connector_processes()) - set(killed), "another process took over"
        again = [path for path in tracker.asked() if path.startswith("/issues?")]
        assert sum("page=0" in path for path in again) == 1, f"the listing was resumed and not begun again: {again}"
    finally:
        tracker.stop()


def try_withdrawn_key(server: Server, tracker: Tracker) -> None:
    """The key is no longer taken: a person is asked to reconnect."""
    tracker.control(key="another")
    run = server.sync("issues", fails=True)
    assert run["error"]["reason"] == "REASON_CREDENTIAL_REVOKED", run
    assert len(server.documents("issues")) == 248


def main() -> None:
    connector = Path(sys.argv[1]).resolve()
    folder = Path(tempfile.mkdtemp(prefix="tracker-"))
    tracker = Tracker(250)
    server = Server(folder, connector)
    try:
        server.connect("issues", tracker)
        until("the first sync", lambda: server.lines("runs", "list", "issues") and server.last_run("issues").get("endedAt"))
        for step in (try_full, try_connection, try_incremental, try_targeted, try_forgotten_cursor, try_withdrawn_key):
            step(server, tracker)
            print(f"ok  {step.__name__}", flush=True)
        assert " ERROR " not in server.log.read_text(), "an error stands in the log"
        try_kill(server)
        print("ok  try_kill", flush=True)
        assert KEY not in server.log.read_text(), "the key stands in the log"
    except BaseException:
        print(server.log.read_text()[-6000:])
        raise
    finally:
        server.stop()
        tracker.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
