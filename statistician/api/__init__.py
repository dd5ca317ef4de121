"""Requests and fixes: what they work on, the table of verbs; names, times and zones as clients write them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from bus.clock import Clock
from bus.commands import Code, Refused
from bus.events import Message
from bus.messages import from_iso, machine_zone, to_iso
from bus.requests import LARGEST, LATEST_MS, Action, Listing, Ms, Place, action
from bus.topics import ID
from config.model import Statistician as Settings
from statistician.arithmetic import horizon
from statistician.arithmetic.live import LiveEntity
from statistician.compile import Compiler
from statistician.entities import Entities
from statistician.publish import Aggregates
from statistician.records import EntityRecord, Span
from statistician.store import Store
from statistician.upkeep import Upkeep

# Parameters of requests; a time is an RFC 3339 text or integer ms since 1970 UTC.
Moment = Annotated[str, Meta(max_length=40)] | Ms
Name = Annotated[str, Meta(min_length=3, max_length=200)]
Names = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=500)]


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of the running statistician that requests look at and change; `started` in monotonic s.

    `settle` commits what was taken and gives up a correction on its way; it returns what awaits correction.
    `take_again` takes a message as if it had come just now; it returns why it was set aside again, if it was.
    `note_quiet` tells the change feed that all that came is on disk, if that is so.
    """

    store: Store
    entities: Entities
    compiler: Compiler
    settings: Settings
    clock: Clock
    started: float
    upkeep: Upkeep
    aggregates: Aggregates
    settle: Callable[[], dict[int, Span]]
    take_again: Callable[[Message], str | None]
    note_quiet: Callable[[], None]
    # Of the fix that is being made: its time (ms), and the records it has changed, not committed yet.
    now: int = 0
    records: dict[int, EntityRecord] = field(default_factory=dict)

    def record(self, number: int) -> EntityRecord:
        """Return an entity as the fix has left it so far."""
        return self.records.get(number) or self.entities[number].record

    @property
    def open(self) -> int:
        """Start of the first period not compiled yet."""
        return 0 if self.compiler.open is None else self.compiler.open

    @property
    def horizon(self) -> int:
        """From when on states are kept."""
        return horizon(self.now, self.settings.keep_days)

    def find(self, name: str, field: str = "entity") -> LiveEntity:
        """Return the entity called `device.entity` (or with a slash). Raises Refused(not_found)."""
        device, dot, key = name.replace("/", ".").partition(".")
        known = self.entities.of(device)
        if not dot or key not in known:
            there = ", ".join(sorted(f"{device}.{entity}" for entity in known)[:20])
            hint = f"{device} has {there}" if there else "the verb entities lists all"
            raise Refused(Code.NOT_FOUND, f"{field}: there is no entity {name!r}; {hint}")
        return known[key]

    def find_device(self, device: str) -> list[LiveEntity]:
        """Return the entities of a device. Raises Refused(not_found)."""
        found = list(self.entities.of(device).values())
        if not found:
            raise Refused(
                Code.NOT_FOUND, f"device: there is no device {device!r}; the verb entities lists all"
            )
        return found

    def find_all(self, names: Sequence[str], field: str) -> list[LiveEntity]:
        """Return the entities of these names, each once, in their order. Raises Refused(not_found)."""
        return list({(live := self.find(name, field)).record.id: live for name in names}.values())


def iso(ts: int | None) -> str | None:
    """Return a time as text, if there is one."""
    return None if ts is None else to_iso(ts)


def full_name(record: EntityRecord) -> str:
    """`device.entity`."""
    return f"{record.device}.{record.entity}"


def parts(name: str, field: str) -> tuple[str, str]:
    """Device and entity of a new name. Raises Refused(invalid)."""
    device, _, key = name.replace("/", ".").partition(".")
    if not ID.match(device) or not ID.match(key):
        raise Refused(Code.INVALID, f"{field}: {name!r} is no name; allowed is device.entity")
    return device, key


def by_name(entities: Iterable[LiveEntity]) -> list[tuple[str, LiveEntity]]:
    """Entities in order of their names."""
    return sorted(((full_name(live.record), live) for live in entities), key=lambda pair: pair[0])


def moment(value: str | int, field: str) -> int:
    """Return a time as ms. Raises Refused(invalid)."""
    try:
        found = value if isinstance(value, int) else from_iso(value)
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
    """Return the IANA time zone of a name; without one the machine's. Raises Refused(invalid)."""
    if name is None:
        return machine_zone()
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise Refused(
            Code.INVALID, f"time_zone: {name!r} is not known; allowed are IANA names such as Europe/Berlin"
        ) from error


# Whoever may ask a verb, and all roles above: what changes nothing is a viewer's.
Asker = Literal["viewer", "operator", "admin"]
P = TypeVar("P", bound=Struct)
Answer = Callable[[Context, P, Place], Listing]

# What a cursor holds, by what a verb lists.
BY_NAME = tuple[str]
BY_TIME = tuple[Ms]
BY_TWO = tuple[Ms, Annotated[int, Meta(ge=-1_000_000_000, le=1_000_000_000)]]
# An entity's place in the request, and a time.
BY_ROW = tuple[Annotated[int, Meta(ge=0, le=500)], Ms]


class Nothing(Struct, forbid_unknown_fields=True):
    """A verb without parameters."""


@dataclass(frozen=True, slots=True)
class RequestVerb:
    """A row of the table; `pages` is what a cursor holds (None: no pages), `largest` in bytes."""

    name: str
    params: type[Struct]
    answer: Answer[Any]
    asker: Asker
    pages: object = None
    largest: int = LARGEST
    changes: bool = False

    def on(self, context: Context) -> Action:
        """Bind the verb to the running statistician."""
        return action(
            self.params,
            lambda asked, place: self.answer(context, asked, place),
            key=self.pages,
            largest=self.largest,
            changes=self.changes,
        )


VERBS: dict[str, RequestVerb] = {}


def verb(
    params: type[P],
    *,
    asker: Asker,
    pages: object = None,
    largest: int = LARGEST,
    changes: bool = False,
    name: str | None = None,
) -> Callable[[Answer[P]], Answer[P]]:
    """Put a function into the table, under its own name or `name`; its answer may raise Refused."""

    def entered(answer: Answer[P]) -> Answer[P]:
        called = name or answer.__name__
        VERBS[called] = RequestVerb(called, params, answer, asker, pages, largest, changes)
        return answer

    return entered
