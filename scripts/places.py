"""The directories of one run, and the removal of what an earlier, killed run could not remove."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli import house

PREFIX = house.PREFIX
MEMORY = Path("/dev/shm")  # noqa: S108 a directory of our own is made in it, by mkdtemp


class CannotStartError(Exception):
    """A run that cannot start; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a run keeps what."""

    temporary: Path  # gone at the end
    runtime: Path  # memory-backed, gone at the end
    data: Path  # the database and what outlives a run; below temporary for a demo without --data
    logs: Path
    served: Path  # gone at the end; what the broker's own account must find: the page and who may use it


def _lock(directory: Path) -> int | None:
    """Lock a directory for this process, or return None if another has it."""
    handle = os.open(directory / house.LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


@contextmanager
def _leased(base: Path) -> Iterator[Path]:
    """Make a directory that is removed at the end, or by the next run if this one is killed."""
    made = Path(tempfile.mkdtemp(prefix="boondock-new-", dir=base))
    handle = _lock(made)
    # It gets the name that others sweep only once it is locked.
    directory = made.rename(made.with_name(made.name.replace("boondock-new-", PREFIX)))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)  # a process that was killed may still hold a file
        if handle is not None:
            os.close(handle)


def sweep(base: Path) -> None:
    """Remove what runs of this user that were killed have left in `base`."""
    for directory in base.glob(PREFIX + "*"):
        if directory.is_symlink() or directory.stat().st_uid != os.geteuid():
            continue
        handle = _lock(directory)
        if handle is not None:
            shutil.rmtree(directory, ignore_errors=True)  # two runs may sweep the same
            os.close(handle)


@contextmanager
def prepare(data: Path | None) -> Iterator[Places]:
    """Make the directories of a run; without `data` its data is temporary too."""
    temporary_base = Path(tempfile.gettempdir())
    memory_base = MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else temporary_base
    with ExitStack() as stack:
        for base in {temporary_base, memory_base}:
            sweep(base)
        temporary = stack.enter_context(_leased(temporary_base))
        runtime = stack.enter_context(_leased(memory_base))
        kept = temporary / "data" if data is None else data
        logs = kept / "logs"
        for directory in (kept, logs, kept / "state"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In memory: a folder for temporary files may be closed to the broker's account.
        served = stack.enter_context(_leased(memory_base))
        served.chmod(0o755)
        yield Places(temporary, runtime, kept, logs, served)
