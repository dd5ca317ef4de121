"""The few questions to the database that only requests ask. Every function raises StoreError."""

from statistician.records import StoredRow, Table
from statistician.store import Store


def first_row(store: Store, table: Table, entity: int) -> int | None:
    """Start of an entity's oldest row."""
    found = store.engine.one(f"SELECT min(start) FROM {table.value} WHERE entity = ?", (entity,))  # noqa: S608 — the table is ours
    return None if found is None or not isinstance(found[0], int) else found[0]


def last_row(store: Store, table: Table, entity: int) -> int | None:
    """Start of an entity's newest row."""
    found = store.engine.one(f"SELECT max(start) FROM {table.value} WHERE entity = ?", (entity,))  # noqa: S608 — the table is ours
    return None if found is None or not isinstance(found[0], int) else found[0]


def row_before(store: Store, table: Table, entity: int, before: int) -> StoredRow | None:
    """An entity's newest row that starts before a time."""
    found = store.engine.one(
        f"SELECT max(start) FROM {table.value} WHERE entity = ? AND start < ?",  # noqa: S608 — the table is ours
        (entity, before),
    )
    if found is None or not isinstance(found[0], int):
        return None
    rows = store.statistics.between(table, entity, found[0], found[0] + 1)
    return rows[0] if rows else None


def count_rows(store: Store, table: Table, entity: int) -> int:
    """How many rows an entity has."""
    found = store.engine.one(f"SELECT count(*) FROM {table.value} WHERE entity = ?", (entity,))  # noqa: S608 — the table is ours
    return int(found[0] or 0) if found else 0


def count_states(store: Store, start: int, end: int) -> int:
    """How many states all entities have with start <= ts < end."""
    found = store.engine.one(
        "SELECT count(*) FROM states WHERE ts >= ? AND ts < ? AND entity > 0", (start, end)
    )
    return int(found[0] or 0) if found else 0


def last_state(store: Store) -> int | None:
    """Time of the newest state on disk."""
    found = store.engine.one("SELECT max(ts) FROM states WHERE entity > 0")
    return None if found is None or not isinstance(found[0], int) else found[0]


def size(store: Store) -> int:
    """Bytes of the database file."""
    pages = store.engine.one("PRAGMA page_count")
    page = store.engine.one("PRAGMA page_size")
    return int(pages[0] or 0) * int(page[0] or 0) if pages and page else 0
