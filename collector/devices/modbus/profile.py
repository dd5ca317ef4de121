"""Profiles: which registers of a Modbus device mean what; docs/profile-format.md is the page of it. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace as changed

from bus.about import Entity
from collector.devices.description import Row, Rows, Write
from collector.devices.modbus import SIZES
from collector.devices.rows import MEASURES, SERIAL_NUMBER, common, measured, serial_number, status, text
from config.model import Role

# Modbus Application Protocol V1.1b3, 6.1 to 6.4: 1 to 125 registers in one request.
LAST_REGISTER = 0xFFFF
Register = Annotated[int, Meta(ge=0, le=LAST_REGISTER)]
Count = Annotated[int, Meta(ge=1, le=125)]
Letters = Annotated[int, Meta(ge=1, le=60)]
Place = Annotated[int, Meta(ge=0, le=15)]
Id = Annotated[str, Meta(pattern="^[a-z0-9_]+$")]
TEXT = r"\S"
Text = Annotated[str, Meta(pattern=TEXT)]
Exact = int | Decimal
Order = Literal["big", "little"]
Type = Literal["u16", "i16", "u32", "i32", "u64", "i64", "f32", "str", "bit"]
Unit = Literal["V", "A", "W", "Wh", "VA", "var", "Hz", "°C", "s", "%", "Ah", "L", "none"]
T = TypeVar("T")
COIL, HOLDING = 1, 3
BIT_FUNCTIONS = (COIL, 2)
MODEL = "model"


class ProfileError(Exception):
    """A profile cannot be used: where, what is wrong, what is allowed."""

    def __init__(self, where: str, wrong: str, allowed: str) -> None:
        super().__init__(f"{where}: {wrong}; allowed: {allowed}")
        self.where, self.wrong, self.allowed = where, wrong, allowed


class _Table(Struct, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class Direction(_Table):
    """Where a value without sign flows: bits or codes of a register.

    `signed`: some models give the value a sign itself, which is 1 or -1 times ours. That counts where it is
    negative, or where the register says nothing.
    """

    address: Register
    positive: Register | None = None
    negative: Register | None = None
    positive_bit: Place | None = None
    negative_bit: Place | None = None
    signed: Literal[1, -1] | None = None


class Command(_Table):
    """A coil that obeys; where a model has the entity `only_when`, only while that one `is`."""

    only_when: Id | None = None
    is_: str = msgspec.field(default="", name="is")
    hint: str = ""


class Nominal(_Table):
    """A range counts where the entity `id` is `at`, and twice as far where that is twice; up to `most`."""

    id: Id
    at: Exact
    most: Exact


class Writing(Command, kw_only=True):
    """A setting that the owner may allow to be written, at least `every` seconds apart.

    `restart` says what it is after the device has lost its supply. Numbers have a `range` and a `step` in the
    entity's unit.
    """

    restart: Text
    every: Annotated[float, Meta(ge=0, le=86_400)] = 60.0
    range: Annotated[list[Exact], Meta(min_length=2, max_length=2)] | None = None
    step: Exact | None = None
    nominal: Nominal | None = None
    function: Literal[5, 6, 16] | None = None

    def limits(self, nominal: Exact | None = None) -> tuple[float, float] | None:
        """Return the least and the largest number: where the nominal value is that, or at any it may be."""
        if self.range is None:
            return None
        least, most = self.range
        if self.nominal is None:
            return float(least), float(most)
        first = Decimal(1 if nominal is None else nominal / Decimal(self.nominal.at))
        last = Decimal(self.nominal.most) / Decimal(self.nominal.at) if nominal is None else first
        return float(least * first), float(most * last)


class Described(_Table):
    """How an entity is described; what a shared id implies need not be said."""

    id: Id
    name: Text | None = None
    unit: Unit | None = None
    device_class: Text | None = None
    state_class: Literal["measurement", "total", "total_increasing", "none"] | None = None
    precision: Annotated[int, Meta(ge=0, le=6)] | None = None
    decimals: Annotated[int, Meta(ge=0, le=6)] | None = None
    step: Exact | None = None
    diagnostic: bool = False
    daily: bool = False
    role: Role | None = None

    @property
    def title(self) -> str:
        """Name the entity for people."""
        return self.name or self.id.replace("_", " ").capitalize()

    def measured(self, where: str, *, optional: bool) -> Row:
        """Return the row of a number. Raises ProfileError."""
        step = None if self.step is None else float(self.step)
        shared = common(self.id, precision=self.precision, step=step, optional=optional)
        if shared is not None and self.unit is None:
            return replace(shared, entity=changed(shared.entity, role=self.role or shared.entity.role))
        if self.unit is None:
            raise ProfileError(f"{where}.unit", "it is missing", ", ".join((*MEASURES, "none")))
        return measured(
            self.title,
            None if self.unit == "none" else self.unit,
            device_class=self.device_class,
            state_class="" if self.state_class == "none" else self.state_class,
            precision=self.precision,
            step=step,
            diagnostic=self.diagnostic,
            daily=self.daily,
            role=self.role,
            optional=optional,
        )


class Value(Described, kw_only=True):
    """One entity: `scale` times (registers `address` less `subtract`) plus `offset`, in its row's unit.

    `scale_register` holds a power of ten. A value below `floor` is the floor, one beyond `min` or `max` is
    unknown. Several registers in `address` may be partly `invalid`: a string that is not there. The high word
    of 32 bits may stand elsewhere, in `high`. Of a register only `bits` may count, negative where its
    `sign_bit` is set. The value is multiplied by the entities `times`.
    """

    type: Type
    address: Register | Annotated[list[Register], Meta(min_length=1)]
    subtract: Register | list[Register] = []
    count: Count | None = None
    word_order: Order | None = None
    high: Register | None = None
    scale: Exact = 1
    sign: Literal[1, -1] = 1
    scale_register: Register | None = None
    offset: Exact = 0
    floor: Exact | None = None
    min: Exact | None = None
    max: Exact | None = None
    invalid: int | list[int] = []
    options: Annotated[dict[str, str], Meta(min_length=1)] | None = None
    bit: Place | None = None
    bits: Annotated[list[Place], Meta(min_length=2, max_length=2)] | None = None
    sign_bit: Place | None = None
    times: Id | list[Id] = []
    direction: Direction | None = None
    command: Command | None = None
    write: Writing | None = None

    @property
    def size(self) -> int:
        """Count the registers of each address."""
        if self.high is not None:
            return 1
        return (self.count or 1) if self.type == "str" else SIZES.get(self.type, 1)

    @property
    def obeys(self) -> Command | None:
        """Return how it is written, None if it is only read."""
        return self.write or self.command

    @property
    def digits(self) -> Exact:
        """Return how much one step of the register is, in the unit."""
        return abs(Decimal(self.scale))

    def as_obeying(self, row: Row) -> Row:
        """Return the row of a value that takes commands."""
        if self.write is None:
            return replace(row, entity=changed(row.entity, command=self.command is not None))
        entity = changed(row.entity, command=True)
        if self.write.range is not None:
            step = float(self.write.step or self.digits)
            entity = changed(entity, range=self.write.limits(), step=step)
        return replace(row, entity=entity, write=Write(self.write.every, self.write.restart))


class Block(_Table):
    """One request; `every` seconds if that is more than the device's; `optional`: some models refuse it."""

    name: Text
    address: Register
    count: Count
    values: Annotated[list[Value], Meta(min_length=1)]
    function: Annotated[int, Meta(ge=1, le=4)] = 3
    every: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    optional: bool = False


