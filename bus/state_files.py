"""Small files kept over restarts, written so that a power cut leaves either the old or the new one.

What must be on disk at once is written by `write`; what may lag behind by a minute is a `KeptFile`. Here are
also the lock that lets one process of a name run on a machine, with the secret part of its client id, and the
report of the last backup, which the backup writes and the statistician tells in health.
"""

import errno
import fcntl
import logging
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import msgspec

log = logging.getLogger(__name__)

# A file that changes is written once it has been quiet, or has changed for as long as that, seconds.
QUIET_S = 5.0
AT_MOST_S = 60.0
# None of ours comes near: what is longer is damaged, and would only fill the memory.
_LARGEST = 16 * 1024 * 1024

T = TypeVar("T")


def load(path: Path | None, kind: type[T]) -> tuple[T | None, bytes, str | None]:
    """Decode a JSON file: what it holds, its bytes, and why it cannot be read, which is logged.

    None and no reason: there is none.
    """
    if path is None:
        return None, b"", None
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError(f"it is longer than {_LARGEST} bytes")  # noqa: TRY301 — told as all else that is wrong
        return msgspec.json.decode(content, type=kind), content, None
    except FileNotFoundError:
        return None, b"", None
    except (OSError, ValueError, RecursionError) as error:
        why = f"{path} cannot be read: {error}"
        log.warning("%s", why)
        return None, b"", why


def read(path: Path | None, kind: type[T]) -> T | None:
    """Read what a JSON file holds; None if there is none, or if it cannot be read, which is only logged."""
    return load(path, kind)[0]


def write(path: Path, content: bytes, *, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Replace a file, readable by its owner alone; `owner` is user and group, None: this process's.

    Raises OSError; then the old one stands as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    # Its rights from the first byte on: it may hold keys.
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def set_aside(path: Path) -> Path:
    """Move a damaged file out of the way, over an older one; returns where it is now. Raises OSError."""
    return path.replace(path.with_name(f"{path.name}.damaged"))


class KeptFile:
    """A file that follows `content`, written when it has been quiet, not at each change.

    Without a path nothing is written. `problem` says that the disk refuses, or that what an earlier run had
    kept could not be read.
    """

    def __init__(self, path: Path | None, content: Callable[[], bytes]) -> None:
        self._path = path
        self._content = content
        # The content on disk, by its hash.
        self._written = hash(b"")
        self._damage: str | None = None
        self._refused: str | None = None
        # Changes so far, those seen by `settle`, and the monotonic second from which they may be written.
        self._changes = self._seen = 0
        self._first: float | None = None
        self._newest = 0.0

    @property
    def problem(self) -> str | None:
        """What is wrong with the file."""
        return self._refused or self._damage

    def read(self, kind: type[T]) -> T | None:
        """Decode what an earlier run kept; None if there is nothing, or nothing readable."""
        content, raw, why = load(self._path, kind)
        if why is not None:
            self._damage = f"{why}: it is begun anew, and what went meanwhile may stay at broker and clients"
        self._written = hash(raw)
        return content

    def changed(self) -> None:
        """Note that the content is another one."""
        self._changes += 1

    def settle(self, now: float) -> None:
        """Write the file if it is time, at monotonic second `now`; call it about once a second."""
        if self._changes != self._seen:
            self._seen, self._newest = self._changes, now
            self._first = now if self._first is None else self._first
        if self._first is not None and (now - self._newest >= QUIET_S or now - self._first >= AT_MOST_S):
            # A disk that refuses is asked again as if the content had changed now.
            self._first = None if self._write() else now
            self._newest = now

    def close(self) -> None:
        """Write what has changed."""
        if self._changes != self._seen or self._first is not None:
            self._seen = self._changes
            self._first = None if self._write() else self._newest

    def _write(self) -> bool:
        if self._path is None:
            return True
        content = self._content()
        if hash(content) == self._written:
            return True
        try:
            write(self._path, content)
        except OSError as error:
            if self._refused is None:
                log.warning("%s cannot be written: %s", self._path, error)
            self._refused = f"{self._path} cannot be written: {error.strerror or error}"
            return False
        self._written, self._refused = hash(content), None
        return True


# A process that is just ending still has it, seconds.
_PATIENCE_S = 5.0
_AGAIN_S = 0.1


class LockedError(Exception):
    """Somebody else has the lock; the text is a sentence for whoever started the second process."""


def hold(path: Path, what: str, patience: float = _PATIENCE_S) -> IO[bytes] | None:
    """Lock the file `path`, which is made; keep what is returned open. Raises LockedError naming `what`.

    None where no file can be made: on a read-only disk nobody else writes either.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file: IO[bytes] = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
    except OSError:
        return None
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                # A file system without locks.
                return file
            if time.monotonic() >= until:
                file.close()
                raise LockedError(f"{what}; it holds {path}. Stop it first") from error
            time.sleep(_AGAIN_S)
        else:
            return file


EXIT_RUNNING = 75  # sysexits.h EX_TEMPFAIL: the service manager tries again, for the other may end
_PART = re.compile(rb"[0-9a-f]{32}\Z")
# Open until the process ends, and with them their locks.
_held: list[IO[bytes]] = []


@dataclass(frozen=True, slots=True)
class Identity:
    """`part` makes the client id, `instance` sorts processes of a name by their start.

    `problem` says why the part is neither kept nor locked, None if it is.
    """

    part: str
    instance: str
    problem: str | None = None


def identify(folder: Path, name: str, now_ms: int) -> Identity:
    """Lock `<name>.id` in the folder until this process ends, and return who it is, started at `now_ms`.

    Raises SystemExit where another process has it. A disk that refuses stops nobody: then it is not locked.
    """
    path = folder / f"{name}.id"
    instance = f"{now_ms:015d}-{secrets.token_hex(8)}"
    try:
        file = hold(path, f"another {name} is running")
    except LockedError as error:
        log.error("%s", error)  # noqa: TRY400 — the trace says nothing more
        raise SystemExit(EXIT_RUNNING) from None
    why = "it cannot be made"
    if file is not None:
        _held.append(file)
        try:
            return Identity(_part(file.fileno()), instance)
        except OSError as error:
            why = error.strerror or str(error)
    problem = f"{path}: {why}; a second {name} would not be noticed"
    log.warning("%s", problem)
    return Identity(secrets.token_hex(16), instance, problem)


def _part(descriptor: int) -> str:
    """Read the file, or fill it. Raises OSError."""
    found = os.pread(descriptor, 64, 0)
    if not _PART.match(found):
        # In place: a file put in its stead would not be the locked one.
        found = secrets.token_hex(16).encode()
        os.pwrite(descriptor, found, 0)
        os.ftruncate(descriptor, len(found))
        os.fsync(descriptor)
    return found.decode()


BACKUP_FILE = "backup.json"


class BackupReport(msgspec.Struct, frozen=True):
    """The last try `at` (ms), and its `problem` if it failed; `file` and `good_at` (ms) of the last good."""

    at: int
    problem: str | None = None
    file: str | None = None
    good_at: int | None = None


def read_backup_report(folder: Path) -> BackupReport | None:
    """Read the report that is kept in a folder; None if there is none."""
    return read(folder / BACKUP_FILE, BackupReport)


def write_backup_report(folder: Path, report: BackupReport) -> None:
    """Keep a report, for all to read_backup_report. Raises OSError."""
    write(folder / BACKUP_FILE, msgspec.json.encode(report), mode=0o644)
