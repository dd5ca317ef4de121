"""Fixes of rows: adjusting sums, clearing."""

from dataclasses import replace

from statistician.arithmetic.periods import MINUTES_5, hour_of, period_of
from statistician.arithmetic.units import difference
from statistician.fixes_ground import Change, FixError, Ground, finite, full_name, moment
from statistician.fixes_params import AdjustSum, Clear, Summary
from statistician.records import Adjustment, EntityRecord, Span, Table
from statistician.store_fixes import Undo

# Rows of all entities cleared together, for they are held in memory: undo keeps them.
MOST_CLEARED = 100_000
_EVER = 2**60


def first_period(start: int) -> int:
    """The first 5-minute period that an adjustment from `start` on counts in.

    It is the first that begins then or later, but in the hour of `start`, whose row counts, too.
    """
    first = period_of(start + MINUTES_5 - 1)
    return first if hour_of(first) == hour_of(start) else first - MINUTES_5


def adjust_sum(ground: Ground, asked: AdjustSum) -> Change:
    """Add to every sum from a time on; rows that are made later or again go on from there."""
    record = ground.find(asked.entity).record
    start = moment(asked.start, "start")
    if start >= ground.open + MINUTES_5:
        raise FixError("invalid", "start: no sum is known of that time yet")
    if record.kept_unit is None:
        raise FixError("not_found", f"entity: {asked.entity!r} has no statistics yet")
    finite(asked.adjustment, "adjustment")
    try:
        unit = record.kept_unit if asked.unit is None else asked.unit
        amount = difference(asked.adjustment, unit, record.kept_unit)
    except ValueError as error:
        raise FixError("invalid", f"unit: {error}") from error
    base = ground.store.statistics.latest(record.id, _EVER)
    if base is None or base.row.sum is None:
        raise FixError("not_found", f"entity: {asked.entity!r} has no sums")
    return _adjusted(ground, record, start, amount)


def _adjusted(ground: Ground, record: EntityRecord, start: int, amount: float) -> Change:
    first = first_period(start)
    five, hours = ground.store.fixes.adjust(record.id, first, hour_of(start), amount)
    adjustments = tuple(sorted((*record.adjustments, Adjustment(first, amount))))
    return Change(
        Summary(entities=(full_name(record),), five_minute_rows=five, hourly_rows=hours),
        {record.id},
        Undo(),
        records=[replace(record, adjustments=adjustments)],
        rows=True,
        adjusted=[(record.id, first, amount)],
    )


def undo_adjust_sum(ground: Ground, number: int, fix: int) -> Change:
    """Take away again what was added, wherever it went since."""
    record = ground.entities[number].record
    (mine,) = [one for one in ground.store.fixes.adjusted(number) if one[2] == fix]
    _, first, _, amount = mine
    ground.store.fixes.remove_adjusted(fix)
    left = list(record.adjustments)
    left.remove(Adjustment(first, amount))
    change = _adjusted(ground, replace(record, adjustments=tuple(left)), first, -amount)
    change.records = [replace(record, adjustments=tuple(left))]
    change.adjusted = []
    return change


def clear(ground: Ground, asked: Clear) -> Change:
    """Remove all rows; the open period begins afresh, its zero point is the value carried in."""
    records = {ground.find(name, "entities").record.id: name for name in asked.entities}
    rows = sum(ground.store.series.count(table, number) for number in records for table in Table)
    # Ten years of one entity must be clearable.
    if rows > MOST_CLEARED and len(records) > 1:
        raise FixError("limit", f"entities: their {rows} rows are too many at once: one at a time")
    undo, after = Undo(cleared_at=ground.open), []
    five = hours = 0
    for number in records:
        record = ground.entities[number].record
        read = ground.store.statistics.between
        undo.five_minutes.extend(read(Table.FIVE_MINUTES, number, 0, _EVER))
        undo.hours.extend(read(Table.HOUR, number, 0, _EVER))
        undo.imported.extend(ground.store.fixes.imports(number))
        undo.adjusted.extend(ground.store.fixes.adjusted(number))
        undo.records.append(record)
        ground.store.fixes.clear(number)
        after.append(replace(record, kept_unit=None, kept_angle=None, begins=ground.open, adjustments=()))
    five, hours = len(undo.five_minutes), len(undo.hours)
    ground.store.put_entities(after)
    return Change(
        Summary(entities=tuple(map(full_name, after)), five_minute_rows=five, hourly_rows=hours),
        set(records),
        undo,
        records=after,
        rows=True,
    )


def undo_clear(ground: Ground, undo: Undo) -> Change:
    """Put the rows back, and make those since then again, from states: they must still be there."""
    since = undo.cleared_at
    if since < ground.horizon:
        raise FixError("limit", "id: the states since then, of which the sums would be made, are gone")
    records = []
    for before in undo.records:
        now = ground.entities[before.id].record
        adjustments = tuple(Adjustment(s, a) for e, s, _, a in undo.adjusted if e == before.id)
        records.append(
            replace(
                now,
                kept_unit=before.kept_unit,
                kept_angle=before.kept_angle,
                begins=before.begins,
                adjustments=adjustments,
            )
        )
    ground.store.statistics.put(Table.FIVE_MINUTES, undo.five_minutes)
    ground.store.statistics.put(Table.HOUR, undo.hours)
    ground.store.fixes.restore(undo)
    ground.store.put_entities(records)
    spans = {record.id: Span(since, ground.open) for record in records} if since < ground.open else {}
    return Change(
        Summary(
            entities=tuple(map(full_name, records)),
            five_minute_rows=len(undo.five_minutes),
            hourly_rows=len(undo.hours),
            periods=(ground.open - since) // MINUTES_5 * len(spans),
        ),
        {record.id for record in records},
        records=records,
        spans=spans,
        rows=True,
    )
