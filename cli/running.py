"""What a run in a terminal writes about itself, so that commands of the same user find it."""

import fcntl
import os
import tempfile
from pathlib import Path

import msgspec

# Of the folder of a run, which holds a locked file as long as the run lasts.
PREFIX = "boondock-run-"
LOCK = "lock"
_FILE = "running.json"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A run: its settings (`own`: the user's, not the demo's), its broker, where it writes its logs."""

    config: str
    own: bool
    host: str
    port: int
    base: str
    logs: str


def write(folder: Path, running: Running) -> None:
    """Tell commands of this run. Raises OSError."""
    (folder / _FILE).write_bytes(msgspec.json.encode(running))


def runs() -> list[Running]:
    """Return the runs of this user, or below sudo of who called it, that go on now, the newest first."""
    owners = {os.geteuid(), int(os.environ.get("SUDO_UID") or os.geteuid())}
    files = []
    for file in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{_FILE}"):
        try:
            if file.stat().st_uid in owners and _goes_on(file.parent):
                files.append((file.stat().st_mtime, file.read_bytes()))
        except OSError:  # it ended while we looked
            continue
    return [msgspec.json.decode(text, type=Running) for _, text in sorted(files, reverse=True)]


def _goes_on(folder: Path) -> bool:
    """Whether the run still has its folder locked."""
    with (folder / LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
