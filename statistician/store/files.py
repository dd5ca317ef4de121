"""Whether the database's files are still where they were opened, and their return to that place.

An open file goes on without its name, so nothing is lost while the process runs. What was deleted is written
back whole. What somebody put in its place meanwhile is kept beside it: what was acknowledged stands nowhere
else, so it must not give way to another file. Whoever wants that one stops the process first.
"""

import contextlib
import os
import sqlite3
from enum import Enum
from pathlib import Path

_LOG, _SHARED = "-wal", "-shm"
_Id = tuple[int, int] | None


class Misplaced(Enum):
    """What became of the files of a database that is in use."""

    GONE = "was deleted"
    REPLACED = "was replaced by another file"
    LOG_GONE = "lost its write-ahead log"
    EMPTIED = "was emptied"


class Files:
    """Remembers which files belong to the open database at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = (path, Path(f"{path}{_LOG}"), Path(f"{path}{_SHARED}"))
        self._ids = [identity(name) for name in self._names]

    def misplaced(self) -> Misplaced | None:
        """What is wrong with them, None if nothing is. Raises OSError if nobody can say."""
        now = [identity(name) for name in self._names]
        if now[0] is None:
            return Misplaced.GONE
        if now[0] != self._ids[0]:
            return Misplaced.REPLACED
        if self._path.stat().st_size == 0:
            return Misplaced.EMPTIED
        if now[1:] != self._ids[1:]:
            return Misplaced.LOG_GONE
        return None

    def make_way(self) -> Path | None:
        """Move what stands in the place and is not of the open database aside; returns where the first is."""
        aside = None
        for name, known in zip(self._names, self._ids, strict=True):
            found = identity(name)
            if found is not None and found != known:
                target = _free(
                    name.with_name(name.name.replace(self._path.name, f"{self._path.name}.replaced"))
                )
                name.replace(target)
                aside = aside or target
        return aside


def copy_whole(source: sqlite3.Connection, part: Path) -> None:
    """Write all that an open database holds, with its log, to a new file. Raises sqlite3.Error, OSError."""
    part.parent.mkdir(parents=True, exist_ok=True)
    part.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as target:
        target.execute("PRAGMA journal_mode = off")
        target.execute("PRAGMA synchronous = off")
        source.backup(target)


def identity(path: Path) -> _Id:
    """Which file has this name; None if there is none. Raises OSError."""
    try:
        found = os.stat(path)  # noqa: PTH116 — as the kernel has it
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _free(path: Path) -> Path:
    number = 1
    found = path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}.{number}")
    return found
