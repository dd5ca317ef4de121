"""One process of a name on a machine: a lock in its state folder, and the secret part of its client id."""

import fcntl
import logging
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

EXIT_RUNNING = 75  # sysexits.h EX_TEMPFAIL: the service manager tries again, for the other may end
_PART = re.compile(rb"[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class Identity:
    """`part` makes the client id, `instance` sorts processes of a name by their start.

    `problem` says why the part is neither kept nor locked, None if it is.
    """

    part: str
    instance: str
    problem: str | None = None


def hold(folder: Path, name: str, now_ms: int) -> Identity:
    """Lock `<name>.id` in the folder until this process ends, and return who it is, started at `now_ms`.

    Raises SystemExit where another process has it. A disk that refuses stops nobody: then it is not locked.
    """
    path = folder / f"{name}.id"
    instance = f"{now_ms:015d}-{secrets.token_hex(8)}"
    try:
        return Identity(_locked(path), instance)
    except BlockingIOError:
        log.error("another %s is running: it holds %s", name, path)  # noqa: TRY400 — the trace says nothing more
        raise SystemExit(EXIT_RUNNING) from None
    except OSError as error:
        problem = f"{path}: {error.strerror or error}; a second {name} would not be noticed"
        log.warning("%s", problem)
        return Identity(secrets.token_hex(16), instance, problem)


def _locked(path: Path) -> str:
    """Lock and read the file, or fill it. Raises OSError, BlockingIOError where it is locked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never closed: the kernel lets go of the lock when the process ends, however it ends.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.pread(descriptor, 64, 0)
        if not _PART.match(found):
            # In place: a file put in its stead would not be the locked one.
            found = secrets.token_hex(16).encode()
            os.pwrite(descriptor, found, 0)
            os.ftruncate(descriptor, len(found))
            os.fsync(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return found.decode()
