"""Opening what may be damaged: set aside, the newest good copy in its place, or an empty one."""

import logging
from pathlib import Path

from statistician.records import StoreError, Table
from statistician.store_backup import restore
from statistician.store_engine import DamagedError, Engine

log = logging.getLogger(__name__)

_FINITE = "finite"
_INFINITE = "abs(ifnull({}, 0)) = 9e999"


def _name_again(path: Path, aside: Path) -> None:
    """Give a file a second name; where a file system has none, only that. Raises OSError.

    Until the copy takes its place another start finds the damage again, and not an empty database.
    """
    aside.unlink(missing_ok=True)
    try:
        aside.hardlink_to(path)
    except OSError:  # such as FAT
        path.replace(aside)


def open_or_set_aside(path: Path, backups: Path) -> tuple[Engine, str | None]:
    """Open the database; a damaged one is renamed and replaced, and the second value says so."""
    try:
        return Engine(path), None
    except DamagedError as error:
        aside = path.with_name(f"{path.name}.damaged")
        told = f"{path} was damaged ({error}) and set aside as {aside.name}"
        log.error("%s is damaged: %s", path, error)  # noqa: TRY400 — the trace says nothing more
    # The log first: found beside a file that is whole, it would be played into it.
    for suffix in ("-wal", "-shm"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.replace(f"{aside}{suffix}")
    _name_again(path, aside)
    try:
        copy = restore(backups, path)
        return Engine(path), f"{told}; {copy or 'an empty one'} took its place"
    except OSError as error:
        path.unlink(missing_ok=True)
        return Engine(path), f"{told}; an empty one took its place: {error}"


def remove_infinities(engine: Engine) -> None:
    """Remove, once, what an earlier version may have stored and nothing can go on from: infinite numbers."""
    if engine.fact(_FINITE) is not None:
        return
    sums = " OR ".join(_INFINITE.format(c) for c in ("state", "sum", "sum_increase", "sum_decrease"))
    try:
        with engine.transaction():
            removed = sum(
                engine.run(f"DELETE FROM {table} WHERE typeof({column}) = 'real' AND abs({column}) = 9e999")  # noqa: S608 — all are ours
                for table, column in (
                    ("states", "value"),
                    ("frames", "value"),
                    ("held", "value"),
                    ("held", "before"),
                    ("adjusted", "amount"),
                )
            )
            for table in Table:
                removed += engine.run(f"DELETE FROM {table.value} WHERE {sums}")  # noqa: S608 — all are ours
                for column in ("mean", "min", "max"):
                    removed += engine.run(
                        f"UPDATE {table.value} SET {column} = NULL WHERE {_INFINITE.format(column)}"  # noqa: S608 — all are ours
                    )
            engine.put_fact(_FINITE, str(removed))
    except StoreError as error:
        # A full disk: it must open all the same.
        log.warning("%s was not searched for infinite numbers: %s", engine.path, error)
    else:
        if removed:
            log.warning("%s: %d infinite numbers were removed", engine.path, removed)
