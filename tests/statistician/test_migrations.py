"""From a file of version 1, with data, to the newest; a newer file is left alone."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from peewee import SqliteDatabase
from playhouse.migrate import SqliteMigrator

from statistician.arithmetic import HOUR
from statistician.records import Table
from statistician.store import Store
from statistician.store import schema as tables
from statistician.store.engine import Engine, NewerError
from tests.statistician.rig import MINUTE, START, Rig

SCHEMA = Path(__file__).with_name("schema_v1.sql")


def version_1(path: Path, states: int = 0) -> Path:
    """A file as version 1 left it: a counter of 100 Wh a minute, one hour compiled, a stream."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(SCHEMA.read_text(encoding="utf-8"))
        put = database.execute
        put(
            "INSERT INTO entity VALUES (1, 'van', 'energy', ?, 'Energy', 'Wh', 'energy', 'total_increasing')",
            (START,),
        )
        put("INSERT INTO entity VALUES (2, 'van', 'volt', ?, NULL, 'V', NULL, 'measurement')", (START,))
        database.executemany(
            "INSERT INTO states VALUES (?, 1, ?, NULL)",
            [(START + n * MINUTE, n * 100.0) for n in range(60)],
        )
        database.executemany(
            "INSERT INTO states VALUES (?, 2, ?, NULL)",
            [(START - HOUR + n, float(n)) for n in range(states)],
        )
        columns = "(entity, start, state, sum, sum_increase, sum_decrease, coverage, rev)"
        database.executemany(
            f"INSERT INTO statistics_5minute {columns} VALUES (1, ?, ?, ?, ?, 0, 1, 0)",  # noqa: S608 — ours
            [(START + n * 300_000, v := (5 * n + 4) * 100.0, v, v) for n in range(12)],
        )
        put(f"INSERT INTO statistics_hour {columns} VALUES (1, ?, 5900, 5900, 5900, 0, 1, 0)", (START,))  # noqa: S608 — ours
        database.executemany("INSERT INTO runs VALUES (?)", [(START + n * 300_000,) for n in range(12)])
        put("INSERT INTO frames VALUES (1, ?, ?, 5900.0, NULL)", (START + HOUR, START + 59 * MINUTE))
        put("INSERT INTO stream VALUES ('s-1', 60, ?)", (START + HOUR,))
        put("INSERT INTO dead_letter VALUES (1, ?, 'x', x'7b', 'no JSON')", (START,))
    return path


