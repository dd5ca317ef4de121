"""From what the broker says of an alarm to the phone: real children, a server that fails and recovers."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from bus.clock import Clock
from bus.events import Message
from bus.health import Journal
from bus.messages import machine_zone, to_iso
from config.model import Alarm, Notify, Settings
from forwarder.alarms import GROUP_S
from forwarder.notifications import FILE, Notifications
from forwarder.tell import LIMIT_S
from forwarder.worker import LONGEST_S
from tests.clock import FakeTime
from tests.emulators.ntfy import Ntfy

pytest.importorskip("apprise", reason="the extra `notify` is not installed: run scripts/setup dev")

ALARMS = {"low": Alarm(when="shunt.soc < 20", name="House battery low"), "water": Alarm(when="t.level < 15")}


class House:
    """The service part, its broker's words, and a clock that the test moves; real children meanwhile."""

    def __init__(self, folder: Path, **notify: Notify) -> None:
        self.folder, self.notify = folder, notify
        self.time = FakeTime()
        self.boot = "first"
        self.start()

    def start(self) -> None:
        """A process starts."""
        self.journal = Journal()
        clock = self.time.clock
        known = Clock(clock.wall, clock.monotonic, clock.quality, self.boot)
        settings = Settings(alarm=ALARMS, notify=self.notify)
        self.service = Notifications(settings, self.folder, self.journal, known)

    def hear(self, alarm: str, state: str, since: int | None = None, text: str = "Charge soon.") -> None:
        """The broker says how an alarm stands."""
        since = self.time.wall_ms if since is None else since
        said = {"state": state, "since": to_iso(since), "value": 18.5, "text": f"House battery low: {text}"}
        self.receive(f"camper/alarm/{alarm}", json.dumps(said).encode())

    def receive(self, topic: str, payload: bytes) -> None:
        """A message comes."""
        self.service.handle(Message(topic, payload, 1, retain=True, mid=1, generation=1))

    def pass_(self, seconds: float) -> None:
        """Let the clock go on, and let each child end by itself."""
        for _ in range(round(seconds)):
            self.time.pass_(1.0)
            self.service.tick(self.time.monotonic_s)
            for way in self.service._ways.values():
                if way.child is not None:
                    way.child.wait(30)
        self.service.tick(self.time.monotonic_s)


@pytest.fixture
def ntfy() -> Iterator[Ntfy]:
    with Ntfy() as twin:
        yield twin


def test_an_alarm_comes_to_the_phone_and_is_counted(tmp_path: Path, ntfy: Ntfy) -> None:
    house = House(tmp_path, phone=Notify(url=ntfy.url("van")))
    house.hear("low", "active")
    house.pass_(GROUP_S + 2)
    assert [(one.title, one.message.partition(",")[0]) for one in ntfy.pushed] == [
        ("House battery low", "Charge soon (it is 18.5)")
    ]
    assert house.journal.counters["sent_notifications.phone"] == 1
    assert house.journal.problems == {}


def test_a_service_that_fails_is_told_in_health_until_it_recovers(tmp_path: Path, ntfy: Ntfy) -> None:
    house = House(tmp_path, phone=Notify(url=ntfy.url("van-secret")))
    ntfy.status = 500
    house.hear("low", "active")
    house.pass_(120)
    failed = house.journal.counters["failed_notifications.phone"]
    assert failed >= 5
    problem = house.journal.problems["notify.phone"]
    assert problem == (
        "alarms wait to be told (1), and are tried again at most 15 min apart: "
        "the service has an error of its own; it is tried again"
    )
    ntfy.status = 200
    house.pass_(LONGEST_S + 60)
    assert len(ntfy.pushed) == 1
    assert house.journal.problems == {}


def test_a_service_that_hangs_holds_up_nobody(tmp_path: Path, ntfy: Ntfy) -> None:
    with Ntfy("hang") as other:
        house = House(tmp_path, dead=Notify(url=other.url("x")), phone=Notify(url=ntfy.url("van")))
        house.hear("low", "active")
        for _ in range(int(GROUP_S) + 1):
            house.service.tick(house.time.pass_(1.0))
        assert other.asked.wait(30)
        living = house.service._ways["phone"].child
        assert living is not None
        living.wait(30)
        house.service.tick(house.time.pass_(1.0))
        assert len(ntfy.pushed) == 1
        house.service.tick(house.time.pass_(LIMIT_S))
        assert "does not answer within 90 s" in house.journal.problems["notify.dead"]
        other.status = 200
        house.pass_(LONGEST_S + 60)
        assert len(other.pushed) == 1


def test_a_restart_neither_tells_twice_nor_forgets(tmp_path: Path, ntfy: Ntfy) -> None:
    house = House(tmp_path, phone=Notify(url=ntfy.url("van"), repeat=600.0))
    begin = house.time.wall_ms
    house.hear("low", "active", begin)
    house.pass_(10)
    # Killed: nothing is closed.
    house.start()
    house.hear("low", "active", begin)
    house.pass_(GROUP_S)
    assert len(ntfy.pushed) == 1
    house.start()
    house.hear("low", "active", begin)
    house.pass_(500)
    assert len(ntfy.pushed) == 1
    house.pass_(160)
    assert len(ntfy.pushed) == 2


