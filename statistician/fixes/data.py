"""Fixes of states and rows: removing, adjusting, and making rows again."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from bus.about import TOTAL, TOTAL_INCREASING
from bus.commands import Code, Refused
from bus.messages import to_iso
from statistician.api import Context, full_name, moment, span
from statistician.arithmetic import MINUTES_5, hour_of, period_of
from statistician.arithmetic.counters import HeldReading, Judged
from statistician.arithmetic.units import difference
from statistician.fixes import params as asks
from statistician.fixes.params import Change, Summary, finite
from statistician.records import Adjustment, EntityRecord, Span, State, Table
from statistician.store.fixes import Entry, Undo

# States removed at once: they are kept for undo.
MOST_STATES = 100_000
# Numbers that a dry run of undo tells: they fit into its answer.
MOST_TOLD = 500


def delete_states(context: Context, asked: asks.DeleteStates) -> Change:
    """Remove states; the state before holds on, and rows are made again by and by."""
    record = context.find(asked.entity).record
    start, end = _range(asked)
    states = context.store.states.between(start, end, {record.id})
    if not states:
        raise Refused(Code.NOT_FOUND, f"{'start' if asked.ts is None else 'ts'}: there is no state then")
    if len(states) > MOST_STATES:
        raise Refused(Code.LIMIT, f"end: at most {MOST_STATES} states at once, not {len(states)}")
    context.store.fixes.remove_states(record.id, start, end)
    change = _changed(context, [record], states[0].ts, states[-1].ts, len(states))
    change.undo, change.states = Undo(states=states), True
    return change


def undo_delete_states(context: Context, _entry: Entry, undo: Undo) -> Change:
    """Put the states back."""
    first, last = undo.states[0], undo.states[-1]
    record = context.entities[first.entity].record
    there = {s.ts for s in context.store.states.between(first.ts, last.ts + 1, {first.entity})}
    # What came for the same moment meanwhile came last, and counts.
    states = [state for state in undo.states if state.ts not in there]
    context.store.states.put(states)
    change = _changed(context, [record], first.ts, last.ts, len(states))
    change.states = True
    # Texts may be too long for an answer.
    numbers = [state for state in states if not isinstance(state.value, str)]
    told = tuple((to_iso(state.ts), state.value) for state in numbers[:MOST_TOLD])
    change.summary = msgspec.structs.replace(change.summary, brought_back=told)
    return change


def accept_reading(context: Context, asked: asks.AcceptReading) -> Change:
    """Let a reading count that was held or left out; rows are made again by and by."""
    record = context.find(asked.entity).record
    reading = context.store.held.get(record.id, moment(asked.ts, "ts"))
    if reading is None or reading.verdict == "accepted":
        raise Refused(
            Code.NOT_FOUND, "ts: no reading was left out then; the verb outliers lists those that were"
        )
    change = _judged(context, reading, "accepted")
    change.undo = Undo(held=[reading])
    return change


def undo_accept_reading(context: Context, _entry: Entry, undo: Undo) -> Change:
    """Leave the reading out again."""
    return _judged(context, undo.held[0], "left_out")


def _judged(context: Context, reading: HeldReading, verdict: Judged) -> Change:
    context.store.held.judge(reading.entity, reading.ts, verdict)
    if verdict == "accepted":
        context.store.states.put([State(reading.ts, reading.entity, reading.value, None)])
    else:
        context.store.states.remove([(reading.ts, reading.entity)])
    return _changed(context, [context.entities[reading.entity].record], reading.ts, reading.ts, 1)


def device_replaced(context: Context, asked: asks.DeviceReplaced) -> Change:
    """From a time on the counters of a device are others: the first number of each is a new zero point."""
    at = context.now if asked.at is None else moment(asked.at, "at")
    if at > context.now:
        raise Refused(Code.INVALID, "at: allowed are times until now; ask again when it has been replaced")
    if at < context.horizon:
        days = context.settings.keep_days
        text = f"at: states are kept for {days} days, those before are gone; use adjust_sum"
        raise Refused(Code.LIMIT, text)
    its = [live.record for live in context.find_device(asked.device)]
    its = [record for record in its if record.state_class in (TOTAL, TOTAL_INCREASING)]
    if not its:
        raise Refused(Code.NOT_FOUND, f"device: {asked.device!r} has no counters: nothing needs to be done")
    records = [replace(record, renewals=tuple(sorted({*record.renewals, at}))) for record in its]
    change = _renewed(context, records, at)
    change.undo = Undo()
    change.renewed = [(record.id, at) for record in records]
    return change


def _renewed(context: Context, records: Sequence[EntityRecord], at: int) -> Change:
    # The first number may be long after.
    change = _changed(context, records, at, context.open - 1)
    change.records = list(records)
    return change


def undo_device_replaced(context: Context, entry: Entry, _undo: Undo) -> Change:
    """Let the counters go on: it was the same device after all."""
    asked = msgspec.json.decode(entry.params, type=asks.DeviceReplaced)
    at = entry.ts if asked.at is None else moment(asked.at, "at")
    if at < context.horizon:
        raise Refused(Code.LIMIT, "id: the states since then, of which the sums would be made, are gone")
    context.store.fixes.remove("renewed", entry.id)
    left = context.store.fixes.renewals()
    its = [context.record(number) for number in entry.entities]
    return _renewed(context, [replace(record, renewals=left.get(record.id, ())) for record in its], at)


def _range(asked: asks.DeleteStates) -> tuple[int, int]:
    if asked.ts is not None:
        if asked.start is not None or asked.end is not None:
            raise Refused(Code.INVALID, "ts: allowed is either ts, or start and end")
        ts = moment(asked.ts, "ts")
        return ts, ts + 1
    start, end = span(asked.start, asked.end)
    if start is None or end is None:
        raise Refused(Code.INVALID, "start: allowed is either ts, or start and end")
    return start, end


def _changed(
    context: Context, records: Sequence[EntityRecord], since: int, until: int, states: int = 0
) -> Change:
    """Have the rows made again of entities whose states changed from a time to another, if some are made."""
    spans = {record.id: Span(since, until) for record in records} if since < context.open else {}
    periods = (context.open - period_of(since)) // MINUTES_5 * len(spans)
    return Change(
        Summary(entities=tuple(map(full_name, records)), states=states, periods=periods),
        {record.id for record in records},
        spans=spans,
    )


def recompile(context: Context, asked: asks.Recompile) -> Change:
    """Make rows again from states; what was adjusted or imported stays, what was cleared comes back."""
    start = moment(asked.start, "start")
    end = context.open if asked.end is None else min(moment(asked.end, "end"), context.open)
    if start >= end:
        raise Refused(Code.INVALID, "start: it must be before end and in a period that was compiled")
    if start < context.horizon:
        raise Refused(
            Code.LIMIT, f"start: states are kept for {context.settings.keep_days} days; those before are gone"
        )
    names = asked.entities
    lives = list(context.entities) if names is None else [context.find(name, "entities") for name in names]
    records = [
        replace(live.record, begins=period_of(start))
        for live in lives
        if live.record.begins > period_of(start)
    ]
    context.store.put_entities(records)
    numbers = {live.record.id for live in lives}
    return Change(
        Summary(
            entities=tuple(full_name(live.record) for live in lives),
            periods=(end - period_of(start) + MINUTES_5 - 1) // MINUTES_5 * len(numbers),
        ),
        numbers,
        records=records,
        spans=dict.fromkeys(numbers, Span(start, end - 1)),
    )


# Rows of all entities cleared together, for they are held in memory: undo keeps them.
MOST_CLEARED = 100_000


def first_period(start: int) -> int:
    """Return the first 5-minute period that an adjustment from `start` on counts in.

    It is the first that begins then or later, but in the hour of `start`, whose row counts, too.
    """
    first = period_of(start + MINUTES_5 - 1)
    return first if hour_of(first) == hour_of(start) else first - MINUTES_5


def adjust_sum(context: Context, asked: asks.AdjustSum) -> Change:
    """Add to every sum from a time on; rows that are made later or again go on from there."""
    record = context.find(asked.entity).record
    start = moment(asked.start, "start")
    if start >= context.open + MINUTES_5:
        raise Refused(Code.INVALID, "start: no sum is known of that time yet")
    if record.kept_unit is None:
        raise Refused(Code.NOT_FOUND, f"entity: {asked.entity!r} has no statistics yet")
    finite(asked.adjustment, "adjustment")
    try:
        unit = record.kept_unit if asked.unit is None else asked.unit
        amount = difference(asked.adjustment, unit, record.kept_unit)
    except ValueError as error:
        raise Refused(Code.INVALID, f"unit: {error}") from error
    base = context.store.statistics.latest(record.id)
    if base is None or base.row.sum is None:
        raise Refused(Code.NOT_FOUND, f"entity: {asked.entity!r} has no sums")
    return _adjusted(context, record, start, amount)


def _adjusted(context: Context, record: EntityRecord, start: int, amount: float) -> Change:
    first = first_period(start)
    five, hours = context.store.fixes.adjust(record.id, first, hour_of(start), amount)
    adjustments = tuple(sorted((*record.adjustments, Adjustment(first, amount))))
    after = replace(record, adjustments=adjustments)
    change = Change.of([after], Undo(), five_minute_rows=five, hourly_rows=hours)
    change.adjusted = [(record.id, first, amount)]
    return change


def undo_adjust_sum(context: Context, entry: Entry, _undo: Undo) -> Change:
    """Take away again what was added, wherever it went since."""
    (number,), fix = entry.entities, entry.id
    record = context.entities[number].record
    (mine,) = [one for one in context.store.fixes.adjusted(number) if one[2] == fix]
    _, first, _, amount = mine
    context.store.fixes.remove("adjusted", fix)
    left = list(record.adjustments)
    left.remove(Adjustment(first, amount))
    change = _adjusted(context, replace(record, adjustments=tuple(left)), first, -amount)
    change.records = [replace(record, adjustments=tuple(left))]
    change.adjusted = []
    return change


def clear(context: Context, asked: asks.Clear) -> Change:
    """Remove all rows; the open period begins afresh, its zero point is the value carried in."""
    records = {context.find(name, "entities").record.id: name for name in asked.entities}
    rows = sum(context.store.statistics.count(table, number) for number in records for table in Table)
    # Ten years of one entity must be clearable.
    if rows > MOST_CLEARED and len(records) > 1:
        raise Refused(Code.LIMIT, f"entities: their {rows} rows are too many at once: one at a time")
    undo, after = Undo(cleared_at=context.open), []
    for number in records:
        record = context.entities[number].record
        read = context.store.statistics.between
        undo.five_minutes.extend(read(Table.FIVE_MINUTES, number, 0))
        undo.hours.extend(read(Table.HOUR, number, 0))
        undo.imported.extend(context.store.fixes.imports(number))
        undo.adjusted.extend(context.store.fixes.adjusted(number))
        undo.records.append(record)
        context.store.fixes.clear(number)
        after.append(replace(record, kept_unit=None, kept_angle=None, begins=context.open, adjustments=()))
    context.store.put_entities(after)
    return Change.of(after, undo, five_minute_rows=len(undo.five_minutes), hourly_rows=len(undo.hours))


def undo_clear(context: Context, _entry: Entry, undo: Undo) -> Change:
    """Put the rows back, and make those since then again, from states: they must still be there."""
    since = undo.cleared_at
    if since < context.horizon:
        raise Refused(Code.LIMIT, "id: the states since then, of which the sums would be made, are gone")
    kept = ("kept_unit", "kept_angle", "begins", "adjustments")
    records = [
        replace(context.entities[before.id].record, **{name: getattr(before, name) for name in kept})
        for before in undo.records
    ]
    context.store.statistics.put(Table.FIVE_MINUTES, undo.five_minutes)
    context.store.statistics.put(Table.HOUR, undo.hours)
    context.store.fixes.put("imported", undo.imported)
    context.store.fixes.put("adjusted", undo.adjusted)
    context.store.put_entities(records)
    change = Change.of(
        records,
        five_minute_rows=len(undo.five_minutes),
        hourly_rows=len(undo.hours),
        periods=max(0, (context.open - since) // MINUTES_5) * len(records),
    )
    if since < context.open:
        change.spans = {record.id: Span(since, context.open) for record in records}
    return change
