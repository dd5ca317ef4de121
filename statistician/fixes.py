"""What a user puts right: every fix is one transaction, is journalled, and can be taken back."""

from collections.abc import Callable, Iterator

import msgspec

from bus.messages import to_iso
from statistician import fixes_import, fixes_metadata, fixes_rename, fixes_rows, fixes_states
from statistician.arithmetic.live import Entities
from statistician.compile import Compiler
from statistician.corrections import merge
from statistician.fixes_ground import Change, FixError, Ground, whole_of
from statistician.fixes_journal import listed, told
from statistician.fixes_params import (
    AcceptReading,
    AdjustSum,
    ChangeUnit,
    Clear,
    DeleteStates,
    DeviceRename,
    DeviceReplaced,
    EntityRename,
    ImportStatistics,
    Journalled,
    ListFixes,
    Recompile,
    SetMetadata,
    Summary,
    UndoFix,
)
from statistician.publish import Aggregates
from statistician.records import Span
from statistician.store import Store
from statistician.store_fixes import Entry, Undo

__all__ = ["FIXES", "FixError", "Fixes"]

_EVER = 2**60
Params = (
    SetMetadata
    | ChangeUnit
    | AdjustSum
    | Clear
    | ImportStatistics
    | DeleteStates
    | AcceptReading
    | DeviceRename
    | DeviceReplaced
    | EntityRename
    | Recompile
    | UndoFix
)

# Verb: what it is asked, and the method of Fixes that does it.
FIXES: dict[str, tuple[type[msgspec.Struct], str]] = {
    "set_metadata": (SetMetadata, "set_metadata"),
    "change_unit": (ChangeUnit, "change_unit"),
    "adjust_sum": (AdjustSum, "adjust_sum"),
    "clear": (Clear, "clear"),
    "import_statistics": (ImportStatistics, "import_statistics"),
    "device_rename": (DeviceRename, "device_rename"),
    "entity_rename": (EntityRename, "entity_rename"),
    "device_replaced": (DeviceReplaced, "device_replaced"),
    "delete_states": (DeleteStates, "delete_states"),
    "accept_reading": (AcceptReading, "accept_reading"),
    "recompile": (Recompile, "recompile"),
    "undo": (UndoFix, "undo"),
    "fixes": (ListFixes, "journal"),
}


class _DryRunError(Exception):
    """Leaves the transaction without a trace."""


# Fixes that say nothing of what a counter will show next.
_COUNTERS_STAY = ("accept_reading", "adjust_sum", "recompile")


