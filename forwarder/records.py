"""What is sent: readings, rows of statistics, samples, and what is void; each with a key of its own.

Made from the changes that the statistician's verb `changes` answers (docs/contract.md). Times are ms.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bus.messages import Value, to_iso

Json = Value | bool | Mapping[str, Value]
Period = Literal["5minute", "hour"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What an entity, device.entity, was at `ts`; None: it is not known from then on."""

    entity: str
    ts: int
    value: Value
    unit: str | None = None
    last_reset: int | None = None

    @property
    def key(self) -> str:
        """The same for the same reading, however often it is sent; a later one of the same key counts."""
        return f"{self.entity}@{self.ts}"

    def body(self) -> dict[str, Json]:
        """Return it as a JSON object."""
        said: dict[str, Json] = {"entity": self.entity, "ts": to_iso(self.ts), "value": self.value}
        if self.unit is not None:
            said["unit"] = self.unit
        if self.last_reset is not None:
            said["last_reset"] = to_iso(self.last_reset)
        return said


@dataclass(frozen=True, slots=True)
class StatisticsRow:
    """A row of an entity's statistics from `start` on; `values` as `camper/statistics` names them."""

    entity: str
    period: Period
    start: int
    values: Mapping[str, Value]
    rev: int = 0
    unit: str | None = None

    @property
    def ts(self) -> int:
        """When its period begins."""
        return self.start

    @property
    def key(self) -> str:
        """The same for the same row; a higher `rev` takes its place."""
        return f"{self.entity}/{self.period}@{self.start}"

    def body(self) -> dict[str, Json]:
        """Return it as a JSON object."""
        said: dict[str, Json] = {"entity": self.entity, "period": self.period, "start": to_iso(self.start)}
        if self.unit is not None:
            said["unit"] = self.unit
        return said | dict(self.values) | {"rev": self.rev}


@dataclass(frozen=True, slots=True)
class Sample:
    """What was known at `ts`, by column."""

    ts: int
    values: Mapping[str, Value] = field(default_factory=dict)
    entity: str = ""

    @property
    def key(self) -> str:
        """The same for the same time."""
        return f"@{self.ts}"

    def body(self) -> dict[str, Json]:
        """Return it as a JSON object."""
        return {"timestamp": to_iso(self.ts), **self.values}


@dataclass(frozen=True, slots=True)
class Removed:
    """What was sent of an entity with start <= time < end is void; what follows takes its place."""

    entity: str
    what: str
    start: int
    end: int

    @property
    def ts(self) -> int:
        """When it begins."""
        return self.start

    @property
    def key(self) -> str:
        """The same for the same span."""
        return f"{self.entity}/removed/{self.what}@{self.start}-{self.end}"

    def body(self) -> dict[str, Json]:
        """Return it as a JSON object."""
        span = {"start": to_iso(self.start), "end": to_iso(self.end)}
        return {"entity": self.entity, "removed": self.what, **span}


Record = Reading | StatisticsRow | Sample | Removed


def device_of(record: Record) -> str:
    """Return the id of the device a record is of; empty for a sample."""
    return record.entity.partition(".")[0]
