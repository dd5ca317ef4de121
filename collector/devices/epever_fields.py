"""What a register of an Epever controller can hold, and the row that follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bus.about import Entity
from collector.devices.description import Row
from collector.devices.rows import measured, status


@dataclass(frozen=True, slots=True)
class Number:
    """A register (two, low word first: `long`) times `scale`; beyond `least` and `most` it is nonsense."""

    entity: str
    address: int
    row: Row
    scale: float = 0.01
    signed: bool = False
    long: bool = False
    least: float = 0.0
    most: float = 500.0


@dataclass(frozen=True, slots=True)
class Code:
    """Bits of a register that stand for a word."""

    entity: str
    address: int
    row: Row
    words: Mapping[int, str]
    shift: int = 0
    mask: int = 0xFFFF


@dataclass(frozen=True, slots=True)
class Bit:
    """A bit of a register, or a coil or discrete input (bit 0)."""

    entity: str
    address: int
    row: Row
    bit: int = 0


Field = Number | Code | Bit


@dataclass(frozen=True, slots=True)
class Block:
    """One request, `every` so many seconds; what is `optional` not all models have."""

    function: int
    address: int
    count: int
    fields: tuple[Field, ...]
    every: float = 0.0
    optional: bool = False


# `extra`: tells about the controller, and not every model does.


def volts(entity: str, address: int, name: str, *, extra: bool = False) -> Number:
    """Hundredths of a volt."""
    return Number(
        entity, address, measured(name, "V", precision=2, step=0.02, optional=extra, diagnostic=extra)
    )


def amperes(entity: str, address: int, name: str, *, extra: bool = False) -> Number:
    """Hundredths of an ampere; the largest that Epever makes are for 100 A."""
    return Number(entity, address, measured(name, "A", optional=extra, diagnostic=extra), most=200)


def watts(entity: str, address: int, name: str, *, extra: bool = False) -> Number:
    """Hundredths of a watt."""
    row = measured(name, "W", precision=1, step=1, optional=extra, diagnostic=extra)
    return Number(entity, address, row, long=True, most=20_000)


def degrees(entity: str, address: int, name: str, *, diagnostic: bool = False) -> Number:
    """Hundredths of a degree."""
    row = measured(name, "°C", step=0.2, diagnostic=diagnostic)
    return Number(entity, address, row, signed=True, least=-60, most=150)


def energy(entity: str, address: int, name: str, *, diagnostic: bool = False) -> Number:
    """Hundredths of a kilowatt hour."""
    daily = entity.endswith("_today")
    row = measured(name, "Wh", optional=True, diagnostic=diagnostic, daily=daily)
    return Number(entity, address, row, scale=10, long=True, most=4e10)


def code(
    entity: str,
    address: int,
    name: str,
    words: Mapping[int, str],
    *,
    shift: int = 0,
    mask: int = 0xFFFF,
    extra: bool = False,
) -> Code:
    """A word that a register, or some bits of it, stand for."""
    row = status(name, tuple(dict.fromkeys(words.values())), diagnostic=extra, optional=extra)
    return Code(entity, address, row, words, shift, mask)


def flag(
    name: str,
    device_class: str | None = None,
    *,
    diagnostic: bool = False,
    optional: bool = False,
    command: bool = False,
) -> Row:
    """The row of a bit."""
    entity = Entity(
        name=name, device_class=device_class, boolean=True, diagnostic=diagnostic, command=command
    )
    return Row(entity=entity, optional=optional)


def faults(address: int, bits: Mapping[int, tuple[str, str]], *, optional: bool = False) -> tuple[Bit, ...]:
    """Bits that say what is wrong: entity and name by bit."""
    return tuple(
        Bit(entity, address, flag(name, "problem", diagnostic=True, optional=optional), bit)
        for bit, (entity, name) in bits.items()
    )
