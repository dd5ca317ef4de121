"""The access log of a process: what was changed and who asked for it, a line each, in bounded files."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from bus.clock import Clock
from bus.commands import Code, Refused
from bus.health import Journal
from bus.messages import to_iso
from bus.requests import Action, Listing, Part, Parts, Place, action

log = logging.getLogger(__name__)

# Bytes of a file; there are two, the older one is replaced when the newer one is full.
LARGEST = 128 * 1024
# Seconds between two writes, and how many lines one of them has: a flood must not wear the card.
EVERY_S = 10.0
MOST = 60
_LONGEST = 256


class Entry(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line: `what` is `device.entity` or a verb; `left_out` counts lines that came too fast before it."""

    ts: str
    what: str
    value: str | None = None
    sender: str | None = msgspec.field(default=None, name="from")
    reply_to: str | None = None
    left_out: int = 0


class Wanted(Struct, forbid_unknown_fields=True):
    """How many lines, newest first."""

    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100


class AccessLog:
    """Appends to a file without fsync; call `tick` now and then, and `close` at the end.

    What a killed process had not written yet (10 s at most) is lost; nothing depends on it.
    """

    def __init__(self, path: Path, *, clock: Clock, journal: Journal) -> None:
        self._path = path
        self._older = path.with_name(f"{path.name}.1")
        self._clock = clock
        self._journal = journal
        self._waiting: list[Entry] = []
        self._left_out = 0
        self._written = float("-inf")

    def note(
        self, what: str, value: str | None = None, *, sender: str | None = None, reply_to: str | None = None
    ) -> None:
        """Note a change; it is written at once if none was written for 10 s."""
        if len(self._waiting) >= MOST:
            self._left_out += 1
            self._journal.count("dropped_access_lines")
            return
        short = [None if text is None else _printable(text[:_LONGEST]) for text in (value, sender, reply_to)]
        ts = to_iso(self._clock.wall())
        entry = Entry(
            ts=ts, what=what, value=short[0], sender=short[1], reply_to=short[2], left_out=self._left_out
        )
        self._left_out = 0
        self._waiting.append(entry)
        self.tick(self._clock.monotonic())

    def tick(self, now: float) -> None:
        """Write what waits, if it is time; `now` in monotonic seconds."""
        if self._waiting and now - self._written >= EVERY_S:
            self._write(now)

    def close(self) -> None:
        """Write what waits."""
        if self._waiting:
            self._write(self._clock.monotonic())

    def _write(self, now: float) -> None:
        self._written = now
        lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in self._waiting)
        try:
            self._append(lines)
        except OSError as error:
            # What waits is tried again.
            text = f"{self._path}: {error}; who changed what is not kept"
            if self._journal.problem("access_log", text, self._clock.wall()):
                log.warning("%s", text)
            return
        self._waiting.clear()
        self._journal.solved("access_log")

    def _append(self, lines: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            size = file.tell()
            # After a power cut the file may end in the middle of a line.
            file.write(lines if size == 0 else b"\n" + lines)
        if size + len(lines) > LARGEST:
            self._path.replace(self._older)

    def entries(self) -> Iterator[Entry]:
        """All lines there are, newest first; one that is damaged is left out and counted."""
        yield from reversed(self._waiting)
        for path in (self._path, self._older):
            try:
                lines = path.read_bytes().splitlines()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise Refused(Code.INTERNAL, f"{path.name} cannot be read: {error.strerror}") from error
            for line in reversed(lines):
                if line:
                    yield from self._read(line)

    def _read(self, line: bytes) -> Iterator[Entry]:
        try:
            yield msgspec.json.decode(line, type=Entry)
        except ValueError:
            self._journal.count("unreadable_access_lines")

    def verb(self) -> Action:
        """Return the verb `log`, by which clients read it."""

        def run(asked: Wanted, place: Place) -> Listing:
            # A page goes on behind so many lines; one that came meanwhile shows the last of them again.
            done = 0 if place.after is None else int(place.after[0])
            return Listing(self._parts(asked, done), lambda found: [part.value for part in found])

        return action(Wanted, run, key=tuple[int])

    def _parts(self, asked: Wanted, done: int) -> Parts:
        for number, entry in enumerate(self.entries(), 1):
            if number > asked.limit:
                return
            if number > done:
                yield Part((number,), entry)
                yield None


def _printable(text: str) -> str:
    """Make a text from outside harmless for a terminal."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)
