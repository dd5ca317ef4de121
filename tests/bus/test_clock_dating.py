"""Readings that a wrong clock has dated: they go out at once, and have the right time once that is known."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import Now, Stamp, put_right
from bus.events import Sent
from bus.health import Journal
from bus.messages import ClockQuality, Reading, decode_reading, encode_reading
from bus.outbox import REOPEN_EVERY_S, Outbox
from bus.outbox.file import OutboxFile, Row
from bus.publisher import Publisher
from bus.topics import Topics
from tests.clock import NOON_MS, Machine
from tests.fake_bus import FakeBus

STATE = "camper/state/mppt"
HOUR = 3_600_000
Said = list[tuple[str, str, float]]


class Boot:
    """A process on a machine that has just started and believes it is still noon; five hours are missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.machine = Machine(folder)
        self.start()

    def start(self) -> None:
        """Start the process, again if one was killed."""
        self.bus, self.journal = FakeBus(), Journal()
        boot = f"boot{self.machine.boot}"
        self.outbox = Outbox(self.folder / "run", self.folder / "disk", "ble", boot=boot)
        self.clock = self.machine.process()
        self.publisher = Publisher(self.bus, Topics(), self.outbox, self.clock, self.journal)
        self.publisher.take("camper/service/statistician", b"online", self.machine.boottime, kept=True)

    def reboot(self, raw: int) -> None:
        """The machine goes down as asked, and comes up again at `raw`."""
        self.publisher.close()
        for left in (self.folder / "run").iterdir():
            left.unlink()
        self.machine.reboot(raw)
        self.start()

    def read(self, voltage: float) -> None:
        """The device says something now."""
        self.publisher.reading("mppt", {"voltage": voltage}, ts=self.clock.wall())

    def pass_(self, seconds: float) -> None:
        """Let time pass as the process's loop would."""
        self.machine.pass_(seconds)
        self.publisher.settle(self.machine.boottime)

    def synchronise(self, by: int = 5 * HOUR) -> None:
        """The network is there."""
        self.machine.raw += by
        self.machine.synced = True

    def step(self, by: int) -> None:
        """The clock is set, and a second later that is noticed."""
        self.machine.raw += by
        self.pass_(1)

    def said(self) -> Said:
        """Time, clock and voltage of what reached the wire."""
        return times(self.bus.on(STATE))

    def waiting(self) -> Said:
        """The same of all that waits, as it is sent next, live or as backlog."""
        self.bus.published.clear()
        self.publisher.connected(self.machine.boottime)
        return times(self.all_sent())

    def all_sent(self) -> list[bytes]:
        """What reached the wire on both roads, by seq, each once."""
        both = [*self.bus.on(STATE), *self.bus.backlog()]
        found = {json.loads(payload)["seq"]: payload for payload in both}
        return [found[seq] for seq in sorted(found)]


def times(payloads: list[bytes]) -> Said:
    said = [json.loads(payload) for payload in payloads]
    return [(r["ts"][11:19], r["clock"], r["voltage"]) for r in said]


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    return Boot(tmp_path)


def test_a_reading_does_not_wait_for_the_clock(boot: Boot) -> None:
    boot.read(13.1)
    assert boot.said() == [("12:00:00", "estimated", 13.1)]
    assert boot.bus.on(f"{STATE}/voltage") == [b"13.1"]


def test_what_waits_gets_the_right_time_and_nothing_else_changes(boot: Boot) -> None:
    boot.read(13.1)
    boot.pass_(10)
    boot.read(13.2)
    boot.pass_(20)
    boot.synchronise()
    boot.pass_(1)
    boot.read(13.3)
    assert boot.waiting() == [
        ("17:00:00", "estimated", 13.1),
        ("17:00:10", "estimated", 13.2),
        ("17:00:31", "ok", 13.3),
    ]
    assert boot.journal.counters["clock_steps"] == 1


def test_a_step_is_noticed_by_the_reading_that_comes_first(boot: Boot) -> None:
    boot.read(13.1)
    boot.synchronise()
    boot.read(13.2)
    assert boot.said()[-1] == ("17:00:00", "ok", 13.2), "its time was told by the clock of before"
    assert [time for time, *_ in boot.waiting()] == ["17:00:00", "17:00:00"]


def test_a_step_is_none_of_a_time_that_the_device_tells(boot: Boot) -> None:
    boot.synchronise()
    boot.publisher.reading("mppt", {"voltage": 12.8}, ts=NOON_MS, dated=True)
    assert boot.said() == [("12:00:00", "ok", 12.8)]


def test_what_comes_back_after_the_step_is_put_right_too(boot: Boot) -> None:
    boot.read(13.1)
    boot.publisher.close()
    file = boot.folder / "disk" / "ble.outbox"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("INSERT OR REPLACE INTO meta VALUES ('who', 'another program')")
    other.execute("COMMIT")
    boot.start()
    boot.synchronise()
    boot.pass_(1)
    assert (boot.outbox.waiting, boot.outbox.problem is None) == (0, False)
    other.close()
    boot.pass_(REOPEN_EVERY_S)
    assert boot.waiting() == [("17:00:00", "estimated", 13.1)]


