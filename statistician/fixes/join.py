"""Joining series: sums go on from the row before the joint, and come out the same when made again."""

from dataclasses import dataclass, field, replace

from bus.about import TOTAL
from statistician.arithmetic.algorithm import RESET_BELOW, Row, accumulator
from statistician.arithmetic.periods import HOUR, MINUTES_5, due_at
from statistician.context import Context
from statistician.records import Adjustment, EntityRecord, StoredRow, Table
from statistician.store.series import Amounts, Shift

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
        """How many rows of a table were moved."""
        return len({row.start for shift in self.shifts for row in shift.rows[table.value]})


def moved(record: EntityRecord, last: StoredRow, first: StoredRow) -> float | None:
    """How far the counter itself went between two rows; None: nobody knows, or it was reset or replaced."""
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
        joined.shifts.append(context.store.series.shift(record.id, joint.five, joint.hour, amounts))
        return
    base: StoredRow | None = last
    if remade:
        first = _first(context, record, joint) or first
        base = context.store.statistics.latest(record.id, first.start)
    wanted = (first.row.sum or 0.0) + amount
    known = record.adjusted(-1 if base is None else base.start, first.start)
    natural = _made(record, base, joint.carried, first, known).sum
    extra = 0.0 if natural is None else wanted - natural
    if not _same(amount, wanted):
        again = _made(record, base, joint.carried, first, known + extra)
        amounts = Amounts(amount, *(_less(getattr(again, one), getattr(first.row, one)) for one in _STEPS))
        joined.shifts.append(context.store.series.shift(record.id, joint.five, joint.hour, amounts))
    if remade and not _same(extra, wanted):
        joined.adjusted.append((record.id, first.start, extra))
        adjustments = tuple(sorted((*record.adjustments, Adjustment(first.start, extra, joint.renamed))))
        joined.record = replace(record, adjustments=adjustments)


def _first(context: Context, record: EntityRecord, joint: Joint) -> StoredRow | None:
    """Return the first row that a joint moves."""
    series = context.store.series
    rows = (
        series.first_sum(Table.FIVE_MINUTES, record.id, joint.five),
        series.first_sum(Table.HOUR, record.id, joint.hour),
    )
    return min((row for row in rows if row is not None), key=lambda row: row.start, default=None)


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
    """Whether another device counts from between two rows on."""
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
        context.store.series.shift_back(shift)
    left = list(record.adjustments)
    for _, start, _, amount in (one for one in context.store.fixes.adjusted(record.id) if one[2] == fix):
        left.remove(next(one for one in left if one[:2] == (start, amount)))
    context.store.fixes.remove_adjusted(fix)
    return replace(record, adjustments=tuple(left))
