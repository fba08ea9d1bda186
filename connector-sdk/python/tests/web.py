"""A scripted HTTP server on a free port."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    certificate: bool = False
    """Whether the client has shown one."""


@dataclass
class Answer:
    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Web:
    url: str
    requests: list[Request]


@contextmanager
def web(answer: Callable[[Request], Answer], tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """Answers each request with what `answer` makes of it, and keeps them all."""
    seen: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            address = urlsplit(self.path)
            length = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(address.query, keep_blank_values=True))
            shown = isinstance(self.connection, ssl.SSLSocket) and bool(self.connection.getpeercert())
            request = Request(self.command, address.path, query, headers, self.rfile.read(length), shown)
            seen.append(request)
            answered = answer(request)
            body = answered.body if isinstance(answered.body, bytes) else json.dumps(answered.body).encode()
            self.send_response(answered.status)
            kind = {} if isinstance(answered.body, bytes) else {"content-type": "application/json"}
            for name, value in {**kind, **answered.headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_one  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    if tls is not None:
        listener.socket = tls.wrap_socket(listener.socket, server_side=True)
    threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield Web(f"{'https' if tls else 'http'}://127.0.0.1:{listener.server_port}", seen)
    finally:
        listener.shutdown()
        listener.server_close()
