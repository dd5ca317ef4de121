"""Room on the disk: how much there is, and a reserve that a full disk gives back for tidying up."""

import contextlib
import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

# Removing rows writes too, at worst a whole write-ahead log and the pages it adds to the file.
RESERVE = 4 * 1024 * 1024


def free(folder: Path) -> int:
    """Bytes that may still be written to the disk of a folder, or of the nearest one that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def sync(path: Path) -> None:
    """Make sure that a file, or what a folder lists, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Reserve:
    """A file beside the database that takes up room until the disk is full."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}.reserve")

    def hold(self) -> bool:
        """Take the reserve, unless the disk is too full for it; whether there is one."""
        if self._path.exists():
            return True
        if free(self._path.parent) < 4 * RESERVE:
            return False
        try:
            # No zeros are written: the card's wear is one block.
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE)
        except OSError as error:
            log.warning("no reserve at %s: %s", self._path, error)
            self.release()
            return False
        return True

    def release(self) -> bool:
        """Give the reserve back; whether there was one."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
            return True
        return False
