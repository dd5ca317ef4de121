"""Verbs about the statistician: what there is, how it does, fixes, copies, messages that were set aside."""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from bus import about
from bus.commands import Code, Refused
from bus.events import Message
from bus.health import VERSION
from bus.messages import to_iso
from bus.requests import Listing, Part, Parts, Place, Wait
from statistician.api import BY_NAME, BY_TWO, Context, Name, Names, Nothing, by_name, full_name, iso, verb
from statistician.api.rows import stored_unit, unit_class
from statistician.arithmetic import HOUR, units
from statistician.arithmetic.live import LiveEntity
from statistician.fixes import FIXES, Fix, journal, make
from statistician.fixes.params import FixParams, ListFixes, UndoFix
from statistician.records import Table

_TOTALS = (about.TOTAL, about.TOTAL_INCREASING)
_MEANS = (about.MEASUREMENT, about.MEASUREMENT_ANGLE)
Described = dict[str, str | int | float | bool | None]


class Which(Struct, forbid_unknown_fields=True):
    """Entities of a device, one entity (`device.entity`), or all."""

    device: Annotated[str, Meta(max_length=100)] | None = None
    entity: Name | None = None


class MetadataOf(Struct, forbid_unknown_fields=True):
    """Entities that have statistics; `statistic_type` mean or sum leaves out the others."""

    entities: Names | None = None
    statistic_type: Literal["mean", "sum"] | None = None


@verb(Nothing, asker="viewer")
def info(context: Context, _params: Nothing, place: Place) -> Listing:
    """Version, sizes and times; rows are counted a little at a time."""
    return Listing.whole(_count(context, place))


def _count(context: Context, place: Place) -> Iterator[Part | None]:
    first, last = context.store.states.first(), context.store.states.last_stored()
    states = 0
    if first is not None and last is not None:
        for start in range(first, last + 1, HOUR):
            states += context.store.states.count(start, min(start + HOUR, last + 1))
            yield None
    rows = dict.fromkeys(Table, 0)
    for live in list(context.entities):
        for table in Table:
            rows[table] += context.store.statistics.count(table, live.record.id)
        yield None
    open_period = context.compiler.open
    yield Part(
        (),
        {
            "version": VERSION,
            "now": to_iso(place.now),
            "uptime": int(context.clock.monotonic() - context.started),
            "database_bytes": context.store.size(),
            "keep_days": context.settings.keep_days,
            "entities": len(context.entities),
            "states": states,
            "rows_5minute": rows[Table.FIVE_MINUTES],
            "rows_hour": rows[Table.HOUR],
            "first_state": iso(first),
            "last_state": iso(last),
            "open_period": iso(open_period),
        },
    )


def _some(context: Context, which: Which) -> list[tuple[str, LiveEntity]]:
    """Return the entities asked for, in order of name. Raises Refused(not_found)."""
    if which.entity is not None:
        if which.device is not None:
            raise Refused(Code.INVALID, "device: it does not go with entity")
        return by_name([context.find(which.entity, "entity")])
    if which.device is None:
        return by_name(context.entities)
    return by_name(context.find_device(which.device))


def _listed(
    some: Sequence[tuple[str, LiveEntity]], place: Place, describe: Callable[[LiveEntity], Described]
) -> Listing:
    """List what is said of each entity, from the name behind the cursor on."""
    done = "" if place.after is None else str(place.after[0])
    parts = (Part((name,), describe(live)) for name, live in some if name > done)
    return Listing(iter(parts), lambda found: [part.value for part in found])


@verb(Which, asker="viewer", pages=BY_NAME)
def entities(context: Context, params: Which, place: Place) -> Listing:
    """Every entity as its about describes it, when it last changed and was heard. Raises Refused."""
    return _listed(_some(context, params), place, _described)


def _described(live: LiveEntity) -> Described:
    record = live.record
    return {
        "entity": full_name(live.record),
        "name": record.name,
        "unit": record.unit,
        "device_class": record.device_class,
        "state_class": record.state_class,
        "first_seen": to_iso(record.first),
        "last_state": None if live.newest is None else to_iso(live.newest.ts),
        "heard": _heard(live),
    }


