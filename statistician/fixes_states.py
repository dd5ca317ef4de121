"""Fixes of states, and making rows again from them."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from bus.about import TOTAL, TOTAL_INCREASING
from statistician.arithmetic.counters import HeldReading, Judged
from statistician.arithmetic.periods import MINUTES_5, period_of
from statistician.fixes_ground import Change, FixError, Ground, full_name, moment
from statistician.fixes_params import AcceptReading, DeleteStates, DeviceReplaced, Recompile, Summary
from statistician.records import EntityRecord, Span, State
from statistician.store_fixes import Entry, Undo

# States removed at once: they are kept for undo.
MOST_STATES = 100_000


def delete_states(ground: Ground, asked: DeleteStates) -> Change:
    """Remove states; the state before holds on, and rows are made again by and by."""
    record = ground.find(asked.entity).record
    start, end = _range(asked)
    states = ground.store.states.between(start, end, {record.id})
    if not states:
        raise FixError("not_found", f"{'start' if asked.ts is None else 'ts'}: there is no state then")
    if len(states) > MOST_STATES:
        raise FixError("limit", f"end: at most {MOST_STATES} states at once, not {len(states)}")
    ground.store.fixes.remove_states(record.id, start, end)
    span = _span(ground, states[0].ts, states[-1].ts)
    return Change(
        Summary(
            entities=(full_name(record),), states=len(states), periods=_periods(ground, states[0].ts, span)
        ),
        {record.id},
        Undo(states=states),
        spans={} if span is None else {record.id: span},
        states=True,
    )


def undo_delete_states(ground: Ground, undo: Undo) -> Change:
    """Put the states back."""
    first, last = undo.states[0], undo.states[-1]
    record = ground.entities[first.entity].record
    there = {s.ts for s in ground.store.states.between(first.ts, last.ts + 1, {first.entity})}
    # What came for the same moment meanwhile came last, and counts.
    states = [state for state in undo.states if state.ts not in there]
    ground.store.states.put(states)
    span = _span(ground, first.ts, last.ts)
    return Change(
        Summary(entities=(full_name(record),), states=len(states), periods=_periods(ground, first.ts, span)),
        {first.entity},
        spans={} if span is None else {first.entity: span},
        states=True,
    )


def accept_reading(ground: Ground, asked: AcceptReading) -> Change:
    """Let a reading count that was held or left out; rows are made again by and by."""
    record = ground.find(asked.entity).record
    reading = ground.store.held.get(record.id, moment(asked.ts, "ts"))
    if reading is None or reading.verdict == "accepted":
        raise FixError(
            "not_found", "ts: no reading was left out then; the verb outliers lists those that were"
        )
    change = _judged(ground, reading, "accepted")
    change.undo = Undo(held=[reading])
    return change


def undo_accept_reading(ground: Ground, undo: Undo) -> Change:
    """Leave the reading out again."""
    return _judged(ground, undo.held[0], "left_out")


def _judged(ground: Ground, reading: HeldReading, verdict: Judged) -> Change:
    ground.store.held.judge(reading.entity, reading.ts, verdict)
    if verdict == "accepted":
        ground.store.states.put([State(reading.ts, reading.entity, reading.value, None)])
    else:
        ground.store.states.remove([(reading.ts, reading.entity)])
    record = ground.entities[reading.entity].record
    span = _span(ground, reading.ts, reading.ts)
    return Change(
        Summary(entities=(full_name(record),), states=1, periods=_periods(ground, reading.ts, span)),
        {record.id},
        spans={} if span is None else {record.id: span},
    )


def device_replaced(ground: Ground, asked: DeviceReplaced) -> Change:
    """From a time on the counters of a device are others: the first number of each is a new zero point."""
    at = ground.now if asked.at is None else moment(asked.at, "at")
    if at > ground.now:
        raise FixError("invalid", "at: allowed are times until now; ask again when it has been replaced")
    if at < ground.horizon:
        text = f"at: states are kept for {ground.keep_days} days, those before are gone; use adjust_sum"
        raise FixError("limit", text)
    its = [live.record for live in ground.entities if live.record.device == asked.device]
    if not its:
        raise FixError(
            "not_found", f"device: there is no device {asked.device!r}; the verb entities lists all"
        )
    its = [record for record in its if record.state_class in (TOTAL, TOTAL_INCREASING)]
    if not its:
        raise FixError("not_found", f"device: {asked.device!r} has no counters: nothing needs to be done")
    records = [replace(record, renewals=tuple(sorted({*record.renewals, at}))) for record in its]
    change = _renewed(ground, records, at)
    change.undo = Undo()
    change.renewed = [(record.id, at) for record in records]
    return change


def _renewed(ground: Ground, records: Sequence[EntityRecord], at: int) -> Change:
    # The first number may be long after.
    spans = {r.id: Span(at, ground.open - 1) for r in records} if at < ground.open else {}
    return Change(
        Summary(
            entities=tuple(map(full_name, records)),
            periods=sum(_periods(ground, at, span) for span in spans.values()),
        ),
        {record.id for record in records},
        records=list(records),
        spans=spans,
    )


def undo_device_replaced(ground: Ground, entry: Entry) -> Change:
    """It was the same device after all."""
    asked = msgspec.json.decode(entry.params, type=DeviceReplaced)
    at = entry.ts if asked.at is None else moment(asked.at, "at")
    if at < ground.horizon:
        raise FixError("limit", "id: the states since then, of which the sums would be made, are gone")
    ground.store.fixes.remove_renewed(entry.id)
    left = ground.store.fixes.renewals()
    its = [ground.record(number) for number in entry.entities]
    return _renewed(ground, [replace(record, renewals=left.get(record.id, ())) for record in its], at)


def _range(asked: DeleteStates) -> tuple[int, int]:
    if asked.ts is not None:
        if asked.start is not None or asked.end is not None:
            raise FixError("invalid", "ts: allowed is either ts, or start and end")
        ts = moment(asked.ts, "ts")
        return ts, ts + 1
    if asked.start is None or asked.end is None:
        raise FixError("invalid", "start: allowed is either ts, or start and end")
    start, end = moment(asked.start, "start"), moment(asked.end, "end")
    if start >= end:
        raise FixError("invalid", "start: it must be before end")
    return start, end


def _span(ground: Ground, since: int, until: int) -> Span | None:
    return Span(since, until) if since < ground.open else None


def _periods(ground: Ground, since: int, span: Span | None) -> int:
    return 0 if span is None else (ground.open - period_of(since)) // MINUTES_5


def recompile(ground: Ground, asked: Recompile) -> Change:
    """Make rows again from states; what was adjusted or imported stays, what was cleared comes back."""
    start = moment(asked.start, "start")
    end = ground.open if asked.end is None else min(moment(asked.end, "end"), ground.open)
    if start >= end:
        raise FixError("invalid", "start: it must be before end and in a period that was compiled")
    if start < ground.horizon:
        raise FixError("limit", f"start: states are kept for {ground.keep_days} days; those before are gone")
    names = asked.entities
    lives = list(ground.entities) if names is None else [ground.find(name, "entities") for name in names]
    records = [
        replace(live.record, begins=period_of(start))
        for live in lives
        if live.record.begins > period_of(start)
    ]
    ground.store.put_entities(records)
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
