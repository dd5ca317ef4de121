"""Says the newest aggregates of every device, retained; corrected ones again with a higher `rev`."""

from collections.abc import Collection, Iterable

from msgspec.structs import replace

from bus.events import Publishes
from bus.messages import Aggregate, Statistics, encode, to_iso
from bus.topics import Topics
from statistician.arithmetic.algorithm import Row
from statistician.arithmetic.live import Entities
from statistician.arithmetic.periods import HOUR, MINUTES_5, hour_of
from statistician.records import StoredRow, Table
from statistician.store import Store

_LENGTHS = {Table.FIVE_MINUTES: MINUTES_5, Table.HOUR: HOUR}
PARTS = {Table.FIVE_MINUTES: "5minute", Table.HOUR: "hour"}


class Aggregates:
    """Publishes rows as `statistics` messages; times are ms."""

    def __init__(self, bus: Publishes, topics: Topics, store: Store, entities: Entities) -> None:
        self._bus = bus
        self._topics = topics
        self._store = store
        self._entities = entities
        # What was said last on a topic: the period's start and rev.
        self._said: dict[str, tuple[int, int]] = {}

    def say(self, table: Table, rows: Iterable[StoredRow]) -> None:
        """Publish rows of one period, a message for each device."""
        devices: dict[str, list[StoredRow]] = {}
        for row in rows:
            devices.setdefault(self._entities[row.entity].record.device, []).append(row)
        for device, its in devices.items():
            self._say_device(table, device, its[0].start, its)

    def _say_device(self, table: Table, device: str, start: int, rows: list[StoredRow]) -> None:
        topic = self._topics.statistics(device, PARTS[table])
        # Corrections of one row and of another must both count; so must one that took a row away.
        rev = sum(row.rev for row in rows)
        said_start, said_rev = self._said.get(topic, (None, 0))
        if said_start == start:
            rev = max(rev, said_rev + 1)
        message = Statistics(
            start=to_iso(start),
            end=to_iso(start + _LENGTHS[table]),
            rev=rev,
            entities={self._entities[row.entity].record.entity: _rounded(aggregate(row.row)) for row in rows},
        )
        self._said[topic] = (start, rev)
        self._bus.publish(topic, encode(message), retain=True)

    def say_newest(self, open_period: int) -> None:
        """Publish what a restart made the broker forget: the newest period and hour. Raises StoreError."""
        for table, start in _newest(open_period).items():
            for device in self._devices():
                self._say_stored(table, start, device)

    def take_back(self, open_period: int) -> None:
        """Replace what was said of a time that is not yet, by the newest rows or by nothing.

        Raises StoreError.
        """
        for table, start in _newest(open_period).items():
            for device in self._devices():
                if not self._say_stored(table, start, device):
                    topic = self._topics.statistics(device, PARTS[table])
                    self._said.pop(topic, None)
                    self._bus.publish(topic, b"", retain=True)

    def say_corrected(self, changed: Collection[tuple[Table, int, int]], open_period: int) -> None:
        """Publish again what was corrected in the newest period and hour. Raises StoreError."""
        for table, start in _newest(open_period).items():
            numbers = [number for where, when, number in changed if (where, when) == (table, start)]
            for device in self._devices(numbers):
                self._say_stored(table, start, device)

    def say_newest_of(self, numbers: Collection[int], open_period: int) -> None:
        """Publish again what a fix may have changed in the newest period and hour. Raises StoreError."""
        for table, start in _newest(open_period).items():
            for device in self._devices(numbers):
                said = self._said.get(self._topics.statistics(device, PARTS[table]))
                # Of rows that are gone clients must hear, too; of what they never heard they need not.
                if not self._say_stored(table, start, device) and said is not None and said[0] == start:
                    self._say_device(table, device, start, [])

    def say_renamed(self, devices: Collection[str], open_period: int) -> None:
        """Publish again what devices have now; of one without entities nothing stays. Raises StoreError."""
        for device in sorted(devices):
            numbers = [live.record.id for live in self._entities if live.record.device == device]
            if numbers:
                self.say_newest_of(numbers, open_period)
                continue
            empty(self._bus, self._topics, device)
            for part in PARTS.values():
                self._said.pop(self._topics.statistics(device, part), None)

    def _devices(self, numbers: Collection[int] | None = None) -> list[str]:
        """Return the devices of entities, of all if none are named."""
        lives = self._entities if numbers is None else map(self._entities.__getitem__, numbers)
        return sorted({live.record.device for live in lives})

    def _say_stored(self, table: Table, start: int, device: str) -> bool:
        """Publish a device's rows as they are on disk; False if there are none."""
        its = [live.record.id for live in self._entities.of(device).values()]
        read = self._store.statistics.between
        rows = [row for number in its for row in read(table, number, start, start + 1)]
        if rows:
            self._say_device(table, device, start, rows)
        return bool(rows)


def empty(bus: Publishes, topics: Topics, device: str) -> None:
    """Clear what is retained of a device's aggregates: it would be read as news for ever."""
    for part in PARTS.values():
        bus.publish(topics.statistics(device, part), b"", retain=True)


def _newest(open_period: int) -> dict[Table, int]:
    return {Table.FIVE_MINUTES: open_period - MINUTES_5, Table.HOUR: hour_of(open_period) - HOUR}


def aggregate(row: Row) -> Aggregate:
    """Return a row as clients see it."""
    return Aggregate(
        mean=row.mean,
        min=row.min,
        max=row.max,
        state=row.state,
        sum=row.sum,
        sum_increase=row.sum_increase,
        sum_decrease=row.sum_decrease,
        last_reset=None if row.last_reset is None else to_iso(row.last_reset),
        coverage=row.coverage,
    )


def _rounded(one: Aggregate) -> Aggregate:
    return one if one.coverage is None else replace(one, coverage=round(one.coverage, 6))