@verb(Which, asker="viewer", pages=BY_NAME)
def latest(context: Context, params: Which, place: Place) -> Listing:
    """Return the newest state of each entity, also one that is not on disk yet, and when it was last heard.

    Raises Refused.
    """
    return _listed(_some(context, params), place, _newest)


def _newest(live: LiveEntity) -> Described:
    newest = live.newest
    return {
        "entity": full_name(live.record),
        "ts": None if newest is None else to_iso(newest.ts),
        "heard": _heard(live),
        "value": None if newest is None else newest.value,
        "unit": live.record.unit,
    }


def _heard(live: LiveEntity) -> str | None:
    """Say when a value last came, also one that only repeated the newest state."""
    return to_iso(live.heard) if live.heard >= 0 else None


@verb(MetadataOf, asker="viewer", pages=BY_NAME)
def metadata(context: Context, params: MetadataOf, place: Place) -> Listing:
    """Return what is kept of each entity that has statistics. Raises Refused(not_found)."""
    asked = context.entities if params.entities is None else context.find_all(params.entities, "entities")
    kept = [
        pair for pair in by_name(asked) if pair[1].record.state_class is not None or _rows(context, pair[1])
    ]
    if params.statistic_type is not None:
        kept = [pair for pair in kept if _kinds(context, pair[1])[params.statistic_type == "sum"]]
    return _listed(kept, place, lambda live: _metadata(context, live))


def _rows(context: Context, live: LiveEntity) -> bool:
    return any(context.store.statistics.last_row(table, live.record.id) is not None for table in Table)


def _kinds(context: Context, live: LiveEntity) -> tuple[bool, bool]:
    """Say whether an entity has means, and sums: by its class, or, without one, by its newest row."""
    state_class = live.record.state_class
    if state_class is None:
        newest = context.store.statistics.row_before
        row = newest(Table.HOUR, live.record.id) or newest(Table.FIVE_MINUTES, live.record.id)
        return (False, False) if row is None else (row.row.mean is not None, row.row.sum is not None)
    return state_class in _MEANS, state_class in _TOTALS


def _metadata(context: Context, live: LiveEntity) -> Described:
    has_mean, has_sum = _kinds(context, live)
    return {
        "entity": full_name(live.record),
        "name": live.record.name,
        "unit": stored_unit(live),
        "unit_class": unit_class(live),
        "state_class": live.record.state_class,
        "has_mean": has_mean,
        "has_sum": has_sum,
    }


Issue = dict[str, str | None]


@verb(Nothing, asker="viewer", pages=BY_NAME)
def validate(context: Context, _params: Nothing, place: Place) -> Listing:
    """Issues by entity; entities without any are absent."""
    done = "" if place.after is None else str(place.after[0])

    def parts() -> Iterator[Part | None]:
        for name, live in by_name(context.entities):
            if name > done:
                found = _issues(context, live)
                yield Part((name,), found) if found else None

    return Listing(parts(), lambda found: {str(part.key[0]): part.value for part in found})


def _issues(context: Context, live: LiveEntity) -> list[Issue]:
    numbers = (context.store.statistics.last_row(table, live.record.id) for table in Table)
    if all(start is None for start in numbers):
        return []
    if live.newest is None:
        return [{"type": "no_state"}]
    if not isinstance(live.newest.value, float):
        # Unknown now: what it is will be seen when it is known again.
        return []
    issues: list[Issue] = []
    if live.record.state_class is None:
        issues.append({"type": "state_class_removed"})
    kept, now = units.canonical(stored_unit(live)), units.canonical(live.record.unit)
    supported = units.units_of(unit_class(live)) or (kept,)
    if now != kept and kept and now not in supported:
        issues.append(
            {
                "type": "units_changed",
                "state_unit": live.record.unit,
                "statistics_unit": stored_unit(live),
                "supported": ", ".join(sorted(supported)),
            }
        )
    angle = live.record.state_class == about.MEASUREMENT_ANGLE
    means = angle or live.record.state_class == about.MEASUREMENT
    if means and live.record.kept_angle is not None and live.record.kept_angle != angle:
        issues.append({"type": "mean_type_changed"})
    return issues


