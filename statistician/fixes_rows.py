"""Fixes of rows: adjusting sums, clearing, bringing hourly rows from elsewhere."""

from dataclasses import replace

from bus.about import MEASUREMENT, MEASUREMENT_ANGLE
from statistician.algorithm import Row
from statistician.fixes_ground import Change, FixError, Ground, finite, full_name, moment, parts
from statistician.fixes_params import AdjustSum, Clear, ImportedRow, ImportStatistics, Summary
from statistician.periods import HOUR, MINUTES_5, hour_of, period_of
from statistician.records import Adjustment, EntityRecord, Since, Span, StoredRow, Table
from statistician.store_fixes import Undo
from statistician.units import canonical, convert, difference

# Rows of one import: most of a year.
MOST_ROWS = 8_000
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
    rows = sum(ground.store.fixes.count(table, number) for number in records for table in Table)
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


def import_statistics(ground: Ground, asked: ImportStatistics) -> Change:
    """Write hourly rows, each whole. Sums go on from the 5-minute rows; where there are none, from these."""
    if len(asked.rows) > MOST_ROWS:
        raise FixError("limit", f"rows: at most {MOST_ROWS} at once, not {len(asked.rows)}")
    before = _entity(ground, asked)
    record = _settled(before, asked)
    unit = record.kept_unit if asked.unit is None else asked.unit
    rows = [_row(ground, row, f"rows[{n}]", unit, record) for n, row in enumerate(asked.rows)]
    starts = [start for start, _ in rows]
    if len(set(starts)) != len(starts):
        raise FixError("invalid", "rows: an hour stands there twice")
    there = {
        row.start: row
        for row in ground.store.statistics.between(Table.HOUR, record.id, min(starts), max(starts) + 1)
        if row.start in set(starts)
    }
    undo = Undo(
        records=[before],
        hours=list(there.values()),
        absent=[(record.id, start) for start in starts if start not in there],
        imported=[one for one in ground.store.fixes.imports(record.id) if one[1] in set(starts)],
    )
    stored = [
        StoredRow(record.id, start, row, there[start].rev + 1 if start in there else 0) for start, row in rows
    ]
    ground.store.statistics.put(Table.HOUR, stored)
    ground.store.put_entities([record])
    return Change(
        Summary(entities=(full_name(record),), hourly_rows=len(rows)),
        {record.id},
        undo,
        records=[record],
        rows=True,
        imported={record.id: starts},
    )


def undo_import(ground: Ground, undo: Undo, fix: int) -> Change:
    """Put the hours back that the import replaced, and take those away that it brought."""
    (before,) = undo.records
    now = ground.entities[before.id].record
    ground.store.fixes.remove_imported(fix)
    ground.store.statistics.put(Table.HOUR, [row._replace(rev=row.rev + 2) for row in undo.hours])
    for number, start in undo.absent:
        ground.store.statistics.remove(Table.HOUR, number, start)
    ground.store.fixes.restore(undo)
    record = now
    if before.kept_unit is None and ground.store.statistics.latest(before.id, _EVER) is None:
        record = replace(now, kept_unit=None, kept_angle=None)
    ground.store.put_entities([record])
    return Change(
        Summary(entities=(full_name(now),), hourly_rows=len(undo.hours) + len(undo.absent)),
        {before.id},
        records=[record],
        rows=True,
    )


def _entity(ground: Ground, asked: ImportStatistics) -> EntityRecord:
    device, key = parts(asked.entity, "entity")
    live = ground.entities.find(device, key)
    if live is not None:
        return live.record
    if asked.state_class is None:
        raise FixError("not_found", f"entity: {asked.entity!r} is not known; to make it, name a state_class")
    return EntityRecord(
        id=ground.entities.next_number,
        device=device,
        entity=key,
        first=ground.now,
        name=asked.name,
        unit=asked.unit,
        state_class=asked.state_class,
        units=(Since(0, canonical(asked.unit)),),
        classes=(Since(0, asked.state_class),),
    )


def _settled(record: EntityRecord, asked: ImportStatistics) -> EntityRecord:
    """The record with the unit and kind of its first rows, if these are the first."""
    if record.kept_unit is not None:
        return record
    angle = {MEASUREMENT: False, MEASUREMENT_ANGLE: True}.get(record.state_class or "")
    unit = record.unit if asked.unit is None else asked.unit
    return replace(record, kept_unit=canonical(unit), kept_angle=angle)


def _row(
    ground: Ground, row: ImportedRow, where: str, unit: str | None, record: EntityRecord
) -> tuple[int, Row]:
    start = moment(row.start, f"{where}.start")
    if start != hour_of(start):
        raise FixError("invalid", f"{where}.start: allowed are full hours")
    if start + HOUR > (ground.open or hour_of(ground.now)):
        raise FixError("invalid", f"{where}.start: that hour is not over")
    names = ("mean", "min", "max", "state", "sum")
    numbers: dict[str, float | None] = {name: getattr(row, name) for name in names}
    try:
        for name, value in numbers.items():
            if value is not None:
                change = difference if name == "sum" else convert
                numbers[name] = change(finite(value, f"{where}.{name}"), unit, record.kept_unit)
    except ValueError as error:
        raise FixError("invalid", f"unit: {error}") from error
    if all(value is None for value in numbers.values()):
        raise FixError("invalid", f"{where}: one of {', '.join(names)} must be there")
    reset = None if row.last_reset is None else moment(row.last_reset, f"{where}.last_reset")
    return start, Row(
        mean=numbers["mean"],
        min=numbers["min"],
        max=numbers["max"],
        state=numbers["state"],
        sum=numbers["sum"],
        last_reset=reset,
        coverage=row.coverage,
    )
