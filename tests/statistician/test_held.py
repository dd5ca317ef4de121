"""Held readings on disk, what people see of those left out, and the fix that puts one back."""

import logging
from pathlib import Path

import pytest

from bus.commands import Code
from bus.messages import to_iso
from statistician.arithmetic import DAY, HOUR
from statistician.arithmetic.counters import (
    Counter,
    Held,
    HeldReading,
    Judged,
    Memory,
    Verdict,
    subject,
    told,
)
from statistician.fixes import journal
from statistician.fixes.params import AcceptReading, ListFixes, UndoFix
from statistician.records import Batch, State, StoreError
from statistician.retention import Retention
from statistician.store import Store
from tests.statistician.rig import MINUTE, START, AskingRig


def reading(ts: int, verdict: Judged = "left_out", entity: int = 1) -> HeldReading:
    return HeldReading(entity, ts, 0.0, 550.65, "fall", verdict)


def put(store: Store, *readings: HeldReading) -> None:
    store.commit(Batch(held={(one.entity, one.ts): one for one in readings}))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "s.db")


def test_a_batch_brings_held_readings_and_counters_whole_or_not_at_all(store: Store) -> None:
    counter = Counter()
    for n in range(90):
        counter.take(START + n * MINUTE, 500 + n / 60)
    verdict = counter.take(START + 90 * MINUTE, 0.0)
    batch = Batch(held=verdict.changes(1), counters={1: counter.memory})
    store.commit(batch)
    store.close()
    store = Store(store.path)
    assert store.held.pending() == [HeldReading(1, START + 90 * MINUTE, 0.0, 500 + 89 / 60, "fall", "held")]
    assert store.held.counter(1) == counter.memory
    # The counter comes last: what was written before it must not stay alone.
    broken = Batch(
        states=[State(5, 1, 1.0, None)],
        held={(1, 5): reading(5)},
        counters={"one": Memory()},  # type: ignore[dict-item]  # SQLite refuses it
    )
    with pytest.raises(StoreError):
        store.commit(broken)
    assert (store.held.between(None, 0, 9), store.states.first()) == ([], None)
    store.commit(Batch(held=counter.take(START + 91 * MINUTE, 0.0).changes(1)))
    assert store.held.pending() == []


@pytest.mark.parametrize("case", ["usual", "fall", "reset", "leap", "first"])
def test_a_counter_goes_on_in_another_unit(case: str) -> None:
    usual = [] if case == "first" else [550 + n / 64 for n in range(128)]
    values = [*usual, *{"fall": [0.0], "reset": [0.0, 0.5], "leap": [9000.0], "first": [550.0]}.get(case, [])]
    one, other = Counter(), Counter()
    for n, value in enumerate(values):
        one.take(START + n * MINUTE, value)
        other.take(START + n * MINUTE, value * 1024)
    one.convert("Wh", lambda value: value * 1024)
    assert one.memory == other.memory._replace(unit="Wh")
    assert Counter(one.memory).unit == "Wh"


def test_what_is_told_and_the_line_to_copy() -> None:
    reading = HeldReading(7, START, 0.0, 550.65, "fall", "left_out")
    assert subject("plug.e") == "counter.plug.e"
    assert told(reading, "plug.e", "kWh", "a/b") == (
        "0 kWh at 2026-11-23T12:00:00.000Z was left out: it fell from 550.65 and came back. If it was real:"
        """ mosquitto_pub -t a/b -m '{"entity": "plug.e", "ts": "2026-11-23T12:00:00.000Z"}'"""
    )
    leap = told(reading._replace(value=float(0xFFFFFFFF), why="leap"), "plug.e", None, "a/b")
    assert leap.startswith(
        "4294967295 at 2026-11-23T12:00:00.000Z was left out: it rose too fast from 550.65"
    )


def test_the_changes_of_a_verdict_by_moment() -> None:
    fall, leap = Held(1, 0.0, 5.0, "fall"), Held(2, 9.0, 5.0, "leap")
    verdict = Verdict(confirmed=(fall,), held=leap)
    assert verdict.changes(7) == {(7, 1): None, (7, 2): HeldReading(7, 2, 9.0, 5.0, "leap", "held")}
    verdict = Verdict(left_out=(fall, leap), replaced=3)
    assert [one and one.verdict for one in verdict.changes(7).values()] == [None, "left_out", "left_out"]


def test_what_must_not_count(store: Store) -> None:
    put(store, reading(1), reading(2, "held"), reading(3, "accepted"), reading(2, entity=2), reading(4))
    assert [one.ts for one in store.held.between(1, 2, 5)] == [2, 3, 4]
    assert [(one.entity, one.ts) for one in store.held.between(None, 2, 3)] == [(1, 2), (2, 2)]
    assert store.held.get(1, 2) == reading(2, "held")
    assert store.held.get(2, 1) is None


def test_what_a_user_accepted_stays_so_whatever_the_next_value_says(store: Store) -> None:
    put(store, reading(1, "held"))
    store.held.judge(1, 1, "accepted")
    put(store, reading(1))
    store.commit(Batch(held={(1, 1): None}))
    assert store.held.get(1, 1) == reading(1, "accepted")


