"""What a Victron record is made of: each field knows the entities it gives and how its bits become values.

Bits count from the least significant of the plaintext's first byte. victron-ble, which names the codes, is
loaded when the first code is read or shown: other processes list our kinds and must not pay for it.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct
from msgspec.structs import force_setattr

from collector.devices.description import ImplausibleError, Row, Rows, Tested, Value, Values
from collector.devices.rows import BLE_ROWS, measured, on_off, status
from collector.devices.victron import OFF_REASON_ROWS, read_off_reasons, read_reasons, reason_rows

SOURCE = "Victron, Extra Manufacturer Data (2022-12-14); keshavdv/victron-ble 0.9.3"
Words = Mapping[int, str]


class Record(Struct):
    """An opened record: its plaintext as one number, and what its fields have said so far.

    `unknown` are the entities whose code nobody has described, `unknown_reasons` those of reasons to be off.
    """

    number: int
    values: Values = {}
    unknown: list[str] = []
    unknown_reasons: tuple[str, ...] = ()

    def bits(self, start: int, length: int) -> int:
        """Return the unsigned number of `length` bits from bit `start`."""
        return self.number >> start & (1 << length) - 1


class Field(Protocol):
    """Some bits of a record."""

    @property
    def rows(self) -> Rows:
        """The entities it gives."""

    def read(self, record: Record) -> None:
        """Add its values. Raises ImplausibleError for what no such device says."""


class _OneEntity(Struct, frozen=True):
    entity: str
    row: Row

    @property
    def rows(self) -> Rows:
        """The entity."""
        return {self.entity: self.row}


class Number(_OneEntity, frozen=True):
    """A number times `times` / `per`, plus `plus`, in the row's unit.

    Numbers in `absent` are null; none given: the largest one, as Victron says "not available". A null of an
    optional row is left out: what a model does not have it calls "not available" for ever. A value outside
    `within` is noise of a wrong key.
    """

    start: int
    length: int
    per: int = 1
    times: int = 1
    plus: float = 0
    signed: bool = False
    absent: tuple[int, ...] = ()
    within: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.absent:
            force_setattr(self, "absent", ((1 << self.length - self.signed) - 1,))

    def read(self, record: Record) -> None:
        """Add the value."""
        number = record.number >> self.start & (1 << self.length) - 1
        if number in self.absent:
            if not self.row.optional:
                record.values[self.entity] = None
            return
        if self.signed and number >> self.length - 1:
            number -= 1 << self.length
        number *= self.times
        value = number if self.per == 1 else number / self.per
        if self.plus:
            value = round(value + self.plus, 2)
        if self.within is not None and not self.within[0] <= value <= self.within[1]:
            require_within(self.entity, value, *self.within)
        record.values[self.entity] = value


class Code(Struct, frozen=True):
    """A number that stands for a word; those of `absent` are null, one outside `within` is noise.

    `words` is the table itself or the name of one in victron.library.
    """

    entity: str
    name: str
    start: int
    length: int
    words: Words | str
    absent: tuple[int, ...] = (0xFF,)
    signed: bool = False
    within: tuple[int, int] | None = None
    diagnostic: bool = False

    @property
    def rows(self) -> Rows:
        """The code's entity."""
        return {self.entity: status(self.name, self._words().values(), diagnostic=self.diagnostic)}

    def read(self, record: Record) -> None:
        """Add the word."""
        number = record.bits(self.start, self.length)
        if self.signed and number >> self.length - 1:
            number -= 1 << self.length
        if self.within is not None:
            require_within(self.entity, number, *self.within)
        word = None if number in self.absent else self._words().get(number)
        record.values[self.entity] = word
        if word is None and number not in self.absent:
            record.unknown.append(self.entity)

    def _words(self) -> Words:
        if not isinstance(self.words, str):
            return self.words
        from collector.devices.victron.ble import WORDS  # noqa: PLC0415 — see above

        return WORDS[self.words]


