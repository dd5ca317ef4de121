"""What is noted for readers of the change feed: by whatever statement, in its transaction, over restarts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from statistician.arithmetic import HOUR, MINUTES_5
from statistician.arithmetic.algorithm import Row
from statistician.fixes import params as asks
from statistician.records import EntityRecord, State, StoredRow, StoreError, Table
from statistician.store import Store
from statistician.store import changes as feed
from statistician.store.engine import Cell, Misplaced
from tests.statistician.feed.reader import Reader, away, check, entries, measure
from tests.statistician.rig import MINUTE, START, AskingRig

TABLES = {
    "reading": ("states", "ts"),
    "5minute": ("statistics_5minute", "start"),
    "hour": ("statistics_hour", "start"),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Two hours of rows and a state each 5 minutes, all of which readers may have."""
    made = Store(tmp_path / "s.db")
    starts = range(START, START + 2 * HOUR, MINUTES_5)
    made.put_entities(
        [EntityRecord(id=number, device="van", entity=f"e{number}", first=START) for number in (1, 2)]
    )
    made.states.put([State(ts, 1, float(ts % 7), None) for ts in starts])
    made.statistics.put(Table.FIVE_MINUTES, [StoredRow(1, start, Row(mean=1.0), 0) for start in starts])
    made.statistics.put(Table.HOUR, [StoredRow(1, START + n * HOUR, Row(mean=1.0), 0) for n in (0, 1)])
    for start in starts:
        made.statistics.add_run(start)
    made.changes.committed(START + 3 * HOUR)
    made.changes.advance()
    yield made
    made.close()


def noted(store: Store) -> list[tuple[Cell, ...]]:
    """All entries, as they stand."""
    sql = "SELECT name, entity, what, since - ?, until - ?, removed FROM changed"
    return store.engine.all(sql, (START, START))


@pytest.mark.parametrize("what", TABLES)
def test_whatever_statement_changes_it_is_noted(store: Store, what: str) -> None:
    table, time = TABLES[what]
    its = f"{time} = {START}"
    same = f"INTO {table} SELECT * FROM {table} WHERE {its}"  # noqa: S608 — the same
    deeds: tuple[tuple[str, list[tuple[int, int, int]]], ...] = (
        (f"UPDATE {table} SET last_reset = 5 WHERE {its}", [(1, 0, 0)]),  # noqa: S608 — all are ours
        (f"INSERT {same} ON CONFLICT DO UPDATE SET last_reset = 6", [(1, 0, 0)]),
        (f"INSERT OR REPLACE {same}", [(1, 0, 0)] if what != "reading" else []),
        (f"UPDATE {table} SET entity = 2 WHERE {its}", [(1, 0, 1), (2, 0, 0)]),  # noqa: S608 — the same
        (f"UPDATE {table} SET {time} = {time} + 1 WHERE {its}", [(2, 0, 1)]),  # noqa: S608 — the same
        (f"DELETE FROM {table} WHERE {its} + 1", [(2, 1, 1)]),  # noqa: S608 — the same
    )
    for sql, expected in deeds:
        store.engine.run("DELETE FROM changed")
        with store.transaction():
            store.engine.run(sql)
        found = [(one[1], one[3], one[5]) for one in noted(store) if one[2] == what]
        assert [one for one in found if one in expected] == expected, sql


def test_what_is_rolled_back_is_not_noted(store: Store) -> None:
    def fail() -> None:
        with store.transaction():
            store.engine.run("DELETE FROM states")
            store.engine.run("no SQL")

    with pytest.raises(StoreError):
        fail()
    with store.transaction():
        store.engine.run("UPDATE states SET value = 5.0 WHERE ts = ?", (START,))
    assert noted(store) == [("", 1, "reading", 0, 0, 0)]