def test_a_counter_that_cannot_be_read_begins_anew(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.commit(Batch(counters={1: Memory(), 2: Memory()}))
    store.engine.run("UPDATE counter SET memory = '[1,2]' WHERE entity = 1")
    with caplog.at_level(logging.WARNING):
        assert (store.held.counter(1), store.held.counter(2), store.held.counter(3)) == (None, Memory(), None)
    assert "the counter of entity 1 begins anew" in caplog.text


def test_a_purge_forgets_them_once_all_states_of_their_time_are_gone(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "s.db")
    put(rig.store, reading(START - 1), reading(START + HOUR), reading(START + DAY))
    rig.store.states.put([State(START + HOUR, 1, 0.0, None)])
    for others, left in ({1: START}, [START + HOUR, START + DAY]), ({}, [START + DAY]):
        retention = Retention(rig.store, rig.service._entities, START + DAY, others=others)
        while retention.step():
            pass
        assert [one.ts for one in rig.store.held.between(None, 0, 2**60)] == left


@pytest.fixture
def rig(tmp_path: Path) -> AskingRig:
    """Two hours of a counter; the zero at 12:30 is left out."""
    rig = AskingRig(tmp_path / "s.db")
    rig.about("plug", e="total_increasing")
    for n in range(120):
        rig.reading("plug", {"e": 0.0 if n == 30 else 550 + n / 60})
        rig.run_until(rig.now + MINUTE)
    put(rig.store, reading(ZERO))
    return rig


ZERO = START + 30 * MINUTE
ASKED = {"entity": "plug.e", "ts": to_iso(ZERO)}


def test_outliers_list_what_was_left_out(rig: AskingRig) -> None:
    at = {ZERO + n * MINUTE: n for n in (-20, 0, 20)}
    put(rig.store, reading(ZERO - 20 * MINUTE), reading(ZERO + 20 * MINUTE), reading(ZERO + MINUTE, "held"))
    found = rig.data("outliers", entity="plug.e")
    assert found["columns"][-2:] == ["left_out", "before"]
    assert [row[0] for row in found["rows"]] == [to_iso(ts) for ts in at]
    assert [row[5:] for row in found["rows"]] == [[True, 550.65]] * 3
    # Zeros among 550s are outliers, too.
    assert [row[4] is None for row in found["rows"]] == [False] * 3
    few = rig.data("outliers", entity="plug.e", start=ZERO, end=ZERO + 2 * MINUTE)["rows"]
    assert few == [[to_iso(ZERO), 0.0, None, None, None, True, 550.65]]
    rig.data("accept_reading", **ASKED)
    assert [row[5:] for row in rig.data("outliers", entity="plug.e")["rows"]][1] == [False, None]


def test_a_reading_is_accepted_and_its_rows_are_made_again(rig: AskingRig) -> None:
    before = rig.dump()
    would = rig.data("accept_reading", **ASKED, dry_run=True)
    assert (would["dry_run"], would["periods"], rig.dump()) == (True, 17, before)
    did = rig.fix(AcceptReading(entity="plug.e", ts=ZERO))
    assert (did.entities, did.states, did.periods) == (("plug.e",), 1, 17)
    assert [state.value for state in rig.store.states.between(ZERO, ZERO + 1)] == [0.0]
    (span,) = rig.store.statistics.dirty().values()
    assert (span.since, span.until) == (ZERO, ZERO)
    rig.commit()
    # As if the counter had begun anew: the whole value after it counts.
    assert rig.rows("e", device="plug")[-1].row.sum == pytest.approx(29 / 60 + 550 + 115 / 60, abs=1)
    assert rig.store.statistics.dirty() == {}
    assert rig.refusal("accept_reading", **ASKED)[0] is Code.NOT_FOUND
    rig.restart()
    rig.fix(UndoFix(id=did.id or 0))
    assert rig.store.states.between(ZERO, ZERO + 1) == []
    assert list(rig.store.statistics.dirty()) == [1]
    *_, entry = journal(rig.service.context, ListFixes())
    assert (entry.verb, entry.entities, entry.undone is not None) == ("accept_reading", ("plug.e",), True)


def test_one_of_the_open_period_waits_for_its_end(rig: AskingRig) -> None:
    put(rig.store, reading(rig.now - 1, "held"))
    assert "periods" not in rig.data("accept_reading", entity="plug.e", ts=rig.now - 1)
    assert rig.store.statistics.dirty() == {}
    assert rig.service._entities[1].stale


@pytest.mark.parametrize(
    ("asked", "code", "text"),
    [
        ({"ts": ZERO + MINUTE}, Code.NOT_FOUND, "ts: no reading was left out then; the verb outliers lists"),
        ({"entity": "plug.none"}, Code.NOT_FOUND, "entity: "),
        ({"ts": "yesterday"}, Code.INVALID, "ts: "),
        ({"ts": None}, Code.INVALID, "ts: "),
    ],
)
def test_what_is_refused(rig: AskingRig, asked: dict[str, object], code: Code, text: str) -> None:
    got, said = rig.refusal("accept_reading", **ASKED | asked)
    assert (got, said[: len(text)]) == (code, text)


def test_a_held_reading_stands_in_no_row_while_it_waits(tmp_path: Path) -> None:
    rig = AskingRig(tmp_path / "s.db")
    rig.about("plug", e="total_increasing")
    for minute in range(5):
        rig.run_until(START + minute * MINUTE)
        rig.reading("plug", {"e": 10.0 if minute == 4 else 550.0 + minute})
    rig.run_until(START + 12 * MINUTE)
    assert [row.row.sum for row in rig.rows("e", device="plug")] == [3.0, 3.0]
    assert [one.verdict for one in rig.store.held.pending()] == ["held"]
    # It was real: then it counts at its own time.
    rig.reading("plug", {"e": 12.0})
    rig.commit()
    assert [(row.row.state, row.row.sum) for row in rig.rows("e", device="plug")] == [(10.0, 13.0)] * 2
    assert [state.value for state in rig.store.states.between(0, None)][-3:] == [553.0, 10.0, 12.0]
