"""The verb changes: all that is stored, in order, from where a reader was; what was corrected comes again."""

import base64
import re
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct, to_builtins

from bus.commands import Code, Refused
from bus.messages import Value, to_iso
from bus.requests import Listing, Part
from bus.requests import Place as Asked
from statistician.api import Context, Moment, full_name, iso, moment, verb
from statistician.api.rows import stored_unit
from statistician.arithmetic import hour_of
from statistician.arithmetic.live import LiveEntity
from statistician.publish import aggregate
from statistician.records import State, StoredRow
from statistician.store.changes import LOOK, TABLES, Entry, Place, What

KINDS: tuple[What, ...] = ("reading", "5minute", "hour")
# What is told first of what was known at once: a reading belongs to the period that begins.
_FIRST: tuple[What, ...] = ("5minute", "hour", "reading")
# Bytes of an answer, and stored states and rows that are looked at for it.
_MOST_BYTES = 40_000
_MOST_LOOKED_AT = 10 * LOOK
# Names that are matched at once.
_AT_ONCE = 100

Wanted = Annotated[tuple[Annotated[str, Meta(max_length=200)], ...], Meta(min_length=1, max_length=100)]


class ChangesAfter(Struct, forbid_unknown_fields=True):
    """What is stored behind `after`, the answer before, or from `start` on; without both from now on.

    Of `entities` (`device.entity`) and `devices`, `*` stands for any letters; without both of all.
    """

    after: Annotated[str, Meta(max_length=1000)] | None = None
    start: Moment | None = None
    entities: Wanted | None = None
    devices: Wanted | None = None
    kinds: Annotated[tuple[What, ...], Meta(min_length=1, max_length=3)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 1_000


_At = tuple[Annotated[int, Meta(ge=0, le=2**53)], Annotated[int, Meta(ge=0, le=2**53)]]
_Number = Annotated[int, Meta(ge=0, le=2**53)]


class _Cursor(Struct, array_like=True, forbid_unknown_fields=True):
    """Where a reader is: what it has passed in the order of KINDS, and the last entry it has read, by number.

    `told` is up to when it knows of what is gone, by kind; `hours` where it is in the hours that stand for
    that, and `inside` in an entry: its number, and a place. `known` is the last entity, by number, of which
    it was told what held where it began (None: all).
    """

    version: Literal[1]
    places: tuple[_At, _At, _At]
    seq: _Number
    told: dict[What, _Number]
    hours: _At | None
    inside: tuple[_Number, _At] | None
    known: _Number | None


def _decoded(text: str) -> _Cursor:
    try:
        raw = base64.urlsafe_b64decode(text)
        found = msgspec.json.decode(raw)
        if isinstance(found, list) and found and isinstance(found[0], int) and found[0] != 1:
            raise Refused(
                Code.INVALID, "after: another version of this software has made it; begin anew with start"
            )
        return msgspec.json.decode(raw, type=_Cursor)
    except (ValueError, RecursionError) as error:
        raise Refused(
            Code.INVALID, "after: allowed is the `after` of the answer before; begin anew with start"
        ) from error


_ENTITY, _DEVICE = re.compile(r"[a-z0-9_*]+[./][a-z0-9_*]+"), re.compile(r"[a-z0-9_*]+")


@lru_cache(256)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


class _Filter:
    """Which entities are wanted, by name. Raises Refused(invalid)."""

    def __init__(self, params: ChangesAfter) -> None:
        for field_name, form, allowed in (
            ("entities", _ENTITY, "device.entity"),
            ("devices", _DEVICE, "device"),
        ):
            for one in getattr(params, field_name) or ():
                if not form.fullmatch(one):
                    text = (
                        f"{field_name}: {one!r} is no name; allowed is {allowed}, of a to z, 0 to 9, _ and *"
                    )
                    raise Refused(Code.INVALID, text)
        self.all = params.entities is None and params.devices is None
        pairs = [one.replace("/", ".").split(".") for one in params.entities or ()]
        self._wanted = [(_glob(device), _glob(key)) for device, key in pairs]
        self._wanted += [(_glob(device), _glob("*")) for device in params.devices or ()]

    def __contains__(self, name: str) -> bool:
        device, _, key = name.partition(".")
        return self.all or any(one.match(device) and other.match(key) for one, other in self._wanted)


class _FullError(Exception):
    """The answer is full, or enough was looked at for it."""


@dataclass(slots=True)
class _Answer:
    """The changes of an answer, as JSON."""

    limit: int
    changes: list[Raw] = field(default_factory=list)
    _size: int = 0
    _looked: int = 0

    def add(self, change: object) -> None:
        """Add a change. Raises _FullError if there is no room for it."""
        raw = msgspec.json.encode(change)
        size = self._size + len(raw) + 1
        if self.changes and (size > _MOST_BYTES or len(self.changes) >= self.limit):
            raise _FullError
        self._size = size
        self.changes.append(Raw(raw))

    def look(self) -> None:
        """Note that a piece of what is stored was looked at. Raises _FullError after enough of them."""
        self._looked += LOOK
        if self._looked > _MOST_LOOKED_AT:
            raise _FullError


class _Reading(Struct, omit_defaults=True):
    entity: str
    ts: str
    value: Value
    last_reset: str | None = None
    unit: str | None = None


def _reading(live: LiveEntity, state: State) -> object:
    record = live.record
    unit = record.unit_at(state.ts)
    return _Reading(full_name(record), to_iso(state.ts), state.value, iso(state.last_reset), unit)


def _row(live: LiveEntity, what: What, stored: StoredRow) -> object:
    unit = stored_unit(live)
    return (
        {"entity": full_name(live.record), "period": what, "start": to_iso(stored.start)}
        | ({} if unit is None else {"unit": unit})
        | to_builtins(aggregate(stored.row))
        | {"rev": stored.rev}
    )


@dataclass(frozen=True, slots=True)
class _Item:
    """A stored state or row: where it stands, and from when on it was known, ms."""

    place: Place
    due: int
    stored: State | StoredRow


@dataclass(slots=True)
class _Stream:
    """What is ahead of a reader of one kind, up to `end`."""

    what: What
    place: Place
    end: Place
    items: deque[_Item] = field(default_factory=deque)

    @property
    def over(self) -> bool:
        """Whether all has been taken."""
        return not self.items and self.place >= self.end

    def put(self, items: list[_Item], reached: Place) -> None:
        """Take the next piece; without any of it `reached` is passed."""
        self.items.extend(items)
        if not items:
            self.place = reached

    def pop(self) -> None:
        """Pass the first item."""
        self.place = self.items.popleft().place


class _Page:
    """One answer in the making. Each step moves the reader only once a change has found room."""

    def __init__(self, context: Context, params: ChangesAfter, now: int) -> None:
        self._entities, self._store = context.entities, context.store
        self._feed = context.store.changes
        self._filter = _Filter(params)
        self._kinds = [kind for kind in KINDS if params.kinds is None or kind in params.kinds]
        self._answer = _Answer(params.limit)
        self._now = now
        # First, since what comes while this is made is behind it or noted.
        context.note_quiet()
        self._horizons = self._feed.advance()
        self._lives: dict[int, LiveEntity] = {}
        cursor = None if params.after is None else _decoded(params.after)
        if cursor is not None and params.start is not None:
            raise Refused(Code.INVALID, "start: it does not go with after")
        if cursor is None:
            cursor = self._begin(None if params.start is None else moment(params.start, "start"))
        self._cursor = cursor
        self._places = {kind: Place(*at) for kind, at in zip(KINDS, cursor.places, strict=True)}

    def _begin(self, start: int | None) -> _Cursor:
        ends = [self._horizons[kind].before for kind in KINDS]
        one, two, three = [(max(0, end if start is None else min(start, end)), 0) for end in ends]
        known = 0 if start and "reading" in self._kinds else None
        return _Cursor(1, (one, two, three), self._feed.newest(), {}, None, None, known)

    def parts(self) -> Iterator[Part | None]:
        """Yield the answer; a None is a moment for others."""
        more = False
        try:
            yield from self._all()
        except _FullError:
            more = True
        self._cursor.places = (self._places["reading"], self._places["5minute"], self._places["hour"])
        after = base64.urlsafe_b64encode(msgspec.json.encode(self._cursor)).decode()
        kept_from = self._feed.purged or self._store.states.first() or self._now
        told = {"changes": self._answer.changes, "after": after, "more": more, "kept_from": to_iso(kept_from)}
        until = max(0, self._places["reading"].time - 1)
        yield Part((), told | {"until": to_iso(until)})

    def _all(self) -> Iterator[None]:
        yield from self._choose()
        self._see_what_is_not_there()
        yield from self._what_was_known()
        yield from self._entries()
        self._see_what_is_gone()
        yield from self._hours()
        yield from self._in_order()

    def _choose(self) -> Iterator[None]:
        for count, live in enumerate(list(self._entities)):
            if full_name(live.record) in self._filter:
                self._lives[live.record.id] = live
            if count % _AT_ONCE == 0:
                yield None

    def _what_was_known(self) -> Iterator[None]:
        """Add the states in force where the reader began."""
        at = self._places["reading"].time
        while self._cursor.known is not None:
            rest = sorted(number for number in self._lives if number > self._cursor.known)[:_AT_ONCE]
            states = self._store.states.in_force([self._lives[number].record for number in rest], at)
            for number in rest:
                if number in states:
                    self._add("reading", states[number])
                self._cursor.known = number
            if not rest:
                self._cursor.known = None
            yield None

    def _see_what_is_not_there(self) -> None:
        """Go back to what this database has, for a reader of another one or of a later state of this one."""
        newest = self._feed.newest()
        ahead = [kind for kind in KINDS if self._places[kind] > Place(max(0, self._horizons[kind].most), 0)]
        told = [kind for kind in ahead if kind in self._kinds]
        if self._cursor.seq > newest and not told:
            # Nobody knows what was corrected.
            told = self._kinds[:1]
        for kind in (*told, *ahead):
            place, end = self._places[kind], Place(max(0, self._horizons[kind].before), 0)
            if kind in told:
                start = min(place, end).time
                self._answer.add({"gap": kind, "start": to_iso(start), "end": to_iso(place.time)})
                told.remove(kind)
            self._places[kind] = min(place, end)
        if self._cursor.seq > newest:
            self._cursor.seq, self._cursor.inside = newest, None

    def _see_what_is_gone(self) -> None:
        """Tell from when to when readings and 5-minute rows were removed before they were read."""
        purged = self._feed.purged
        for kind in self._kinds:
            start = max(self._cursor.told.get(kind, 0), self._places[kind].time)
            if kind != "hour" and start < purged:
                self._answer.add({"gap": kind, "start": to_iso(start), "end": to_iso(purged)})
                self._cursor.told[kind] = purged
                if "hour" not in self._kinds:
                    hours = (hour_of(start), 0)
                    self._cursor.hours = min(hours, self._cursor.hours or hours)

    def _hours(self) -> Iterator[None]:
        """Read the hourly rows of what is gone, for a reader who does not read them anyway."""
        if self._cursor.hours is None:
            return
        stream = _Stream("hour", Place(*self._cursor.hours), Place(max(self._cursor.told.values()), 0))
        try:
            yield from self._merged([stream])
        finally:
            self._cursor.hours = None if stream.over else stream.place

    def _in_order(self) -> Iterator[None]:
        streams = [_Stream(k, self._places[k], Place(self._horizons[k].before, 0)) for k in self._kinds]
        try:
            yield from self._merged(streams)
        finally:
            self._places.update((stream.what, stream.place) for stream in streams)

    def _merged(self, streams: list[_Stream]) -> Iterator[None]:
        """Add what streams have in the order in which it was known: rows after readings of their period."""
        while True:
            for stream in streams:
                while not stream.items and not stream.over:
                    self._answer.look()
                    chosen = None if self._filter.all else self._lives
                    stream.put(*self._piece(stream.what, stream.place, stream.end, chosen))
                    yield None
            ready = [stream for stream in streams if stream.items]
            if not ready:
                return
            first = min(ready, key=lambda stream: (stream.items[0].due, _FIRST.index(stream.what)))
            self._add(first.what, first.items[0].stored)
            first.pop()
            yield None

    def _piece(
        self, what: What, after: Place, end: Place, chosen: Collection[int] | None
    ) -> tuple[list[_Item], Place]:
        if what == "reading":
            states, reached = self._feed.readings(after, end, chosen)
            return [_Item(Place(one.ts, one.entity), one.ts, one) for one in states], reached
        table = TABLES[what]
        rows, reached = self._feed.rows(table, after, end, self._lives if chosen is None else chosen)
        return [_Item(Place(row.start, row.entity), row.start + table.length, row) for row in rows], reached

    def _add(self, what: What, stored: State | StoredRow) -> None:
        # What was merged into another meanwhile comes again with that; one may also have another name by now.
        live = self._known(stored.entity)
        if live is not None and (self._filter.all or full_name(live.record) in self._filter):
            row = _reading(live, stored) if isinstance(stored, State) else _row(live, what, stored)
            self._answer.add(row)

    def _known(self, number: int) -> LiveEntity | None:
        if number not in self._entities or self._entities[number].record.merged_into is not None:
            return None
        return self._entities[number]

    def _entries(self) -> Iterator[None]:
        while (entry := self._feed.entry_after(self._cursor.seq)) is not None:
            if not entry.name and not entry.entity:
                self._places[entry.what] = min(self._places[entry.what], Place(entry.since, 0))
            elif entry.what in self._kinds:
                yield from self._entry(entry)
            self._cursor.seq, self._cursor.inside = entry.seq, None
            yield None

    def _entry(self, entry: Entry) -> Iterator[None]:
        """Read again what an entry is of, as far as the reader has been there."""
        live = self._changed(entry)
        name = entry.name or (full_name(live.record) if live is not None else "")
        if self._cursor.inside is None or self._cursor.inside[0] != entry.seq:
            if entry.removed and name and name in self._filter:
                self._tell_removed(entry, name)
            self._cursor.inside = (entry.seq, (entry.since, 0))
        if live is None or full_name(live.record) not in self._filter:
            return
        number = live.record.id
        stream = _Stream(
            entry.what,
            Place(*self._cursor.inside[1]),
            min(Place(entry.until, number), self._places[entry.what]),
        )
        try:
            while not stream.over:
                self._answer.look()
                stream.put(*self._piece(entry.what, stream.place, stream.end, {number}))
                while stream.items:
                    self._add(entry.what, stream.items[0].stored)
                    stream.pop()
                    yield None
                yield None
        finally:
            self._cursor.inside = (entry.seq, stream.place)

    def _changed(self, entry: Entry) -> LiveEntity | None:
        """Return the entity that an entry is of now; None: there is none any more."""
        if entry.name:
            device, _, key = entry.name.partition(".")
            return self._entities.find(device, key)
        return self._known(entry.entity)

    def _tell_removed(self, entry: Entry, name: str) -> None:
        # What is gone for its age cannot be told again, and was right.
        start = max(entry.since, self._feed.purged if entry.what != "hour" else 0)
        if start <= entry.until:
            told = {"entity": name, "removed": entry.what}
            self._answer.add(told | {"start": to_iso(start), "end": to_iso(entry.until + 1)})


@verb(ChangesAfter, asker="viewer")
def changes(context: Context, params: ChangesAfter, place: Asked) -> Listing:
    """List readings and rows behind a reader's cursor. Raises Refused."""
    return Listing.whole(_Page(context, params, place.now).parts())
