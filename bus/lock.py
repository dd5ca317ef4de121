"""One process at a time: a lock that the kernel gives back when its holder ends, however it ends."""

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import IO

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
