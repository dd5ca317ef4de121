"""One entity's states of one period on their way into its row: which class, which unit, from which sum."""

import math
from dataclasses import replace

from bus.about import MEASUREMENT, MEASUREMENT_ANGLE
from bus.messages import Value
from statistician.arithmetic.algorithm import Accumulator, NewDay, Row, Sum, accumulator
from statistician.arithmetic.periods import MINUTES_5, due_at
from statistician.arithmetic.units import Conversion, canonical, conversion, unit_class
from statistician.records import EntityRecord, State, StoredRow


class _Converting:
    """Brings each number to the unit the statistics are kept in; what has none of its class is unknown."""

    __slots__ = ("_class", "_conversions", "_into", "_record", "_spoiled", "unit")

    def __init__(self, record: EntityRecord, into: Accumulator) -> None:
        self._record = record
        self._into = into
        self._class: str | None = None
        self._conversions: dict[str, Conversion | None] = {}
        self._spoiled = False
        # Empty until a unit is named: naming it later does not change the scale.
        self.unit = ""
        if record.kept_unit:
            self._set_unit(canonical(record.kept_unit))

    def _set_unit(self, unit: str) -> None:
        self.unit = unit
        self._class = unit_class(self._record.device_class, unit)

    def carry(self, start: int, heard: int, value: Value, last_reset: int | None) -> None:
        self._into.carry(start, heard, self._converted(value, self._record.unit_at(heard)), last_reset)

    def feed(self, ts: int, value: Value, last_reset: int | None) -> None:
        self._into.feed(ts, self._converted(value, self._record.unit_at(ts)), last_reset)

    def hear(self, ts: int) -> None:
        self._into.hear(ts)

    def _converted(self, value: Value, said: str | None) -> Value:
        if not isinstance(value, float):
            return value
        unit = canonical(said)
        if not self.unit and unit:
            self._set_unit(unit)
        return value if unit == self.unit else self._from_other(value, unit)

    def _from_other(self, value: float, unit: str) -> float | None:
        if self._class is None:
            # Without a converter one strange unit spoils the period.
            self._spoiled = True
            return None
        if unit not in self._conversions:
            self._conversions[unit] = conversion(self._class, unit, self.unit)
        how = self._conversions[unit]
        number = math.inf if how is None else how(value)
        return number if math.isfinite(number) else None

    def close(self, end: int) -> Row | None:
        return None if self._spoiled else self._into.close(end)


def open_period(
    record: EntityRecord,
    start: int,
    base: StoredRow | None,
    carried: State | None,
    *,
    heard: int,
    new_day: NewDay,
) -> Accumulator | None:
    """Return an accumulator with the state carried in, last heard at `heard`; None: there can be no row.

    The class that counts is the one in force when the period is due, whenever it is compiled.
    """
    kind = record.class_at(due_at(start))
    if kind is None or start < record.begins or not _goes_with(_angle(kind), record.kept_angle):
        return None
    after = -1 if base is None else base.start
    adjustment = record.adjusted(after, start) if record.adjustments else 0.0
    into = accumulator(
        kind,
        None if base is None else base.row,
        adjustment,
        expire=record.expire,
        since=0 if base is None else base.start + MINUTES_5,
        new_day=new_day if record.daily else None,
    )
    if into is None:
        return None
    later: list[int] = []
    if record.renewals and isinstance(into, Sum):
        pending, done = _renewals(record, start, base)
        known = -1 if carried is None else carried.ts
        into.renew([at for at in pending if at < known], done)
        later = [at for at in pending if at >= known]
    collector = into if _is_plain(record) else _Converting(record, into)
    if carried is not None:
        collector.carry(start, max(heard, carried.ts), carried.value, carried.last_reset)
    if later and isinstance(into, Sum):
        # What is carried in counts from the period's start on, but it is not from after these.
        into.renew(later, None)
    return collector


def _renewals(record: EntityRecord, start: int, base: StoredRow | None) -> tuple[list[int], int | None]:
    """Since when the counter is another one, as far as the base does not know it; and the latest it knows."""
    reset = None if base is None else base.row.last_reset
    pending = [at for at in record.renewals if at < start + MINUTES_5 and (reset is None or at > reset)]
    return pending, reset if reset in record.renewals else None


def _is_plain(record: EntityRecord) -> bool:
    """Whether every state is in the unit of the rows: nearly always so."""
    if len(record.units) > 1:
        return False
    return record.kept_unit is None or canonical(record.kept_unit) == canonical(record.unit)


def _angle(kind: str | None) -> bool | None:
    """Whether means of a class are directions; None if it has no means."""
    if kind == MEASUREMENT_ANGLE:
        return True
    return False if kind == MEASUREMENT else None


def _goes_with(angle: bool | None, kept: bool | None) -> bool:  # noqa: FBT001 — two of a kind, compared
    return angle is None or kept is None or angle == kept


def keeping(record: EntityRecord, start: int, collector: Accumulator) -> EntityRecord:
    """Return the record once the collector has made a row: unit and kind of rows are settled then."""
    unit = collector.unit if isinstance(collector, _Converting) else canonical(record.unit)
    angle = _angle(record.class_at(due_at(start)))
    if record.kept_unit == unit and record.kept_angle is angle:
        return record
    return replace(record, kept_unit=unit if not record.kept_unit else record.kept_unit, kept_angle=angle)
