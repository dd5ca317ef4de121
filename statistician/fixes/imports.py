"""The fix that brings hourly rows from elsewhere; they join the running series."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

from bus.about import MEASUREMENT, MEASUREMENT_ANGLE
from bus.commands import Code, Refused
from statistician.arithmetic.algorithm import Row
from statistician.arithmetic.periods import HOUR, hour_of
from statistician.arithmetic.units import canonical, convert, difference
from statistician.context import Context, full_name, moment, parts
from statistician.fixes.join import Joined, Joint, ends, join, moved, separate
from statistician.fixes.params import Change, ImportedRow, ImportStatistics, Summary, finite
from statistician.records import EntityRecord, Since, StoredRow, Table
from statistician.store.fixes import Entry, Undo

# Rows of one request: most of a year.
MOST_ROWS = 8_000
_EVER = 2**60
_VALUES = ("mean", "min", "max", "state", "sum")
_SUMS = ("sum", "sum_increase", "sum_decrease")


def import_statistics(context: Context, asked: ImportStatistics) -> Change:
    """Write hourly rows, each whole; with the last of an entity its sums before and after them are joined."""
    if len(asked.rows) > MOST_ROWS:
        raise Refused(Code.LIMIT, f"rows: at most {MOST_ROWS} at once, not {len(asked.rows)}")
    pieces = _pieces(context, asked)
    before = _entity(context, asked)
    record = _settled(before, asked)
    undo = _write(context, asked, before, record)
    joined = Joined(record)
    if not asked.more:
        joined = _join(context, record, _block([*_undos(context, pieces, record.id), undo]))
    context.store.put_entities([joined.record])
    return Change(
        Summary(
            entities=(full_name(record),),
            five_minute_rows=joined.rows(Table.FIVE_MINUTES),
            hourly_rows=len(asked.rows) + joined.rows(Table.HOUR),
        ),
        {record.id},
        msgspec.structs.replace(undo, shifts=joined.shifts),
        records=[joined.record],
        rows=True,
        adjusted=joined.adjusted,
        imported={record.id: sorted(_hours([undo]))},
        piece_of=pieces[0] if pieces else None,
    )


def _write(context: Context, asked: ImportStatistics, before: EntityRecord, record: EntityRecord) -> Undo:
    unit = record.kept_unit if asked.unit is None else asked.unit
    rows = dict(_row(context, row, f"rows[{n}]", unit, record) for n, row in enumerate(asked.rows))
    if len(rows) != len(asked.rows):
        raise Refused(Code.INVALID, "rows: an hour stands there twice")
    stand = context.store.statistics.between(Table.HOUR, record.id, min(rows), max(rows) + 1)
    there = {row.start: row for row in stand if row.start in rows}
    revs = {start: row.rev + 1 for start, row in there.items()}
    new = [StoredRow(record.id, start, row, revs.get(start, 0)) for start, row in rows.items()]
    context.store.statistics.put(Table.HOUR, new)
    return Undo(
        records=[before],
        hours=list(there.values()),
        absent=[(record.id, start) for start in rows if start not in there],
        imported=[one for one in context.store.fixes.imports(record.id) if one[1] in rows],
    )


def _pieces(context: Context, asked: ImportStatistics) -> list[int]:
    """Return the fixes that this request goes on with."""
    if asked.part_of is None:
        return []
    pieces = context.store.fixes.whole(asked.part_of)
    entry = context.store.fixes.entry(pieces[0])
    if entry is None or entry.verb != "import_statistics":
        raise Refused(Code.NOT_FOUND, f"import: there is no import {asked.part_of}")
    if entry.undone is not None:
        raise Refused(Code.INVALID, f"import: {entry.id} was taken back; begin again, without it")
    newer = context.store.fixes.standing_on(entry.id)
    if newer is not None:
        raise Refused(Code.INVALID, f"import: fix {newer[0]} ({newer[1]}) is newer; begin again, without it")
    return pieces


def _undos(context: Context, pieces: Iterable[int], entity: int) -> list[Undo]:
    """Return what takes back those pieces that belong to an entity."""
    entries = [context.store.fixes.entry(number) for number in pieces]
    its = [entry.id for entry in entries if entry is not None and entry.entities == (entity,)]
    return [undo for undo in map(context.store.fixes.undo_of, its) if undo is not None]


def _hours(undos: Iterable[Undo]) -> set[int]:
    return {
        start for undo in undos for start in (*(s for _, s in undo.absent), *(r.start for r in undo.hours))
    }


@dataclass(frozen=True, slots=True)
class _Block:
    """The hours that one import brought of an entity, and the rows of our own that stood in their place."""

    start: int
    end: int
    replaced: dict[int, StoredRow]


def _block(undos: list[Undo]) -> _Block:
    hours = _hours(undos)
    # What users had brought before was not ours.
    theirs = {start for undo in undos for _, start, _ in undo.imported}
    replaced = {row.start: row for undo in undos for row in undo.hours if row.start not in theirs}
    return _Block(min(hours), max(hours) + HOUR, replaced)


def _join(context: Context, record: EntityRecord, block: _Block) -> Joined:
    """Let the imported sums go on from what precedes them, and what follows them from theirs."""
    series, number = context.store.series, record.id
    joined = Joined(record)
    first = series.first_sum(Table.HOUR, number, block.start)
    if first is None or first.start >= block.end:
        return joined
    imported = {start for _, start, _ in context.store.fixes.imports(number)}
    before = context.store.statistics.latest(number, block.start)
    after = _after(context, number, block, before)
    # Rows that replace our own from the first on are meant as they are.
    if before is not None and before.row.sum is not None and block.start not in block.replaced:
        known = hour_of(before.start) not in imported
        if known or moved(record, before, first) is not None:
            join(context, joined, Joint(before, first, 0.0, block.start, block.start), remade=False)
    last = series.last_sum(Table.HOUR, number, block.end)
    if after is None or last is None:
        return joined
    table, start, growth = after
    (next_row,) = context.store.statistics.between(table, number, start, start + 1)
    # Where nobody knows the counter, rows that replace our own are a correction, as with Home Assistant.
    known = None not in (last.row.state, next_row.row.state) or last.start not in block.replaced
    ours = table is Table.FIVE_MINUTES or start not in imported
    if (known and ours) or moved(record, last, next_row) is not None:
        join(context, joined, Joint(ends(last, Table.HOUR), next_row, growth, block.start, block.end))
    return joined


def _after(
    context: Context, number: int, block: _Block, before: StoredRow | None
) -> tuple[Table, int, float] | None:
    """Return the first row after a block, else the last within it, and how much of its sum is its own."""
    series = context.store.series
    five = series.first_sum(Table.FIVE_MINUTES, number, block.end)
    hour = series.first_sum(Table.HOUR, number, block.end)
    if five is None and hour is None:
        last = series.last_sum(Table.FIVE_MINUTES, number, block.end)
        return None if last is None or last.start < block.start else (Table.FIVE_MINUTES, last.start, 0.0)
    if five is not None and (hour is None or five.start <= hour.start):
        table, row = Table.FIVE_MINUTES, five
    elif hour is not None:
        table, row = Table.HOUR, hour
    ours = [ends(one, Table.HOUR) for start, one in block.replaced.items() if start < row.start]
    ours += [
        one for one in (series.last_sum(Table.FIVE_MINUTES, number, row.start), before) if one is not None
    ]
    base = max((one for one in ours if one.row.sum is not None), key=lambda one: one.start, default=None)
    return table, row.start, (row.row.sum or 0.0) - (0.0 if base is None else base.row.sum or 0.0)


def undo_import(context: Context, entry: Entry, undo: Undo) -> Change:
    """Put the hours back that the import replaced, and take those away that it brought."""
    fix = entry.id
    (before,) = undo.records
    record = separate(context, context.record(before.id), undo.shifts, fix)
    context.store.fixes.remove_imported(fix)
    context.store.statistics.put(Table.HOUR, [row._replace(rev=row.rev + 2) for row in undo.hours])
    for number, start in undo.absent:
        context.store.statistics.remove(Table.HOUR, number, start)
    context.store.fixes.restore(undo)
    if before.kept_unit is None and context.store.statistics.latest(before.id, _EVER) is None:
        record = replace(record, kept_unit=None, kept_angle=None)
    context.store.put_entities([record])
    moved_rows = Joined(record, shifts=undo.shifts)
    return Change(
        Summary(
            entities=(full_name(record),),
            five_minute_rows=moved_rows.rows(Table.FIVE_MINUTES),
            hourly_rows=len(undo.hours) + len(undo.absent) + moved_rows.rows(Table.HOUR),
        ),
        {before.id},
        records=[record],
        rows=True,
    )


def _entity(context: Context, asked: ImportStatistics) -> EntityRecord:
    device, key = parts(asked.entity, "entity")
    live = context.entities.find(device, key)
    if live is not None:
        return live.record
    if asked.state_class is None:
        raise Refused(
            Code.NOT_FOUND, f"entity: {asked.entity!r} is not known; to make it, name a state_class"
        )
    return EntityRecord(
        id=context.entities.next_number,
        device=device,
        entity=key,
        first=context.now,
        name=asked.name,
        unit=asked.unit,
        state_class=asked.state_class,
        units=(Since(0, canonical(asked.unit)),),
        classes=(Since(0, asked.state_class),),
    )


def _settled(record: EntityRecord, asked: ImportStatistics) -> EntityRecord:
    """Return the record with the unit and kind of its first rows, if these are the first."""
    if record.kept_unit is not None:
        return record
    angle = {MEASUREMENT: False, MEASUREMENT_ANGLE: True}.get(record.state_class or "")
    unit = record.unit if asked.unit is None else asked.unit
    return replace(record, kept_unit=canonical(unit), kept_angle=angle)


def _row(
    context: Context, row: ImportedRow, where: str, unit: str | None, record: EntityRecord
) -> tuple[int, Row]:
    start = moment(row.start, f"{where}.start")
    if start != hour_of(start):
        raise Refused(Code.INVALID, f"{where}.start: allowed are full hours")
    if start + HOUR > (context.open or hour_of(context.now)):
        raise Refused(Code.INVALID, f"{where}.start: that hour is not over")
    numbers: dict[str, float | None] = {}
    try:
        for name in dict.fromkeys((*_VALUES, *_SUMS)):
            value: float | None = getattr(row, name)
            change = difference if name in _SUMS else convert
            numbers[name] = (
                None if value is None else change(finite(value, f"{where}.{name}"), unit, record.kept_unit)
            )
    except ValueError as error:
        raise Refused(Code.INVALID, f"unit: {error}") from error
    if all(numbers[name] is None for name in _VALUES):
        raise Refused(Code.INVALID, f"{where}: one of {', '.join(_VALUES)} must be there")
    reset = None if row.last_reset is None else moment(row.last_reset, f"{where}.last_reset")
    if reset is None and numbers["sum"] is not None:
        # Else what comes next would be taken for the first number of a device that was replaced before.
        reset = max((at for at in record.renewals if at < start + HOUR), default=None)
    return start, Row(**numbers, last_reset=reset, coverage=row.coverage)
