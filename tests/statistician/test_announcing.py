"""Strangers that ask are announced to Home Assistant, others are not; what is inside hears all else."""

import json
from collections.abc import Collection
from pathlib import Path

import pytest

from bus import state_files
from bus.announcer import Announcer
from bus.clock import Clock
from bus.events import Connected, Message
from bus.health import Journal
from bus.topics import HOME_ASSISTANT, Topics
from statistician import middleware
from statistician.middleware import Announcing, of_announcing
from tests.fake_bus import FakeBus

TOPIC = "homeassistant/device/camper_weather/config"
ABOUT = b'{"name": "Weather", "discovery": true, "entities": {"t": {"name": "T", "unit": "\xc2\xb0C"}}}'


class Inner:
    """A service that remembers what it was given."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def handle(self, event: object) -> None:
        """Remember it."""
        self.heard.append(event)

    def tick(self, now: float) -> float:
        """Want to be asked again in as many seconds."""
        return now

    def close(self) -> None:
        """Say so."""
        self.heard.append("closed")

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """None comes."""

    def put_on_disk(self) -> None:
        """Nothing is in hand."""

    def waiting(self) -> int | None:
        """A number to be passed on."""
        return 7


class House:
    """The wrapper with what stands around it."""

    def __init__(self, path: Path | None = None, ours: Collection[str] = ("solar",)) -> None:
        self.bus, self.inner, self.now = FakeBus(), Inner(), 0.0
        announcer = Announcer(self.bus, Topics(), path=path, chance=lambda: 1.0)
        self.journal = Journal()
        self.service = Announcing(
            self.inner,
            announcer,
            self.bus,
            Topics(),
            clock=Clock(lambda: 0, lambda: self.now, lambda: "ok"),
            journal=self.journal,
            ours=ours,
        )

    def hear(self, topic: str, payload: bytes) -> Message:
        """A message of the broker."""
        message = Message(topic, payload, qos=1, retain=True, mid=1, generation=1)
        self.service.handle(message)
        return message

    def announced(self) -> list[dict[str, object]]:
        """The payloads on the discovery topic; {} for an empty one."""
        return [json.loads(payload or b"{}") for payload in self.bus.on(TOPIC)]


@pytest.fixture
def house() -> House:
    return House()


def test_a_stranger_that_asks_is_announced_and_still_heard_inside(house: House) -> None:
    message = house.hear("camper/about/weather", ABOUT)
    (payload,) = house.announced()
    assert payload["device"] == {"identifiers": ["camper_weather"], "name": "Weather"}
    assert "availability" not in payload, "it has never said whether it is there"
    assert house.inner.heard == [message]


@pytest.mark.parametrize("first", ["about", "availability"])
def test_one_that_says_whether_it_is_there_is_announced_with_it(house: House, first: str) -> None:
    messages = [("camper/about/weather", ABOUT), ("camper/availability/weather", b"online")]
    for topic, payload in messages if first == "about" else reversed(messages):
        house.hear(topic, payload)
    availability = house.announced()[-1]["availability"]
    assert isinstance(availability, list)
    assert [one["topic"] for one in availability] == ["camper/availability/weather"]


@pytest.mark.parametrize(
    "payload",
    [
        ABOUT.replace(b"true", b"false"),
        ABOUT.replace(b'"discovery": true, ', b""),
        b'{"discovery": 1}',
        b'"discovery"',
        b"",
        b"\xff",
    ],
)
def test_who_does_not_ask_is_not_announced(house: House, payload: bytes) -> None:
    message = house.hear("camper/about/weather", payload)
    assert house.announced() == []
    assert house.inner.heard == [message]


@pytest.mark.parametrize("payload", [b"", ABOUT.replace(b"true", b"false"), b"{}"])
def test_one_that_asks_no_more_is_taken_back(house: House, payload: bytes) -> None:
    house.hear("camper/about/weather", ABOUT)
    house.hear("camper/about/weather", payload)
    assert house.announced()[-1] == {}


@pytest.mark.parametrize("back", [False, True])
def test_a_stranger_that_left_while_nobody_looked_is_taken_back_a_minute_after_the_connect(
    tmp_path: Path, *, back: bool
) -> None:
    path = tmp_path / "announced.json"
    before = House(path)
    before.hear("camper/about/weather", ABOUT)
    before.service.close()
    house = House(path)
    house.service.handle(Connected(1))
    if back:
        house.hear("camper/about/weather", ABOUT)
    house.service.tick(59.0)
    assert {} not in house.announced()
    house.service.tick(60.0)
    assert ({} in house.announced()) is not back


def test_of_a_device_that_is_gone_no_statistics_stay_retained(house: House) -> None:
    house.hear("camper/about/mppt", b"{}")
    assert house.bus.published == []
    house.hear("camper/about/mppt", b"")
    emptied = [(p.topic, p.payload, p.retain) for p in house.bus.published]
    assert emptied == [(f"camper/statistics/mppt/{period}", b"", True) for period in ("5minute", "hour")]


def test_home_assistants_start_is_answered_and_not_passed_on(house: House) -> None:
    house.hear("camper/about/weather", ABOUT)
    house.inner.heard.clear()
    house.hear(HOME_ASSISTANT, b"online")
    assert house.service.tick(4.9) == 4.9
    assert len(house.announced()) == 1
    house.service.tick(5.0)
    assert len(house.announced()) == 2
    assert house.inner.heard == []


def test_all_else_goes_on_as_it_came(house: House) -> None:
    events = [
        Connected(1),
        house.hear("camper/state/weather", b"{}"),
        house.hear("elsewhere", b"x"),
        object(),
    ]
    house.inner.heard.clear()
    for event in events:
        house.service.handle(event)
    assert house.inner.heard == events
    house.service.close()
    assert house.inner.heard[-1] == "closed"
    assert house.service.waiting() == 7


def test_what_it_listens_to_is_no_data() -> None:
    assert {one.filter: one.qos for one in of_announcing(Topics())} == {
        "homeassistant/status": 0,
        "camper/availability/+": 0,
    }


ENERGY = b'{"name": "S", "service": "statistician", "discovery": true, "entities": {"energy": {"name": "E"}}}'


def test_an_energy_that_the_settings_no_longer_have_is_taken_back_first_from_home_assistant(
    house: House,
) -> None:
    house.hear("camper/about/solar", ENERGY)
    assert [p.topic for p in house.bus.published] == ["homeassistant/device/camper_solar/config"], (
        "it is ours"
    )
    house.bus.published.clear()
    house.hear("camper/about/wind", ENERGY)
    assert [(p.topic, p.payload, p.retain) for p in house.bus.published] == [
        (f"camper/{topic}", b"", True)
        for topic in ("about/wind", "state/wind/energy", "state/wind", "availability/wind")
    ]


def test_an_energy_of_an_earlier_run_leaves_home_assistant_before_its_state_is_emptied(
    tmp_path: Path,
) -> None:
    path = tmp_path / "announced.json"
    before = House(path)
    before.hear("camper/about/solar", ENERGY)
    before.service.close()
    after = House(path, ours=())
    after.hear("camper/about/solar", ENERGY)
    assert after.bus.published[0].topic == "homeassistant/device/camper_solar/config"
    assert after.bus.published[0].payload == b""


def test_strangers_that_ask_are_bounded_and_take_no_room_from_ours(house: House) -> None:
    for i in range(middleware.MOST_DEVICES + 10):
        house.hear(f"camper/about/s{i}", ABOUT)
    topics = {p.topic for p in house.bus.published}
    assert len(topics) == middleware.MOST_DEVICES
    assert "empty the about topic" in house.journal.problems["discovery"]
    house.hear("camper/about/solar", ENERGY)
    assert "homeassistant/device/camper_solar/config" in {p.topic for p in house.bus.published}
    house.hear("camper/about/s0", b"")
    assert "discovery" not in house.journal.problems
    house.hear("camper/about/weather", ABOUT)
    assert house.announced(), "there is room again"


def test_a_flood_of_abouts_costs_few_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    monkeypatch.setattr(state_files, "write", lambda _path, content: written.append(len(content)))
    house = House(tmp_path / "announced.json")
    for i in range(12_000):
        house.hear(f"camper/about/s{i}", ABOUT)
        if i % 100 == 0:
            house.now += 1.0
            house.service.tick(house.now)
    assert len(written) == 1, "also while it goes on, after a minute"
    house.service.close()
    assert 0 < sum(written) < 1_000_000
    assert len(written) <= 4


@pytest.mark.parametrize("payload", [b"", ABOUT.replace(b"true", b"false")])
def test_what_an_earlier_run_announced_is_taken_back_as_soon_as_it_asks_no_more(
    tmp_path: Path, payload: bytes
) -> None:
    before = House(tmp_path / "announced.json")
    before.hear("camper/about/weather", ABOUT)
    before.service.close()
    after = House(tmp_path / "announced.json")
    after.hear("camper/about/weather", payload)
    assert after.announced() == [{}]
