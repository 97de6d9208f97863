"""An HTTP server that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import Factory, define, frozen


@frozen
class Asked:
    """One request: method, target (path and query), headers in lower case, body."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


@frozen
class Answer:
    """What is answered; `body` as JSON unless it is bytes. close: the connection ends after it, unannounced."""

    body: Any = None
    status: int = 200
    content_type: str = "application/json"
    close: bool = False


@define
class FakeServer:
    """url: where it listens; asked: the requests so far, in order; connections: how many there were."""

    url: str
    asked: list[Asked] = Factory(list)
    connections: int = 0


@contextmanager
def fake_server(answer: Callable[[Asked], Answer]) -> Iterator[FakeServer]:
    """Serve on a free port of loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            served.connections += 1
            self.number = served.connections

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {key.lower(): value for key, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body, self.number)
            served.asked.append(asked)
            given = answer(asked)
            data = given.body if isinstance(given.body, bytes) else json.dumps(given.body).encode()
            self.send_response(given.status)
            self.send_header("Content-Type", given.content_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = given.close

        do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served = FakeServer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
