"""How far each stream of readings is known without a hole, and whose it is; the watermarks follow from it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import msgspec

from bus.about import of_house
from bus.messages import IMPORT, BadMessageError, Reading, whole_number
from statistician.arithmetic import DAY
from statistician.records import StreamRecord

FORGOTTEN_AFTER = 30 * DAY
# A collector begins a new one with each start of the machine; an enemy might with each message.
MOST_STREAMS = 5_000
MOST_OWNERS = 10_000
# No stream grows faster than this, seqs a second, nor falls or rises further than this at once.
_FASTEST = 1_000
FURTHEST = 1_000_000


class Spot(NamedTuple):
    """The place of a reading in its stream; `ts` (ms) is None unless a clock that was right has said it."""

    stream: str
    seq: int
    after: int | None = None
    ts: int | None = None


class _Envelope(msgspec.Struct):
    stream: object = None
    seq: object = None
    after: object = None


def spot_of(reading: Reading) -> Spot | None:
    """Return the place that a reading claims; None if it is of no stream."""
    if reading.stream is None or reading.seq is None:
        return None
    return Spot(reading.stream, reading.seq, reading.after, reading.ts if reading.clock == "ok" else None)


def envelope(payload: bytes) -> Spot | None:
    """Return the place that an unreadable reading claims; None if even that cannot be read."""
    try:
        found = msgspec.json.decode(payload, type=_Envelope)
        seq = whole_number(found.seq, "seq")
    except (ValueError, RecursionError):
        return None
    if not isinstance(found.stream, str) or seq is None:
        return None
    try:
        return Spot(found.stream, seq, whole_number(found.after, "after"))
    except BadMessageError:
        # Its own place is filled all the same, else the stream would wait for it for ever.
        return Spot(found.stream, seq)


class Owners:
    """Which services the abouts of each device have named: only their streams may carry its readings.

    One that was named before stays: readings of a device that moved or was removed may still be waiting.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = set(pairs)
        # How many are of the house, and of strangers: neither takes room from the other.
        self._counts = Counter(of_house(service) for _, service in self._pairs)
        # Not on disk yet.
        self.new: list[tuple[str, str]] = []

    def add(self, device: str, service: str) -> None:
        """Remember what an about says. Raises BadMessageError if too many are known."""
        pair = (device, service)
        if pair in self._pairs:
            return
        if self._counts[of_house(service)] >= MOST_OWNERS:
            raise BadMessageError(f"service: more than {MOST_OWNERS} devices have one")
        self._pairs.add(pair)
        self._counts[of_house(service)] += 1
        self.new.append(pair)

    def owns(self, device: str, stream: str) -> bool:
        """Say whether a device's readings may be numbered in a stream."""
        service = service_of(stream)
        return service == IMPORT or (device, service) in self._pairs


def service_of(stream: str) -> str:
    """Return the service whose stream it is, as its name says."""
    return stream.partition("-")[0]


class StreamPlace(Enum):
    """Where a reading stands in its stream."""

    NEXT = "the one that was awaited, or of no stream"
    DUPLICATE = "already on disk, or about to be"
    GAP = "something before it is missing"


@dataclass(slots=True)
class _Mark:
    seq: int
    seen: int
    first: int | None = None
    newest: int | None = None


