"""Records in a file: appended, rotated by size and by day, packed; and one more with the newest values alone.

Between two batches it is closed: a disk can be taken out, and who moves the file away gets a new one.
"""

import errno
import logging
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from time import monotonic, time

import msgspec

from bus import state_files
from bus.disks import is_missing, mount_of
from bus.messages import machine_zone, to_iso
from forwarder.outputs import Place, RefusedError, SendError
from forwarder.outputs.rotated import Packer, remove_beyond, rotated_name
from forwarder.records import Record, Removed, Sample, StatisticsRow
from forwarder.shapes import columns_of, format_of, header, is_template, lines, read_header

log = logging.getLogger(__name__)

# Bytes at the end of a file in which its last line end is looked for at a time.
_PIECE = 65536
_LATEST_EVERY_S = 1.0
_MB = 1_000_000
# How a document of YAML ends, and any other record.
_ENDS = {"yaml": b"\n...\n"}
# What a person must mend: the next try would bring the same.
_REFUSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
)


class FileSink:
    """Appends to one file; all its methods belong to one thread."""

    def __init__(self, place: Place) -> None:
        settings = place.settings
        self._settings = settings
        self._path = Path(settings.path or "")
        kind = "template" if is_template(settings) else format_of(settings)
        self._is_csv = kind == "csv"
        self._end = _ENDS.get(kind, b"\n")
        self._columns: tuple[str, ...] = ()
        # As this process left it; another size or file is looked at.
        self._left: tuple[int, int] | None = None
        self._day = ""
        self._unsaved = False
        self._packer = Packer(self._path) if settings.gzip else None
        self._latest = None if settings.latest is None else Latest(Path(settings.latest))

    def send(self, records: Sequence[Record]) -> None:
        """Append records; all or none of them. Raises SendError."""
        try:
            self._require_disk(self._path)
            self._append(records)
            if self._latest is not None:
                self._latest.take(records, monotonic())
        except OSError as error:
            raise _told(error, self._path) from error

    def settle(self) -> None:
        """Put on disk what was written: the place of the output will be, too. Raises SendError."""
        if not self._unsaved or self._settings.sync == "never":
            return
        try:
            self._require_disk(self._path)
            _sync(self._path)
        except FileNotFoundError:
            # Somebody has taken it away, with what was in it.
            log.warning("%s was taken away", self._path)
        except OSError as error:
            raise _told(error, self._path) from error
        self._unsaved = False

    def idle(self) -> None:
        """Write the newest values, if that was put off. Raises SendError."""
        try:
            if self._latest is not None:
                self._latest.write(monotonic())
        except OSError as error:
            raise _told(error, Path(self._settings.latest or "")) from error

    def close(self) -> None:
        """End the packing."""
        if self._packer is not None:
            self._packer.stop()

    def _require_disk(self, path: Path) -> None:
        """Raise SendError where a disk should be mounted and is not: the card must not fill instead."""
        if is_missing(path):
            raise SendError(
                f"no disk is mounted for {path}: plug it in and mount it; nothing is lost meanwhile"
            )

    def _append(self, records: Sequence[Record]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._look()
        self._rotate_if_due()
        if self._is_csv:
            columns = columns_of(records, self._settings, self._columns)
            if self._columns not in ((), columns):
                # A column more or less would shift what stands below it.
                self._rotate()
            self._columns = columns
        text = "".join(lines(records, self._settings, self._columns)).encode()
        if self._is_csv and _size(self._path) == 0:
            text = header(self._columns).encode() + text
        self._write(text)

    def _look(self) -> None:
        """Look at a file that is not as it was left: cut what a power cut has torn, read its columns."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._columns = ()
            self._day = self._today()
            return
        if self._left == (found.st_ino, found.st_size):
            return
        with self._path.open("r+b") as file:
            whole = _whole(file.fileno(), self._end)
            if whole < found.st_size:
                log.warning("%s: its last record was cut off and is sent again", self._path)
                file.truncate(whole)
            self._columns = (
                read_header(file.readline().decode(errors="replace")) if whole and self._is_csv else ()
            )
        self._day = f"{datetime.fromtimestamp(found.st_mtime, machine_zone()):%Y-%m-%d}"

    def _today(self) -> str:
        return f"{datetime.fromtimestamp(time(), machine_zone()):%Y-%m-%d}"

    def _rotate_if_due(self) -> None:
        size = _size(self._path)
        most = self._settings.rotate_mb
        if size and (
            (most is not None and size >= most * _MB)
            or (self._settings.rotate_daily and self._day != self._today())
        ):
            self._rotate()

    def _rotate(self) -> None:
        if _size(self._path):
            if self._unsaved and self._settings.sync != "never":
                _sync(self._path)
            stamp = f"{datetime.fromtimestamp(time(), machine_zone()):%Y%m%d-%H%M%S}"
            self._path.rename(rotated_name(self._path, stamp))
            if self._settings.keep is not None:
                remove_beyond(self._path, self._settings.keep)
            if self._packer is not None:
                self._packer.wake()
        self._columns, self._day = (), self._today()

    def _write(self, text: bytes) -> None:
        """Append, whole or not at all. Raises OSError."""
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            before = os.fstat(file).st_size
            try:
                rest = memoryview(text)
                while rest:
                    rest = rest[os.write(file, rest) :]
                if self._settings.sync == "always":
                    os.fsync(file)
            except OSError:
                # A full disk takes a part: what stands there ends with a whole record.
                os.ftruncate(file, before)
                raise
            found = os.fstat(file)
            self._left = (found.st_ino, found.st_size)
            self._unsaved = self._settings.sync != "always"
        finally:
            os.close(file)


def _told(error: OSError, path: Path) -> SendError:
    why = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        return SendError(
            f"{path}: the disk is full: make room on {mount_of(path)}; nothing is lost meanwhile"
        )
    if error.errno == errno.EROFS:
        what = "sudo boondock install opens the folders of outputs; else look at that disk"
        return RefusedError(f"{path}: {why}; {what}")
    if error.errno in _REFUSED:
        return RefusedError(f"{path}: {why}; let the forwarder write there, or name another path")
    return SendError(f"{path}: {why}; look at that disk")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _whole(file: int, end: bytes) -> int:
    """Return how many bytes of a file are whole records: up to the last `end`."""
    at = os.fstat(file).st_size
    tail = b""
    while at > 0:
        step = min(_PIECE, at)
        at -= step
        tail = os.pread(file, step, at) + tail[: len(end) - 1]
        if (found := tail.rfind(end)) >= 0:
            return at + found + len(end)
    return 0


class Latest:
    """The newest value of each entity in a file of JSON, put in place at once, at most once a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, dict[str, object]] = {}
        self._read = self._due = False
        self._written = float("-inf")

    def take(self, records: Sequence[Record], now: float) -> None:
        """Note what is new, and write it. Raises OSError."""
        if not self._read:
            self._values = state_files.read(self._path, dict[str, dict[str, object]]) or {}
            self._read = True
        for record in records:
            self._note(record)
        self._due = True
        if now - self._written >= _LATEST_EVERY_S:
            self.write(now)

    def write(self, now: float) -> None:
        """Put the file in place, if there is something new. Raises OSError, SendError."""
        if not self._due:
            return
        if is_missing(self._path):
            raise SendError(f"no disk is mounted for {self._path}: plug it in and mount it")
        self._due, self._written = False, now
        state_files.write(self._path, msgspec.json.encode(self._values), mode=0o644)

    def _note(self, record: Record) -> None:
        if isinstance(record, Removed):
            return
        if isinstance(record, Sample):
            for name, value in record.values.items():
                self._put(name, {"value": value, "ts": to_iso(record.ts)})
            return
        if isinstance(record, StatisticsRow):
            body: Mapping[str, object] = record.body()
            self._put(
                record.entity, {**{k: v for k, v in body.items() if k != "entity"}, "ts": to_iso(record.ts)}
            )
            return
        said: dict[str, object] = {"value": record.value, "ts": to_iso(record.ts)}
        self._put(record.entity, said | ({"unit": record.unit} if record.unit is not None else {}))

    def _put(self, name: str, said: dict[str, object]) -> None:
        # All times are of one form, so their texts sort as they do.
        before = self._values.get(name, {}).get("ts", "")
        if not isinstance(before, str) or str(said["ts"]) >= before:
            self._values[name] = said