def schema(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Columns by table: name, type, not null, place in the key."""
    with closing(sqlite3.connect(path)) as database:
        tables = [
            n for (n,) in database.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'index')")
        ]
        return {
            table: sorted(
                (c[1], c[2], c[3], c[5]) for c in database.execute(f"PRAGMA table_info({table})").fetchall()
            )
            for table in tables
        }


def test_the_data_of_version_1_goes_on_in_the_newest(tmp_path: Path) -> None:
    rig = Rig(version_1(tmp_path / "s.db"), now=START + HOUR + MINUTE)
    assert rig.store.engine.fact("schema_version") == str(tables.SCHEMA_VERSION)
    assert [s.seq for s in rig.store.streams()] == [60]
    assert len(rig.dead_letters()) == 1
    assert len(rig.store.states.between(START, START + HOUR)) == 60
    rig.reading("van", {"energy": 6000.0})
    rig.run_until(START + HOUR + 6 * MINUTE)
    assert [row.row.sum for row in rig.rows("energy")][-2:] == [5900.0, 6000.0]
    assert [row.row.sum for row in rig.rows("energy", Table.HOUR)] == [5900.0]


def test_a_migrated_file_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    Store(tmp_path / "new.db").close()
    Store(version_1(tmp_path / "old.db")).close()
    assert schema(tmp_path / "old.db") == schema(tmp_path / "new.db")


@pytest.mark.parametrize("version", tables.MIGRATIONS)
def test_a_migration_that_dies_half_way_starts_from_the_last_whole_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    path = version_1(tmp_path / "s.db")
    whole = tables.MIGRATIONS[version]

    def dies(migrator: object) -> None:
        whole(migrator)
        raise KeyboardInterrupt

    monkeypatch.setitem(tables.MIGRATIONS, version, dies)
    with pytest.raises(KeyboardInterrupt):
        Engine(path)
    before = schema(path)
    with closing(sqlite3.connect(path)) as database:
        (found,) = database.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    assert int(found) == version - 1
    untouched = version_1(tmp_path / "untouched.db")
    for number in range(2, version):
        tables.MIGRATIONS[number](SqliteMigrator(SqliteDatabase(str(untouched))))
    for table in ("entity", "statistics_5minute", "statistics_hour"):
        assert before[table] == schema(untouched)[table]
    monkeypatch.setitem(tables.MIGRATIONS, version, whole)
    Engine(path).close()
    assert schema(path) != before


def version_2(path: Path, hours: int) -> Path:
    """A file as version 2 left it, with so many hourly rows of the counter before its hour."""
    version_1(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("ALTER TABLE entity ADD COLUMN retention_days INTEGER")
        database.execute("UPDATE meta SET value = '2' WHERE key = 'schema_version'")
        database.executemany(
            "INSERT INTO statistics_hour (entity, start, sum, coverage, rev) VALUES (1, ?, 0, 1, 0)",
            [(START - n * HOUR,) for n in range(1, hours + 1)],
        )
    return path


def test_coverage_may_be_null_in_a_file_of_before_and_no_row_is_rewritten(tmp_path: Path) -> None:
    path = version_2(tmp_path / "s.db", hours=5_000)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = wal")
        rows = list(database.execute("SELECT * FROM statistics_hour"))
        keyed = [sql for (sql,) in database.execute("SELECT sql FROM sqlite_master WHERE name LIKE 'stat%'")]
        tables.bring_up(peewee := SqliteDatabase(str(path)), 2)
        log = Path(f"{path}-wal").stat().st_size
        peewee.close()
        # This one was open all the time.
        database.execute("UPDATE statistics_hour SET coverage = NULL WHERE start = ?", (START,))
        after = [sql for (sql,) in database.execute("SELECT sql FROM sqlite_master WHERE name LIKE 'stat%'")]
        assert after == [sql.replace('"coverage" REAL NOT NULL', '"coverage" REAL') for sql in keyed]
        assert all(sql.endswith("WITHOUT ROWID") for sql in after)
        database.rollback()
        assert list(database.execute("SELECT * FROM statistics_hour")) == rows
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert log < path.stat().st_size / 10


def test_every_version_has_its_migration() -> None:
    assert sorted(tables.MIGRATIONS) == list(range(2, tables.SCHEMA_VERSION + 1))


@pytest.mark.parametrize("version", ["99", "2b"])
def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path, version: str) -> None:
    path = version_1(tmp_path / "s.db")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE meta SET value = ?", (version,))
    before = schema(path)
    with pytest.raises(NewerError, match=f"{version}.*this software"):
        Store(path)
    assert schema(path) == before
    assert not list(tmp_path.glob("*.damaged"))


def test_a_file_of_version_1_learns_to_shrink(tmp_path: Path) -> None:
    path = version_1(tmp_path / "s.db", states=50_000)
    store = Store(path)
    assert store.engine.one("PRAGMA auto_vacuum") == (2,)
    assert len(store.states.between(0, None)) == 50_060
    store.close()


def test_without_the_room_it_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = version_1(tmp_path / "s.db", states=50_000)
    room = path.stat().st_size * 2
    monkeypatch.setattr("statistician.store.engine.free", lambda _folder: room)
    store = Store(path)
    assert store.engine.one("PRAGMA auto_vacuum") == (0,)
    store.close()
