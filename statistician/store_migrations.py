"""From an older file to the newest: one function a version, each run in the transaction that names it.

A migration is never changed once released; it says in full what it does and does not look at today's tables.
"""

from collections.abc import Callable

from peewee import BigIntegerField, IntegerField, SqliteDatabase
from playhouse.migrate import SqliteMigrator, migrate


def _to_2(migrator: SqliteMigrator) -> None:
    """An entity may be kept for a time of its own."""
    migrate(migrator.add_column("entity", "retention_days", IntegerField(null=True)))


def _to_3(migrator: SqliteMigrator) -> None:
    """A stream tells a counter that began again from a reading that is sent again."""
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
