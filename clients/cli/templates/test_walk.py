#!/usr/bin/env python3
"""Types the walk of docs/write-a-connector.md as it is printed, from `connectorctl new` to a running sync.

Usage: clients/cli/templates/test_walk.py [CHECKOUT-WITH-THE-PYTHON-SDK]. SUPERFASTTT_BIN_DIR says where connectord and
connectorctl are (default target/debug). Only the port of the tracker and the places of binaries and data are others than in
the text.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SDKS = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT).resolve() / "connector-sdk"
BINARIES = (ROOT / os.environ.pop("SUPERFASTTT_BIN_DIR", "target/debug")).resolve()
FILES = ["manifest.json", "connector.py", "test_connector.py", "conformance.json", "schemas/item/1.json"]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def chapter() -> tuple[list[str], list[str]]:
    """The commands and the files of the walk."""
    text = (ROOT / "docs/write-a-connector.md").read_text(encoding="utf-8")
    walk = text.split("## From nothing to a running sync\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```(\w*)\n(.*?)```", walk, re.DOTALL)
    return [text for kind, text in blocks if not kind], [text for kind, text in blocks if kind]


def main() -> None:
    commands, files = chapter()
    make, see, prove, sync = commands
    tracker_port, control, public = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder, "checkout")
        checkout.mkdir()
        (checkout / "samples").symlink_to(ROOT / "samples")
        (checkout / "connector-sdk").symlink_to(SDKS)
        connector = checkout / "my-connectors/issues"

        def typed(text: str) -> str:
            text = text.replace("$PWD/target/release", str(BINARIES)).replace("7090", str(tracker_port))
            return text.replace("/tmp/issues-data", f"{folder}/data")

        def write(*names: str) -> None:
            for name, text in zip(FILES, files, strict=True):
                if name in names:
                    (connector / name).write_text(typed(text), encoding="utf-8")

        # Each block goes on where the one before ended, with what that one exported.
        environment = Path(folder, "environment")
        environment.write_text(f"cd {checkout}\n", encoding="utf-8")

        def run(text: str, after: str = "") -> str:
            keep = f"{{ export -p; echo cd $PWD; }} > {environment}"
            script = f". {environment}\nset -e\n{typed(text)}\n{keep}\n{after}"
            env = {
                **os.environ,
                "CONNECTORD_SERVER__CONTROL_LISTEN": f"127.0.0.1:{control}",
                "CONNECTORD_SERVER__PUBLIC_LISTEN": f"127.0.0.1:{public}",
                "CONNECTORCTL_SERVER": f"http://127.0.0.1:{control}",
            }
            done = subprocess.run(["bash", "-c", script], env=env, text=True, capture_output=True, check=False)
            if done.returncode != 0:
                sys.exit(f"{text}\nended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
            return done.stdout + done.stderr

        tracker = [sys.executable, str(ROOT / "samples/tracker/tracker.py"), "--port", str(tracker_port)]
        source = subprocess.Popen(tracker, stdout=subprocess.PIPE)
        try:
            source.stdout.readline()
            began = time.monotonic()
            assert "full: 24 documents, 1 item error" in run(make)
            write("manifest.json", "connector.py")
            seen = run(see)
            assert "incremental: 1 document, 1 deletion" in seen, seen
            assert seen.count("full: 249 documents, 1 item error") == 2, seen
            write("test_connector.py", "conformance.json", "schemas/item/1.json")
            assert "issues reaches level 3" in run(prove)
            # A person waits for connectord to say that it is there.
            ready = "until connectorctl status >/dev/null 2>&1; do kill -0 $server; sleep 0.1; done"
            started = f" > {folder}/log 2>&1 &\nserver=$!\ntrap 'kill $server; wait' EXIT\n{ready}\n"
            count = "connectorctl --output json documents list --connection issues | wc -l"
            synced = run(sync.replace(" &\n", started), after=count)
            assert "\n248\n" in synced, synced[-2000:]
            print(f"docs/write-a-connector.md: from nothing to a running sync, {time.monotonic() - began:.0f} s of commands")
        finally:
            source.kill()
            source.wait()


if __name__ == "__main__":
    main()
