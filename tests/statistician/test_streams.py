"""Streams: what is stored once, in order, and when a watermark says so."""

from pathlib import Path

import pytest

from bus.clock import Clock
from bus.events import Message
from bus.health import Journal
from bus.messages import Reading, to_iso
from statistician import streams
from statistician.records import StreamRecord
from statistician.watermarks import HOLD_FILE, HeldWatermarks
from tests.statistician.rig import SECOND, START, TOPICS, Notes, Rig

STREAM = "ble-7f3a"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "s.db", now=START - 6 * SECOND)
    rig.own("van", "ble")
    rig.commit()
    rig.notes.forget()
    return rig


def send(
    rig: Rig,
    seq: int,
    value: float | None = None,
    *,
    after: int | None = None,
    at: int = 0,
    again: bool = False,
) -> None:
    """Reading `seq` of the stream, taken `seq` seconds after the start unless said otherwise."""
    ts = at or START - 3600 * SECOND + seq * SECOND
    values = {} if value is None else {"voltage": value}
    rig.reading("van", values, ts=ts, stream=STREAM, seq=seq, after=after, again=again)


def stored(rig: Rig) -> list[float]:
    return [state.value for state in rig.store.states.between(0, None) if isinstance(state.value, float)]


def test_nothing_is_acknowledged_before_it_is_on_disk_and_the_watermark_is_last(rig: Rig) -> None:
    send(rig, 1, 12.0, after=0)
    send(rig, 2, 12.1)
    rig.now += 4 * SECOND
    rig.settle()
    assert rig.notes.log == []
    rig.store.engine.run("CREATE TRIGGER t AFTER INSERT ON states BEGIN SELECT RAISE(ABORT, 'no'); END")
    rig.now += SECOND
    rig.settle()
    assert rig.notes.log == []
    rig.store.engine.run("DROP TRIGGER t")
    rig.commit()
    kinds = [(kind, topic) for kind, topic, _ in rig.notes.log if "statistics" not in topic]
    assert kinds == [
        ("acknowledge", "camper/state/van"),
        ("acknowledge", "camper/state/van"),
        ("publish", TOPICS.watermark(STREAM)),
    ]
    assert rig.notes.watermarks(STREAM) == [2]
    assert stored(rig) == [12.0, 12.1]


def test_a_full_batch_is_committed_at_once(rig: Rig) -> None:
    for seq in range(1, 251):
        send(rig, seq, float(seq), after=0 if seq == 1 else None)
    assert len(rig.notes.acknowledged) == 250
    assert rig.notes.watermarks(STREAM) == [250]


def test_a_duplicate_is_acknowledged_and_not_counted_again(rig: Rig) -> None:
    send(rig, 1, 12.0, after=0)
    rig.commit()
    send(rig, 1, 99.0)
    rig.commit()
    assert stored(rig) == [12.0]
    assert len(rig.notes.acknowledged) == 2
    assert rig.journal.counters["repeated_readings"] == 1
    # The same watermark again would ask for everything again.
    assert rig.notes.watermarks(STREAM) == [1]


@pytest.mark.parametrize("doubted", [False, True])
def test_a_gap_is_stored_but_asks_once_for_what_is_missing(rig: Rig, *, doubted: bool) -> None:
    send(rig, 1, 12.0, after=0)
    rig.commit()
    base = rig.now - 10 * SECOND
    for seq in (3, 4, 5):
        send(rig, seq, float(seq), at=base + seq * SECOND)
    rig.commit()
    assert rig.notes.watermarks(STREAM) == [1, 1]
    assert stored(rig) == [12.0, 3.0, 4.0, 5.0]
    if doubted:
        send(rig, 6, 6.0, at=base - 60 * SECOND)
        rig.commit()
        assert stored(rig) == [12.0], "a clock may have been set: all waits for its turn"
    for seq in (2, 3, 4, 5):
        send(rig, seq, float(seq), at=base + seq * SECOND, again=True)
    rig.commit()
    assert rig.notes.watermarks(STREAM) == [*[1] * (2 + doubted), 5]
    assert stored(rig) == [12.0, 2.0, 3.0, 4.0, 5.0]
    assert rig.journal.counters["stream_gaps"] == 3 + doubted


