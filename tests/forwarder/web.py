"""A web server of the standard library, that answers what it is told, and keeps what it was sent."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.servers import context


@dataclass(frozen=True)
class Request:
    """What came; `client` is the port of the connection that it came on."""

    method: str
    path: str
    headers: Message
    body: bytes
    client: int


@dataclass(frozen=True)
class Reply:
    """An answer; `hang_up` ends the connection after it, without a word."""

    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_up: bool = False


@dataclass
class Web:
    """Answers `replies` one after the other, then 204; `seen` are the requests."""

    port: int
    replies: deque[Reply] = field(default_factory=deque)
    seen: list[Request] = field(default_factory=list)

    def says(self, *replies: Reply) -> None:
        """Answer so."""
        self.replies.extend(replies)


@contextmanager
def web(pem: Path | None = None) -> Iterator[Web]:
    """Serve on a free port, with TLS if there is a certificate."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made.seen.append(
                Request(self.command, self.path, self.headers, body, int(self.client_address[1]))
            )
            reply = made.replies.popleft() if made.replies else Reply()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != 204:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)
            # Told to nobody: the next request finds it closed.
            self.close_connection = reply.hang_up

        do_POST = do_PUT = do_GET = _take  # noqa: N815 — the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made = Web(int(server.server_address[1]))
    if pem is not None:
        server.socket = context(pem).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
