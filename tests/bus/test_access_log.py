"""The access log: newest first, bounded, written seldom, whole after a kill and after a damage."""

import json
from pathlib import Path

import pytest

from bus.access_log import EVERY_S, LARGEST, MOST, AccessLog
from bus.events import Message
from bus.health import Journal
from bus.request_server import RequestServer
from bus.topics import Topics
from tests.clock import FakeTime
from tests.fake_bus import FakeBus


class Life:
    """One life of a process; the files outlive it."""

    def __init__(self, folder: Path, time: FakeTime) -> None:
        self.path, self.time, self.journal = folder / "state" / "x-access.log", time, Journal()
        self.log = AccessLog(self.path, clock=time.clock, journal=self.journal)

    def shown(self) -> list[str]:
        """What was changed, newest first."""
        return [entry.what for entry in self.log.entries()]

    def lines(self) -> list[dict[str, object]]:
        """What is on disk, oldest first."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines() if line]

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.log.tick(self.time.pass_(seconds))


@pytest.fixture
def life(tmp_path: Path, time: FakeTime) -> Life:
    return Life(tmp_path, time)


def test_a_line_says_what_value_who_and_when_and_survives_a_kill(
    life: Life, tmp_path: Path, time: FakeTime
) -> None:
    life.log.note("relay.pump", "ON", sender="anna", reply_to="camper/response/x")
    line = {"ts": "2026-11-21T12:00:00.000Z", "what": "relay.pump", "value": "ON", "from": "anna"}
    assert life.lines() == [line | {"reply_to": "camper/response/x"}]
    assert life.path.stat().st_mode & 0o777 == 0o600
    assert Life(tmp_path, time).shown() == ["relay.pump"]


def test_it_is_written_once_in_ten_seconds_and_shows_what_waits(life: Life) -> None:
    for number in range(5):
        life.log.note(f"e{number}")
    assert [line["what"] for line in life.lines()] == ["e0"]
    assert life.shown() == ["e4", "e3", "e2", "e1", "e0"]
    life.pass_(EVERY_S - 0.1)
    assert len(life.lines()) == 1
    life.pass_(0.1)
    assert [line["what"] for line in life.lines()] == ["e0", "e1", "e2", "e3", "e4"]


def test_an_end_writes_what_waits(life: Life) -> None:
    life.log.note("a")
    life.log.note("b")
    life.log.close()
    assert [line["what"] for line in life.lines()] == ["a", "b"]


def test_a_flood_costs_the_card_little_and_says_what_it_left_out(life: Life) -> None:
    for second in range(100):
        for number in range(100):
            life.log.note(f"e{second}_{number}", "x" * 10_000)
        life.pass_(1)
    life.log.note("after")
    written = list(life.log.entries())
    assert len(written) <= 1 + 11 * MOST
    assert sum(entry.left_out for entry in written) >= 9000
    assert max(len(entry.value or "") for entry in written) == 256
    assert life.journal.counters["dropped_access_lines"] >= 9000


def test_two_files_hold_the_newest_and_no_more(life: Life, tmp_path: Path, time: FakeTime) -> None:
    for number in range(5000):
        life.log.note(f"e{number}", "x" * 60)
        life.pass_(EVERY_S)
    files = sorted(path.name for path in life.path.parent.iterdir())
    assert files in (["x-access.log", "x-access.log.1"], ["x-access.log.1"])
    assert sum(path.stat().st_size for path in life.path.parent.iterdir()) <= 2 * LARGEST + 1000
    shown = Life(tmp_path, time).shown()
    assert shown == [f"e{number}" for number in range(4999, 4999 - len(shown), -1)]
    assert len(shown) > 1000


@pytest.mark.parametrize("damage", [b'{"ts":"20', b"\x00" * 100, b"\xff\n[]\n", b'{"what":1}\n'])
def test_a_damaged_end_spoils_no_other_line(life: Life, damage: bytes) -> None:
    life.log.note("before")
    with life.path.open("ab") as file:
        file.write(damage)
    life.pass_(EVERY_S)
    life.log.note("after")
    assert life.shown() == ["after", "before"]
    assert life.journal.counters["unreadable_access_lines"] >= 1


def test_a_disk_that_refuses_is_told_until_it_takes_what_waits(life: Life) -> None:
    life.path.mkdir(parents=True)
    for _ in range(3 * MOST):
        life.log.note("a")
        life.pass_(1)
    assert "who changed what is not kept" in life.journal.problems["access_log"]
    life.path.rmdir()
    life.pass_(EVERY_S)
    assert life.journal.problems == {}
    assert len(life.lines()) == MOST


def test_clients_read_it_in_pages(life: Life) -> None:
    for number in range(1000):
        life.log.note(f"e{number}", "x" * 200)
        life.pass_(EVERY_S)
    bus, topics = FakeBus(), Topics()
    desk = RequestServer(
        "x",
        {},
        bus=bus,
        topics=topics,
        journal=life.journal,
        wall=life.time.clock.wall,
        access=life.log,
    )
    shown: list[str] = []
    body: dict[str, object] = {"limit": 300}
    while True:
        raw = json.dumps(body).encode()
        desk.take(Message(topics.request("x", "log"), raw, qos=0, retain=False, mid=0, generation=1))
        while desk.busy:
            desk.work(1.0)
        answer = json.loads(bus.on(topics.response("x", "log"))[-1])
        shown += [entry["what"] for entry in answer["data"]]
        if "next" not in answer:
            break
        body["cursor"] = answer["next"]
    assert shown == [f"e{number}" for number in range(999, 699, -1)]
