"""A committed value never prevents a start, and an error in one entity's row spoils no other."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bus.clock import Clock
from bus.health import Journal
from bus.messages import Value
from config.model import Device
from config.model import Statistician as Settings
from statistician.__main__ import _made
from statistician.arithmetic import algorithm
from statistician.corrections import Correction, _Walker
from statistician.records import Span, Table
from statistician.service import Statistician
from statistician.store import Store
from statistician.store.schema import TABLES
from statistician.upkeep import Purge
from tests.statistician.arithmetic.test_integral import Sun
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS, Notes, Rig
from tests.statistician.test_wrong_messages import finite, sunny

WILD = (
    *(None, 9e999, -9e999, 1e308, 2**63 - 1, -(2**63), -1, 1, "text", "[", "{}", "#", "#9", "x\x00"),
    *(b"\xff\xfe", b"", "1e999", "9" * 30, '[{"field": 1}]'),
)
# Facts of `meta` that are there only at times.
FACTS = (
    *("closed_at", "estimated", "redating", "purged_before", "purge", "boot", "open", "schema_version"),
    "feed_purged",
)
MODELS = {table.name: list(table.columns) for table in TABLES}
_SHARE = 8
COLUMNS = [(table, column) for table, columns in MODELS.items() for column in columns]
LARGE = ("states", "frames", "statistics_5minute", "statistics_hour", "runs", "imported")
DEVICES = {"sun": Device(kind="integral", source="van.power", max_gap=600)}
# What no reading makes.
MORE = (
    "INSERT INTO undated (boot, since_boot, device, payload) VALUES ('first', 1, 'van', x'7b7d')",
    "INSERT INTO fix (ts, verb, params, entities) VALUES (1, 'adjust_sum', '{}', '[1]')",
    "INSERT INTO adjusted VALUES (2, 1795435200000, 1, 5.0)",
    "INSERT INTO renewed VALUES (3, 1795435500000, 1)",
    "INSERT INTO imported VALUES (2, 1795435200000, 1)",
    "INSERT INTO piece VALUES (1, 2)",
    "INSERT INTO changed VALUES (1, '', 1, 'reading', 1795435200000, 1795435200000, 0)",
    "INSERT OR REPLACE INTO held VALUES (3, 1795435200000, 1.0, 9.0, 'fall', 'held')",
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a row in every table, killed with corrections still to be made."""
    path = tmp_path_factory.mktemp("good") / "s.db"
    rig = sunny(path)
    rig.own()
    for minute in range(12):
        values = {"power": 600.0, "energy": 100.0 + minute, "used": 10.0 + minute if minute < 11 else 1.0}
        rig.reading("van", values, stream="ble-1", seq=minute + 1)
        rig.now += MINUTE
        rig.settle()
    rig.run_until(START + 61 * MINUTE)
    rig.message(TOPICS.state("van"), b'{"power": [}')
    rig.reading("van", {"power": 100.0}, ts=START + 3 * MINUTE + 5)
    rig.now += 6 * SECOND
    rig.service._commit()
    for sql in MORE:
        rig.store.engine.run(sql)
    for table in MODELS:
        assert rig.store.engine.one(f"SELECT 1 FROM {table}"), table  # noqa: S608 — ours
    rig.store.engine.all("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def plant(path: Path, table: str, column: str, wild: object, fact: str | None) -> bool:
    """Put a value into all rows of a column that take it; whether any does."""
    with closing(sqlite3.connect(path)) as database:
        try:
            if fact is not None:
                database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (fact, wild))
            else:
                database.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (wild,))  # noqa: S608 — ours
        except sqlite3.Error:
            return False
        changed = database.total_changes > 0
        if table in LARGE:
            database.execute("DELETE FROM meta WHERE key = 'finite'")
        database.commit()
    return changed


def start(path: Path) -> Rig:
    rig = Sun.__new__(Sun)
    rig.devices = DEVICES
    Rig.__init__(rig, path, now=START + 62 * MINUTE)
    return rig


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_it_starts_and_goes_on_whatever_stands_in_a_column(
    good: Path, tmp_path: Path, table: str, column: str
) -> None:
    facts = FACTS if (table, column) == ("meta", "value") else (None,)
    planted = 0
    for fact in facts:
        # Each column has its share of them, and each of them many columns.
        for wild in WILD[COLUMNS.index((table, column)) % _SHARE :: _SHARE]:
            path = tmp_path / f"{planted}.db"
            shutil.copyfile(good, path)
            if not plant(path, table, column, wild, fact):
                continue
            planted += 1
            rig = start(path)
            rig.own()
            rig.connect()
            rig.reading("van", {"power": 600.0, "energy": 200.0, "used": 50.0}, stream="ble-1", seq=13)
            rig.now += 6 * MINUTE
            rig.settle()
            rig.service.handle(Purge())
            rig.settle()
            assert finite(rig), (wild, fact)
            assert rig.store.states.last(), (wild, fact)
            rig.close()
    # A key takes whole numbers only.
    assert planted or column in {"id", "start", "entity"}


