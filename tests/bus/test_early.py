"""Readings taken before the clock was right: they wait, are put right, and never for too long."""

import json
from pathlib import Path

import pytest

from bus.early import EarlyReadings, Waiting
from bus.health import Journal
from bus.outbox import Outbox
from bus.publisher import Publisher
from bus.topics import Topics
from tests.clock import NOON_MS, FakeTime
from tests.fake_bus import FakeBus

STATE = "camper/state/mppt"
HOLD = 180.0
HOURS_OFF = 5 * 3600


class Boot:
    """A process on a machine that has just started and believes it is still noon."""

    def __init__(self, folder: Path, time: FakeTime) -> None:
        self.folder = folder
        self.time = time
        time.monotonic_s = 20.0
        time.quality = "estimated"
        self.start()

    def start(self) -> None:
        """Start the process, again if one was killed."""
        self.bus, self.outbox = FakeBus(), Outbox(self.folder / "run", self.folder / "disk", "ble")
        early = EarlyReadings(self.folder / "run", "ble")
        self.publisher = Publisher(
            self.bus,
            Topics(),
            self.outbox,
            self.time.clock,
            Journal(),
            early=Waiting(early, self.time.clock, HOLD),
        )

    def read(self, voltage: float) -> None:
        """The device says something now."""
        self.publisher.reading("mppt", {"voltage": voltage}, ts=self.time.wall_ms)

    def pass_(self, seconds: float) -> None:
        """Let time pass as the process's loop would."""
        self.publisher.settle(self.time.pass_(seconds))

    def synchronise(self) -> None:
        """The network is there: five hours were missing."""
        self.time.wall_ms += HOURS_OFF * 1000
        self.time.quality = "ok"

    def sent(self) -> list[tuple[str, str, float]]:
        """Time, clock and voltage of what reached the wire."""
        said = [json.loads(payload) for payload in self.bus.on(STATE)]
        return [(r["ts"][11:19], r["clock"], r["voltage"]) for r in said]


@pytest.fixture
def boot(tmp_path: Path, time: FakeTime) -> Boot:
    return Boot(tmp_path, time)


def test_they_wait_for_the_time_and_get_the_right_one(boot: Boot) -> None:
    boot.read(13.1)
    boot.pass_(10)
    boot.read(13.2)
    assert boot.sent() == []
    assert boot.publisher.waiting == 2
    boot.pass_(20)
    boot.synchronise()
    boot.read(13.3)
    assert boot.sent() == [], "none overtakes those that wait"
    boot.pass_(1)
    assert boot.sent() == [
        ("17:00:00", "estimated", 13.1),
        ("17:00:10", "estimated", 13.2),
        ("17:00:30", "ok", 13.3),
    ]
    boot.read(13.4)
    assert boot.sent()[-1] == ("17:00:31", "ok", 13.4)


def test_the_plain_values_do_not_wait(boot: Boot) -> None:
    boot.read(13.1)
    assert boot.bus.on(f"{STATE}/voltage") == [b"13.1"]


def test_without_a_network_they_go_as_they_are(boot: Boot) -> None:
    boot.read(13.1)
    boot.pass_(HOLD - 20 - 1)
    assert boot.sent() == []
    boot.pass_(1)
    assert boot.sent() == [("12:00:00", "estimated", 13.1)]
    boot.read(13.2)
    assert boot.sent()[-1] == ("12:02:40", "estimated", 13.2), "later ones wait no more"


def test_a_machine_that_runs_for_long_holds_nothing(boot: Boot) -> None:
    boot.time.monotonic_s = HOLD
    boot.read(13.1)
    assert boot.sent() == [("12:00:00", "estimated", 13.1)]


def test_the_death_of_the_process_loses_none(boot: Boot) -> None:
    boot.read(13.1)
    boot.start()
    boot.pass_(5)
    boot.synchronise()
    boot.pass_(1)
    assert boot.sent() == [("17:00:00", "estimated", 13.1)]


def test_the_time_of_the_measurement_counts_not_that_of_its_arrival(boot: Boot) -> None:
    boot.publisher.reading("mppt", {"voltage": 13.1}, ts=NOON_MS - 4000)
    boot.synchronise()
    boot.pass_(1)
    assert boot.sent() == [("16:59:56", "estimated", 13.1)]


def test_what_a_device_dates_itself_is_not_moved_with_our_clock(boot: Boot) -> None:
    boot.read(13.1)
    boot.publisher.reading("mppt", {"voltage": 12.9}, ts=NOON_MS - 3_600_000, late=True, dated=True)
    boot.synchronise()
    boot.pass_(1)
    assert boot.sent() == [("17:00:00", "estimated", 13.1), ("11:00:00", "ok", 12.9)]
