"""How the rows of an entity are wanted: which types, in which unit."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bus.commands import Code, Refused
from bus.messages import to_iso
from statistician import units
from statistician.live import LiveEntity
from statistician.requests.rows import Line, Period

Convert = Callable[[float], float]
_ASKED_FOR = frozenset({"min_at", "max_at"})


@dataclass(frozen=True, slots=True)
class Wish:
    """An entity, the types wanted (None: all) and the unit; differences convert without the zero point."""

    live: LiveEntity
    types: frozenset[str] | None
    unit: str | None
    value: Convert
    difference: Convert

    def wants(self, name: str) -> bool:
        """Whether a type belongs into the answer; what costs reads of its own only where it is named."""
        return name not in _ASKED_FOR if self.types is None else name in self.types

    def show(self, name: str, number: float | None) -> float | None:
        """A mean, an extreme or a state in the unit wanted; None if it is not wanted or not there."""
        return _finite(self.value(number)) if number is not None and self.wants(name) else None

    def show_difference(self, name: str, number: float | None) -> float | None:
        """The same for a sum or a change."""
        return _finite(self.difference(number)) if number is not None and self.wants(name) else None

    def line(self, period: Period, min_at: int | None, max_at: int | None) -> Line:
        """A period as it goes into the answer; `min_at` and `max_at` in ms, if they are wanted."""
        row = period.row
        known = row.coverage if self.wants("coverage") else None
        return Line(
            start=to_iso(period.start),
            end=to_iso(period.end),
            mean=self.show("mean", row.mean),
            min=self.show("min", row.min),
            min_at=_iso(min_at),
            max=self.show("max", row.max),
            max_at=_iso(max_at),
            state=self.show("state", row.state),
            sum=self.show_difference("sum", row.sum),
            change=self.show_difference("change", period.change),
            sum_increase=self.show_difference("sum_increase", row.sum_increase),
            sum_decrease=self.show_difference("sum_decrease", row.sum_decrease),
            last_reset=_iso(row.last_reset) if self.wants("last_reset") else None,
            coverage=None if known is None else round(known, 6),
        )


def _finite(number: float) -> float | None:
    # Of numbers near the largest there are, sums and differences may be none.
    return number if math.isfinite(number) else None


def _iso(ts: int | None) -> str | None:
    return None if ts is None else to_iso(ts)


def stored_unit(live: LiveEntity) -> str | None:
    """The unit of an entity's rows; before the first row that of its states."""
    kept = live.record.kept_unit
    return live.record.unit if kept is None else kept or None


def unit_class(live: LiveEntity) -> str | None:
    """The class of units into which an entity's rows can be converted."""
    return units.unit_class(live.record.device_class, stored_unit(live))


def check_units(wanted: Mapping[str, str] | None) -> None:
    """Raise Refused(invalid) for a class or a unit that does not exist."""
    for name, unit in (wanted or {}).items():
        known = ", ".join(units.units_of(name))
        if not known:
            raise Refused(Code.INVALID, f"units: there is no class {name!r}")
        if units.canonical(unit) not in units.units_of(name):
            raise Refused(Code.INVALID, f"units.{name}: {unit!r} is not in it; allowed are {known}")


def wish(live: LiveEntity, types: frozenset[str] | None, wanted: Mapping[str, str] | None) -> Wish:
    """What is wanted of an entity: in a unit of `wanted`, by class, else the one its states have now."""
    own = stored_unit(live)
    name = unit_class(live)
    target = (wanted or {}).get(name or "", live.record.unit)
    how = units.conversion(name, units.canonical(own), units.canonical(target)) if name else None
    if how is None or units.canonical(own) == units.canonical(target):
        return Wish(live, types, own, float, float)
    zero = how(0.0)
    return Wish(live, types, target, how, lambda value: how(value) - zero)
