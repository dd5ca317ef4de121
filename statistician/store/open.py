"""Opening what may be damaged: set aside, the newest good copy in its place, or an empty one."""

import logging
from pathlib import Path

from statistician.store.backup import kept, restore
from statistician.store.engine import DamagedError, Engine

log = logging.getLogger(__name__)


def _opened(path: Path, backups: Path) -> Engine:
    if path.exists() and path.stat().st_size == 0 and kept(backups, path):
        # SQLite would take it for a new one.
        raise DamagedError("it is empty")
    return Engine(path)


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
        return _opened(path, backups), None
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
