"""The verbs info, entities, latest and metadata: what there is, and how the statistician does."""

from collections.abc import Callable, Iterator, Sequence

from bus import about
from bus.commands import Code, Refused
from bus.health import VERSION
from bus.messages import to_iso
from bus.requests import Listing, Part, Place
from statistician import store_queries as queries
from statistician.live import LiveEntity
from statistician.periods import HOUR
from statistician.records import Table
from statistician.requests.ground import Ground, by_name, full_name
from statistician.requests.params import MetadataOf, Nothing, Which
from statistician.requests.wishes import stored_unit, unit_class

_TOTALS = (about.TOTAL, about.TOTAL_INCREASING)
_MEANS = (about.MEASUREMENT, about.MEASUREMENT_ANGLE)
Described = dict[str, str | int | float | bool | None]


def info(ground: Ground, _params: Nothing, place: Place) -> Listing:
    """Version, sizes and times; rows are counted a little at a time."""
    return Listing.whole(_count(ground, place))


def _count(ground: Ground, place: Place) -> Iterator[Part | None]:
    first, last = ground.store.states.first(), queries.last_state(ground.store)
    states = 0
    if first is not None and last is not None:
        for start in range(first, last + 1, HOUR):
            states += queries.count_states(ground.store, start, min(start + HOUR, last + 1))
            yield None
    rows = dict.fromkeys(Table, 0)
    for live in list(ground.entities):
        for table in Table:
            rows[table] += queries.count_rows(ground.store, table, live.record.id)
        yield None
    open_period = ground.compiler.open
    yield Part(
        (),
        {
            "version": VERSION,
            "now": to_iso(place.now),
            "uptime": int(ground.clock.monotonic() - ground.started),
            "database_bytes": queries.size(ground.store),
            "keep_days": ground.settings.keep_days,
            "entities": len(ground.entities),
            "states": states,
            "rows_5minute": rows[Table.FIVE_MINUTES],
            "rows_hour": rows[Table.HOUR],
            "first_state": _iso(first),
            "last_state": _iso(last),
            "open_period": _iso(open_period),
        },
    )


def _iso(ts: int | None) -> str | None:
    return None if ts is None else to_iso(ts)


def _some(ground: Ground, which: Which) -> list[tuple[str, LiveEntity]]:
    """The entities asked for, in order of name. Raises Refused(not_found)."""
    if which.entity is not None:
        if which.device is not None:
            raise Refused(Code.INVALID, "device: it does not go with entity")
        return by_name([ground.find(which.entity, "entity")])
    if which.device is None:
        return by_name(ground.entities)
    found = [live for live in ground.entities if live.record.device == which.device]
    if not found:
        raise Refused(Code.NOT_FOUND, f"device: there is no device {which.device!r}")
    return by_name(found)


def _listed(
    some: Sequence[tuple[str, LiveEntity]], place: Place, describe: Callable[[LiveEntity], Described]
) -> Listing:
    """A list of what is said of each entity, from the name behind the cursor on."""
    done = "" if place.after is None else str(place.after[0])
    parts = (Part((name,), describe(live)) for name, live in some if name > done)
    return Listing(iter(parts), lambda found: [part.value for part in found])


def entities(ground: Ground, params: Which, place: Place) -> Listing:
    """Every entity as its about describes it, when it last changed and was heard. Raises Refused."""
    return _listed(_some(ground, params), place, _described)


def _described(live: LiveEntity) -> Described:
    record = live.record
    return {
        "entity": full_name(live),
        "name": record.name,
        "unit": record.unit,
        "device_class": record.device_class,
        "state_class": record.state_class,
        "first_seen": to_iso(record.first),
        "last_state": None if live.newest is None else to_iso(live.newest.ts),
        "heard": _heard(live),
    }


def latest(ground: Ground, params: Which, place: Place) -> Listing:
    """The newest state of each entity, also one that is not on disk yet, and when it was last heard.

    Raises Refused.
    """
    return _listed(_some(ground, params), place, _newest)


def _newest(live: LiveEntity) -> Described:
    newest = live.newest
    return {
        "entity": full_name(live),
        "ts": None if newest is None else to_iso(newest.ts),
        "heard": _heard(live),
        "value": None if newest is None else newest.value,
        "unit": live.record.unit,
    }


def _heard(live: LiveEntity) -> str | None:
    """When a value last came, also one that only repeated the newest state."""
    return to_iso(live.heard) if live.heard >= 0 else None


def metadata(ground: Ground, params: MetadataOf, place: Place) -> Listing:
    """What is kept of each entity that has statistics. Raises Refused(not_found)."""
    asked = ground.entities if params.entities is None else ground.find_all(params.entities, "entities")
    kept = [
        pair for pair in by_name(asked) if pair[1].record.state_class is not None or _rows(ground, pair[1])
    ]
    if params.statistic_type is not None:
        kept = [pair for pair in kept if _kinds(ground, pair[1])[params.statistic_type == "sum"]]
    return _listed(kept, place, lambda live: _metadata(ground, live))


def _rows(ground: Ground, live: LiveEntity) -> bool:
    return any(queries.last_row(ground.store, table, live.record.id) is not None for table in Table)


def _kinds(ground: Ground, live: LiveEntity) -> tuple[bool, bool]:
    """Whether an entity has means, and sums: by its class, or, without one, by its newest row."""
    state_class = live.record.state_class
    if state_class is None:
        row = queries.row_before(ground.store, Table.HOUR, live.record.id, 2**60) or queries.row_before(
            ground.store, Table.FIVE_MINUTES, live.record.id, 2**60
        )
        return (False, False) if row is None else (row.row.mean is not None, row.row.sum is not None)
    return state_class in _MEANS, state_class in _TOTALS


def _metadata(ground: Ground, live: LiveEntity) -> Described:
    has_mean, has_sum = _kinds(ground, live)
    return {
        "entity": full_name(live),
        "name": live.record.name,
        "unit": stored_unit(live),
        "unit_class": unit_class(live),
        "state_class": live.record.state_class,
        "has_mean": has_mean,
        "has_sum": has_sum,
    }
