"""What every verb stands on: entities and database; names, moments and zones as clients write them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from zoneinfo import ZoneInfo

from bus.clock import Clock
from bus.commands import Code, Refused
from bus.messages import from_iso, machine_zone
from bus.requests import LATEST_MS
from config.model import Statistician as Settings
from statistician.compile import Compiler
from statistician.live import Entities, LiveEntity
from statistician.store import Store


@dataclass(frozen=True, slots=True)
class Ground:
    """The parts of the running statistician that requests look at; `started` in monotonic s."""

    store: Store
    entities: Entities
    compiler: Compiler
    settings: Settings
    clock: Clock
    started: float

    def find(self, name: str, field: str) -> LiveEntity:
        """The entity called `device.entity` (or with a slash). Raises Refused(not_found)."""
        device, dot, key = name.replace("/", ".").partition(".")
        # A look at an unknown device must not make it known.
        known = {live.record.entity: live for live in self.entities if live.record.device == device}
        if not dot or key not in known:
            there = ", ".join(sorted(f"{device}.{entity}" for entity in known)[:20])
            hint = f"{device} has {there}" if there else "the verb entities lists all"
            raise Refused(Code.NOT_FOUND, f"{field}: there is no entity {name!r}; {hint}")
        return known[key]

    def find_all(self, names: Sequence[str], field: str) -> list[LiveEntity]:
        """The entities of these names, each once, in their order. Raises Refused(not_found)."""
        return list({(live := self.find(name, field)).record.id: live for name in names}.values())


def full_name(live: LiveEntity) -> str:
    """`device.entity`."""
    return f"{live.record.device}.{live.record.entity}"


def by_name(entities: Iterable[LiveEntity]) -> list[tuple[str, LiveEntity]]:
    """Entities in order of their names."""
    return sorted(((full_name(live), live) for live in entities), key=lambda pair: pair[0])


def moment(value: str | int, field: str) -> int:
    """A time as ms. Raises Refused(invalid)."""
    if isinstance(value, int):
        return value
    try:
        found = from_iso(value)
    except (ValueError, OverflowError) as error:
        raise Refused(Code.INVALID, f"{field}: {error}") from error
    if not 0 <= found <= LATEST_MS:
        raise Refused(Code.INVALID, f"{field}: allowed are the years 1970 to 2999")
    return found


def span(start: str | int | None, end: str | int | None, field: str = "") -> tuple[int | None, int | None]:
    """Start and end as ms. Raises Refused(invalid), also for a start that is not before the end."""
    since = None if start is None else moment(start, f"{field}start")
    until = None if end is None else moment(end, f"{field}end")
    if since is not None and until is not None and since >= until:
        raise Refused(Code.INVALID, f"{field}start: it must be before {field}end")
    return since, until


def zone(name: str | None) -> tzinfo:
    """The IANA time zone of a name; without one the machine's. Raises Refused(invalid)."""
    if name is None:
        return machine_zone()
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise Refused(
            Code.INVALID, f"time_zone: {name!r} is not known; allowed are IANA names such as Europe/Berlin"
        ) from error