def test_what_nobody_can_have_read_is_not_noted(store: Store) -> None:
    with store.transaction():
        store.states.put([State(START + 5 * HOUR, 1, 1.0, None)])
        store.states.remove([(START + 5 * HOUR, 1)])
        store.statistics.put(Table.FIVE_MINUTES, [StoredRow(1, START + 5 * HOUR, Row(mean=1.0), 0)])
        store.statistics.add_run(START + 2 * HOUR)
        store.engine.run("DELETE FROM runs WHERE start >= ?", (START + 2 * HOUR,))
    assert noted(store) == []


def test_a_new_start_knows_how_far_readers_may_have_come(store: Store) -> None:
    before = store.changes.horizons()
    newest = store.states.last_stored() or 0
    with store.transaction():
        store.states.remove([(newest, 1)])
    store.close()
    again = Store(store.path)
    assert again.changes.horizons() == before
    with again.transaction():
        again.states.put([State(newest - 5, 2, 1.0, None)])
    assert noted(again)[-1][:3] == ("", 2, "reading")
    again.close()


def test_a_file_of_before_opens(store: Store) -> None:
    before = store.changes.horizons()
    store.engine.run("DROP TABLE changed")
    store.close()
    again = Store(store.path)
    assert again.changes.horizons() == before
    assert (again.changes.newest(), again.changes.entry_after(0)) == (0, None)
    again.close()


def test_a_file_put_back_in_its_place_goes_on(store: Store) -> None:
    before = store.changes.horizons()
    store.path.unlink()
    store.put_back(Misplaced.GONE)
    assert store.changes.horizons() == before
    with store.transaction():
        store.states.put([State(START + 5, 2, 1.0, None)])
    assert noted(store) == [("", 2, "reading", 5, 5, 0)]


def test_joined_entries_say_all_that_they_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_MOST", 3)
    store.changes._most = 3
    for n in range(4):
        with store.transaction():
            at = START + n * MINUTES_5
            if n == 1:
                store.states.remove([(at, 1)])
            else:
                store.states.put([State(at, 1, 1.0, None)])
    joined, newest = noted(store)
    assert joined == ("", 1, "reading", 0, 2 * MINUTES_5, 1)
    assert newest == ("", 1, "reading", 3 * MINUTES_5, 3 * MINUTES_5, 0)
    assert store.changes.newest() == 4


def test_old_entries_go_but_those_of_hours_and_the_newest(store: Store) -> None:
    with store.transaction():
        store.states.put([State(START, 1, 1.0, None)])
        store.statistics.put(Table.HOUR, [StoredRow(1, START, Row(mean=2.0), 1)])
    with store.transaction():
        store.states.put([State(START + 1, 1, 1.0, None)])
    assert len(noted(store)) == 3
    store.changes.remove_before(START + HOUR)
    assert [(one[2], one[3]) for one in noted(store)] == [("hour", 0), ("reading", 1)]


def test_a_purge_removes_old_entries_and_adds_none(rig: AskingRig) -> None:
    measure(rig, 30)
    reader = Reader()
    reader.read_all(rig)
    rig.reading("van", {"volt": 9.0}, ts=START + MINUTE + 5, late=True)
    rig.commit()
    noted_before = len(entries(rig))
    assert noted_before
    away(rig, 5)
    sql = "SELECT min(until) FROM changed WHERE what != 'hour' AND seq < (SELECT max(seq) FROM changed)"
    assert (rig.store.engine.number(sql) or rig.now) >= rig.store.changes.purged
    check(rig, Reader())


def test_states_are_put_by_what_notes_them() -> None:
    found = [
        (path.name, line.strip())
        for path in Path(feed.__file__).parents[1].rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "INTO states" in line
    ]
    # Those of put and of put_repeats, whose entity is none.
    assert [name for name, _ in found] == ["states.py", "states.py"]


def test_a_purge_of_entities_with_a_time_of_their_own_notes_nothing(rig: AskingRig) -> None:
    measure(rig, 30)
    rig.fix(asks.SetMetadata(entity="van.total", retention_days=1))
    Reader().read_all(rig)
    away(rig, 5)
    assert [one for one in entries(rig) if one[3]] == []
