"""The registers of a profile's block as values. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from bus.messages import OFF, ON
from collector.devices import modbus_words
from collector.devices.description import Value as Known
from collector.devices.description import Values
from collector.devices.modbus_profile import Block, Direction, Value

# No quantity in these units is larger; a float of noise may be.
_LARGEST = Decimal(10) ** 18
# SunSpec's "not implemented", and powers of ten nobody means.
_POWERS = range(-10, 11)


@dataclass(slots=True)
class Reading:
    """What a poll has found so far: values, entities with an undescribed code, why values are null."""

    values: Values = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Registers:
    first: int
    words: tuple[int, ...]

    def at(self, address: int, count: int = 1) -> tuple[int, ...]:
        start = address - self.first
        return self.words[start : start + count]


def decode(block: Block, words: tuple[int, ...], into: Reading) -> None:
    """Add the values of a block; `words` are its `count` registers."""
    registers = _Registers(block.address, words)
    for value in block.values:
        into.values[value.entity] = _known(value, registers, into)


def _known(value: Value, registers: _Registers, into: Reading) -> Known:
    if value.kind == "str":
        return modbus_words.text(registers.at(value.add[0], value.size))
    if value.bit is not None:
        return _bit(value, registers)
    raw = _raw(value, registers)
    if raw is None:
        return None
    if value.options is not None:
        return _word(value, value.options, int(raw), into)
    return _quantity(value, raw, registers, into)


def _bit(value: Value, registers: _Registers) -> str | None:
    assert value.bit is not None  # noqa: S101 — the caller looked
    (word,) = registers.at(value.add[0])
    if word in value.invalid:
        return None
    return ON if word >> value.bit & 1 else OFF


def _word(value: Value, options: Mapping[int, str], code: int, into: Reading) -> str | None:
    if code not in options:
        into.unknown.append(value.entity)
    return options.get(code)


def _raw(value: Value, registers: _Registers) -> Decimal | None:
    parts = [_part(value, address, registers) for address in value.add]
    there = [part for part in parts if part is not None]
    taken = [_part(value, address, registers) for address in value.subtract]
    if not there or None in taken:
        return None
    return sum(there, Decimal(0)) - sum((part for part in taken if part is not None), Decimal(0))


def _part(value: Value, address: int, registers: _Registers) -> Decimal | None:
    raw = modbus_words.number(value.kind, registers.at(address, value.size), little=value.little)
    return None if raw is None or raw in value.invalid else raw


def _quantity(value: Value, raw: Decimal, registers: _Registers, into: Reading) -> float | None:
    scale = value.scale
    if value.scale_register is not None:
        power = modbus_words.number("i16", registers.at(value.scale_register), little=False)
        if power is None or power not in _POWERS:
            return None
        scale = scale.scaleb(int(power))
    if value.direction is not None:
        sign = _sign(value.direction, registers)
        if sign is None:
            into.unknown.append(value.entity)
            return None
        if sign == 0 and raw != 0:
            into.reasons[value.entity] = "the device does not say in which direction it flows"
            return None
        raw = abs(raw) * sign
    if abs(raw) > _LARGEST:
        _beyond(value, into, "it is no number that could be meant")
        return None
    found = raw * scale + value.offset
    if value.floor is not None:
        found = max(found, value.floor)
    if (value.least is not None and found < value.least) or (value.most is not None and found > value.most):
        unit = value.row.entity.unit or ""
        _beyond(value, into, f"{found:f} {unit}".strip() + " is not plausible")
        return None
    return modbus_words.rounded(found, value.row.entity.precision or 0)


def _beyond(value: Value, into: Reading, why: str) -> None:
    into.reasons[value.entity] = f"{why}: is the profile the right one for this model?"


def _sign(direction: Direction, registers: _Registers) -> int | None:
    """1, -1, 0 for neither of two bits, None for a code that is neither."""
    (word,) = registers.at(direction.address)
    if direction.bits:
        return (word >> direction.positive & 1) - (word >> direction.negative & 1)
    return {direction.positive: 1, direction.negative: -1}.get(word)
