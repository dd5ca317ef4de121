"""How admins arranged the page is kept on disk, and said again to a broker that forgot it."""

import json
from pathlib import Path

import pytest

from bus.events import Connected, Message
from bus.health import Journal
from bus.messages import LARGEST_LAYOUT, BadMessageError, decode_layout
from bus.topics import Topics
from statistician.layout import LayoutKeeper, of_layout
from tests.clock import FakeTime
from tests.fake_bus import FakeBus
from tests.statistician.test_announcing import Inner

TOPIC = "camper/page"
LAYOUT = b'{"order":["battery"],"hidden":["device.pi"],"names":{"device.fridge":"Fridge"}}'
OTHER = b'{"hidden":["sun"]}'


class Rig:
    """A keeper with its disk; `start` is a new process on a broker that has what `retained` says."""

    def __init__(self, folder: Path, time: FakeTime) -> None:
        self.path, self.time = folder / "page.json", time
        self.start()

    def start(self, retained: bytes | None = None) -> None:
        """A new process connects; a broker sends what it retains at once."""
        self.bus, self.inner, self.journal = FakeBus(), Inner(), Journal()
        self.keeper = LayoutKeeper(
            self.inner, self.path, self.bus, Topics(), clock=self.time.clock, journal=self.journal
        )
        self.keeper.handle(Connected(1))
        if retained is not None:
            self.hear(retained)

    def hear(self, payload: bytes, topic: str = TOPIC) -> None:
        """A message comes."""
        self.keeper.handle(Message(topic, payload, qos=0, retain=True, mid=0, generation=1))

    def pass_(self, seconds: float) -> list[bytes]:
        """Let time pass; all that was said so far."""
        self.keeper.tick(self.time.pass_(seconds))
        return self.bus.on(TOPIC)

    @property
    def problem(self) -> str | None:
        """What health says."""
        return self.journal.problems.get("page")


@pytest.fixture
def rig(tmp_path: Path, time: FakeTime) -> Rig:
    return Rig(tmp_path, time)


def test_it_is_said_again_to_a_broker_that_forgot_it(rig: Rig) -> None:
    rig.hear(LAYOUT)
    assert rig.pass_(60) == []
    rig.start()
    assert rig.pass_(4.9) == []
    assert rig.pass_(0.2) == [LAYOUT]
    assert rig.pass_(600) == [LAYOUT], "once a connection"
    (said,) = (p for p in rig.bus.published if p.topic == TOPIC)
    assert said.retain
    assert TOPIC not in rig.bus.retained.wanted, (
        "or a later connection would undo what an admin has written since"
    )
    rig.keeper.handle(Connected(2))
    assert rig.pass_(6) == [LAYOUT, LAYOUT]


def test_what_the_broker_has_is_newer_than_what_is_kept(rig: Rig) -> None:
    rig.hear(LAYOUT)
    rig.start(retained=OTHER)
    assert rig.pass_(60) == []
    rig.start()
    assert rig.pass_(6) == [OTHER]


def test_an_emptied_one_is_not_said_again(rig: Rig) -> None:
    rig.hear(LAYOUT)
    rig.hear(b"")
    rig.hear(b"")
    rig.start()
    assert (rig.pass_(6), rig.problem) == ([], None)


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"hidden": "sun"}',
        b'{"hidden": [1]}',
        b'{"names": {"sun": null}}',
        b'{"order": ["%s"]}' % (b"x" * 161),
        json.dumps({"order": ["x"] * 501}).encode(),
        b'{"more": "%s"}' % (b"x" * LARGEST_LAYOUT),
        b"[" * 10_000,
    ],
)
def test_a_malformed_one_is_ignored_and_told(rig: Rig, payload: bytes) -> None:
    with pytest.raises(BadMessageError):
        decode_layout(payload)
    rig.hear(LAYOUT)
    rig.hear(payload)
    assert rig.problem is not None
    assert rig.problem.startswith("camper/page is ignored: ")
    rig.start()
    assert rig.pass_(6) == [LAYOUT]
    rig.hear(OTHER)
    assert rig.problem is None


def test_what_a_newer_page_adds_is_kept(rig: Rig) -> None:
    newer = b'{"hidden":["sun"],"columns":3}'
    rig.hear(newer)
    rig.start()
    assert rig.pass_(6) == [newer]


def test_a_file_that_cannot_be_used_is_told(rig: Rig) -> None:
    rig.path.write_bytes(b"{")
    rig.start()
    assert rig.pass_(6) == []
    assert rig.problem is not None
    assert "arrange the page again" in rig.problem
    rig.hear(LAYOUT)
    assert rig.problem is None


def test_a_disk_that_refuses_is_told(rig: Rig) -> None:
    rig.path.mkdir()
    rig.hear(LAYOUT)
    assert rig.problem is not None
    assert "lost with the broker" in rig.problem


def test_all_else_goes_to_the_service_inside(rig: Rig) -> None:
    rig.hear(b"{}", topic="camper/about/page")
    assert [type(event) for event in rig.inner.heard] == [Connected, Message]
    assert rig.keeper.tick(3.0) == 3.0
    rig.hear(LAYOUT)
    assert len(rig.inner.heard) == 2
    assert of_layout(Topics("a/b")).filter == "a/b/page"