def test_rows_that_move_to_another_stream_keep_their_stamp(tmp_path: Path) -> None:
    file = OutboxFile(tmp_path / "x", durable=False, boot="b")
    file.append(Row(1, "one", STATE, b"{}", Stamp(5, right=False)))
    file.append(Row(2, "one", STATE, b"{}"))
    file.renumber("two", 7)
    assert (file.count, file.newest) == (2, 9), "no seq is given twice"
    assert [(row.stream, row.stamp) for row in file.after(0, 9)] == [
        ("two", Stamp(5, right=False)),
        ("two", None),
    ]
    file.close()


def test_a_right_time_ahead_stays_when_the_clock_is_set_forward() -> None:
    payload, stamp = encode_reading(Reading(ts=NOON_MS + HOUR, values={})), Stamp(0, right=True)
    assert put_right(payload, stamp, Now(60_000, NOON_MS, "ok")) == (payload, stamp)


def test_without_a_broker_they_wait_and_go_out_with_the_right_time(boot: Boot) -> None:
    boot.bus.answer = Sent.LATER
    boot.read(13.1)
    boot.pass_(600)
    boot.synchronise()
    boot.pass_(1)
    boot.bus.answer = Sent.YES
    boot.publisher.connected(boot.machine.boottime)
    assert boot.said() == [("17:00:00", "estimated", 13.1)]


@pytest.mark.parametrize("on_disk", [0, 1])
def test_the_death_of_the_process_loses_none_and_moves_none_twice(boot: Boot, on_disk: int) -> None:
    boot.read(13.1)
    if on_disk:
        boot.outbox._spill()
    boot.start()
    assert boot.waiting() == [("12:00:00", "estimated", 13.1)]
    boot.synchronise()
    for _ in range(3):
        boot.pass_(1)
        assert boot.waiting() == [("17:00:00", "estimated", 13.1)]
        boot.start()
    assert boot.outbox.on_disk == on_disk


def test_it_died_between_the_step_and_the_change(boot: Boot) -> None:
    boot.read(13.1)
    boot.synchronise()
    boot.start()
    assert boot.waiting() == [("17:00:00", "estimated", 13.1)]


def test_the_newest_reading_is_said_again_with_its_right_time(boot: Boot) -> None:
    boot.read(13.1)
    boot.publisher.take(f"camper/watermark/{boot.outbox.stream}", b"1", boot.machine.boottime)
    assert boot.publisher.waiting == 0
    boot.synchronise()
    boot.pass_(1)
    for _ in range(2):
        assert boot.waiting() == [("17:00:00", "estimated", 13.1)]


def test_the_time_of_the_measurement_counts_not_that_of_its_arrival(boot: Boot) -> None:
    boot.publisher.reading("mppt", {"voltage": 13.1}, ts=boot.clock.wall() - 4000)
    boot.synchronise()
    boot.pass_(1)
    assert boot.waiting() == [("16:59:56", "estimated", 13.1)]


def test_what_a_device_dates_itself_is_not_moved_with_our_clock(boot: Boot) -> None:
    boot.read(13.1)
    boot.publisher.reading("mppt", {"voltage": 12.9}, ts=NOON_MS - HOUR, late=True, dated=True)
    boot.publisher.reading("mppt", {"voltage": 12.8}, ts=NOON_MS - 1000, dated=True)
    boot.synchronise()
    boot.pass_(1)
    assert boot.waiting() == [
        ("17:00:00", "estimated", 13.1),
        ("11:00:00", "ok", 12.9),
        ("11:59:59", "ok", 12.8),
    ]
    assert [decode_reading(payload).late for payload in boot.all_sent()] == [False, True, False]
    assert not any(b"late" in payload for payload in boot.bus.on(STATE)), "it is no present value"


def test_readings_of_an_earlier_boot_are_not_touched(boot: Boot) -> None:
    boot.read(13.1)
    boot.reboot(NOON_MS + HOUR)
    boot.read(13.2)
    boot.synchronise()
    boot.pass_(1)
    assert boot.waiting() == [("12:00:00", "estimated", 13.1), ("18:00:00", "estimated", 13.2)]


def test_in_a_boot_that_nobody_names_none_is_touched_after_a_restart(tmp_path: Path) -> None:
    wrong, right = Now(0, 1000, "estimated"), Now(HOUR, HOUR + 1000, "ok")
    outbox = Outbox(tmp_path / "run", tmp_path / "disk", "ble")
    outbox.append(STATE, encode_reading(Reading(ts=1000, values={}, clock="estimated")), 0.0, wrong.stamp)
    again = Outbox(tmp_path / "run", tmp_path / "disk", "ble")
    again.statistician(online=True, kept=True, now=0.0)
    assert again.put_right(right)
    assert [decode_reading(row.payload).ts for row in again.next(9, 0.0)] == [1000]


