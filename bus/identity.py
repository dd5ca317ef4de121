"""One process of a name on a machine: a lock in its state folder, and the secret part of its client id."""

import logging
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bus.lock import LockedError, hold

log = logging.getLogger(__name__)

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
