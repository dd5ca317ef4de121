"""Joining series: sums go on from the row before the joint; the fix that brings hours from elsewhere."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec

from bus.about import MEASUREMENT, MEASUREMENT_ANGLE, TOTAL
from bus.commands import Code, Refused
from statistician.api import Context, moment, parts
from statistician.arithmetic import HOUR, MINUTES_5, due_at, hour_of
from statistician.arithmetic.algorithm import RESET_BELOW, Row, accumulator
from statistician.arithmetic.units import canonical, convert, difference
from statistician.fixes.params import Change, ImportedRow, ImportStatistics, finite
from statistician.records import Adjustment, EntityRecord, Since, StoredRow, Table
from statistician.store.fixes import Entry, Undo
from statistician.store.statistics import Amounts, Shift

# Sums that differ by less than this share of themselves are the same.
_SAME = 1e-9
_NOTHING = Row()
_STEPS = ("sum_increase", "sum_decrease")


@dataclass(frozen=True, slots=True)
class Joint:
    """Where two series of an entity meet: the last row of one, and the first of the other to compare it with.

    From the period `five` and the hour `hour` on the sums are moved. Where the states do not tell how far the
    counter moved in between, the change of `first` is `growth`.
    """

    last: StoredRow
    first: StoredRow
    growth: float
    five: int
    hour: int
    # What was known in the period of `first` before it.
    carried: Row = _NOTHING
    # A rename joins them, not an import.
    renamed: bool = False


@dataclass(slots=True)
class Joined:
    """What joining did; the record has the adjustments."""

    record: EntityRecord
    shifts: list[Shift] = field(default_factory=list)
    adjusted: list[tuple[int, int, float]] = field(default_factory=list)

    def rows(self, table: Table) -> int:
        """Count how many rows of a table were moved."""
        return len({row.start for shift in self.shifts for row in shift.rows[table.value]})


def moved(record: EntityRecord, last: StoredRow, first: StoredRow) -> float | None:
    """Say how far the counter went between two rows; None: nobody knows, or it was reset or replaced."""
    one, other = last.row, first.row
    if _replaced(record, last, first):
        return None
    if one.state is None or other.state is None:
        return None
    if record.class_at(due_at(first.start)) == TOTAL:
        return other.state - one.state if one.last_reset == other.last_reset else None
    return other.state - one.state if other.state >= RESET_BELOW * one.state else None


def join(context: Context, joined: Joined, joint: Joint, *, remade: bool = True) -> None:
    """Move what follows a joint so that it goes on from what precedes it.

    `remade` says that rows after the joint may be made again from states: then an adjustment makes up for
    what that would give otherwise.
    """
    record, last, first = joined.record, joint.last, joint.first
    way = moved(record, last, first)
    step = joint.growth if way is None else way + record.adjusted(last.start, first.start)
    amount = (last.row.sum or 0.0) + step - (first.row.sum or 0.0)
    if _replaced(record, last, first):
        # Made again from states its sums begin anew by themselves: nothing is to make up for.
        amounts = Amounts(amount, *(getattr(last.row, one) or 0.0 for one in _STEPS))
        joined.shifts.append(context.store.statistics.shift(record.id, joint.five, joint.hour, amounts))
        return
    base: StoredRow | None = last
    if remade:
        first = context.store.statistics.first_of_sums(record.id, joint.five, joint.hour) or first
        base = context.store.statistics.latest(record.id, first.start)
    wanted = (first.row.sum or 0.0) + amount
    known = record.adjusted(-1 if base is None else base.start, first.start)
    natural = _made(record, base, joint.carried, first, known).sum
    extra = 0.0 if natural is None else wanted - natural
    if not _same(amount, wanted):
        again = _made(record, base, joint.carried, first, known + extra)
        amounts = Amounts(amount, *(_less(getattr(again, one), getattr(first.row, one)) for one in _STEPS))
        joined.shifts.append(context.store.statistics.shift(record.id, joint.five, joint.hour, amounts))
    if remade and not _same(extra, wanted):
        joined.adjusted.append((record.id, first.start, extra))
        adjustments = tuple(sorted((*record.adjustments, Adjustment(first.start, extra, joint.renamed))))
        joined.record = replace(record, adjustments=adjustments)


def _made(
    record: EntityRecord, base: StoredRow | None, carried: Row, row: StoredRow, adjustment: float
) -> Row:
    """Return the row that comes of another's state when it is made again on a base; empty without sums."""
    into = accumulator(record.class_at(due_at(row.start)), None if base is None else base.row, adjustment)
    if into is None or row.row.state is None:
        return Row()
    for one in (carried, row.row):
        into.feed(row.start, one.state, one.last_reset)
    return into.close(row.start + MINUTES_5) or Row()


def _replaced(record: EntityRecord, last: StoredRow, first: StoredRow) -> bool:
    """Say whether another device counts from between two rows on."""
    return any(last.start <= at < due_at(first.start) for at in record.renewals)


def _same(difference: float, value: float) -> bool:
    return abs(difference) <= _SAME * max(1.0, abs(value))


def _less(one: float | None, other: float | None) -> float:
    return 0.0 if one is None or other is None else one - other


def ends(row: StoredRow, table: Table) -> StoredRow:
    """Return a row as that of its last 5-minute period."""
    return row if table is Table.FIVE_MINUTES else row._replace(start=row.start + HOUR - MINUTES_5)


def separate(context: Context, record: EntityRecord, shifts: list[Shift], fix: int) -> EntityRecord:
    """Take back what joining did; returns the record without the adjustments of the fix."""
    for shift in reversed(shifts):
        context.store.statistics.shift_back(shift)
    left = list(record.adjustments)
    for _, start, _, amount in (one for one in context.store.fixes.adjusted(record.id) if one[2] == fix):
        left.remove(next(one for one in left if one[:2] == (start, amount)))
    context.store.fixes.remove("adjusted", fix)
    return replace(record, adjustments=tuple(left))


# Rows of one request: most of a year.
MOST_ROWS = 8_000
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
    change = Change.of(
        [joined.record],
        msgspec.structs.replace(undo, shifts=joined.shifts),
        five_minute_rows=joined.rows(Table.FIVE_MINUTES),
        hourly_rows=len(asked.rows) + joined.rows(Table.HOUR),
    )
    change.adjusted = joined.adjusted
    change.imported = {record.id: sorted(_hours([undo]))}
    change.piece_of = pieces[0] if pieces else None
    return change


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
    series, number = context.store.statistics, record.id
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
    series = context.store.statistics
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
    context.store.fixes.remove("imported", fix)
    context.store.statistics.put(Table.HOUR, [row._replace(rev=row.rev + 2) for row in undo.hours])
    for number, start in undo.absent:
        context.store.statistics.remove(Table.HOUR, number, start)
    context.store.fixes.put("imported", undo.imported)
    if before.kept_unit is None and context.store.statistics.latest(before.id) is None:
        record = replace(record, kept_unit=None, kept_angle=None)
    context.store.put_entities([record])
    moved_rows = Joined(record, shifts=undo.shifts)
    return Change.of(
        [record],
        five_minute_rows=moved_rows.rows(Table.FIVE_MINUTES),
        hourly_rows=len(undo.hours) + len(undo.absent) + moved_rows.rows(Table.HOUR),
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
