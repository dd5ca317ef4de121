"""What users put right: the table of fixes, and the engine that makes them and takes them back.

Each is one transaction, and journalled.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw

from bus.commands import Code, Refused
from bus.messages import to_iso
from bus.requests import LARGEST
from statistician.api import Context
from statistician.corrections import merge
from statistician.entities import Entities
from statistician.fixes import data, joining, naming
from statistician.fixes import params as asks
from statistician.fixes.params import (
    Change,
    FixParams,
    Journalled,
    ListFixes,
    Summary,
    UndoFix,
    names,
    whole_of,
)
from statistician.records import Span
from statistician.store.fixes import Entry, Undo
from statistician.store.statistics import EVER

# Bytes of a request that brings data: what the broker takes.
LARGEST_DATA = 65_000
# Bytes of params that are listed as they are, and how many entities are named.
SHORT = 2048
NAMED = 100
P = TypeVar("P", bound=FixParams)


@dataclass(frozen=True, slots=True)
class Fix(Generic[P]):
    """A row of the table: `do` makes a fix, `undo` takes one back (None: there is nothing to take back).

    Both raise Refused, having changed nothing. `counters_stay`: what a counter will show next is as before.
    `largest` is the bytes of a request.
    """

    verb: str
    params: type[P]
    do: Callable[[Context, P], Change]
    undo: Callable[[Context, Entry, Undo], Change] | None = None
    counters_stay: bool = False
    largest: int = LARGEST


def _undo(context: Context, asked: UndoFix) -> Change:
    """Take a fix back, all pieces of it."""
    tables = context.store.fixes
    first, *others = tables.whole(asked.id)
    entry = tables.entry(first)
    if entry is None:
        raise Refused(Code.NOT_FOUND, f"id: there is no fix {asked.id}")
    if entry.undone is not None:
        raise Refused(Code.INVALID, f"id: fix {first} was taken back at {to_iso(entry.undone)}")
    newer = tables.standing_on(first)
    if newer is not None:
        raise Refused(Code.INVALID, f"id: first take back fix {newer[0]} ({newer[1]}): it is newer")
    # The newest first: each must find what it left.
    change = whole_of([_reverse(context, piece) for piece in (*reversed(others), first)])
    change.summary = msgspec.structs.replace(change.summary, undone=first)
    return change


def _reverse(context: Context, number: int) -> Change:
    entry, undo = context.store.fixes.entry(number), context.store.fixes.undo_of(number)
    take_back = None if entry is None else FIXES[entry.verb].undo
    if entry is None or undo is None or take_back is None:
        raise Refused(Code.INVALID, f"id: {'' if entry is None else entry.verb} cannot be taken back")
    context.store.fixes.set_undone(number, context.now)
    change = take_back(context, entry, undo)
    # Some are done as their counterpart is.
    change.undo = None
    context.records.update((record.id, record) for record in change.records)
    return change


_TABLE: tuple[Fix[Any], ...] = (
    Fix("set_metadata", asks.SetMetadata, naming.set_metadata, naming.undo_set_metadata),
    Fix("change_unit", asks.ChangeUnit, naming.change_unit, naming.undo_change_unit),
    Fix("adjust_sum", asks.AdjustSum, data.adjust_sum, data.undo_adjust_sum, counters_stay=True),
    Fix("clear", asks.Clear, data.clear, data.undo_clear, largest=LARGEST_DATA),
    Fix(
        "import_statistics",
        asks.ImportStatistics,
        joining.import_statistics,
        joining.undo_import,
        largest=LARGEST_DATA,
    ),
    Fix("device_rename", asks.DeviceRename, naming.device_rename, naming.undo_rename),
    Fix("entity_rename", asks.EntityRename, naming.entity_rename, naming.undo_rename),
    Fix("device_replaced", asks.DeviceReplaced, data.device_replaced, data.undo_device_replaced),
    Fix("delete_states", asks.DeleteStates, data.delete_states, data.undo_delete_states),
    Fix(
        "accept_reading",
        asks.AcceptReading,
        data.accept_reading,
        data.undo_accept_reading,
        counters_stay=True,
    ),
    Fix("recompile", asks.Recompile, data.recompile, counters_stay=True),
    Fix("undo", UndoFix, _undo),
)
FIXES = {fix.verb: fix for fix in _TABLE}
_BY_PARAMS = {fix.params: fix for fix in _TABLE}


class _DryRunError(Exception):
    """Leaves the transaction without a trace."""


def make(context: Context, asked: FixParams) -> Summary:
    """Make the fix that its parameters name. Raises Refused and StoreError, having changed nothing."""
    fix = _BY_PARAMS[type(asked)]
    dirty = context.settle()
    context = dataclasses.replace(context, now=context.clock.wall(), records={})
    done: list[Change] = []
    try:
        with context.store.transaction():
            change = fix.do(context, asked)
            done.append(change)
            if asked.dry_run:
                raise _DryRunError  # noqa: TRY301 — only an error rolls the transaction back
            number = _note(context, fix, asked, change)
            if not fix.counters_stay:
                _release(context, change)
            merge(change.spans, [(n, dirty[n]) for n in change.spans if n in dirty])
            merge(change.spans, [(to, dirty[n]) for n, to in change.given.items() if n in dirty])
            context.store.statistics.put_dirty(change.spans)
    except _DryRunError:
        return _told(msgspec.structs.replace(done[0].summary, dry_run=True))
    dirty.update(change.spans)
    _refresh(context, change)
    number_of_undo = None if change.undo is None else number
    return _told(msgspec.structs.replace(change.summary, id=number_of_undo, brought_back=()))


def journal(context: Context, asked: ListFixes, before: int = EVER) -> Iterator[Journalled]:
    """List the fixes with an id below `before`, newest first, each read when it is asked for."""
    for _ in range(asked.limit):
        entry = context.store.fixes.entry_before(before)
        if entry is None:
            return
        before = entry.id
        yield _listed(entry, context.entities)


def _release(context: Context, change: Change) -> None:
    """Begin the counters anew that a fix has touched: what waits counts, and what another one said."""
    since = dict(change.renewed)
    for number in change.entities:
        released = context.store.held.release(number, since.get(number))
        context.store.states.put(released)
        # Rows of the open period are made again anyway.
        closed = [one.ts for one in released if one.ts < (context.compiler.open or 0)]
        merge(change.spans, [(number, Span(ts, ts)) for ts in closed])
        change.counters.append(number)


def _note(context: Context, fix: Fix[Any], asked: FixParams, change: Change) -> int:
    params = msgspec.json.encode(asked)
    tables = context.store.fixes
    number = tables.add(context.now, fix.verb, params, change.entities, change.undo)
    tables.put("adjusted", [(entity, start, number, amount) for entity, start, amount in change.adjusted])
    tables.put("imported", [(n, start, number) for n, starts in change.imported.items() for start in starts])
    tables.put("renewed", [(entity, start, number) for entity, start in change.renewed])
    tables.put("piece", [] if change.piece_of is None else [(change.piece_of, number)])
    return number


def _refresh(context: Context, change: Change) -> None:
    """Make what is in memory agree with the database, and say again what is new."""
    for record in change.records:
        context.entities.put(record)
    lives = [context.entities[number] for number in change.entities]
    # Of one that was merged into another there is nothing left.
    for live in lives:
        if live.record.merged_into is not None:
            live.newest = None
    lives = [live for live in lives if live.record.merged_into is None]
    for live in lives:
        # The open period is made again from what is stored when it closes.
        live.stale = True
        if live.record.id in change.counters:
            live.counter = None
    if change.states:
        late = context.store.statistics.dirty()
        newest = context.store.states.in_force([live.record for live in lives], EVER, late=late)
        for live in lives:
            live.newest = newest.get(live.record.id)
            live.repeats.clear()
    if change.rows and context.compiler.open is not None:
        context.aggregates.say_newest_of([live.record.id for live in lives], context.compiler.open)
    if context.compiler.open is not None:
        context.aggregates.say_renamed(change.devices, context.compiler.open)


def _listed(entry: Entry, entities: Entities) -> Journalled:
    """Return an entry as clients see it; its params are shortened, but not what undo reads."""
    known = names(entry.entities, entities)
    return Journalled(
        id=entry.id,
        ts=to_iso(entry.ts),
        verb=entry.verb,
        entities=tuple(known[:NAMED]),
        more_entities=max(0, len(known) - NAMED),
        params=_shortened(entry.params),
        undone=None if entry.undone is None else to_iso(entry.undone),
    )


def _told(summary: Summary) -> Summary:
    """Return what a fix answers: what was done must not be called refused because its answer is too large."""
    known = summary.entities
    return msgspec.structs.replace(summary, entities=known[:NAMED], more_entities=max(0, len(known) - NAMED))


def _shortened(params: bytes) -> Raw:
    """Params of more than SHORT bytes with `{"length": n}` for each list: all else in them is short."""
    if len(params) <= SHORT:
        return Raw(params)
    fields = msgspec.json.decode(params, type=dict[str, Raw])
    return Raw(msgspec.json.encode({name: _short(value) for name, value in fields.items()}))


def _short(value: Raw) -> Raw | dict[str, int]:
    if bytes(memoryview(value)[:1]) != b"[":
        return value
    return {"length": len(msgspec.json.decode(value, type=list[Raw]))}
