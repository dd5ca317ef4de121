"""What the statistician does over days: catching up, growing old, failing disks, strange messages."""

import time
from pathlib import Path

import pytest

from bus import about as about_message
from bus.about import About, Entity
from bus.events import Message
from bus.messages import Value
from config.model import Statistician as Settings
from statistician.arithmetic import DAY, HOUR, MINUTES_5
from statistician.records import DeadLetter, State, Table
from statistician.store.engine import Engine
from statistician.upkeep import Purge
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", volt="measurement", energy="total_increasing")
    return rig


def test_a_period_is_compiled_ten_seconds_after_its_end_and_published(rig: Rig) -> None:
    rig.reading("van", {"volt": 12.0, "energy": 5.0})
    rig.now = START + MINUTES_5 + 9 * SECOND
    rig.settle()
    assert rig.rows("volt") == []
    rig.now += SECOND
    rig.settle()
    assert [row.row.mean for row in rig.rows("volt")] == [12.0]
    (message,) = rig.notes.statistics("van", "5minute")
    assert (message.start, message.end) == ("2026-11-23T12:00:00.000Z", "2026-11-23T12:05:00.000Z")
    assert message.rev == 0
    volt, energy = message.entities["volt"], message.entities["energy"]
    assert (volt.mean, volt.min, volt.max, volt.sum, volt.coverage) == (12.0, 12.0, 12.0, None, 1.0)
    assert (energy.mean, energy.state, energy.sum) == (None, 5.0, 0.0)


def test_the_hour_is_published_with_its_last_period(rig: Rig) -> None:
    rig.reading("van", {"volt": 12.0})
    rig.run_until(START + HOUR + 9 * SECOND)
    assert rig.notes.statistics("van", "hour") == []
    rig.run_until(START + HOUR + 10 * SECOND)
    (message,) = rig.notes.statistics("van", "hour")
    assert (message.start, message.entities["volt"].coverage) == ("2026-11-23T12:00:00.000Z", 1.0)


def test_statistics_begin_when_about_names_a_class(rig: Rig) -> None:
    rig.reading("boat", {"depth": 3.0})
    rig.run_until(START + 6 * MINUTE)
    assert rig.rows("depth", device="boat") == []
    rig.about("boat", depth="measurement")
    rig.run_until(START + 11 * MINUTE)
    assert [row.row.mean for row in rig.rows("depth", device="boat")] == [3.0]
    rig.message(TOPICS.about("boat"), b"")
    rig.run_until(START + 16 * MINUTE)
    assert len(rig.rows("depth", device="boat")) == 1


def test_a_repeat_is_not_stored_again(rig: Rig) -> None:
    for second in range(10):
        rig.now = START + second * SECOND
        rig.reading("van", {"volt": 12.0})
    rig.commit()
    assert len(rig.store.states.between(0, None)) == 1
    assert rig.journal.counters["unchanged_states"] == 9


def test_what_is_retained_of_a_stranger_does_not_replace_what_came_since_the_connect(rig: Rig) -> None:
    rig.message("camper/state/van", b'{"volt": 12.0}')
    rig.commit()
    rig.restart()
    rig.now += MINUTE
    rig.connect()
    rig.message("camper/state/van", b'{"volt": 13.0}')
    rig.message("camper/state/van", b'{"volt": 12.0, "amps": 1.0}', retain=True)
    rig.commit()
    assert [state.value for state in rig.store.states.between(0, None)] == [12.0, 13.0, 1.0]
    rig.now += MINUTE
    rig.connect()
    rig.message("camper/state/van", b'{"volt": 14.0}', retain=True)
    rig.commit()
    # Nobody knows how old it is.
    assert [state.value for state in rig.store.states.between(0, None)][-1] == 1.0