class Fixes:
    """Each method raises FixError, and StoreError, having changed nothing.

    `settle` commits what was taken, gives up a correction on its way, and returns what awaits correction.
    """

    def __init__(
        self,
        store: Store,
        entities: Entities,
        compiler: Compiler,
        aggregates: Aggregates,
        *,
        settle: Callable[[], dict[int, Span]],
        wall: Callable[[], int],
        keep_days: int,
    ) -> None:
        self._store = store
        self._entities = entities
        self._compiler = compiler
        self._aggregates = aggregates
        self._settle = settle
        self._wall = wall
        self._keep_days = keep_days

    def set_metadata(self, asked: SetMetadata) -> Summary:
        """Set what a user knows better than about."""
        return self._run("set_metadata", asked, lambda ground: fixes_metadata.set_metadata(ground, asked))

    def change_unit(self, asked: ChangeUnit) -> Summary:
        """Convert all rows of an entity to another unit."""
        return self._run("change_unit", asked, lambda ground: fixes_metadata.change_unit(ground, asked))

    def adjust_sum(self, asked: AdjustSum) -> Summary:
        """Add to the sums from a time on."""
        return self._run("adjust_sum", asked, lambda ground: fixes_rows.adjust_sum(ground, asked))

    def clear(self, asked: Clear) -> Summary:
        """Remove all rows of entities."""
        return self._run("clear", asked, lambda ground: fixes_rows.clear(ground, asked))

    def import_statistics(self, asked: ImportStatistics) -> Summary:
        """Bring hourly rows from elsewhere."""
        return self._run(
            "import_statistics", asked, lambda ground: fixes_import.import_statistics(ground, asked)
        )

    def device_rename(self, asked: DeviceRename) -> Summary:
        """Give everything kept of a device another name."""
        return self._run("device_rename", asked, lambda ground: fixes_rename.device_rename(ground, asked))

    def entity_rename(self, asked: EntityRename) -> Summary:
        """Give everything kept of an entity another name."""
        return self._run("entity_rename", asked, lambda ground: fixes_rename.entity_rename(ground, asked))

    def device_replaced(self, asked: DeviceReplaced) -> Summary:
        """Let the counters of a device begin anew without a step."""
        return self._run("device_replaced", asked, lambda ground: fixes_states.device_replaced(ground, asked))

    def delete_states(self, asked: DeleteStates) -> Summary:
        """Remove states."""
        return self._run("delete_states", asked, lambda ground: fixes_states.delete_states(ground, asked))

    def accept_reading(self, asked: AcceptReading) -> Summary:
        """Let a reading count that was taken for a glitch."""
        return self._run("accept_reading", asked, lambda ground: fixes_states.accept_reading(ground, asked))

    def recompile(self, asked: Recompile) -> Summary:
        """Make rows again from states."""
        return self._run("recompile", asked, lambda ground: fixes_states.recompile(ground, asked))

    def undo(self, asked: UndoFix) -> Summary:
        """Take a fix back."""
        return self._run("undo", asked, lambda ground: self._undo(ground, asked.id))

    def journal(self, asked: ListFixes, before: int = _EVER) -> Iterator[Journalled]:
        """The fixes with an id below `before`, newest first, each read when it is asked for."""
        for _ in range(asked.limit):
            entry = self._store.fixes.entry_before(before)
            if entry is None:
                return
            before = entry.id
            yield listed(entry, self._entities)

    def _undo(self, ground: Ground, number: int) -> Change:
        first, *others = self._store.fixes.whole(number)
        entry = self._store.fixes.entry(first)
        if entry is None:
            raise FixError("not_found", f"id: there is no fix {number}")
        if entry.undone is not None:
            raise FixError("invalid", f"id: fix {first} was taken back at {to_iso(entry.undone)}")
        newer = self._store.fixes.standing_on(first)
        if newer is not None:
            raise FixError("invalid", f"id: first take back fix {newer[0]} ({newer[1]}): it is newer")
        # The newest first: each must find what it left.
        change = whole_of([self._reverse(ground, piece) for piece in (*reversed(others), first)])
        change.summary = msgspec.structs.replace(change.summary, undone=first)
        return change

    def _reverse(self, ground: Ground, number: int) -> Change:
        entry, undo = self._store.fixes.entry(number), self._store.fixes.undo_of(number)
        if entry is None or undo is None:
            raise FixError("invalid", f"id: {'' if entry is None else entry.verb} cannot be taken back")
        self._store.fixes.set_undone(number, ground.now)
        change = _UNDOING[entry.verb](ground, entry, undo)
        # Some are done as their counterpart is.
        change.undo = None
        ground.records.update((record.id, record) for record in change.records)
        return change

    def _run(self, verb: str, asked: Params, work: Callable[[Ground], Change]) -> Summary:
        dirty = self._settle()
        ground = Ground(self._store, self._entities, self._compiler, self._wall(), self._keep_days)
        done: list[Change] = []
        try:
            with self._store.transaction():
                change = work(ground)
                done.append(change)
                if asked.dry_run:
                    raise _DryRunError  # noqa: TRY301 — only an error rolls the transaction back
                number = self._note(verb, asked, change, ground.now)
                if verb not in _COUNTERS_STAY:
                    self._release(change)
                merge(change.spans, [(n, dirty[n]) for n in change.spans if n in dirty])
                merge(change.spans, [(to, dirty[n]) for n, to in change.given.items() if n in dirty])
                self._store.statistics.put_dirty(change.spans)
        except _DryRunError:
            return told(msgspec.structs.replace(done[0].summary, dry_run=True))
        dirty.update(change.spans)
        self._refresh(change)
        return told(msgspec.structs.replace(change.summary, id=None if change.undo is None else number))

    def _release(self, change: Change) -> None:
        """Begin the counters anew that a fix has touched: what waits counts, and what another one said."""
        since = dict(change.renewed)
        for number in change.entities:
            released = self._store.held.release(number, since.get(number))
            self._store.states.put(released)
            # Rows of the open period are made again anyway.
            closed = [one.ts for one in released if one.ts < (self._compiler.open or 0)]
            merge(change.spans, [(number, Span(ts, ts)) for ts in closed])
            change.counters.append(number)

    def _note(self, verb: str, asked: Params, change: Change, now: int) -> int:
        params = msgspec.json.encode(asked)
        number = self._store.fixes.add(now, verb, params, change.entities, change.undo)
        for entity, start, amount in change.adjusted:
            self._store.fixes.put_adjusted(entity, start, number, amount)
        for entity, starts in change.imported.items():
            self._store.fixes.put_imported(entity, starts, number)
        for entity, start in change.renewed:
            self._store.fixes.put_renewed(entity, start, number)
        if change.piece_of is not None:
            self._store.fixes.add_piece(change.piece_of, number)
        return number

    def _refresh(self, change: Change) -> None:
        """Make what is in memory agree with the database, and say again what is new."""
        for record in change.records:
            self._entities.put(record)
        lives = [self._entities[number] for number in change.entities]
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
            late = self._store.statistics.dirty()
            newest = self._store.states.in_force([live.record for live in lives], _EVER, late=late)
            for live in lives:
                live.newest = newest.get(live.record.id)
                live.repeats.clear()
        if change.rows and self._compiler.open is not None:
            self._aggregates.say_newest_of([live.record.id for live in lives], self._compiler.open)
        if self._compiler.open is not None:
            self._aggregates.say_renamed(change.devices, self._compiler.open)


def _undo_set_metadata(ground: Ground, entry: Entry, undo: Undo) -> Change:
    asked = msgspec.json.decode(entry.params, type=SetMetadata)
    return fixes_metadata.undo_set_metadata(ground, asked, undo)


def _undo_adjust_sum(ground: Ground, entry: Entry, _undo: Undo) -> Change:
    return fixes_rows.undo_adjust_sum(ground, entry.entities[0], entry.id)


# What takes each verb back.
_UNDOING: dict[str, Callable[[Ground, Entry, Undo], Change]] = {
    "set_metadata": _undo_set_metadata,
    "change_unit": lambda ground, _, undo: fixes_metadata.undo_change_unit(ground, undo),
    "adjust_sum": _undo_adjust_sum,
    "clear": lambda ground, _, undo: fixes_rows.undo_clear(ground, undo),
    "import_statistics": lambda ground, entry, undo: fixes_import.undo_import(ground, undo, entry.id),
    "device_rename": lambda ground, entry, undo: fixes_rename.undo_rename(ground, undo, entry.id),
    "entity_rename": lambda ground, entry, undo: fixes_rename.undo_rename(ground, undo, entry.id),
    "device_replaced": lambda ground, entry, _: fixes_states.undo_device_replaced(ground, entry),
    "delete_states": lambda ground, _, undo: fixes_states.undo_delete_states(ground, undo),
    "accept_reading": lambda ground, _, undo: fixes_states.undo_accept_reading(ground, undo),
}
