"""`boondock collect` in this process, on twins of devices; who waits for what it does; a web server."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from momonga.momonga_sk_wrapper import MomongaSkWrapper

from cli import app
from collector.transports import route_b
from tests.emulators.wisun import PASSWORD, RBID, Meter, Stick

NOW = datetime(2026, 11, 21, 16, 10)  # noqa: DTZ001 — the meter knows no zones
METER = {"B_ROUTE_ID": RBID, "B_ROUTE_PASSWORD": PASSWORD}
# The words of the environment that the command knows.
KNOWN = (
    *("SERIAL_PORT", "SERIAL_RATE", "B_ROUTE_ID", "B_ROUTE_PASSWORD", "LOCAL_TIMEZONE", "FILE_FORMAT"),
    *("WEBHOOK_URL", "GCP_PROJECT_ID", "GCP_TOPIC_NAME", "BOONDOCK_CONFIG", "BOONDOCK_SECRETS"),
)
_SOON = 20.0
_QUICK = route_b.Timeouts(
    stick=0.3, answer=0.5, tries=2, transmit=0.3, pause=0.0, opening=5.0, closing=0.5, scans=2, joins=1
)


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended, and what it wrote; `log` is standard error without the times."""

    code: int
    out: str
    err: str

    @property
    def log(self) -> list[str]:
        """The lines of standard error, without the times."""
        return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in self.err.splitlines()]


@dataclass
class Here:
    """A folder in which the command is typed, with an environment of its own."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capfd: pytest.CaptureFixture[str]
    variables: dict[str, str] = field(default_factory=dict)
    _said: list[str] = field(default_factory=lambda: ["", ""])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, *words: str, **variables: str) -> Done:
        """Run it until it ends by itself."""
        with self.monkeypatch.context() as patch:
            patch.chdir(self.folder)
            for name in KNOWN:
                patch.delenv(name, raising=False)
            for name, text in (self.variables | variables).items():
                patch.setenv(name, text)
            self.said()
            self._said = ["", ""]
            code = app.run(["collect", *words])
            self.said()
        return Done(code, *self._said)

    def said(self) -> str:
        """What is on standard error up to now."""
        with self._lock:
            said = self.capfd.readouterr()
            self._said = [before + new for before, new in zip(self._said, said, strict=True)]
            return self._said[1]

    def run_until(
        self, seen: Callable[[], bool], *words: str, by: int = signal.SIGTERM, **variables: str
    ) -> Done:
        """Run it until something is seen, then send a signal."""

        def watch() -> None:
            wait_for(seen)
            os.kill(os.getpid(), by)

        def ignore(*_: object) -> None:
            """Keep the signal from this process if the command has ended already."""

        before = signal.signal(by, ignore)
        try:
            with threaded(watch):
                done = self.run(*words, **variables)
            assert signal.getsignal(by) is ignore, "the command gives signals back"
        finally:
            signal.signal(by, before)
        return done


@contextmanager
def threaded(work: Callable[[], object]) -> Iterator[None]:
    """Do something beside it."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def wait_for(seen: Callable[[], bool]) -> None:
    """Wait until another thread has done it, or too long."""
    deadline = time.monotonic() + _SOON
    while not seen() and time.monotonic() < deadline:
        threading.Event().wait(0.01)


@contextmanager
def stick_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stick]:
    """A stick and its meter, which answer at once."""
    # It listens two seconds for what a stick still has to say; ours has nothing.
    monkeypatch.setattr(MomongaSkWrapper, "_clear_buf", lambda _: None)
    monkeypatch.setattr(route_b, "Timeouts", lambda: _QUICK)
    meter = Meter(lambda: NOW, used=lambda at: (at - NOW) // timedelta(minutes=6) + 100_000)
    stick = Stick(folder, meter)
    try:
        yield stick
    finally:
        stick.unplug()


class Hook:
    """A web server that keeps what is posted; `status` is what it answers."""

    def __init__(self, port: int, status: int = 200) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.status = status
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                # Before the answer: the next one comes in a thread of its own.
                if hook.status < 300:
                    hook.bodies.append(body)
                    hook.headers.append(dict(self.headers))
                self.send_response(hook.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?token=s3cret"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