@pytest.mark.parametrize("phase", range(5))
def test_what_was_told_is_on_disk_at_once(tmp_path: Path, ntfy: Ntfy, phase: int) -> None:
    house = House(tmp_path, phone=Notify(url=ntfy.url("van")))
    house.pass_(phase)
    house.hear("low", "active")
    while not house.journal.counters["sent_notifications.phone"]:
        house.pass_(1)
    kept = json.loads((tmp_path / FILE).read_bytes())
    assert len(kept["queues"]["phone"]["sent"]) == 1


def test_the_time_that_it_was_off_counts(tmp_path: Path, ntfy: Ntfy) -> None:
    house = House(tmp_path, phone=Notify(url=ntfy.url("van"), after=3600.0))
    begin = house.time.wall_ms
    house.hear("low", "active", begin)
    house.pass_(10)
    house.time.pass_(3600)
    house.start()
    house.hear("low", "active", begin)
    house.pass_(GROUP_S)
    assert len(ntfy.pushed) == 1


def test_a_time_that_was_corrected_stays_so_in_the_next_boot(tmp_path: Path, ntfy: Ntfy) -> None:
    house = House(tmp_path, phone=Notify(url=ntfy.url("van"), after=600.0))
    right = house.time.wall_ms
    house.time.wall_ms, house.time.quality = 60_000, "unset"
    begin = house.time.wall_ms
    house.hear("low", "active", begin)
    house.pass_(60)
    house.time.wall_ms, house.time.quality = right, "ok"
    house.pass_(6)
    house.boot = "second"
    house.start()
    house.hear("low", "active", begin)
    house.pass_(700)
    (one,) = ntfy.pushed
    began = datetime.fromtimestamp(right / 1000 - 60, machine_zone())
    assert one.message == f"Charge soon (it is 18.5), since {began:%H:%M}"


def test_what_is_on_its_way_at_the_end_is_waited_for(
    tmp_path: Path, ntfy: Ntfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Enough for a machine that does much besides.
    monkeypatch.setattr("forwarder.notifications._END_S", 60.0)
    house = House(tmp_path, phone=Notify(url=ntfy.url("van")))
    begin = house.time.wall_ms
    house.hear("low", "active", begin)
    for _ in range(int(GROUP_S) + 1):
        house.service.tick(house.time.pass_(1.0))
    house.service.close()
    assert len(ntfy.pushed) == 1
    house.start()
    house.hear("low", "active", begin)
    house.pass_(60)
    assert len(ntfy.pushed) == 1


def test_after_weeks_without_network_all_is_one_message(tmp_path: Path, ntfy: Ntfy) -> None:
    house = House(tmp_path, phone=Notify(url=ntfy.url("van")))
    ntfy.status = "drop"
    house.hear("low", "active")
    house.pass_(40)
    house.time.pass_(20 * 86_400)
    house.hear("water", "active")
    house.hear("low", "ok")
    house.pass_(1)
    house.start()
    ntfy.status = 200
    house.pass_(LONGEST_S + 60)
    (one,) = ntfy.pushed
    assert one.title == "2 alarms, 1 of them over"
    assert len(one.message.splitlines()) == 2


@pytest.mark.parametrize(
    ("topic", "payload", "refused"),
    [
        ("camper/alarm/low", b"{", 1),
        ("camper/alarm/low", b'{"state": "on", "since": "2026-11-21T12:00:00Z", "value": 1, "text": ""}', 1),
        ("camper/alarm/low", b'{"state": "active", "since": "now", "value": 1, "text": ""}', 1),
        ("camper/alarm/low", b"[" * 5000, 1),
        ("camper/alarm/a/b", b"{}", 1),
        ("camper/alarm/low", b"", 0),
        ("camper/state/low", b"{}", 0),
    ],
)
def test_what_is_no_alarm_is_counted_and_left_alone(
    tmp_path: Path, topic: str, payload: bytes, refused: int
) -> None:
    house = House(tmp_path, phone=Notify(url="ntfy://x"))
    house.receive(topic, payload)
    assert house.journal.counters["refused_messages"] == refused


def test_quiet_hours_and_what_was_too_much_are_counted(tmp_path: Path) -> None:
    house = House(tmp_path, phone=Notify(url="ntfy://x", quiet="00:00-23:59"))
    for _ in range(210):
        house.hear("low", "active")
        house.time.pass_(1.0)
        house.hear("low", "ok")
        house.time.pass_(1.0)
    house.service.tick(house.time.monotonic_s)
    assert house.journal.counters["delayed_notifications.phone"] == 200
    assert house.journal.counters["joined_alarms.phone"] == 10


@pytest.mark.parametrize("content", [b"", b"{", b'{"mark": 1}', b"\xff" * 100])
def test_a_damaged_file_is_told_and_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    house = House(tmp_path, phone=Notify(url="ntfy://x"))
    house.hear("low", "active")
    house.service.tick(house.time.monotonic_s)
    assert FILE in house.journal.problems["notifications"]
    house.start()
    house.service.tick(house.time.monotonic_s)
    assert house.journal.problems == {}
    assert [one.alarm for one in house.service._ways["phone"].recipient.queue.episodes] == ["low"]


def test_a_storm_is_written_every_few_seconds_only(tmp_path: Path) -> None:
    house = House(tmp_path, phone=Notify(url="ntfy://x", quiet="00:00-23:59"))
    writes = set()
    for second in range(60):
        house.hear("low", "ok" if second % 2 else "active")
        house.service.tick(house.time.pass_(1.0))
        writes.add((tmp_path / FILE).stat().st_mtime_ns)
    assert 2 <= len(writes) <= 13