class Identity(_Table):
    """Where the device keeps its model or its serial number."""

    address: Register
    type: Literal["str", "u32", "u64"] = "str"
    count: Letters | None = None
    function: Literal[3, 4] = 3


class Mark(_Table):
    """Registers that tell this device from others: one of the numbers, a range, or a text it starts with.

    A device with another value in a `sure` one is not read; `others` says what it is then, by its number. A
    mark with `others` alone fits whatever says none of them.
    """

    address: Register
    type: Literal["u16", "i16", "u32", "i32", "u64", "i64", "f32", "str"]
    function: Literal[3, 4] = 3
    count: Letters | None = None
    equals: int | list[int] = []
    starts: list[str] = []
    min: Exact | None = None
    max: Exact | None = None
    sure: bool = False
    others: dict[str, Text] = {}

    @property
    def size(self) -> int:
        """Count the registers."""
        return (self.count or 1) if self.type == "str" else SIZES[self.type]

    @property
    def compares(self) -> bool:
        """Whether it says what the right device has, not only what others have."""
        return bool(as_list(self.equals) or self.starts) or self.min is not None or self.max is not None


class Identify(_Table):
    """How a scan recognises the device."""

    marks: list[Mark] = []
    certain: bool = False


class About(_Table):
    """What a device of some maker reports, where that was read and whether it ran on the hardware."""

    name: Id
    title: Text
    manufacturer: Text
    source: Text
    kind: Id = "modbus"
    seen_on_hardware: bool = False
    notes: list[str] = []
    unit: Annotated[int, Meta(ge=1, le=247)] = 1
    baudrate: Annotated[int, Meta(ge=300, le=4_000_000)] = 9600
    word_order: Order = "big"
    not_available: Literal["none", "highest", "lowest"] = "none"
    retry: Annotated[float, Meta(ge=1, le=3600)] = 30.0
    strict: bool = False