def test_missed_periods_are_made_up_at_start_from_what_comes_then(rig: Rig) -> None:
    rig.reading("van", {"volt": 12.0, "energy": 5.0}, stream="ble-1", seq=1)
    rig.run_until(START + 7 * MINUTE)
    rig.close()
    rig.now = START + 3 * HOUR + MINUTE
    rig.start()
    assert [row.start for row in rig.rows("volt")] == [START, START + MINUTES_5]
    assert rig.store.statistics.last_run() == START + 3 * HOUR - MINUTES_5
    # The collector went on: what its outbox kept fills the time.
    for seq in range(2, 7):
        ts = START + seq * 30 * MINUTE
        rig.reading("van", {"volt": 12.0, "energy": 5.0 + seq}, ts=ts, stream="ble-1", seq=seq)
    rig.commit()
    assert len(rig.rows("volt")) == 36
    assert [row.row.mean for row in rig.rows("volt", Table.HOUR)] == [12.0, 12.0, 12.0]
    assert [row.row.coverage for row in rig.rows("volt", Table.HOUR)] == [1.0, 1.0, 1.0]
    assert rig.journal.counters["filled_absences"] == 2
    # Only the newest is said, once.
    assert [m.start for m in rig.notes.statistics("van", "5minute")][-1] == "2026-11-23T14:55:00.000Z"
    assert len(rig.notes.statistics("van", "hour")) <= 2


def test_an_absence_longer_than_states_are_kept_is_not_made_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db", settings=Settings(keep_days=1))
    rig.about("van", energy="total_increasing")
    rig.reading("van", {"energy": 5.0})
    rig.run_until(START + 2 * MINUTES_5)
    rig.close()
    rig.now = START + 4 * DAY
    rig.start()
    assert [row.start for row in rig.rows("energy")] == [START, START + MINUTES_5]
    # The period and the hour that the absence left are finished; then it goes on with what is kept.
    runs = sorted(rig.store.statistics.runs(0, 2**60))
    assert runs[:4] == [START, START + MINUTES_5, START + 2 * MINUTES_5, START + 3 * DAY]
    assert [row.start for row in rig.rows("energy", Table.HOUR)] == [START]
    rig.reading("van", {"energy": 9.0})
    rig.run_until(rig.now + 6 * MINUTE)
    assert rig.rows("energy")[-1].row.sum == 4.0


def test_catching_up_leaves_room_for_readings(rig: Rig) -> None:
    rig.reading("van", {f"e{n}": 1.0 for n in range(100)})
    rig.about("van", **{f"e{n}": "measurement" for n in range(100)})
    rig.commit()
    rig.close()
    rig.now = START + 10 * DAY
    rig.notes.log.clear()
    starts = []
    rig.settle, settle = lambda: None, rig.settle  # type: ignore[method-assign]  # one tick at a time below
    rig.start()
    for _ in range(5):
        began = time.perf_counter()
        assert rig.service.tick(rig.now / 1000) == 0.0
        starts.append(time.perf_counter() - began)
    assert min(starts) < 0.2
    assert rig.journal.facts["catching_up"]
    settle()
    assert len(rig.store.statistics.runs(0, 2**60)) == 10 * 288 - 1
    assert "catching_up" not in rig.journal.facts


def test_a_machine_without_the_time_compiles_nothing(rig: Rig) -> None:
    rig.reading("van", {"volt": 12.0})
    rig.quality = "unset"
    rig.run_until(START + HOUR)
    assert rig.rows("volt") == []
    rig.quality = "ok"
    rig.settle()
    assert len(rig.rows("volt")) == 11


def test_a_clock_step_needs_no_scheduler(rig: Rig) -> None:
    rig.reading("van", {"volt": 12.0})
    rig.commit()
    rig.now += DAY
    rig.settle()
    assert len(rig.rows("volt")) == 287
    rig.set_clock(rig.now - HOUR)
    rig.settle()
    assert len(rig.rows("volt")) == 287


BAD = [
    ("camper/state/van", b"{"),
    ("camper/state/van", b"\xff\xfe"),
    ("camper/state/van", b"[1]"),
    ("camper/state/van", b'{"a":' * 50_000),
    ("camper/state/van", b'{"volt": {"nested": [1]}}'),
    ("camper/state/van", b'{"Volt": 1}'),
    ("camper/state/van", b'{"volt": 1e999}'),
    ("camper/state/van", b'{"volt": "\\ud800"}'),
    ("camper/state/van", b'{"volt": 1, "ts": "yesterday"}'),
    ("camper/state/van", b'{"volt": 1, "ts": "1970-01-01T00:00:00Z", "late": true}'),
    ("camper/state/van", b'{"volt": 1, "seq": -1, "stream": "a"}'),
    ("camper/state/Bad Device", b"{}"),
    ("elsewhere/state/van", b"{}"),
    ("camper/about/van", b"{}"),
    ("camper/about/van", b'{"name": "x", "entities": {"a": {"name": "a", "state_class": "sum"}}}'),
    ("camper/about/van", b'{"name": "x", "entities": {"A b": {"name": "a"}}}'),
    ("camper/about/van", b'{"name": "x", "later": ' + b"[" * 50_000),
]