class Streams:
    """High-water marks: every seq up to `seq` is stored. Times are ms.

    Counted are `lost` (seqs that will never come), `jumps` (seqs and afters that cannot be) and `restarts`
    (counters that began again).
    """

    def __init__(self, records: Iterable[StreamRecord]) -> None:
        self._on_disk = {record.stream: record for record in records}
        self._marks = {r.stream: _Mark(r.seq, r.seen, r.first, r.newest) for r in self._on_disk.values()}
        # Streams heard since the last commit; those whose mark is said in any case; those to be refused.
        self._heard: set[str] = set()
        self._asked: set[str] = set()
        self._refused: set[str] = set()
        self._gaps: set[str] = set()
        # Streams whose marks committed last have moved and a gap all the same.
        self.gaps: frozenset[str] = frozenset()
        self.lost = self.jumps = self.restarts = 0

    def __contains__(self, stream: str) -> bool:
        return stream in self._marks

    def mark(self, stream: str) -> int:
        """Return the seq up to which all is stored, or about to be."""
        return self._marks[stream].seq if stream in self._marks else 0

    def place(self, spot: Spot, now: int) -> StreamPlace:
        """Find a reading's place and move the mark; whatever the place is, it is believed to be its owner's.

        A reading that is no DUPLICATE is to be stored. No mark passes a seq that neither came nor was said
        to be gone by a believable `after`.
        """
        stream, seq, after, ts = spot
        if seq == 0:
            # Streams begin at 1: it has no place, and nothing waits for it.
            return StreamPlace.NEXT
        mark = self._marks.setdefault(stream, _Mark(0, now))
        far = FURTHEST + _FASTEST * abs(now - mark.seen) // 1000
        mark.seen = now
        self._heard.add(stream)
        if after is not None and after >= seq:
            self.jumps += 1
            after = None
        if seq <= mark.seq:
            if _sent_again(mark, seq, after, ts):
                return StreamPlace.DUPLICATE
            self.restarts += 1
            # Said even if it is the number of the count before.
            self._asked.add(stream)
            mark.seq, mark.first = 0, None
        if after is not None and after > mark.seq and not self._skip(stream, mark, after, far):
            return StreamPlace.GAP
        return self._step(stream, mark, spot, far)

    def _skip(self, stream: str, mark: _Mark, after: int, far: int) -> bool:
        """Move the mark over what will never come; False if that cannot be. Of a new stream anything can."""
        if mark.seq and after - mark.seq > far:
            self.jumps += 1
            self._refused.add(stream)
            return False
        if mark.seq:
            self.lost += after - mark.seq
        mark.seq = after
        return True

    def _step(self, stream: str, mark: _Mark, spot: Spot, far: int) -> StreamPlace:
        if mark.seq and spot.seq - mark.seq > far:
            self.jumps += 1
        elif spot.ts is not None:
            mark.newest = spot.ts if mark.newest is None else max(mark.newest, spot.ts)
        if spot.seq == mark.seq + 1:
            if spot.seq == 1:
                mark.first = spot.ts
            mark.seq = spot.seq
            return StreamPlace.NEXT
        self._asked.add(stream)
        self._gaps.add(stream)
        return StreamPlace.GAP

    def moved(self) -> dict[str, StreamRecord]:
        """Streams heard since the last commit."""
        return {name: self._record(name) for name in self._heard}

    def _record(self, name: str) -> StreamRecord:
        mark = self._marks[name]
        return StreamRecord(name, mark.seq, mark.seen, mark.first, mark.newest)

    def committed(self) -> dict[str, int | None]:
        """Return the watermarks to publish after a commit: those that moved, began again or have a gap.

        None for a stream that is refused: its owner is to begin a new one.
        """
        moved = self.moved()
        # The unmoved watermark of a mere duplicate stays unsaid: it would ask for everything again.
        said: dict[str, int | None] = {
            name: None if name in self._refused else record.seq
            for name, record in moved.items()
            if name in self._asked
            or name in self._refused
            or name not in self._on_disk
            or self._on_disk[name].seq != record.seq
        }
        before = {name: record.seq for name, record in self._on_disk.items() if name in self._gaps}
        self.gaps = frozenset(n for n in self._gaps - self._refused if before.get(n) != moved[n].seq)
        self._on_disk.update(moved)
        self._heard, self._gaps = set(), set()
        self._asked = set()
        self._refused = set()
        return said

    def known(self, now: int) -> list[StreamRecord]:
        """Return the streams heard lately, as far as they are on disk."""
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


def _sent_again(mark: _Mark, seq: int, after: int | None, ts: int | None) -> bool:
    """Say whether a seq at or below the mark was taken before; False: its counter began again.

    The first of a stream is told by its time, whatever the clock does; the others by a time that no reading
    of the stream had reached. Without a time, a 1 that does not say `after` begins again.
    """
    if mark.seq - seq > FURTHEST:
        # No outbox keeps so many.
        return False
    if ts is None:
        return seq > 1 or after is not None
    if seq == 1:
        return ts == mark.first
    return mark.newest is None or ts <= mark.newest
