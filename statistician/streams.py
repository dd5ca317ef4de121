"""How far each stream of readings is known without a hole; the watermarks follow from it."""

from collections.abc import Iterable
from enum import Enum

import msgspec

from statistician.periods import DAY
from statistician.records import StreamRecord

FORGOTTEN_AFTER = 30 * DAY
# A collector begins a new one with each start of the machine; an enemy might with each message.
MOST_STREAMS = 5_000


class _Envelope(msgspec.Struct):
    """The place of a reading in its stream, legible even if the rest is not."""

    stream: str | None = None
    seq: int | None = None
    after: int | None = None


def envelope(payload: bytes) -> tuple[str, int, int | None] | None:
    """Stream, seq and after of a reading that cannot be read; None if even those are not there."""
    try:
        found = msgspec.json.decode(payload, type=_Envelope)
    except (ValueError, RecursionError):
        return None
    if found.stream is None or found.seq is None or not 0 <= found.seq < 2**53:
        return None
    return found.stream, found.seq, found.after


class Place(Enum):
    """Where a reading stands in its stream."""

    NEXT = "the one that was awaited, or of no stream"
    DUPLICATE = "already on disk, or about to be"
    GAP = "something before it is missing"


class Streams:
    """High-water marks: every seq up to `seq` is stored. Times are ms."""

    def __init__(self, records: Iterable[StreamRecord]) -> None:
        self._on_disk = {record.stream: record for record in records}
        self._marks = {record.stream: record.seq for record in self._on_disk.values()}
        # Streams heard since the last commit and when; those of them with a gap.
        self._heard: dict[str, int] = {}
        self._asked: set[str] = set()
        self.lost = 0

    def __contains__(self, stream: str) -> bool:
        return stream in self._marks

    def place(self, stream: str, seq: int, after: int | None, now: int) -> Place:
        """Find a reading's place and move the mark; seqs that will never come are counted as `lost`."""
        mark = self._marks.get(stream, 0)
        self._heard[stream] = now
        if after is not None and after > mark:
            if mark:
                self.lost += after - mark
            mark = after
        if seq == mark + 1:
            self._marks[stream] = seq
            return Place.NEXT
        self._marks[stream] = mark
        if seq <= mark:
            return Place.DUPLICATE
        self._asked.add(stream)
        return Place.GAP

    def moved(self) -> dict[str, StreamRecord]:
        """Streams heard since the last commit."""
        return {name: StreamRecord(name, self._marks[name], seen) for name, seen in self._heard.items()}

    def committed(self) -> list[StreamRecord]:
        """The watermarks to publish after a commit: those that moved, and, unmoved, those with a gap."""
        moved = self.moved()
        # The unmoved watermark of a mere duplicate stays unsaid: it would ask for everything again.
        said = [
            record
            for name, record in moved.items()
            if name in self._asked or name not in self._on_disk or self._on_disk[name].seq != record.seq
        ]
        self._on_disk.update(moved)
        self._heard = {}
        self._asked = set()
        return said

    def known(self, now: int) -> list[StreamRecord]:
        """The streams heard lately, as far as they are on disk."""
        return [r for r in self._on_disk.values() if now - r.seen <= FORGOTTEN_AFTER]

    @property
    def crowded(self) -> bool:
        """Whether there are more than may be remembered."""
        return len(self._on_disk) > MOST_STREAMS

    def forget_old(self, now: int) -> list[str]:
        """Drop the streams that are long silent, and the longest silent if they are too many; their names."""
        old = [name for name, r in self._on_disk.items() if now - r.seen > FORGOTTEN_AFTER]
        if self.crowded:
            # Some more than needed, so that it is not done again at once. One that speaks again starts anew.
            by_silence = sorted(self._on_disk, key=lambda name: self._on_disk[name].seen)
            old = by_silence[: len(by_silence) - MOST_STREAMS * 9 // 10]
        gone = [name for name in old if name not in self._heard]
        for name in gone:
            del self._on_disk[name]
            del self._marks[name]
        return gone
