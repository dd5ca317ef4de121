"""What is none of a layer's own reaches the service inside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from bus.access_log import AccessLog
from bus.announcer import Announcer
from bus.events import Message
from bus.health import Journal
from bus.process import KeepsMessages
from bus.request_server import RequestServer
from bus.topics import Topics
from statistician.middleware import AbsentServices, Announcing, DatabaseOpener
from tests.clock import FakeTime
from tests.fake_bus import FakeBus

MESSAGE = Message("camper/state/mppt", b"{}", 1, retain=False, mid=1, generation=1)
Made = Callable[[KeepsMessages, Path, FakeTime], KeepsMessages]


class Inner:
    """The service inside: what it was asked to do."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def handle(self, event: object) -> None:
        """Note it."""
        self.asked.append(("handle", event))

    def tick(self, now: float) -> float:
        """Note it, and ask for the next look."""
        self.asked.append(("tick", now))
        return 0.25

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Note it."""
        self.asked.append(("set_aside", message, error))

    def put_on_disk(self) -> None:
        """Note it."""
        self.asked.append(("put_on_disk",))

    def close(self) -> None:
        """Note it."""
        self.asked.append(("close",))

    def waiting(self) -> int | None:
        """Note it; seven wait."""
        self.asked.append(("waiting",))
        return 7


def opener(inner: KeepsMessages, _folder: Path, time: FakeTime) -> KeepsMessages:
    made = DatabaseOpener(lambda: inner, clock=time.clock, journal=Journal(), stop=lambda _: None)
    made.open_first()
    return made


def announcing(inner: KeepsMessages, folder: Path, time: FakeTime) -> KeepsMessages:
    announcer = Announcer(FakeBus(), Topics(), path=folder / "a.json", enabled=True, wall=time.clock.wall)
    monotonic, wall = time.clock.monotonic, time.clock.wall
    journal = Journal()
    return Announcing(inner, announcer, FakeBus(), Topics(), monotonic=monotonic, journal=journal, wall=wall)


def absent_services(inner: KeepsMessages, folder: Path, time: FakeTime) -> KeepsMessages:
    access = AccessLog(folder / "access.log", clock=time.clock, journal=Journal())
    desk = create_autospec(RequestServer, instance=True)
    return AbsentServices(inner, desk, Topics(), "statistician", access)


@pytest.mark.parametrize("make", [opener, announcing, absent_services])
def test_all_that_is_not_its_own_reaches_the_service_inside(
    make: Made, tmp_path: Path, time: FakeTime
) -> None:
    inner = Inner()
    layer = make(inner, tmp_path, time)
    error = KeyError("planted")
    layer.handle(MESSAGE)
    assert layer.tick(3.0) == 0.25
    layer.set_aside(MESSAGE, error)
    layer.put_on_disk()
    assert layer.waiting() == 7
    layer.close()
    assert inner.asked == [
        ("handle", MESSAGE),
        ("tick", 3.0),
        ("set_aside", MESSAGE, error),
        ("put_on_disk",),
        ("waiting",),
        ("close",),
    ]
