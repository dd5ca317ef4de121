"""What a process has open."""

from contextlib import suppress
from pathlib import Path


def open_files(pid: int | str = "self") -> list[str]:
    """Each file descriptor's file, socket or pipe, as the kernel names it."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        # It may be closed while we look.
        with suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return found