def test_a_mark_that_moves_and_meets_a_gap_is_said_twice(rig: Rig) -> None:
    for seq in (1, 2, 4):
        send(rig, seq, float(seq), after=0 if seq == 1 else None)
    rig.commit()
    assert rig.notes.watermarks(STREAM) == [2, 2], "the second asks for what is missing"
    send(rig, 3, 3.0, again=True)
    send(rig, 4, 4.0, again=True)
    rig.commit()
    assert rig.notes.watermarks(STREAM) == [2, 2, 4]


def test_backlog_with_a_gap_before_it_waits_until_it_is_sent_once_more(rig: Rig) -> None:
    send(rig, 1, 12.0, after=0)
    rig.commit()
    send(rig, 3, 13.0, again=True)
    rig.commit()
    assert stored(rig) == [12.0]
    assert rig.notes.watermarks(STREAM) == [1, 1]
    for seq in (2, 3):
        send(rig, seq, 10.0 + seq, again=True)
    rig.commit()
    assert stored(rig) == [12.0, 13.0]
    assert rig.notes.watermarks(STREAM) == [1, 1, 3]


def backlog(rig: Rig, payload: str, service: str = "ble", stream: str = STREAM) -> None:
    rig.message(TOPICS.backlog(service, stream), payload.encode())
    rig.commit()


def test_backlog_is_believed_without_an_about_and_from_its_service_alone(rig: Rig) -> None:
    moment = '"ts":"2026-11-23T11:00:00.000Z"'
    place = f'"stream":"{STREAM}","seq":1,"after":0'
    backlog(rig, f'{{{moment},"voltage":1,{place},"device":"van"}}', service="box")
    backlog(rig, f'{{{moment},"voltage":2,{place},"device":"van"}}', stream="ble-other")
    backlog(rig, f'{{{moment},"voltage":3,{place}}}')
    backlog(rig, f'{{{moment},"voltage":4,"device":"van"}}')
    backlog(rig, f'{{{moment},"voltage":5,{place},"device":"no id"}}')
    assert stored(rig) == []
    assert len(rig.dead_letters()) == 5
    # What cannot be read on the stream's own topic keeps its place.
    assert rig.notes.watermarks(STREAM) == [1]
    backlog(rig, f'{{{moment},"voltage":6,"stream":"{STREAM}","seq":2,"device":"removed"}}')
    assert stored(rig) == [6.0]
    assert rig.notes.watermarks(STREAM) == [1, 2]
    assert [e.entity for e in rig.store.entities() if e.device == "removed"] == ["voltage"]


