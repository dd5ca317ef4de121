"""Files that were rotated: their names, how many are kept, and their packing, which holds up nobody."""

import gzip
import logging
import os
import re
import threading
from pathlib import Path

log = logging.getLogger(__name__)

_PIECE = 256 * 1024
_PACKED = ".gz"
_PART = ".part"


def rotated_name(path: Path, stamp: str) -> Path:
    """Return a free name for a file that is rotated at `stamp`: log-20261128-140500.csv."""
    number = 0
    while True:
        more = f"-{number}" if number else ""
        name = path.with_name(f"{path.stem}-{stamp}{more}{path.suffix}")
        if not name.exists() and not Path(f"{name}{_PACKED}").exists():
            return name
        number += 1


def rotated(path: Path) -> list[Path]:
    """Return the rotated files of a path, packed or not, the oldest first."""
    form = re.compile(
        rf"{re.escape(path.stem)}-(\d{{8}}-\d{{6}})(?:-(\d+))?{re.escape(path.suffix)}({_PACKED})?"
    )
    found = [(match, one) for one in path.parent.iterdir() if (match := form.fullmatch(one.name))]
    found.sort(key=lambda pair: (pair[0][1], int(pair[0][2] or 0)))
    return [one for _, one in found]


def remove_beyond(path: Path, keep: int) -> None:
    """Delete all but the newest `keep` rotated files. Raises OSError."""
    for old in rotated(path)[:-keep]:
        log.info("%s is removed: %d newer ones are kept", old, keep)
        old.unlink(missing_ok=True)


class Packer:
    """Packs what was rotated in a thread of its own, also what an earlier process has left."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stopped = False
        self._bell = threading.Event()
        self._bell.set()
        self._thread = threading.Thread(target=self._run, name=f"pack {path.name}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look for something to pack."""
        self._bell.set()

    def stop(self) -> None:
        """End; what is half packed is begun anew by the next process."""
        self._stopped = True
        self._bell.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while self._bell.wait() and not self._stopped:
            self._bell.clear()
            try:
                for one in rotated(self._path):
                    if one.suffix != _PACKED:
                        self._pack(one)
            except OSError as error:
                log.warning(
                    "%s: rotated files cannot be packed: %s; tried again after the next", self._path, error
                )

    def _pack(self, path: Path) -> None:
        """Put a packed file in the place of a file. Raises OSError; then the file stands as it was."""
        packed = Path(f"{path}{_PACKED}")
        part = Path(f"{packed}{_PART}")
        with path.open("rb") as source, part.open("wb") as target:
            with gzip.GzipFile(filename=path.name, mode="wb", compresslevel=6, fileobj=target) as zipped:
                while piece := source.read(_PIECE):
                    if self._stopped:
                        return
                    zipped.write(piece)
            target.flush()
            os.fsync(target.fileno())
        part.replace(packed)
        path.unlink(missing_ok=True)
