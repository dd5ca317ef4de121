"""What the last backup came to: a small file that the backup writes and the statistician tells in health."""

from pathlib import Path

import msgspec

from bus import keeping

FILE = "backup.json"


class BackupReport(msgspec.Struct, frozen=True):
    """The last try `at` (ms), and its `problem` if it failed; `file` and `good_at` (ms) of the last good."""

    at: int
    problem: str | None = None
    file: str | None = None
    good_at: int | None = None


def read(folder: Path) -> BackupReport | None:
    """What is kept in a folder; None if there is nothing to read."""
    return keeping.read(folder / FILE, BackupReport)


def write(folder: Path, report: BackupReport) -> None:
    """Keep a report, for all to read. Raises OSError."""
    keeping.write(folder / FILE, msgspec.json.encode(report), mode=0o644)