def test_a_live_reading_ahead_of_the_backlog_is_published_on_time_and_counts_in_its_order(rig: Rig) -> None:
    rig.about("van", energy="total_increasing")
    rig.reading("van", {"energy": 100.0}, stream=STREAM, seq=1, after=0)
    rig.run_until(START + 20 * 60 * SECOND)
    rig.reading("van", {"energy": 107.0}, stream=STREAM, seq=8)
    rig.run_until(START + 26 * 60 * SECOND)
    assert rig.rows("energy")[-1].start == START + 20 * 60 * SECOND, "before the backlog comes"
    before = rig.journal.counters["corrected_rows"]
    for seq in range(2, 9):
        ts = START + (20 if seq == 8 else 2 * seq) * 60 * SECOND
        rig.reading("van", {"energy": 99.0 + seq}, ts=ts, stream=STREAM, seq=seq, again=True)
    rig.commit()
    assert rig.notes.watermarks(STREAM)[-1] == 8
    sums = {(row.start - START) // 60_000: row.row.sum for row in rig.rows("energy")}
    assert (sums[0], sums[5], sums[10], sums[20]) == (1.0, 3.0, 6.0, 7.0)
    corrected = rig.journal.counters["corrected_rows"] - before
    assert 0 < corrected <= 7, "once"


def test_after_says_what_will_never_come(rig: Rig) -> None:
    send(rig, 4711, 12.0, after=4710)
    rig.commit()
    assert rig.notes.watermarks(STREAM) == [4711]
    assert rig.journal.counters["lost_readings"] == 0
    send(rig, 4720, 13.0, after=4719)
    rig.commit()
    assert rig.notes.watermarks(STREAM) == [4711, 4720]
    assert rig.journal.counters["lost_readings"] == 8


def test_a_reading_without_values_only_moves_the_stream(rig: Rig) -> None:
    send(rig, 1, after=0)
    rig.commit()
    assert stored(rig) == []
    assert rig.notes.watermarks(STREAM) == [1]


def test_a_restart_knows_the_streams_and_says_so_on_connect(rig: Rig) -> None:
    send(rig, 1, 12.0, after=0)
    send(rig, 2, 12.5)
    rig.restart()
    rig.connect()
    assert rig.notes.watermarks(STREAM) == [2]
    send(rig, 2, 12.5)
    send(rig, 3, 12.7)
    rig.commit()
    assert rig.notes.watermarks(STREAM) == [2, 3]
    assert rig.journal.counters["repeated_readings"] == 1


def test_only_what_is_on_disk_is_said_on_connect(rig: Rig) -> None:
    send(rig, 1, 12.0, after=0)
    rig.commit()
    send(rig, 2, 12.5)
    rig.connect()
    assert rig.notes.watermarks(STREAM) == [1, 1]


def test_a_crash_before_the_commit_loses_nothing_that_was_acknowledged(rig: Rig) -> None:
    send(rig, 1, 12.0, after=0)
    rig.commit()
    send(rig, 2, 12.5)
    rig.crash()
    rig.connect()
    assert rig.notes.watermarks(STREAM) == [1]
    send(rig, 2, 12.5)
    rig.commit()
    assert stored(rig) == [12.0, 12.5]


def test_a_wiped_database_takes_the_stream_where_the_publisher_stands(rig: Rig) -> None:
    send(rig, 1, 12.0, after=0)
    rig.commit()
    rig.close()
    for file in rig.path.parent.iterdir():
        file.unlink()
    rig.start()
    rig.own("van", "ble")
    send(rig, 9, 12.9)
    rig.commit()
    assert rig.notes.watermarks(STREAM) == [0, 0], "the second asks for what is missing"
    send(rig, 7, 12.7, after=6)
    send(rig, 8, 12.8)
    send(rig, 9, 12.9)
    rig.commit()
    assert rig.notes.watermarks(STREAM) == [0, 0, 9]
    assert stored(rig) == [12.7, 12.8, 12.9]


def test_a_stream_silent_for_a_month_is_forgotten(rig: Rig) -> None:
    send(rig, 1, 12.0, after=0)
    rig.commit()
    rig.now += 31 * 86_400 * SECOND
    rig.connect()
    assert rig.notes.log[-1] == ("publish", TOPICS.watermark(STREAM), b"")
    assert rig.store.streams() == []


def test_of_too_many_streams_the_longest_silent_are_forgotten(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_STREAMS", 10)
    for number in range(11):
        rig.reading("van", {"voltage": 12.0 + number}, stream=f"ble-{number}", seq=1, after=0)
        rig.commit()
    emptied = [topic for kind, topic, payload in rig.notes.log if kind == "publish" and not payload]
    assert emptied == [TOPICS.watermark(f"ble-{number}") for number in (0, 1)]
    assert sorted(record.stream for record in rig.store.streams()) == sorted(f"ble-{n}" for n in range(2, 11))
    # One of them speaks again: it is asked for what it still has, and goes on from there.
    for after in (None, 1):
        rig.reading("van", {"voltage": 30.0}, stream="ble-0", seq=2, after=after)
        rig.commit()
    assert rig.notes.watermarks("ble-0")[-2:] == [0, 2]


def test_a_stream_whose_name_is_no_topic_is_none(rig: Rig) -> None:
    rig.reading("van", {"voltage": 12.0}, stream="My/Stream", seq=1)
    rig.commit()
    assert stored(rig) == [12.0]
    assert len(rig.notes.acknowledged) == 1


def test_a_stranger_needs_neither_stream_nor_time(rig: Rig) -> None:
    rig.message("camper/state/van", b'{"voltage": 12, "lamp": true, "mode": "bulk", "gone": null}')
    rig.commit()
    states = rig.store.states.between(0, None)
    assert [(s.ts, s.value) for s in states] == [(START, 12.0), (START, "ON"), (START, "bulk"), (START, None)]


OF_BLE, OF_I2C = TOPICS.watermark("ble-1"), TOPICS.watermark("i2c-2")
MESSAGE = Message(topic="camper/state/mppt", payload=b"{}", qos=1, retain=False, mid=1, generation=1)


class Van:
    """What the statistician publishes on, and the time."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / HOLD_FILE
        self.now = 1000.0
        self.notes = Notes()
        self.journal = Journal()
        self.bus = HeldWatermarks(
            self.notes,
            TOPICS,
            self.file,
            clock=Clock(lambda: START + int(1000 * (self.now - 1000)), lambda: self.now, lambda: "ok"),
            journal=self.journal,
        )

    def said(self) -> list[tuple[str, str]]:
        """Topics and payloads that went out."""
        return [(topic, payload.decode()) for kind, topic, payload in self.notes.log if kind == "publish"]


@pytest.fixture
def van(tmp_path: Path) -> Van:
    return Van(tmp_path)


def test_without_the_file_nothing_waits(van: Van) -> None:
    van.bus.publish(OF_BLE, b"1", retain=True)
    assert van.said() == [(OF_BLE, "1")]


def test_watermarks_wait_and_the_newest_of_each_stream_follows(van: Van) -> None:
    van.file.write_text("1090")
    for mark in (b"1", b"2"):
        van.bus.publish(OF_BLE, mark, retain=True)
    van.bus.publish(OF_I2C, b"7", retain=True)
    van.bus.publish("camper/health/statistician", b"{}", retain=True)
    van.bus.acknowledge(MESSAGE)
    assert van.said() == [("camper/health/statistician", "{}")]
    van.file.unlink()
    van.bus.acknowledge(MESSAGE)
    assert van.said()[1:] == [(OF_BLE, "2"), (OF_I2C, "7")]


def test_a_watermark_after_the_hold_is_newer_than_the_one_that_waited(van: Van) -> None:
    van.file.write_text("1090")
    van.bus.publish(OF_BLE, b"1", retain=True)
    van.file.unlink()
    van.bus.publish(OF_BLE, b"5", retain=True)
    van.bus.publish("camper/health/statistician", b"{}", retain=True)
    assert van.said() == [(OF_BLE, "5"), ("camper/health/statistician", "{}")]


def test_a_hold_that_nobody_ends_ends_by_itself(van: Van) -> None:
    van.file.write_text("1090")
    van.bus.publish(OF_BLE, b"1", retain=True)
    van.now = 1090.0
    van.bus.publish(OF_I2C, b"2", retain=True)
    assert van.said() == [(OF_BLE, "1"), (OF_I2C, "2")]


@pytest.mark.parametrize("text", ["", "soon", "nan"])
def test_a_file_that_says_nothing_holds_nothing(van: Van, text: str) -> None:
    van.file.write_text(text)
    van.bus.publish(OF_BLE, b"1", retain=True)
    assert van.said() == [(OF_BLE, "1")]


@pytest.mark.parametrize("end", ["healthy", "time is up"])
def test_health_says_since_when_and_how_long_until_it_is_over(van: Van, end: str) -> None:
    van.file.write_text("1090")
    for van.now in (1000.0, 1007.3, 1080.0):
        van.bus.publish(OF_BLE, b"1", retain=True)
        told = van.journal.problems["hold"]
        assert f"on trial since {to_iso(START)}" in told
        assert f"at the latest until {to_iso(START + 90_000)}" in told
    if end == "healthy":
        van.file.unlink()
    else:
        van.now = 1090.0
    van.bus.acknowledge(MESSAGE)
    assert van.journal.problems == {}


def test_a_second_update_is_told_with_its_own_times(van: Van) -> None:
    van.file.write_text("1090")
    van.bus.publish(OF_BLE, b"1", retain=True)
    van.file.write_text("1200")
    van.now = 1110.0
    van.bus.publish(OF_BLE, b"2", retain=True)
    assert f"since {to_iso(START + 110_000)}" in van.journal.problems["hold"]


@pytest.mark.parametrize(("stream", "seq"), [(None, None), ("s", None), (None, 1)])
def test_a_reading_that_does_not_say_both_is_of_no_stream(stream: str | None, seq: int | None) -> None:
    assert streams.spot_of(Reading(ts=START, values={}, stream=stream, seq=seq)) is None


def test_a_stream_is_remembered_as_long_as_it_is_said_again() -> None:
    kept = streams.Streams([StreamRecord("s", 5, START)])
    last = START + streams.FORGOTTEN_AFTER
    assert ("s" in kept, "t" in kept) == (True, False)
    assert (kept.forget_old(last), [one.stream for one in kept.known(last)]) == ([], ["s"])
    assert (kept.known(last + 1), kept.forget_old(last + 1), "s" in kept) == ([], ["s"], False)