@pytest.mark.parametrize(("topic", "payload"), BAD)
def test_what_cannot_be_used_is_kept_as_a_dead_letter_and_acknowledged(
    rig: Rig, topic: str, payload: bytes
) -> None:
    rig.commit()
    mid = rig.message(topic, payload)
    rig.reading("van", {"volt": 12.0})
    rig.commit()
    assert rig.notes.acknowledged[-2:] == [mid, mid + 1]
    (letter,) = rig.dead_letters()
    assert (letter.topic, letter.payload) == (topic, payload[:4096])
    assert letter.error
    assert rig.journal.counters["dead_letters"] == 1
    assert [state.value for state in rig.store.states.between(0, None)] == [12.0]


def test_an_unreadable_reading_does_not_hold_up_its_stream(rig: Rig) -> None:
    rig.own("van", "ble")
    rig.message("camper/state/van", b'{"stream":"ble-1","seq":1,"after":0,"volt":[1]}')
    rig.reading("van", {"volt": 12.0}, stream="ble-1", seq=2)
    rig.commit()
    assert rig.notes.watermarks("ble-1") == [2]


def test_only_the_newest_dead_letters_are_kept(rig: Rig) -> None:
    for number in range(1200):
        rig.message("camper/state/van", b"{%d" % number)
    rig.commit()
    letters = rig.dead_letters()
    assert len(letters) == 1000
    assert letters[-1] == DeadLetter(START, "camper/state/van", b"{1199", letters[-1].error, whole=True)


def test_a_future_reading_is_believed_while_our_own_clock_is_unset(rig: Rig) -> None:
    rig.quality = "unset"
    rig.reading("van", {"volt": 1.0}, ts=START + 3 * DAY)
    rig.commit()
    assert rig.dead_letters() == []


def test_a_full_disk_is_told_and_nothing_is_acknowledged_until_there_is_room(rig: Rig) -> None:
    rig.own("van", "ble")
    rig.commit()
    acknowledged = len(rig.notes.acknowledged)
    pages = rig.store.engine.one("PRAGMA page_count")
    assert pages is not None
    rig.store.engine.run(f"PRAGMA max_page_count = {pages[0]!r}")
    for number in range(400):
        rig.reading("van", {f"text{number}": "x" * 200}, stream="ble-1", seq=number + 1)
    rig.run_until(START + 2 * MINUTES_5 + 15 * SECOND)
    assert "full" in rig.journal.problems["database"]
    assert len(rig.notes.acknowledged) == acknowledged
    assert rig.notes.watermarks("ble-1") == []
    rig.store.engine.run("PRAGMA max_page_count = 1000000")
    rig.now += 2 * MINUTE
    rig.settle()
    assert "database" not in rig.journal.problems
    assert len(rig.notes.acknowledged) == acknowledged + 400
    assert rig.notes.watermarks("ble-1") == [400]
    assert len(rig.store.states.between(0, None)) == 400
    assert rig.store.statistics.last_run() == START + MINUTES_5


def test_a_database_that_fails_in_the_middle_of_a_compile_is_read_again(rig: Rig) -> None:
    rig.reading("van", {"volt": 12.0, "energy": 1.0})
    rig.run_until(START + MINUTE)
    when = f"WHEN NEW.start = {START + MINUTES_5}"
    rig.store.engine.run(f"CREATE TRIGGER t AFTER INSERT ON runs {when} BEGIN SELECT RAISE(ABORT, 'no'); END")
    rig.reading("van", {"volt": 14.0, "energy": 3.0}, ts=START + 2 * MINUTE)
    rig.now = START + 7 * MINUTE
    rig.reading("van", {"volt": 9.0, "energy": 4.0})
    # Two periods are due at once; the second fails, and the first with it.
    rig.now = START + 2 * MINUTES_5 + 20 * SECOND
    rig.settle()
    assert rig.rows("volt") == []
    rig.store.engine.run("DROP TRIGGER t")
    rig.run_until(START + 3 * MINUTES_5 + 15 * SECOND)
    assert [row.row.max for row in rig.rows("volt")] == [14.0, 14.0, 9.0]
    assert [row.row.sum for row in rig.rows("energy")] == [2.0, 3.0, 3.0]


