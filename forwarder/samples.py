"""Samples: what is known of all values at fixed times, made from readings in their order.

Pure; times are ms.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct

from bus.messages import Value, to_iso
from forwarder.feed import Gap
from forwarder.records import Reading, Record, Removed, Sample, StatisticsRow
from forwarder.shapes import RESET


class Known(Struct, array_like=True):
    """What an entity is since `ts`."""

    ts: int
    value: Value
    last_reset: int | None = None


class Sampler:
    """Takes readings and gives samples: at the times of `following`, after `sampled`, the newest one given.

    None of `sampled`: it begins with the first reading. `columns` gives a column its entity; without them
    every entity is one. With `resets` a sample also says when a total was reset.
    """

    def __init__(
        self,
        following: Callable[[int], int | None],
        columns: Mapping[str, str],
        *,
        resets: bool = False,
    ) -> None:
        self._following = following
        self._columns = columns
        self._resets = resets
        self.known: dict[str, Known] = {}
        self.sampled: int | None = None
        # What hourly rows say in place of readings holds up to here.
        self.gap_end: int | None = None

    def next_at(self, now: int) -> int | None:
        """Return when the next sample is due; `now` where nothing was sampled yet."""
        return now if self.sampled is None else self._following(self.sampled)

    def take(self, changes: Iterable[Record | Gap], until: int | None) -> Iterator[Sample]:
        """Give the samples that these changes, and all readings up to `until`, make complete.

        `until` None: more follows at once. `sampled` is always the newest that was given.
        """
        for change in changes:
            if isinstance(change, Removed):
                self._forget(change)
                continue
            yield from self._give((change.start if isinstance(change, Gap) else change.ts) - 1)
            if not isinstance(change, Gap):
                self._note(change)
            elif change.what == "reading":
                # Nothing is known but what hourly rows say.
                self.known.clear()
                self.gap_end = change.end
        if until is not None:
            yield from self._give(until)

    def _give(self, until: int) -> Iterator[Sample]:
        if self.sampled is None:
            self.sampled = until
        while (at := self._following(self.sampled)) is not None and at <= until:
            if self.gap_end is not None and at >= self.gap_end:
                self.known = {name: one for name, one in self.known.items() if one.ts >= self.gap_end}
                self.gap_end = None
            values = self._values(at)
            if all(value is None for value in values.values()):
                # Of years without any value, none is looked at.
                self.sampled = until if self.gap_end is None else min(until, self.gap_end)
                continue
            self.sampled = at
            yield Sample(at, values)

    def _values(self, at: int) -> dict[str, Value]:
        names = self._columns or {name: name for name in sorted(self.known)}
        values: dict[str, Value] = {}
        for column, entity in names.items():
            one = self.known.get(entity)
            values[column] = None if one is None or one.ts > at else one.value
            if self._resets and one is not None and one.last_reset is not None:
                values[entity + RESET] = to_iso(one.last_reset)
        return values

    def _note(self, record: Record) -> None:
        before = self.known.get(record.entity)
        if before is not None and before.ts > record.ts:
            # It came late; what is in force is newer.
            return
        if isinstance(record, Reading):
            self.known[record.entity] = Known(record.ts, record.value, record.last_reset)
        elif isinstance(record, StatisticsRow) and self.gap_end is not None:
            mean = record.values.get("mean")
            value = record.values.get("state") if mean is None else mean
            self.known[record.entity] = Known(record.ts, value)

    def _forget(self, removed: Removed) -> None:
        one = self.known.get(removed.entity)
        if removed.what == "reading" and one is not None and removed.start <= one.ts < removed.end:
            self.known[removed.entity] = Known(removed.start, None)