# How much of a payload is listed, characters.
_SHOWN = 500


class DeadLetters(Struct, forbid_unknown_fields=True):
    """The newest `limit` messages that were set aside."""

    limit: Annotated[int, Meta(ge=0, le=1000)] = 100


class TakeAgain(Struct, forbid_unknown_fields=True):
    """The dead letter with this number."""

    letter: Annotated[int, Meta(ge=1, le=2**53)]


class TakeBack(Struct, forbid_unknown_fields=True):
    """Take a fix back; `id` names the request, so the fix is `fix`."""

    fix: Annotated[int, Meta(ge=1, le=2**53)]
    dry_run: bool = False


@verb(DeadLetters, asker="admin", pages=BY_TWO)
def dead_letters(context: Context, params: DeadLetters, place: Place) -> Listing:
    """List what was set aside, the newest first."""
    before, left = (2**53, params.limit) if place.after is None else map(int, place.after)

    def parts() -> Parts:
        for at, (number, one) in enumerate(context.store.letters(before, left), 1):
            text = one.payload.decode("utf-8", "replace")[:_SHOWN]
            listed = {"id": number, "ts": to_iso(one.ts), "topic": one.topic, "payload": text}
            yield Part((number, left - at), listed | {"bytes": len(one.payload), "error": one.error})

    return Listing(parts(), lambda found: [part.value for part in found])


@verb(TakeAgain, asker="admin")
def take_again(context: Context, params: TakeAgain, _place: Place) -> Listing:
    """Take a message that was set aside as if it had come just now."""

    def parts() -> Parts:
        number = params.letter
        found = context.store.letter(number)
        if found is None:
            raise Refused(Code.NOT_FOUND, f"letter: there is no dead letter {number}; dead_letters lists all")
        if not found.whole:
            raise Refused(Code.DENIED, f"letter: of {number} only the beginning was kept; send it anew")
        message = Message(found.topic, found.payload, qos=0, retain=False, mid=0, generation=0)
        error = context.take_again(message)
        context.store.remove_letter(number)
        yield Part((), {"letter": number, "topic": found.topic, "error": error})

    return Listing.whole(parts())


@verb(Nothing, asker="admin")
def backup(context: Context, _params: Nothing, place: Place) -> Listing:
    """Make a copy of the database, and answer once it is whole."""

    def parts() -> Parts:
        told: list[tuple[str | None, str | None]] = []
        earliest = context.upkeep.ask_backup(lambda made, error: told.append((made, error)), place.now)
        if earliest is not None:
            text = f"clients get a copy every 10 minutes at most; the next is possible at {to_iso(earliest)}"
            raise Refused(Code.LIMIT, text)
        while not told:
            yield Wait.WAIT
        made, error = told[0]
        if error is not None:
            raise Refused(Code.INTERNAL, error)
        yield Part((), {"file": made})

    return Listing.whole(parts())


@verb(ListFixes, asker="viewer", pages=BY_TWO, name="fixes")
def list_fixes(context: Context, params: ListFixes, place: Place) -> Listing:
    """List what was put right, the newest first."""
    before, left = (2**60, params.limit) if place.after is None else map(int, place.after)

    def parts() -> Parts:
        found = journal(context, replace(params, limit=left), before)
        for at, one in enumerate(found, 1):
            yield Part((one.id, left - at), one)
            yield None

    return Listing(parts(), lambda found: [part.value for part in found])


def _fix(fix: Fix[Any]) -> None:
    """Put a fix into the table of verbs."""

    @verb(fix.params, asker="admin", largest=fix.largest, changes=True, name=fix.verb)
    def answer(context: Context, asked: FixParams, _place: Place) -> Listing:
        return Listing.of(make(context, asked))


for _name, _row in FIXES.items():
    if _name != "undo":
        _fix(_row)


@verb(TakeBack, asker="admin", changes=True)
def undo(context: Context, params: TakeBack, _place: Place) -> Listing:
    """Take a fix back."""
    return Listing.of(make(context, UndoFix(id=params.fix, dry_run=params.dry_run)))
