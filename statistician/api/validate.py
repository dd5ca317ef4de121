"""The verb validate: what keeps statistics from being made, in Home Assistant's words."""

from collections.abc import Iterator

from bus import about
from bus.requests import Listing, Part, Place
from statistician import store_queries as queries
from statistician.api.ground import Ground, by_name
from statistician.api.params import Nothing
from statistician.api.wishes import stored_unit, unit_class
from statistician.arithmetic import units
from statistician.arithmetic.live import LiveEntity
from statistician.records import Table

Issue = dict[str, str | None]


def validate(ground: Ground, _params: Nothing, place: Place) -> Listing:
    """Issues by entity; entities without any are absent."""
    done = "" if place.after is None else str(place.after[0])

    def parts() -> Iterator[Part | None]:
        for name, live in by_name(ground.entities):
            if name > done:
                found = _issues(ground, live)
                yield Part((name,), found) if found else None

    return Listing(parts(), lambda found: {str(part.key[0]): part.value for part in found})


def _issues(ground: Ground, live: LiveEntity) -> list[Issue]:
    numbers = (queries.last_row(ground.store, table, live.record.id) for table in Table)
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
