"""What goes into the database and comes out of it; times are ms since 1970 UTC."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, NamedTuple

import msgspec

from bus.messages import EARLIEST_MS, LATEST_MS, Value
from statistician.arithmetic import HOUR, MINUTES_5
from statistician.arithmetic.algorithm import Row
from statistician.arithmetic.counters import HeldReading, Memory
from statistician.clock import Undated

_HALF_A_DAY = 43_200_000


class StoreError(Exception):
    """The database refused: keep what was not written and try again; the text is SQLite's."""


class Table(Enum):
    """Where rows of a length of period are kept."""

    FIVE_MINUTES = "statistics_5minute"
    HOUR = "statistics_hour"

    @property
    def length(self) -> int:
        """Length of a period, ms."""
        return HOUR if self is Table.HOUR else MINUTES_5


# A tuple, because one is made for every value of every reading.
class State(NamedTuple):
    """A value an entity (by its number) took at `ts`."""

    ts: int
    entity: int
    value: Value
    last_reset: int | None


class Heard(NamedTuple):
    """A reading at `ts` that repeated the value in force."""

    ts: int
    entity: int


Event = State | Heard


class StoredRow(NamedTuple):
    """A statistic as it stands in the database; `rev` counts its corrections."""

    entity: int
    start: int
    row: Row
    rev: int


class Since(NamedTuple):
    """What about said from a time on: a unit or a state class."""

    since: int
    word: str | None


class Adjustment(NamedTuple):
    """What a user added to the sums from a 5-minute period on, in the unit the statistics are kept in.

    `joint`: a rename added it, so that two series of one counter meet; it is void where that was replaced.
    """

    start: int
    amount: float
    joint: bool = False


class Said(NamedTuple):
    """What about says of a field that a user has set to something else."""

    field: str
    word: str | None


# No device can be called so.
_MERGED = "#"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityRecord:
    """An entity and its number; `first` is the time of its oldest state known when it was first seen.

    `units` and `classes` tell what was in force when; rows are in `kept_unit` (empty: no unit; None: there
    are no rows yet) and, if they are means, directions or not (`kept_angle`). No row is made before `begins`.
    A value is known for `expire` ms after it was heard (None: until the next one); a `daily` counter begins
    anew each day.
    """

    id: int
    device: str
    entity: str
    first: int
    name: str | None = None
    unit: str | None = None
    device_class: str | None = None
    state_class: str | None = None
    units: tuple[Since, ...] = ()
    classes: tuple[Since, ...] = ()
    kept_unit: str | None = None
    kept_angle: bool | None = None
    begins: int = 0
    enabled: bool = True
    said: tuple[Said, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
    expire: int | None = None
    daily: bool = False
    # From when on the counter was another one, ms.
    renewals: tuple[int, ...] = ()

    @property
    def merged_into(self) -> int | None:
        """The number of the entity that has taken over its series; None: it is an entity of its own."""
        return int(self.device.removeprefix(_MERGED)) if self.device.startswith(_MERGED) else None

    def merge_into(self, number: int) -> "EntityRecord":
        """Return what is left of it once another has taken over its series: its number, for its journal."""
        return EntityRecord(
            id=self.id,
            device=f"{_MERGED}{number}",
            entity=str(self.id),
            first=self.first,
            classes=(Since(0, None),),
        )

    @property
    def remembers(self) -> int | None:
        """For how long it matters when a value was heard, ms; None: not at all."""
        if self.daily:
            return max(self.expire or 0, _HALF_A_DAY)
        return self.expire

    def unit_at(self, ts: int) -> str | None:
        """Return the unit that was in force for a state of `ts`."""
        return self.unit if len(self.units) < 2 else _in_force(self.units, ts)

    def class_at(self, at: int) -> str | None:
        """Return the state class that was in force at `at`."""
        return self.state_class if len(self.classes) < 2 else _in_force(self.classes, at)

    def adjusted(self, after: int, until: int) -> float:
        """Return what was added to sums between the row of the period `after` and that of `until`."""
        replaced = any(after <= at < until + MINUTES_5 for at in self.renewals)
        its = (one for one in self.adjustments if after < one.start <= until)
        return sum(one.amount for one in its if not (replaced and one.joint))


def _in_force(history: tuple[Since, ...], at: int) -> str | None:
    # The newest is nearly always the one.
    for since, word in reversed(history):
        if since <= at:
            return word
    return history[0].word


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """Every seq of the stream up to `seq` is stored; `seen` is when it was last heard.

    By clocks that were right, `first` is the time of its reading with seq 1, `newest` the latest of all.
    """

    stream: str
    seq: int
    seen: int
    first: int | None = None
    newest: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """States changed between `since` and `until` (both included) in periods already compiled."""

    since: int
    until: int

    def join(self, other: "Span") -> "Span":
        """Return the span that holds both."""
        return Span(min(self.since, other.since), max(self.until, other.until))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be used, and why; `whole` if none of it may be cut off."""

    ts: int
    topic: str
    payload: bytes
    error: str
    whole: bool = False


@dataclass(slots=True)
class Batch:
    """What one commit writes; of `held`, by entity and time (ms), None removes one."""

    entities: dict[int, EntityRecord] = field(default_factory=dict)
    # Entities that were never read, to be removed.
    forgotten: set[int] = field(default_factory=set)
    repeats: list[Heard] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    # States to remove: time and entity.
    removed: list[tuple[int, int]] = field(default_factory=list)
    streams: dict[str, StreamRecord] = field(default_factory=dict)
    # Devices, each with a service that its about names.
    owners: list[tuple[str, str]] = field(default_factory=list)
    dirty: dict[int, Span] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    held: dict[tuple[int, int], HeldReading | None] = field(default_factory=dict)
    counters: dict[int, Memory] = field(default_factory=dict)
    undated: list[Undated] = field(default_factory=list)
    # Of the undated those up to this number are dated.
    dated_to: int = 0


_Ms = Annotated[int, msgspec.Meta(ge=EARLIEST_MS, le=LATEST_MS)]


class KeptClocks(msgspec.Struct, forbid_unknown_fields=True):
    """What is kept of clocks that may be wrong; times in ms, by entity number.

    `offset` is what the clock was ahead of the time since the start `boot` of the machine. `since` is when
    the first reading counts that it dated; `shifts` is what is added to the clock of an entity.
    """

    boot: str = ""
    offset: _Ms = 0
    since: dict[int, _Ms] = {}
    shifts: dict[int, _Ms] = {}