@pytest.mark.parametrize(
    "fact",
    [
        '{"boot": "x", "weird": 1}',
        '{"shifts": {"a": 1}}',
        '{"shifts": {"1": "x"}}',
        '{"since": {"1": 99999999999999999}}',
    ],
)
def test_it_starts_whatever_a_fact_has_inside(good: Path, tmp_path: Path, fact: str) -> None:
    """As one of a newer version, or of a card that lied."""
    path = tmp_path / "s.db"
    shutil.copyfile(good, path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT OR REPLACE INTO meta VALUES ('estimated', ?)", (fact,))
        database.commit()
    rig = start(path)
    assert "unusable" in rig.journal.problems
    rig.close()


def test_what_was_found_is_kept_and_told(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    shutil.copyfile(good, path)
    assert plant(path, "dirty", "since", "text", None)
    assert plant(path, "entity", "device", "[", None)
    rig = start(path)
    assert "could not be used" in rig.journal.problems["unusable"]
    assert any(one.topic == "database/dirty" and b"text" in one.payload for one in rig.dead_letters())
    # No history is lost with a name: it can be renamed.
    names = {f"{one.device}.{one.entity}" for one in rig.store.entities()}
    assert "unusable_1.power" in names
    rig.close()
    assert "unusable" not in start(path).journal.problems


def test_time_without_states_and_rows_is_not_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", energy="total_increasing")
    for half in range(8):
        rig.reading("van", {"energy": 100.0 + half})
        rig.run_until(START + (half + 1) * 30 * MINUTE)
    walked: list[int] = []
    join = Correction._join

    def noted(correction: Correction, hour: int) -> list[_Walker]:
        walked.append(hour)
        return join(correction, hour)

    monkeypatch.setattr(Correction, "_join", noted)
    rig.service._corrector.mark(1, Span(0, rig.now), rig.monotonic)
    rig.commit()
    assert walked[0] == START
    assert len(walked) <= 5
    assert [row.row.sum for row in rig.rows("energy", Table.HOUR)] == [1.0, 3.0, 5.0]
    rig.close()


def test_an_error_in_work_on_what_is_stored_lets_the_next_start_search_it(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    shutil.copyfile(good, path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE statistics_5minute SET rev = 'text'")
        database.commit()
    clock = Clock(lambda: START + 62 * MINUTE, lambda: 0.0, lambda: "ok")
    stores: list[Store] = []

    def opened() -> Store:
        stores.append(Store(path))
        return stores[-1]

    def make(store: Store) -> Statistician:
        return Statistician(Notes(), TOPICS, store, Settings(), clock=clock, journal=Journal())

    service = _made(make, opened)
    assert [store.searched for store in stores] == [False, True]
    assert stores[-1].engine.all("SELECT DISTINCT rev FROM statistics_5minute") == [(0,)]
    service.close()


POISON = 666.0


def fail_at(method: str, patch: pytest.MonkeyPatch) -> None:
    """Let the means fail at a value."""
    original: Callable[..., None] = getattr(algorithm._Mean, method)

    def failing(self: algorithm._Mean, *args: Value) -> None:
        if POISON in args:
            raise KeyError("planted")
        original(self, *args)

    patch.setattr(algorithm._Mean, method, failing)


@pytest.mark.parametrize("method", ["_add", "_weigh"])
@pytest.mark.parametrize("restart", [False, True])
def test_one_entity_spoils_only_its_own_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, *, restart: bool
) -> None:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", good="measurement", bad="measurement", sum="total")
    rig.reading("van", {"good": 1.0, "bad": POISON if restart or method == "_weigh" else 1.0, "sum": 1.0})
    rig.commit()
    fail_at(method, monkeypatch)
    if restart:
        rig.crash()
    # Weights are taken when the next value comes, or when the period closes.
    values = {"good": 2.0, "sum": 2.0} | ({"bad": POISON} if method == "_add" else {})
    rig.reading("van", values)
    rig.run_until(START + 11 * MINUTE)
    assert len(rig.rows("good")) == len(rig.rows("sum")) == 2
    assert "van.bad has no row" in rig.journal.problems["rows"]
    assert rig.journal.counters["failed_rows"] > 0
    monkeypatch.undo()
    # A better version makes good what is still to be made.
    rig.crash()
    rig.run_until(START + 16 * MINUTE)
    assert rig.rows("bad")[-1].start == START + 10 * MINUTE


def test_a_late_reading_that_spoils_a_correction_lets_others_be_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", good="measurement", bad="measurement")
    rig.reading("van", {"good": 1.0, "bad": 1.0})
    rig.run_until(START + 11 * MINUTE)
    fail_at("_add", monkeypatch)
    rig.reading("van", {"good": 3.0, "bad": POISON}, ts=START + MINUTE)
    rig.now += 60_000
    rig.settle()
    assert rig.rows("good")[0].row.max == 3.0
    assert rig.rows("bad")[0].row.max == 1.0
    assert "van.bad has no row" in rig.journal.problems["rows"]
    rig.now += 60_000
    rig.settle()
    assert rig.store.statistics.dirty() == {}
