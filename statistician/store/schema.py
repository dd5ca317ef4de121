"""The tables of the database, column by column, and what brings an older file to them.

How a table is keyed is what the card's wear depends on. Each column also says what holds of a cell that can
be used, and what takes the place of another: the search for what no start can go on from reads it here.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from peewee import (
    BareField,
    BigIntegerField,
    BlobField,
    CompositeKey,
    DoubleField,
    Field,
    IntegerField,
    Model,
    PeeweeException,
    SqliteDatabase,
    TextField,
)

from bus.messages import EARLIEST_MS, LATEST_MS
from statistician.arithmetic import MINUTES_5

if TYPE_CHECKING:
    from playhouse.migrate import SqliteMigrator

# What a file of the version before lacks is added by MIGRATIONS.
SCHEMA_VERSION = 3


class Kind(NamedTuple):
    """A type of SQLite, the condition that a cell `{0}` which can be used meets, and whether it may be null.

    `instead` takes the place of a cell that cannot be used (None: its row goes).
    """

    field: type[Field]
    right: str
    null: bool = False
    instead: str | None = None


_PAST_1970 = f"typeof({{0}}) = 'integer' AND {{0}} BETWEEN 0 AND {LATEST_MS}"
_NUMBER = "typeof({0}) = 'integer' AND {0} BETWEEN 1 AND 2147483647"
_FINITE = "typeof({0}) = 'real' AND abs({0}) < 9e999"
_IS_TEXT = "typeof({0}) = 'text'"
_CLEAN = f"{_IS_TEXT} AND instr({{0}}, char(0)) = 0"
_NAME = f"{_CLEAN} AND {{0}} NOT GLOB '*[^a-z0-9_]*' AND length({{0}}) BETWEEN 1 AND 64"
_VALUE = f"{{0}} IS NULL OR ({_FINITE}) OR {_IS_TEXT}"

_TIME = Kind(IntegerField, f"typeof({{0}}) = 'integer' AND {{0}} BETWEEN {EARLIEST_MS} AND {LATEST_MS}")
_PERIOD = Kind(IntegerField, f"{_PAST_1970} AND {{0}} % {MINUTES_5} = 0")
_WHOLE = Kind(IntegerField, f"typeof({{0}}) = 'integer' AND {{0}} BETWEEN 0 AND {2**53}")
_ENTITY = Kind(IntegerField, _NUMBER)
_KNOWN = Kind(IntegerField, f"{_NUMBER} AND {{0}} IN (SELECT e.id FROM entity AS e)")  # noqa: S608 — all are ours
_FLAG = Kind(IntegerField, "typeof({0}) = 'integer' AND {0} IN (0, 1)")
_ROW_ID = Kind(IntegerField, "1")
_REAL = Kind(DoubleField, _FINITE)
_BYTES = Kind(BlobField, "typeof({0}) = 'blob'")
_ANY_TEXT = Kind(TextField, _IS_TEXT)
_TEXT = Kind(TextField, _CLEAN)
_ID = Kind(TextField, _NAME)
_STREAM = Kind(TextField, f"{_CLEAN} AND {{0}} NOT GLOB '*[^a-z0-9_-]*' AND length({{0}}) BETWEEN 1 AND 64")
# Of an entity that was merged into another: its number.
_DEVICE = Kind(
    TextField,
    f"({_NAME}) OR ({_CLEAN} AND {{0}} GLOB '#[1-9]*' AND substr({{0}}, 2) NOT GLOB '*[^0-9]*'"
    " AND CAST(substr({0}, 2) AS INTEGER) BETWEEN 1 AND 2147483647)",
)
_JSON = Kind(TextField, "typeof({0}) = 'text' AND json_valid({0})")
_DAYS = Kind(IntegerField, "typeof({0}) = 'integer' AND {0} BETWEEN 1 AND 100000")
_WHAT = Kind(
    TextField,
    "what IN ('unit', 'class') OR (what = 'expire' AND word NOT GLOB '*[^0-9]*'"
    " AND length(word) BETWEEN 1 AND 13) OR what = 'daily'",
)


def _or_null(kind: Kind) -> Kind:
    return kind._replace(right=f"{{0}} IS NULL OR ({kind.right})", null=True)


def _else(kind: Kind, instead: str) -> Kind:
    return kind._replace(instead=instead)


def _optional(kind: Kind) -> Kind:
    return _else(_or_null(kind), "NULL")


class TableSchema(NamedTuple):
    """A table, its key and its columns by name; a `large` one is searched only when that was asked for."""

    name: str
    key: tuple[str, ...]
    columns: dict[str, Kind]
    large: bool = False
    unique: tuple[str, ...] = ()


_ROWS = (
    {"entity": _ENTITY, "start": _PERIOD}
    | dict.fromkeys(("mean", "mean_weight", "min", "max"), _optional(_REAL))
    | dict.fromkeys(("state", "sum", "sum_increase", "sum_decrease"), _or_null(_REAL))
    # Its coverage is null: an imported row that says nothing of it.
    | {"last_reset": _optional(_TIME), "coverage": _optional(_REAL), "rev": _else(_WHOLE, "0")}
)
_OF_FIX = {"entity": _ENTITY, "start": _TIME, "fix": _WHOLE}
TABLES: tuple[TableSchema, ...] = (
    # Facts about the database, such as its schema version.
    TableSchema("meta", ("key",), {"key": _TEXT, "value": _ANY_TEXT}),
    # The number of every entity and what its device's about says of it. The history of one with an impossible
    # name stays, and can be renamed. How many days its states are kept (null: as long as all others).
    TableSchema(
        "entity",
        ("id",),
        {
            "id": _ENTITY,
            "device": _else(_DEVICE, "'unusable_' || id"),
            "entity": _else(_ID, "'e' || id"),
            "first": _else(_TIME, "0"),
            **dict.fromkeys(("name", "unit", "device_class", "state_class"), _optional(_TEXT)),
            "retention_days": _optional(_DAYS),
        },
        unique=("device", "entity"),
    ),
    # Time comes first in the key, so that new states go to the end of the file's tree. The value has no type,
    # hence no affinity: a number stays a number, a text a text. Entity 0 has the repeats, packed.
    TableSchema(
        "states",
        ("ts", "entity"),
        {
            "ts": _TIME,
            "entity": Kind(IntegerField, f"{_NUMBER} OR ({{0}} = 0 AND typeof(value) = 'blob')"),
            "value": Kind(BareField, f"{_VALUE} OR (entity = 0 AND typeof({{0}}) = 'blob')", null=True),
            "last_reset": _optional(_TIME),
        },
        large=True,
    ),
    # The state in force at the start of an hour, so that no search goes back further than that.
    TableSchema(
        "frames",
        ("entity", "start"),
        {
            "entity": _ENTITY,
            "start": _TIME,
            "ts": _TIME,
            "value": Kind(BareField, _VALUE, null=True),
            "last_reset": _optional(_TIME),
        },
        large=True,
    ),
    TableSchema("statistics_5minute", ("entity", "start"), _ROWS, large=True),
    TableSchema("statistics_hour", ("entity", "start"), _ROWS, large=True),
    # 5-minute periods that were compiled, with or without rows.
    TableSchema("runs", ("start",), {"start": _PERIOD}, large=True),
    # How far each stream is on disk. The times of its reading with seq 1 and of the latest tell when its
    # counter has begun again.
    TableSchema(
        "stream",
        ("stream",),
        {"stream": _STREAM, "seq": _WHOLE, "seen": _else(_TIME, "0")}
        | dict.fromkeys(("first", "newest"), _optional(_TIME)),
    ),
    # The services that a device's abouts have named: the readings in their streams count.
    TableSchema("owner", ("device", "service"), {"device": _ID, "service": _ID}),
    # Entities whose compiled rows no longer agree with their states.
    TableSchema("dirty", ("entity",), {"entity": _KNOWN, "since": _TIME, "until": _TIME}),
    # What rows of an entity are in (no unit: there are no rows yet; an empty one: they have none), and what a
    # user has set: Said pairs as JSON.
    TableSchema(
        "keeping",
        ("entity",),
        {
            "entity": _ENTITY,
            "unit": _optional(_TEXT),
            "angle": _optional(_FLAG),
            "begins": _else(_TIME, "0"),
            "enabled": _else(_FLAG, "1"),
            "said": _else(_JSON, "'[]'"),
        },
    ),
    # What about said from a time on: `what` is unit, class, expire (ms) or daily (no word).
    TableSchema(
        "described",
        ("entity", "what", "since"),
        {"entity": _ENTITY, "what": _WHAT, "since": _TIME, "word": _or_null(_TEXT)},
    ),
    # What users changed: parameters and entities as JSON, what takes it back as compressed JSON.
    TableSchema(
        "fix",
        ("id",),
        {
            "id": _ROW_ID,
            "ts": _else(_TIME, "0"),
            "verb": _TEXT,
            "params": _JSON,
            "entities": _JSON._replace(right=f"{_JSON.right} AND json_type({{0}}) = 'array'"),
            "undo": _optional(_BYTES),
            "undone": _else(_or_null(_TIME), "0"),
        },
    ),
    # What a fix added to the sums from a period on.
    TableSchema("adjusted", ("entity", "start", "fix"), {**_OF_FIX, "amount": _REAL}),
    # From when on a fix says that an entity's counter is another one: its first number adds nothing.
    TableSchema("renewed", ("entity", "start", "fix"), _OF_FIX),
    # Hourly rows that a fix brought: no correction replaces them.
    TableSchema("imported", ("entity", "start"), _OF_FIX, large=True),
    # Readings of counters that fell or rose too fast from the value `before`.
    TableSchema(
        "held",
        ("entity", "ts"),
        {
            "entity": _ENTITY,
            "ts": _TIME,
            "value": _REAL,
            "before": _REAL,
            "why": Kind(TextField, "{0} IN ('fall', 'leap')"),
            "verdict": Kind(TextField, "{0} IN ('held', 'left_out', 'accepted')"),
        },
    ),
    # What is known of each counter at its last fall, leap or hour, as JSON.
    TableSchema("counter", ("entity",), {"entity": _ENTITY, "memory": _JSON}),
    # A fix that goes on with an earlier one: they are taken back together.
    TableSchema("piece", ("first", "fix"), {"first": _WHOLE, "fix": _WHOLE}),
    # What was written or removed where readers of the change feed may have been: of an entity, of one with a
    # name, or of all (0) from `since` on.
    TableSchema(
        "changed",
        ("seq",),
        {
            "seq": _WHOLE,
            "name": _TEXT,
            "entity": _WHOLE,
            "what": Kind(TextField, "{0} IN ('reading', '5minute', 'hour')"),
            "since": Kind(IntegerField, _PAST_1970),
            "until": Kind(IntegerField, _PAST_1970),
            "removed": _FLAG,
        },
    ),
    # Readings that came before the clock was set: when they were measured since the start of the machine.
    TableSchema(
        "undated",
        ("id",),
        {"id": _ROW_ID, "boot": _TEXT, "since_boot": _WHOLE, "device": _ID, "payload": _BYTES},
    ),
    # Messages that could not be used.
    TableSchema(
        "dead_letter",
        ("id",),
        {
            "id": _ROW_ID,
            "ts": _else(_TIME, "0"),
            "topic": _else(_ANY_TEXT, "''"),
            "payload": _else(_BYTES, "x''"),
            "error": _else(_ANY_TEXT, "''"),
        },
    ),
)


def _model(table: TableSchema) -> type[Model]:
    """Make the table in peewee's words; a key that is one whole number is SQLite's own row number."""
    alone = table.key[0] if len(table.key) == 1 else None
    fields = {
        name: kind.field(null=kind.null, primary_key=name == alone) for name, kind in table.columns.items()
    }
    meta = {
        "table_name": table.name,
        "without_rowid": alone is None or not isinstance(fields[alone], IntegerField),
        "indexes": ((table.unique, True),) if table.unique else (),
    } | ({} if alone else {"primary_key": CompositeKey(*table.key)})
    return type(table.name, (Model,), {**fields, "Meta": type("Meta", (), meta)})


MODELS = [_model(table) for table in TABLES]


# A migration is never changed once released; it says in full what it does, and looks at no table of today.
def _to_2(migrator: "SqliteMigrator") -> None:
    """Let an entity be kept for a time of its own."""
    migrator.add_column("entity", "retention_days", IntegerField(null=True)).run()


def _to_3(migrator: "SqliteMigrator") -> None:
    """Let the coverage of a row be null, and a stream know when its counter began again.

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
    for name in ("first", "newest"):
        migrator.add_column("stream", name, BigIntegerField(null=True)).run()


# What makes a file of the version before into one of this version.
MIGRATIONS: dict[int, Callable[["SqliteMigrator"], None]] = {
    2: _to_2,
    3: _to_3,
}


def bring_up(database: SqliteDatabase, found: int) -> None:
    """Run what a file of version `found` lacks; killed in between, it goes on from the last whole step."""
    from playhouse.migrate import SqliteMigrator  # noqa: PLC0415 — most starts need none of it

    migrator = SqliteMigrator(database)
    for version in sorted(number for number in MIGRATIONS if number > found):
        with database.atomic("immediate"):
            MIGRATIONS[version](migrator)
            said = "UPDATE meta SET value = ? WHERE key = 'schema_version'"
            database.execute_sql(said, (str(version),))  # type: ignore[no-untyped-call]  # peewee's stubs