def test_a_damaged_database_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"this is not SQLite" * 500)
    rig = Rig(path)
    assert "set aside" in rig.journal.problems["damage"]
    assert (tmp_path / "s.db.damaged").exists()
    rig.reading("van", {"volt": 12.0})
    rig.commit()
    assert rig.journal.counters["stored_states"] == 1


def test_the_purge_keeps_what_sums_and_silent_entities_stand_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db", settings=Settings(keep_days=1))
    rig.about("van", volt="measurement", energy="total_increasing")
    rig.reading("van", {"volt": 12.0, "energy": 100.0})
    rig.run_until(START + 30 * MINUTE)
    rig.reading("van", {"energy": 110.0})
    rig.run_until(START + HOUR)
    rig.reading("van", {"energy": None})
    rig.run_until(START + 30 * HOUR)
    rig.service.handle(Purge())
    rig.settle()
    assert rig.store.states.between(0, None) == []
    assert rig.rows("energy") == []
    assert rig.rows("volt")[0].start == START + 6 * HOUR
    assert len(rig.rows("volt", Table.HOUR)) == 29
    rig.restart()
    rig.reading("van", {"energy": 150.0})
    rig.run_until(START + 30 * HOUR + 6 * MINUTE)
    # A month of silence does not set the sum back: the last hour's row is the base.
    assert rig.rows("energy")[-1].row.sum == 50.0
    newest = rig.rows("volt")[-1]
    assert (newest.start, newest.row.mean) == (START + 30 * HOUR, 12.0)


def test_a_purge_goes_in_short_pieces(rig: Rig) -> None:
    states = [State(START - 20 * DAY + n, 1, float(n), None) for n in range(60_000)]
    with rig.store.transaction():
        rig.store.states.put(states)
    rig.commit()
    rig.service.handle(Purge())
    pieces = []
    while rig.service._upkeep._retention is not None:
        began = time.perf_counter()
        rig.service.tick(rig.now / 1000)
        pieces.append(time.perf_counter() - began)
    assert len(pieces) > 5
    assert sorted(pieces)[len(pieces) // 2] < 0.05
    assert rig.store.states.between(0, None) == []


def test_numbers_and_texts_come_back_as_they_went_in(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "s.db")
    values: list[Value] = [5.0, "5", "5.0", None, "ON", -0.0, 1e22, ""]
    engine.many("INSERT INTO states VALUES (?, 1, ?, NULL)", [(n, v) for n, v in enumerate(values)])
    found = [value for (value,) in engine.all("SELECT value FROM states ORDER BY ts")]
    assert [(type(v), v) for v in found] == [(type(v), v) for v in values]


def test_what_about_says_is_kept(rig: Rig) -> None:
    entity = Entity(name="Voltage", unit="V", device_class="voltage", state_class="measurement")
    rig.message(
        TOPICS.about("bat"), about_message.encode(About(name="Battery", entities={"voltage": entity}))
    )
    rig.commit()
    (record,) = [e for e in rig.store.entities() if e.device == "bat"]
    assert (record.name, record.unit, record.device_class, record.state_class) == (
        "Voltage",
        "V",
        "voltage",
        "measurement",
    )


def test_a_restart_says_the_newest_aggregates_again(rig: Rig) -> None:
    rig.reading("van", {"volt": 12.0})
    rig.run_until(START + HOUR + MINUTE)
    rig.restart()
    assert len(rig.notes.statistics("van", "5minute")) == 1
    assert len(rig.notes.statistics("van", "hour")) == 1


@pytest.mark.parametrize("taken", [False, True], ids=["unread", "handled in part"])
def test_what_is_set_aside_is_kept_whole_and_acknowledged_once(rig: Rig, *, taken: bool) -> None:
    rig.commit()
    payload = b'{"volt": ' + b"1" * 5_000
    message = Message(TOPICS.state("van"), payload, qos=1, retain=False, mid=99, generation=1)
    if taken:
        rig.service.handle(message)
    rig.service.set_aside(message, None)
    assert 99 not in rig.notes.acknowledged
    rig.commit()
    assert rig.notes.acknowledged.count(99) == 1
    kept = [letter for _, letter in rig.store.letters(2**53, 10) if letter.whole]
    assert [(letter.topic, letter.payload) for letter in kept] == [(message.topic, payload)]
