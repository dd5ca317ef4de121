"""A browser on Node-RED's Dashboard 2.0, without the browser: Socket.IO by long polling.

Engine.IO protocol 4 and Socket.IO protocol 5, as socket.io documents them: packets are parted by 0x1e;
`0` opens, `2` asks and `3` answers a ping, `40` joins the namespace, `42["event", ...]` is an event.
"""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

_PATIENCE = 30.0

Event = list[Any]


class Dashboard:
    """Opens the dashboard, keeps every event it is sent, and presses what a user would press."""

    def __init__(self, port: int) -> None:
        self.events: list[Event] = []
        self._at = f"http://127.0.0.1:{port}/dashboard/socket.io/?EIO=4&transport=polling"
        self._news = threading.Condition()
        self._over = False
        self._listener = threading.Thread(target=self._listen)

    def __enter__(self) -> Self:
        self._at += "&sid=" + str(json.loads(self._open()[1:])["sid"])
        self._exchange("40")
        self._listener.start()
        self.wait(lambda event: event[0] == "ui-config")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._exchange("1")  # the pending poll ends with it
        self._listener.join(_PATIENCE)

    def emit(self, *event: object) -> None:
        """Send an event to the server."""
        self._exchange("42" + json.dumps(event))

    def wait(self, matches: Callable[[Event], bool], *, since: int = 0) -> Event:
        """The first event from number `since` on that matches. Raises TimeoutError with what was seen."""
        deadline = time.monotonic() + _PATIENCE
        with self._news:
            while True:
                for event in self.events[since:]:
                    if matches(event):
                        return event
                if not self._news.wait(max(0.0, deadline - time.monotonic())):
                    seen = [json.dumps(event)[:300] for event in self.events[-10:]]
                    raise TimeoutError(f"no such event; the last were {seen}")

    def shows(self, widget: str, matches: Callable[[Any], bool], *, since: int = 0) -> Any:  # noqa: ANN401 — JSON
        """The first message to a widget that matches, once it comes."""
        name = f"msg-input:{widget}"
        return self.wait(lambda event: event[0] == name and matches(event[1]), since=since)[1]

    def press(self, widget: str) -> None:
        """Click a button."""
        self.emit("widget-action", widget, {"_event": {"type": "click"}})

    def choose(self, widget: str, value: object) -> None:
        """Choose a line of a dropdown."""
        self.emit("widget-change", widget, value)

    def _open(self) -> str:
        deadline = time.monotonic() + _PATIENCE
        while True:
            # A deployed flow starts a moment after the answer; until then a page or an error stands here.
            with suppress(urllib.error.HTTPError):
                answer = self._exchange()
                if answer.startswith("0{"):
                    return answer
            if time.monotonic() > deadline:
                raise TimeoutError("the dashboard did not open")
            time.sleep(0.05)

    def _exchange(self, body: str | None = None) -> str:
        request = urllib.request.Request(  # noqa: S310 — our own loopback port
            self._at,
            data=None if body is None else body.encode(),
            headers={"Content-Type": "text/plain;charset=UTF-8"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 — same
            text: str = answer.read().decode()
        return text

    def _listen(self) -> None:
        while not self._over:
            try:
                packets = self._exchange().split("\x1e")
            except (urllib.error.URLError, ConnectionError):
                return  # the server has gone; whoever waits for an event says so
            for packet in packets:
                if packet == "2":
                    self._exchange("3")
                elif packet.startswith("42"):
                    with self._news:
                        self.events.append(json.loads(packet[2:]))
                        self._news.notify_all()