class Power(_OneEntity, frozen=True):
    """Volts times amperes of two numbers that stand before it."""

    volts: str = "voltage"
    amperes: str = "current"

    def read(self, record: Record) -> None:
        """Add the product."""
        record.values[self.entity] = power(record.values[self.volts], record.values[self.amperes])


class Flag(_OneEntity, frozen=True):
    """A boolean of one or several fields of `length` bits: ON when one of them is among `on`.

    Numbers in `absent` say "not available"; null when all do.
    """

    starts: tuple[int, ...]
    length: int = 1
    on: tuple[int, ...] = (1,)
    absent: tuple[int, ...] = ()
    # Of single bits that are ON when they are set.
    mask: int = 0

    def __post_init__(self) -> None:
        if self.length == 1:
            force_setattr(self, "mask", sum(1 << start for start in self.starts))

    def read(self, record: Record) -> None:
        """Add ON, OFF or null."""
        if self.mask:
            record.values[self.entity] = on_off(bool(record.number & self.mask))
            return
        said = [record.bits(start, self.length) for start in self.starts]
        known = [number for number in said if number not in self.absent]
        record.values[self.entity] = on_off(any(number in self.on for number in known)) if known else None


class Reasons(Struct, frozen=True):
    """Bits of VE_REG_ALARM_REASON or VE_REG_WARNING_REASON, of which the device can set `bits`."""

    start: int
    bits: tuple[int, ...]
    of: str = "alarm"

    @property
    def rows(self) -> Rows:
        """All reasons together, and each."""
        return reason_rows(self.bits, self.of)

    def read(self, record: Record) -> None:
        """Add all of them."""
        record.values |= read_reasons(record.bits(self.start, 16), self.bits, self.of)


class OffReasons(Struct, frozen=True):
    """Bits of VE_REG_DEVICE_OFF_REASON_2."""

    start: int

    @property
    def rows(self) -> Rows:
        """The reason, and each alone."""
        return OFF_REASON_ROWS

    def read(self, record: Record) -> None:
        """Add all of them."""
        said, record.unknown_reasons = read_off_reasons(record.bits(self.start, 32))
        record.values |= said


class OneOf(Struct, frozen=True):
    """One of several numbers, as `length` bits from `start` say; of the others nothing is said."""

    start: int
    length: int
    numbers: Mapping[int, Number]

    @property
    def rows(self) -> Rows:
        """All that it may be."""
        return {number.entity: number.row for number in self.numbers.values()}

    def read(self, record: Record) -> None:
        """Add the value of the one it is, null included."""
        number = self.numbers.get(record.bits(self.start, self.length))
        if number is not None:
            number.read(record)
            record.values.setdefault(number.entity, None)


class Cells(Struct, frozen=True):
    """Numbers of which the optional ones are said, null included, once one of them is available."""

    numbers: tuple[Number, ...]

    @property
    def rows(self) -> Rows:
        """All of them."""
        return {number.entity: number.row for number in self.numbers}

    def read(self, record: Record) -> None:
        """Add the values of those that exist, null included."""
        for number in self.numbers:
            number.read(record)
        if any(number.entity in record.values for number in self.numbers if number.row.optional):
            for number in self.numbers:
                record.values.setdefault(number.entity, None)


