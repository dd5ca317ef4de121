"""Layers around the service: what they take themselves, and that all else reaches it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from bus.access_log import AccessLog
from bus.announcer import Announcer
from bus.events import Connected, Message
from bus.health import Journal
from bus.process import KeepsMessages
from bus.request_server import RequestServer
from bus.topics import Topics
from statistician.middleware import AbsentServices, Announcing, DatabaseOpener, of_absent_services
from tests.clock import FakeTime
from tests.fake_bus import FakeBus

ME = "camper/response/me"


class Inner:
    """The service inside: what it was given."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.closed = False

    def handle(self, event: object) -> None:
        """Keep it."""
        self.events.append(event)

    def tick(self, now: float) -> float:
        """Nothing is due."""
        return now

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def waiting(self) -> int | None:
        """None."""
        return None

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Keep it."""
        self.events.append((message, error))

    def put_on_disk(self) -> None:
        """Nothing is in hand."""


class House:
    """The wrapper on a fake bus."""

    def __init__(self, folder: Path, time: FakeTime) -> None:
        self.bus, self.inner, self.journal, self.time = FakeBus(), Inner(), Journal(), time
        topics, clock = Topics(), time.clock
        self.access = AccessLog(folder / "access.log", clock=clock, journal=self.journal)
        desk = RequestServer(
            "statistician", {}, bus=self.bus, topics=topics, journal=self.journal, wall=clock.wall
        )
        self.wrapped = AbsentServices(self.inner, desk, topics, "statistician", self.access)
        self.receive("camper/service/controller", "online")
        self.receive("camper/service/collector_ble", "offline")

    def receive(
        self, topic: str, payload: str = "{}", *, response: str | None = ME, retain: bool = False
    ) -> None:
        """A message comes."""
        self.wrapped.handle(Message(topic, payload.encode(), 0, retain, 0, 1, response, b"7"))

    def answers(self, topic: str = ME) -> list[dict[str, Any]]:
        """What was answered."""
        return [json.loads(payload) for payload in self.bus.on(topic)]


@pytest.fixture
def house(tmp_path: Path, time: FakeTime) -> House:
    return House(tmp_path, time)


@pytest.mark.parametrize(
    ("topic", "code", "text"),
    [
        ("nobody/info", "not_found", "no service nobody: there are collector_ble, controller, statistician"),
        ("statistics/info", "not_found", "no service statistics"),
        ("collector_ble/devices", "offline", 'runs only with [collector] run = ["ble"]'),
        ("collector_i2c/devices", "not_found", 'runs only with [collector] run = ["i2c"]'),
        ("statistician", "invalid", "a request goes to a topic such as camper/request/service/verb"),
        ("statistician/info/x", "invalid", "a request goes to"),
        ("Nobody/info", "invalid", "a request goes to"),
        ("nobody/", "invalid", "a request goes to"),
        ("", "invalid", "a request goes to"),
    ],
)
def test_what_nobody_takes_is_refused_where_the_asker_listens(
    house: House, topic: str, code: str, text: str
) -> None:
    house.receive(f"camper/request/{topic}", '{"id": "a", "device": "x"}')
    (answer,) = house.answers()
    assert (answer["id"], answer["status"], answer["error"]["code"]) == ("a", "error", code)
    assert text in answer["error"]["message"]
    assert [p.correlation for p in house.bus.published] == [b"7"]
    assert house.inner.events == []
    assert house.journal.counters["refused_requests"] == 1


@pytest.mark.parametrize(
    ("topic", "payload", "where"),
    [
        ("nobody/info", '{"id": 1}', "camper/response/nobody/info"),
        ("nobody/info", '{"id": 1, "reply_to": "camper/response/x"}', "camper/response/x"),
        ("nobody/info", '{"id": 1, "reply_to": "camper/set/relay/pump"}', "camper/response/nobody/info"),
        ("nobody", '{"id": 1, "reply_to": "camper/response/x"}', "camper/response/x"),
        ("nobody", '{"id": 1}', None),
        ("nobody/info", "garbage", "camper/response/nobody/info"),
        ("nobody/info", '{"id": 1, "x": "' + "x" * 5000 + '"}', "camper/response/nobody/info"),
    ],
)
def test_without_a_response_topic_it_goes_where_answers_of_that_service_go(
    house: House, topic: str, payload: str, where: str | None
) -> None:
    house.receive(f"camper/request/{topic}", payload, response=None)
    assert [p.topic for p in house.bus.published] == ([] if where is None else [where])
    assert house.journal.counters["dropped_answers"] == (where is None)


def test_a_service_that_is_there_is_left_to_answer_itself(house: House) -> None:
    house.receive("camper/request/controller/log")
    house.receive("camper/request/controller/nonsense")
    assert house.bus.published == []
    assert house.inner.events == []
    house.receive("camper/service/collector_ble", "online")
    house.receive("camper/request/collector_ble/devices")
    assert house.bus.published == []


def test_for_the_forwarder_which_answers_nothing_it_answers(house: House) -> None:
    house.receive("camper/service/forwarder", "online")
    house.receive("camper/request/forwarder/log", '{"id": "a"}')
    (answer,) = house.answers()
    assert answer["error"]["code"] == "not_found"
    assert "answers no requests" in answer["error"]["message"]


def test_its_own_requests_and_all_else_go_on(house: House) -> None:
    for topic in ("camper/request/statistician/info", "camper/state/shunt", "camper/requests/x", "other"):
        house.receive(topic)
    assert [e.topic for e in house.inner.events if isinstance(e, Message)] == [
        "camper/request/statistician/info",
        "camper/state/shunt",
        "camper/requests/x",
        "other",
    ]
    assert house.bus.published == []


def test_a_retained_request_is_ignored(house: House) -> None:
    house.receive("camper/request/nobody/info", retain=True)
    assert house.bus.published == []
    assert house.journal.counters["ignored_requests"] == 1


def test_a_broker_that_was_away_tells_anew_who_is_there(house: House) -> None:
    house.wrapped.handle(Connected(2))
    assert house.inner.events == [Connected(2)]
    house.receive("camper/request/controller/log")
    assert house.answers()[0]["error"]["code"] == "not_found"


def test_names_of_services_do_not_fill_the_memory(house: House) -> None:
    for number in range(1000):
        house.receive(f"camper/service/s{number}", "online")
    house.receive("camper/request/s999/info")
    assert house.answers()[0]["error"]["code"] == "not_found"
    assert len(house.answers()[0]["error"]["message"]) < 1000


def test_the_access_log_is_written_in_time_and_at_the_end(house: House) -> None:
    for name in ("a", "b"):
        house.access.note(name)
    house.wrapped.tick(house.time.pass_(10))
    house.access.note("c")
    house.wrapped.close()
    assert house.inner.closed
    written = (house.access._path).read_text()
    assert [json.loads(line)["what"] for line in written.splitlines() if line] == ["a", "b", "c"]


def test_it_listens_to_all_requests_and_to_no_retained_one() -> None:
    found = {one.filter: (one.qos, one.retained) for one in of_absent_services(Topics())}
    assert found == {"camper/request/#": (0, False), "camper/service/+": (0, True)}


@pytest.mark.parametrize(
    ("error", "text"), [(None, "the process ended twice"), (KeyError("planted"), "KeyError('planted')")]
)
def test_a_request_that_is_set_aside_is_answered_unread_and_all_else_goes_inside(
    house: House, error: Exception | None, text: str
) -> None:
    request = Message(
        "camper/request/statistician/info",
        b'{"id": "a"}',
        0,
        retain=False,
        mid=0,
        generation=1,
        response_topic=ME,
        correlation=b"7",
    )
    house.wrapped.set_aside(request, error)
    (answer,) = house.answers()
    assert (answer["id"], answer["error"]["code"]) == (None, "internal")
    assert text in answer["error"]["message"]
    state = Message("camper/state/van", b"1", 1, retain=False, mid=1, generation=1)
    house.wrapped.set_aside(state, error)
    assert house.inner.events[-1] == (state, error)
    assert len(house.answers()) == 1


MESSAGE = Message("camper/state/mppt", b"{}", 1, retain=False, mid=1, generation=1)
Made = Callable[[KeepsMessages, Path, FakeTime], KeepsMessages]


class Noting:
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
    return Announcing(inner, announcer, FakeBus(), Topics(), clock=time.clock, journal=Journal())


def absent_services(inner: KeepsMessages, folder: Path, time: FakeTime) -> KeepsMessages:
    access = AccessLog(folder / "access.log", clock=time.clock, journal=Journal())
    desk = create_autospec(RequestServer, instance=True)
    return AbsentServices(inner, desk, Topics(), "statistician", access)


@pytest.mark.parametrize("make", [opener, announcing, absent_services])
def test_all_that_is_not_its_own_reaches_the_service_inside(
    make: Made, tmp_path: Path, time: FakeTime
) -> None:
    inner = Noting()
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