class Together(_Table):
    """Registers that the device takes in one request only, and how their values must follow one another.

    `write` counts for each number there that has none of its own.
    """

    address: Register
    count: Annotated[int, Meta(ge=1, le=123)]
    write: Writing | None = None
    order: list[Text] = []

    def has(self, block: "Block", value: Value) -> bool:
        """Say whether a value lies in these registers."""
        inside = range(self.address, self.address + self.count)
        return block.function == HOLDING and {*as_list(value.address)} <= {*inside}

    def rules(self) -> Iterator[tuple[str, str, str]]:
        """Each two entities that must follow one another, with the sign between them."""
        for chain in self.order:
            words = chain.split()
            yield from zip(words[::2], words[1::2], words[2::2], strict=False)


class Profile(_Table):
    """A whole file; `build` makes one."""

    about: About = msgspec.field(name="profile")
    blocks: Annotated[list[Block], Meta(min_length=1)] = msgspec.field(name="block")
    model: Identity | None = None
    serial_number: Identity | None = None
    identify: Identify = msgspec.field(default_factory=Identify)
    together: list[Together] = []

    @property
    def name(self) -> str:
        """Name it as the setting `profile` does."""
        return self.about.name

    def requests(self) -> Iterator[Block]:
        """All blocks, and those of the model and the serial number, which are read once."""
        yield from self.blocks
        for entity, one in ((MODEL, self.model), (SERIAL_NUMBER, self.serial_number)):
            if one is not None:
                yield _once(entity, one)

    def rows(self) -> Rows:
        """Return the description of every entity. Raises ProfileError."""
        rows: dict[str, Row] = {}
        for where, one, row in self._described():
            known = rows.get(one)
            # Two blocks may tell the same, unless all models have both: the first that knows it counts.
            same = known is not None and known.entity == row.entity and (known.optional or row.optional)
            if known is not None and not same:
                raise ProfileError(where, "the id is used twice", "each id once")
            rows[one] = row
        return rows

    def _described(self) -> Iterator[tuple[str, str, Row]]:
        for block in self.blocks:
            for value in block.values:
                where = f"block[{block.name}].values[{value.id}]"
                row = _row(value, where, optional=block.optional)
                yield where, value.id, row if value.obeys is None else value.as_obeying(row)
        if self.serial_number is not None:
            yield SERIAL_NUMBER, SERIAL_NUMBER, serial_number()


def _once(entity: str, one: Identity) -> Block:
    value = Value(id=entity, type=one.type, address=[one.address], count=one.count)
    return Block(
        name=entity,
        function=one.function,
        address=one.address,
        count=value.size,
        every=float("inf"),
        optional=True,
        values=[value],
    )


def _row(value: Value, where: str, *, optional: bool) -> Row:
    if value.options is not None:
        words = tuple(dict.fromkeys(value.options.values()))
        return status(value.title, words, diagnostic=value.diagnostic, optional=optional)
    if value.type == "str":
        return text(value.title, diagnostic=value.diagnostic, optional=optional)
    if value.type == "bit":
        entity = Entity(
            name=value.title,
            boolean=True,
            device_class=value.device_class,
            diagnostic=value.diagnostic,
            role=value.role,
        )
        return Row(entity=entity, optional=optional)
    return value.measured(where, optional=optional)


def as_list(one: T | list[T]) -> list[T]:
    """Return the list, or the one as a list."""
    return one if isinstance(one, list) else [one]
