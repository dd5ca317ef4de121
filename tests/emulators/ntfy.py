"""A server of push messages as ntfy documents it (Publishing, "Publish as JSON", "Authentication").

`POST /` takes JSON with `topic`, `message` and `title`; `POST /<topic>` takes the text, with the title in a
header. The answer is the message as JSON, or an error with `code`, `http` and `error`.
"""

import base64
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

# What the documentation gives as the codes of errors, by their HTTP status.
_ERRORS = {
    400: (40024, "invalid request: request body must be message JSON"),
    401: (40101, "unauthorized"),
    403: (40301, "forbidden"),
    404: (40401, "page not found"),
    413: (41301, "attachment or message too large"),
    429: (42901, "limit reached: too many requests"),
    500: (50001, "internal server error"),
    507: (50701, "cannot publish to UnifiedPush topic without previously active subscriber"),
}


@dataclass(frozen=True, slots=True)
class Pushed:
    """One message as it came."""

    topic: str
    title: str
    message: str
    user: str | None = None


@dataclass
class Ntfy:
    """Answers on a free port of loopback; `status` is what it answers, or `hang`, `drop` or `redirect`."""

    status: int | str = 200
    port: int = 0
    pushed: list[Pushed] = field(default_factory=list)
    # A request has come; one that hangs ends when `free` is set.
    asked: threading.Event = field(default_factory=threading.Event)
    free: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        twin = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                _answer(twin, self)

            def do_GET(self) -> None:
                # The page for people, or the welcome page of a campsite.
                _say(self, 200, {"page": "welcome"})

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base class calls it so
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.free.set()
        self._server.shutdown()
        self._server.server_close()

    def url(self, topic: str, login: str = "") -> str:
        """The address as Apprise writes it."""
        return f"ntfy://{login}127.0.0.1:{self.port}/{topic}"


def _answer(twin: Ntfy, request: BaseHTTPRequestHandler) -> None:
    body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
    twin.asked.set()
    if twin.status == "hang":
        twin.free.wait()
        return
    if twin.status == "drop":
        request.close_connection = True
        return
    if twin.status == "redirect":
        request.send_response(301)
        request.send_header("Location", "/welcome")
        request.end_headers()
        return
    if isinstance(twin.status, int) and twin.status != 200:
        code, words = _ERRORS[twin.status]
        _say(request, twin.status, {"code": code, "http": twin.status, "error": words})
        return
    _take(twin, request, body)


def _take(twin: Ntfy, request: BaseHTTPRequestHandler, body: bytes) -> None:
    headers, topic = request.headers, request.path.strip("/").partition("?")[0]
    said = {"topic": topic, "message": body.decode(), "title": headers.get("X-Title") or headers.get("Title")}
    if not topic:
        try:
            said = json.loads(body)
        except ValueError:
            _say(request, 400, {"code": 40024, "http": 400, "error": _ERRORS[400][1]})
            return
    kind, _, secret = headers.get("Authorization", "").partition(" ")
    user = base64.b64decode(secret).decode() if kind == "Basic" else secret or None
    message = said.get("message") or "triggered"
    twin.pushed.append(Pushed(said["topic"] or "", said.get("title") or "", message, user))
    _say(request, 200, {"id": "x", "time": 0, "event": "message", "topic": said["topic"], "message": message})


def _say(request: BaseHTTPRequestHandler, status: int, answer: dict[str, object]) -> None:
    content = json.dumps(answer).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
