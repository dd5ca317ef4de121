"""Which disk a path lies on, and whether a disk that should be there is."""

import os
from pathlib import Path

# Where disks are mounted that come and go.
_HOMES = ("/media", "/mnt", "/run/media")


def mount_of(path: Path) -> Path:
    """Where the disk of a path, or of the nearest folder that exists, is mounted."""
    path = path.absolute()
    while not os.path.ismount(path) and path != path.parent:
        path = path.parent
    return path


def wants_mount(path: Path, asked: bool | None = None) -> bool:  # noqa: FBT001 — the setting as it stands
    """Whether a folder must be on a disk of its own; unasked, where such disks are mounted."""
    return any(path.is_relative_to(home) for home in _HOMES) if asked is None else asked


def is_missing(path: Path) -> bool:
    """Whether a path lies where disks are mounted, and none is: what is written there fills the card."""
    return wants_mount(path) and not wants_mount(mount_of(path))
