"""What goes into the database and comes out of it; times are ms since 1970 UTC."""

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from bus.messages import Value
from statistician.algorithm import Row


class StoreError(Exception):
    """The database refused: keep what was not written and try again; the text is SQLite's."""


class Table(Enum):
    """Where rows of a length of period are kept."""

    FIVE_MINUTES = "statistics_5minute"
    HOUR = "statistics_hour"


# A tuple, because one is made for every value of every reading.
class State(NamedTuple):
    """A value an entity (by its number) took at `ts`."""

    ts: int
    entity: int
    value: Value
    last_reset: int | None


class StoredRow(NamedTuple):
    """A statistic as it stands in the database; `rev` counts its corrections."""

    entity: int
    start: int
    row: Row
    rev: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityRecord:
    """An entity and its number; `first` is the time of its oldest state known when it was first seen."""

    id: int
    device: str
    entity: str
    first: int
    name: str | None = None
    unit: str | None = None
    device_class: str | None = None
    state_class: str | None = None


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """Every seq of the stream up to `seq` is stored; `seen` is when it was last heard."""

    stream: str
    seq: int
    seen: int


@dataclass(frozen=True, slots=True)
class Span:
    """States changed between `since` and `until` (both included) in periods already compiled."""

    since: int
    until: int

    def join(self, other: "Span") -> "Span":
        """The span that holds both."""
        return Span(min(self.since, other.since), max(self.until, other.until))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be used, and why."""

    ts: int
    topic: str
    payload: bytes
    error: str


@dataclass(slots=True)
class Batch:
    """What one commit writes."""

    entities: dict[int, EntityRecord] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    streams: dict[str, StreamRecord] = field(default_factory=dict)
    dirty: dict[int, Span] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
