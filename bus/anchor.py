"""The newest stored time, in a small file that all processes read and the statistician writes."""

import math
from pathlib import Path

import msgspec

from bus import keeping

FILE = "house-clock.json"
# How often a changed file is looked for, seconds.
_LOOK_EVERY_S = 1.0
_LARGEST_MS = 2**48
_LONGEST_ID = 64
_CURE = "let all processes read it; the statistician writes it again once the clock is right"


class Anchor(msgspec.Struct, frozen=True):
    """The newest time that was stored: no later boot is behind it.

    `ts` is in ms since 1970 UTC, `boottime` its CLOCK_BOOTTIME in s in the boot `boot_id`; `synchronised`
    says that the clock was synchronised in that boot.
    """

    ts: int
    boot_id: str
    boottime: float
    synchronised: bool


def read_anchor(path: Path) -> Anchor | None:
    """The anchor; None if there is none, or if it cannot be read or be true, which is logged."""
    anchor = keeping.read(path, Anchor)
    if anchor is None:
        return None
    good = 0 <= anchor.ts < _LARGEST_MS and 0 <= anchor.boottime < _LARGEST_MS
    return anchor if good and len(anchor.boot_id) <= _LONGEST_ID else None


def write_anchor(path: Path, anchor: Anchor) -> None:
    """Replace the anchor, safe against a power cut. Raises OSError; then the old one stands as it was."""
    keeping.write(path, msgspec.json.encode(anchor), mode=0o644)


class AnchorFile:
    """The anchor as it is now; the file is looked at once a second at most, and read when it changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._anchor: Anchor | None = None
        self._looked = -math.inf
        self._seen: tuple[int, int] | None = None
        self.problem: str | None = None

    def read(self, now: float) -> Anchor | None:
        """The newest anchor at monotonic second `now`; `problem` says what is wrong with the file."""
        if now - self._looked < _LOOK_EVERY_S:
            return self._anchor
        self._looked = now
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._anchor, self._seen, self.problem = None, None, None
            return None
        except OSError as error:
            self.problem = f"{self._path} cannot be read: {error}; let all processes read its folder"
            return self._anchor
        # Also when its rights change.
        seen = found.st_ctime_ns, found.st_ino
        if seen != self._seen:
            self._seen = seen
            self._anchor = read_anchor(self._path)
            damaged = f"{self._path} cannot be read or is damaged: {_CURE}"
            self.problem = damaged if self._anchor is None else None
        return self._anchor
