"""Profiles: which registers of a Modbus device mean what. profile_build.py makes them from TOML. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from collector.devices.description import Row


@dataclass(frozen=True, slots=True)
class Direction:
    """Where a value without sign flows: `positive` and `negative` are bits or codes of a register."""

    address: int
    positive: int
    negative: int
    bits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One entity, in its row's unit: `scale` times (registers `add` less `subtract`) plus `offset`.

    `scale_register` holds a power of ten. A value below `floor` is the floor, one beyond `least` or `most` is
    unknown. Several registers in `add` may be partly `invalid`: a string that is not there.
    """

    entity: str
    row: Row
    kind: str
    size: int
    add: tuple[int, ...]
    subtract: tuple[int, ...] = ()
    little: bool = False
    scale: Decimal = Decimal(1)
    scale_register: int | None = None
    offset: Decimal = Decimal(0)
    floor: Decimal | None = None
    least: Decimal | None = None
    most: Decimal | None = None
    invalid: frozenset[int] = frozenset()
    options: Mapping[int, str] | None = None
    bit: int | None = None
    direction: Direction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One request; `every` seconds if that is more than the device's; `optional`: some models refuse it."""

    name: str
    function: int
    address: int
    count: int
    every: float = 0.0
    optional: bool = False
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Registers that tell this device from others: one of the numbers, a range, or a text it starts with."""

    function: int
    address: int
    kind: str
    size: int
    little: bool
    equals: tuple[int, ...] = ()
    least: Decimal | None = None
    most: Decimal | None = None
    starts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a device of some maker reports, where that was read and whether it ran on the hardware."""

    name: str
    title: str
    manufacturer: str
    source: str
    seen: bool
    blocks: tuple[Block, ...]
    unit: int = 1
    baudrate: int = 9600
    notes: tuple[str, ...] = ()
    model: Block | None = None
    serial: Block | None = None
    marks: tuple[Mark, ...] = ()
    certain: bool = False
    rows: Mapping[str, Row] = field(default_factory=dict)
