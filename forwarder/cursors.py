"""Where an output is in the change feed: a small file, in memory after every batch, on the card each minute.

A killed process goes on where it was; after a power cut at most a minute is sent again.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from bus import state_files
from forwarder.samples import Known

log = logging.getLogger(__name__)

# So often it is written to the card, and so often where nothing was sent, seconds.
CARD_EVERY_S = 60.0
_IDLE_S = 900.0
_KEPT_S = 30 * 86_400
_FILE = "cursor.json"


class Cursor(Struct, frozen=True):
    """A place in the feed: behind `after`; without it from `start` (ms) on, or (None) from now on.

    `number` grows with each batch, `ts` is the newest time that was sent. What samples are made from is as it
    was at that place, but `sampled`, the newest sample that was sent.
    """

    number: int = 0
    after: str | None = None
    start: int | None = None
    ts: int | None = None
    sampled: int | None = None
    known: dict[str, Known] = {}
    gap_end: int | None = None


class CursorFile:
    """The cursor of one output, in the folder `memory` (tmpfs) and in the folder `card`; None: there is none.

    `problem` says that the card refuses. `before_card` is called before the
    card gets a newer place: what was sent must be as safe as the place.
    """

    def __init__(self, name: str, memory: Path, card: Path, before_card: Callable[[], None]) -> None:
        self._memory = memory / f"{name}.json"
        self._card = card / _FILE
        self._before_card = before_card
        self._on_card_at = float("-inf")
        self._on_card = -1
        self._sent = False
        self.problem: str | None = None
        # Nothing could be read: it begins anew with all that is kept.
        self.damaged = False
        self.now = self._read()

    def _read(self) -> Cursor | None:
        found: list[Cursor] = []
        for path in (self._card, self._memory):
            cursor, _, why = state_files.load(path, Cursor)
            if why is not None:
                self._set_aside(path)
                self.damaged = True
            elif cursor is not None:
                found.append(cursor)
                if path is self._card:
                    self._on_card = cursor.number
        self.damaged = self.damaged and not found
        if self.damaged:
            # At once: without a file the next start would take it for a new output.
            found.append(Cursor(start=0))
            self._write(found[0])
        return max(found, key=lambda one: one.number, default=None)

    def _set_aside(self, path: Path) -> None:
        try:
            state_files.set_aside(path)
        except OSError as error:
            log.warning("%s cannot be moved out of the way: %s", path, error)

    def move(self, cursor: Cursor, now: float, *, sent: bool = True) -> Cursor:
        """Keep a new place, at monotonic second `now`; return it with its number. Raises OSError.

        `sent`: something was sent before it.
        """
        number = 1 if self.now is None else self.now.number + 1
        self.now = msgspec.structs.replace(cursor, number=number)
        self._sent = self._sent or sent
        state_files.write(self._memory, msgspec.json.encode(self.now))
        self.settle(now)
        return self.now

    def settle(self, now: float) -> None:
        """Write to the card what is new, if that was a minute ago."""
        if now - self._on_card_at >= (CARD_EVERY_S if self._sent else _IDLE_S):
            self.close()
            self._on_card_at = now

    def close(self) -> None:
        """Write to the card what is new."""
        if self.now is None or self.now.number == self._on_card:
            return
        self._before_card()
        self._write(self.now)

    def _write(self, cursor: Cursor) -> None:
        try:
            state_files.write(self._card, msgspec.json.encode(cursor))
        except OSError as error:
            self.problem = f"{self._card} cannot be written: {error.strerror or error}; look at the disk"
            return
        self._on_card, self._sent, self.problem = cursor.number, False, None


def remove_old(folder: Path, names: set[str], now_s: float) -> list[str]:
    """Delete the cursors of outputs that are not among `names` any more for 30 days; returns whose.

    `now_s` is the time in seconds since 1970, as files have it.
    """
    gone: list[str] = []
    for path in sorted(folder.glob(f"*/{_FILE}")):
        if path.parent.name in names:
            continue
        try:
            if now_s - path.stat().st_mtime > _KEPT_S:
                path.unlink()
                gone.append(path.parent.name)
        except OSError as error:
            log.warning("%s: %s", path, error)
    return gone
