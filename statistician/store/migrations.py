"""From an older file to the newest: one function a version, each run in the transaction that names it.

A migration is never changed once released; it says in full what it does and does not look at today's tables.
"""

import re
from collections.abc import Callable

from peewee import BigIntegerField, IntegerField, PeeweeException, SqliteDatabase
from playhouse.migrate import SqliteMigrator, migrate


def _to_2(migrator: SqliteMigrator) -> None:
    """An entity may be kept for a time of its own."""
    migrate(migrator.add_column("entity", "retention_days", IntegerField(null=True)))


def _to_3(migrator: SqliteMigrator) -> None:
    """The coverage of a row may be null; a stream knows when its counter began again.

    A constraint is a word of the schema and no byte of a row. Taking it away there, as SQLite's documentation
    of ALTER TABLE describes, costs the same for ten years of rows as for none, and no room on a full card.
    """
    run = migrator.database.execute_sql
    (version,) = run("PRAGMA schema_version").fetchone()
    for table in ("statistics_5minute", "statistics_hour"):
        (sql,) = run("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
        without = re.sub(r'("coverage" REAL) NOT NULL', r"\1", sql)
        run("PRAGMA writable_schema = ON")
        run("UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?", (without, table))
        run("PRAGMA writable_schema = OFF")
    # Every connection reads the schema again; what does not parse is an error here, and nothing is committed.
    run(f"PRAGMA schema_version = {version + 1}")
    for table in ("statistics_5minute", "statistics_hour"):
        columns = run(f"PRAGMA table_info({table})").fetchall()
        if any(name == "coverage" and required for _, name, _, required, *_ in columns):
            raise PeeweeException(f"{table}: its column coverage still allows no null")
    times = ("first", "newest")
    migrate(*(migrator.add_column("stream", name, BigIntegerField(null=True)) for name in times))


# What makes a file of the version before into one of this version.
MIGRATIONS: dict[int, Callable[[SqliteMigrator], None]] = {
    2: _to_2,
    3: _to_3,
}


def bring_up(database: SqliteDatabase, found: int) -> None:
    """Run what a file of version `found` lacks; killed in between, it goes on from the last whole step."""
    migrator = SqliteMigrator(database)
    for version in sorted(number for number in MIGRATIONS if number > found):
        with database.atomic("immediate"):
            MIGRATIONS[version](migrator)
            said = "UPDATE meta SET value = ? WHERE key = 'schema_version'"
            database.execute_sql(said, (str(version),))  # type: ignore[no-untyped-call]  # peewee's stubs
