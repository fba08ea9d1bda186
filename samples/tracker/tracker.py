#!/usr/bin/env python3
"""A small issue tracker with a JSON API, for connectors to be tried on. Standard library only.

    python3 samples/tracker/tracker.py --port 7090 --issues 250

README.md beside this file has the API. The first line of stdout says where it listens, as JSON; it ends when its stdin does
if `--with-stdin` is given, so that no test leaves one behind.
"""

import argparse
import json
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

BROKEN = 13
"""The issue that cannot be read: its title is missing, as after an import that went wrong."""


class Tracker:
    """The issues, and everything that has happened to them in order."""

    def __init__(self, issues: int, history: int) -> None:
        self.lock = threading.Lock()
        self.history = history
        """How many changes back a `since` may lie."""
        self.sequence = 0
        self.issues: dict[int, dict] = {}
        self.gone: dict[int, int] = {}
        """Deleted issues, with the sequence number of their end."""
        self.throttled: set[str] = set()
        """Listings that have had their 429."""
        self.requests: list[dict] = []
        for number in range(1, issues + 1):
            self.put({"number": number})

    def put(self, given: dict) -> dict:
        """Creates or changes an issue."""
        number = given["number"]
        self.sequence += 1
        issue = {
            "number": number,
            "title": f"Issue {number}",
            "body": f"What happened in issue {number}.",
            "author": f"user{number % 7}@tracker.example",
            "private": number % 5 == 0,
            "created_at": "2026-01-01T00:00:00Z",
            **self.issues.get(number, {}),
            **given,
            "url": f"https://tracker.example/issues/{number}",
            "sequence": self.sequence,
            "updated_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1767225600 + self.sequence)),
        }
        if number == BROKEN and "title" not in given:
            issue["title"] = None
        self.gone.pop(number, None)
        self.issues[number] = issue
        return issue

    def delete(self, number: int) -> None:
        """Ends an issue."""
        if self.issues.pop(number, None) is not None:
            self.sequence += 1
            self.gone[number] = self.sequence

    def listing(self, after: int, limit: int) -> dict:
        """Issues by number, above `after`."""
        numbers = sorted(number for number in self.issues if number > after)
        page = numbers[:limit]
        following = page[-1] if len(numbers) > limit else None
        return {"issues": [self.issues[number] for number in page], "next_page": following, "sequence": self.sequence}

    def changes(self, since: int, limit: int) -> dict | None:
        """What happened after `since`, oldest first; None where that is no longer known, or not yet."""
        if since < self.sequence - self.history or since > self.sequence:
            return None
        happened = [(issue["sequence"], {"issue": issue}) for issue in self.issues.values() if issue["sequence"] > since]
        happened += [(at, {"deleted": number}) for number, at in self.gone.items() if at > since]
        happened.sort(key=lambda entry: entry[0])
        page = happened[:limit]
        until = page[-1][0] if len(happened) > limit else self.sequence
        return {"changes": [change for _, change in page], "sequence": until, "has_more": len(happened) > limit}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def answer(self, status: int, body: object, **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def error(self, status: HTTPStatus, code: str, **headers: str) -> None:
        self.answer(status, {"error": code, "message": status.description or status.phrase}, **headers)

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        tracker = self.server.tracker
        if address.path == "/_requests":
            return self.answer(200, tracker.requests)
        with tracker.lock:
            tracker.requests.append({"path": self.path, "user_agent": self.headers.get("user-agent")})
        if self.headers.get("authorization") != f"Bearer {self.server.key}":
            return self.error(HTTPStatus.UNAUTHORIZED, "bad_key", www_authenticate="Bearer")
        try:
            self.api(address.path, query)
        except ValueError:
            self.error(HTTPStatus.BAD_REQUEST, "bad_parameter")

    def api(self, path: str, query: dict[str, str]) -> None:
        tracker = self.server.tracker
        limit = min(max(int(query.get("limit", "50")), 1), 100)
        if path == "/account":
            return self.answer(200, {"id": "acct-1", "name": "Sample account", "email": "owner@tracker.example"})
        if path == "/issues":
            page = int(query.get("page", "0"))
            with tracker.lock:
                # Once for each listing that a client goes through: its second page comes too soon.
                client = f"{self.client_address[0]} {self.headers.get('user-agent')}"
                if page == 0:
                    tracker.throttled.discard(client)
                elif client not in tracker.throttled:
                    tracker.throttled.add(client)
                    return self.error(HTTPStatus.TOO_MANY_REQUESTS, "slow_down", retry_after="1")
                listing = tracker.listing(page, limit)
            return self.answer(200, listing)
        if path == "/changes":
            with tracker.lock:
                changes = tracker.changes(int(query["since"]) if "since" in query else tracker.sequence, limit)
            return self.error(HTTPStatus.GONE, "since_unknown") if changes is None else self.answer(200, changes)
        if path.startswith("/issues/"):
            with tracker.lock:
                issue = tracker.issues.get(int(path.removeprefix("/issues/")))
            return self.error(HTTPStatus.NOT_FOUND, "no_issue") if issue is None else self.answer(200, issue)
        return self.error(HTTPStatus.NOT_FOUND, "no_path")

    def do_POST(self) -> None:
        """`/_control`: what a person would do in the tracker, for tests."""
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))) or b"{}")
        if self.path != "/_control":
            return self.error(HTTPStatus.NOT_FOUND, "no_path")
        tracker = self.server.tracker
        with tracker.lock:
            for issue in body.get("put", []):
                tracker.put(issue)
            for number in body.get("delete", []):
                tracker.delete(number)
            tracker.history = body.get("history", tracker.history)
            self.server.key = body.get("key", self.server.key)
            self.answer(200, {"sequence": tracker.sequence, "issues": len(tracker.issues)})

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: `/_requests` has them."""


class Server(ThreadingHTTPServer):
    """The tracker behind its address."""

    daemon_threads = True
    request_queue_size = 128
    """With the library's five, a hundred connections at once wait for the network's second and third tries."""

    def __init__(self, port: int, key: str, tracker: Tracker) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.key = key
        self.tracker = tracker


def main() -> None:
    parser = argparse.ArgumentParser(description="A small issue tracker with a JSON API, for connectors to be tried on.")
    parser.add_argument("--port", type=int, default=7090, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--issues", type=int, default=250, help="how many there are at first (default: %(default)s)")
    parser.add_argument("--key", default="tracker-key", help="the API key that it takes (default: %(default)s)")
    parser.add_argument("--history", type=int, default=10_000, help="how many changes it remembers (default: %(default)s)")
    parser.add_argument("--with-stdin", action="store_true", help="end when stdin does")
    options = parser.parse_args()
    server = Server(options.port, options.key, Tracker(options.issues, options.history))
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    if options.with_stdin:
        threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