def test_a_clock_that_was_days_ahead_before_it_was_right(boot: Boot) -> None:
    boot.read(13.0)
    boot.step(9 * 24 * HOUR)
    boot.read(13.1)
    boot.pass_(9)
    boot.synchronise(-9 * 24 * HOUR + 5 * HOUR)
    boot.pass_(1)
    assert boot.waiting() == [("17:00:00", "estimated", 13.0), ("17:00:01", "estimated", 13.1)]
    assert all(b"2026-11-21" in payload for payload in boot.bus.on(STATE))


def test_a_right_clock_set_forward_moves_nothing(boot: Boot) -> None:
    boot.read(13.1)
    boot.synchronise()
    boot.pass_(1)
    boot.read(13.2)
    before = boot.waiting()
    boot.step(2 * HOUR)
    assert boot.waiting() == before
    boot.start()
    assert boot.waiting() == before


def test_a_right_clock_set_back_takes_what_lies_ahead_with_it(boot: Boot) -> None:
    boot.synchronise(0)
    boot.pass_(1)
    boot.read(13.1)
    boot.pass_(3 * 3600)
    boot.read(13.2)
    boot.step(-2 * HOUR)
    said = [("12:00:01", "ok", 13.1), ("13:00:01", "estimated", 13.2)]
    assert boot.waiting() == said
    boot.start()
    assert boot.waiting() == said


def test_a_clock_that_is_set_late_by_half_a_second_is_right_too(boot: Boot) -> None:
    boot.read(13.1)
    boot.synchronise(500)
    boot.pass_(1)
    boot.step(2 * HOUR)
    assert boot.waiting() == [("12:00:00", "estimated", 13.1)], "it was put right before, by half a second"


@pytest.mark.parametrize("synchronised", [0, 1])
def test_what_waits_in_a_large_outbox_is_not_sent_before_its_time_is_right(
    boot: Boot, monkeypatch: pytest.MonkeyPatch, synchronised: int
) -> None:
    monkeypatch.setattr("bus.outbox._BATCH", 10)
    boot.bus.answer = Sent.LATER
    for number in range(95):
        boot.read(number)
        boot.pass_(0)
        if number == 49:
            boot.outbox._spill()
    boot.bus.answer = Sent.YES
    boot.synchronise()
    boot.machine.synced = bool(synchronised)
    for _ in range(30):
        boot.pass_(1)
    said = times(boot.all_sent())
    assert {time for time, *_ in said} == {"17:00:00"}
    assert len(said) == 95
    assert len(boot.said()) == 1, "live is the newest alone"


def test_a_file_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ble.outbox"
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE TABLE outbox (seq INTEGER PRIMARY KEY, stream TEXT NOT NULL, topic TEXT NOT NULL,"
            " payload BLOB NOT NULL)"
        )
        database.execute("INSERT INTO outbox VALUES (1, 's', 't', '{}')")
        database.commit()
    file = OutboxFile(path, durable=True, boot="b")
    file.add([file.after(0, 1)[0]])
    assert [(row.seq, row.stamp) for row in file.after(0, 9)] == [(1, None)]


def test_sizes_follow_the_payloads(tmp_path: Path) -> None:
    file = OutboxFile(tmp_path / "x", durable=False, boot="b")
    outbox = Outbox(tmp_path / "run", tmp_path / "disk", "ble", boot="b")
    outbox.append(
        STATE, encode_reading(Reading(ts=0, values={"v": 1}, clock="unset")), 0.0, Stamp(0, right=False)
    )
    assert outbox.put_right(Now(NOON_MS, NOON_MS, "ok"))
    (row,) = outbox.after(0, 9)
    assert outbox.size == len(row.payload) + len(row.topic)
    file.close()


QUALITIES: list[ClockQuality] = ["ok", "estimated", "unset"]
CLOCKS = st.lists(st.tuples(st.integers(NOON_MS, 2 * NOON_MS), st.sampled_from(QUALITIES)), min_size=1)


@given(first=st.tuples(st.integers(NOON_MS, 2 * NOON_MS), st.sampled_from(QUALITIES[1:])), clocks=CLOCKS)
def test_an_estimate_ends_where_the_first_right_clock_puts_it(
    first: tuple[int, ClockQuality], clocks: list[tuple[int, ClockQuality]]
) -> None:
    offset, quality = first
    boottime, now = 50_000, 100_000
    stamp = Stamp(offset, right=False)
    payload = encode_reading(
        Reading(ts=offset + boottime, values={"v": 1.5}, clock=quality, stream="s", seq=3)
    )
    expected, right = offset, False
    for offset, quality in clocks:
        if not right or offset + now < expected + boottime:
            expected, right = offset, right or quality == "ok"
        for _ in range(2):
            payload, stamp = put_right(payload, stamp, Now(offset, offset + now, quality))
            reading = decode_reading(payload)
            assert reading.ts == expected + boottime
    assert reading.clock != "ok"
    assert (reading.values, reading.stream, reading.seq) == ({"v": 1.5}, "s", 3)