class Layout(Struct, frozen=True, kw_only=True):
    """A type of record: its number, what Victron calls such a device, bytes of plaintext and fields.

    An unknown code must not stand beside trouble that the entity `trouble` tells of; `check` raises
    ImplausibleError for what else no such device says.
    """

    number: int
    what: str
    title: str
    length: int
    fields: tuple[Field, ...]
    trouble: str | None = None
    check: Callable[[Record], None] | None = None
    source: str = SOURCE
    # What an owner should know; seconds between two records that are no silence yet.
    notes: tuple[str, ...] = ()
    silence: float = 0.0
    tested: tuple[Tested, ...] = (Tested.VECTORS, Tested.TWIN)

    @property
    def rows(self) -> Rows:
        """What such a device reports, in the order of its fields."""
        return {entity: row for one in self.fields for entity, row in one.rows.items()} | dict(BLE_ROWS)

    def read(self, record: Record) -> None:
        """Fill in the record's values. Raises ImplausibleError."""
        for one in self.fields:
            one.read(record)
        if self.check is not None:
            self.check(record)
        if record.unknown and self.trouble is not None:
            _require_credible(record, self.trouble)


def _require_credible(record: Record, trouble: str) -> None:
    # One unknown code in a device that is well may be new firmware; more, or one beside trouble, is noise.
    said = record.values[trouble]
    troubled = said not in (None, "no_error", "OFF", 0) and trouble not in record.unknown
    if len(record.unknown) > 1 or troubled:
        unknown = " and ".join(record.unknown)
        raise ImplausibleError(f"implausible: {unknown} unknown, {trouble} {said}")


def require_within(name: str, value: Value, least: float, most: float) -> None:
    """Raise ImplausibleError when a known number lies outside what such a device can measure."""
    if isinstance(value, int | float) and not least <= value <= most:
        raise ImplausibleError(f"implausible: {name} {value:g} is outside {least:g} to {most:g}")


def power(voltage: Value, current: Value) -> float | None:
    """Return W of V and A; None if one of them is unknown."""
    if not isinstance(voltage, int | float) or not isinstance(current, int | float):
        return None
    return round(voltage * current, 2)


def volts(name: str, *, role: str | None = None, diagnostic: bool = False, optional: bool = False) -> Row:
    """Declare a voltage as fine as Victron's devices say it."""
    return measured(name, "V", precision=2, step=0.01, role=role, diagnostic=diagnostic, optional=optional)


def amperes(name: str, *, role: str | None = None, optional: bool = False) -> Row:
    """Declare a current in tenths of an ampere."""
    return measured(name, "A", precision=1, step=0.1, role=role, optional=optional)


def volts_field(
    entity: str,
    name: str,
    start: int,
    length: int = 16,
    *,
    signed: bool = True,
    most: float = 100,
    role: str | None = None,
    optional: bool = False,
    absent: tuple[int, ...] = (),
) -> Number:
    """Declare a voltage, 0 to `most` V."""
    row = volts(name, role=role, optional=optional)
    return Number(entity, row, start, length, 100, signed=signed, absent=absent, within=(0, most))


def amperes_field(
    entity: str,
    name: str,
    start: int,
    length: int = 16,
    *,
    within: tuple[float, float] | None = None,
    role: str | None = None,
    optional: bool = False,
    absent: tuple[int, ...] = (),
) -> Number:
    """Declare a current in tenths of an ampere; 16 bits are signed."""
    row = amperes(name, role=role, optional=optional)
    return Number(entity, row, start, length, 10, signed=length == 16, absent=absent, within=within)


def degrees_field(name: str, start: int, *, role: str | None = None) -> Number:
    """Declare a temperature in whole °C."""
    return Number("temperature", measured(name, "°C", precision=0, step=1, role=role), start, 7, plus=-40)


def soc_field(start: int) -> Number:
    """Declare the state of charge."""
    row = measured("State of charge", "%", device_class="battery", role="battery")
    return Number("soc", row, start, 10, 10, within=(0, 100))


def consumed_field(start: int) -> Number:
    """Declare what is missing to a full battery, negative or 0."""
    return Number(
        "consumed_charge", measured("Consumed charge", "Ah"), start, 20, 10, -1, within=(-10_000, 0)
    )


def time_remaining_field(start: int) -> Number:
    """Declare how long the battery lasts at this load."""
    return Number("time_remaining", measured("Time remaining", "s", role="battery"), start, 16, times=60)
