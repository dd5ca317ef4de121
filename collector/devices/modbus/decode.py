"""The registers or bits of a profile's block as values. Pure."""

from dataclasses import dataclass, field
from decimal import Decimal

from bus.messages import OFF, ON
from collector.devices.description import Decoded, Rows, Values
from collector.devices.description import Value as Known
from collector.devices.modbus import words as numbers
from collector.devices.modbus.profile import Block, Direction, Value, as_list

# No quantity in these units is larger; a float of noise may be.
_LARGEST = Decimal(10) ** 18
# SunSpec's "not implemented", and powers of ten nobody means.
_POWERS = range(-10, 11)
_MEANT = "is the profile, or the kind, the right one for this model?"


@dataclass(frozen=True, slots=True)
class _Registers:
    """What one request brought, and what is found out about its values on the way."""

    first: int
    words: tuple[int, ...]
    unknown: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    def at(self, address: int, count: int = 1) -> tuple[int, ...]:
        start = address - self.first
        return self.words[start : start + count]


def decode(block: Block, words: tuple[int, ...], rows: Rows) -> Decoded:
    """Return the values of a block, described by `rows`; `words` are its `count` registers or bits."""
    registers = _Registers(block.address, words)
    values: Values = {value.id: _known(value, registers, rows) for value in block.values}
    return Decoded(values, unknown=tuple(registers.unknown), reasons=registers.reasons)


def _known(value: Value, registers: _Registers, rows: Rows) -> Known:
    (first, *_) = as_list(value.address)
    if value.type == "str":
        return numbers.text(registers.at(first, value.size))
    if value.bit is not None:
        (word,) = registers.at(first)
        return None if word in as_list(value.invalid) else ON if word >> value.bit & 1 else OFF
    raw = _raw(value, registers)
    if raw is None:
        return None
    if value.options is not None:
        return _word(value, value.options, int(raw), registers)
    return _quantity(value, raw, registers, rows)


def _word(value: Value, options: dict[str, str], code: int, registers: _Registers) -> str | None:
    if value.bits is not None:
        first, last = value.bits
        code = code >> first & (1 << last - first + 1) - 1
    word = options.get(str(code))
    if word is None:
        registers.unknown.append(value.id)
    return word


def _raw(value: Value, registers: _Registers) -> Decimal | None:
    parts = [_part(value, address, registers) for address in as_list(value.address)]
    there = [part for part in parts if part is not None]
    taken = [_part(value, address, registers) for address in as_list(value.subtract)]
    if not there or None in taken:
        return None
    return sum(there, Decimal(0)) - sum((part for part in taken if part is not None), Decimal(0))


def _part(value: Value, address: int, registers: _Registers) -> Decimal | None:
    raw = numbers.number(value.type, registers.at(address, value.size), little=value.word_order == "little")
    return None if raw is None or raw in as_list(value.invalid) else raw


def _quantity(value: Value, raw: Decimal, registers: _Registers, rows: Rows) -> float | None:
    scale, entity = Decimal(value.scale), rows[value.id].entity
    if value.scale_register is not None:
        power = numbers.number("i16", registers.at(value.scale_register), little=False)
        if power is None or power not in _POWERS:
            return None
        scale = scale.scaleb(int(power))
    if value.direction is not None:
        sign = _sign(value.direction, registers)
        if sign is None:
            registers.unknown.append(value.id)
            return None
        if sign == 0 and raw != 0:
            registers.reasons[value.id] = "the device does not say in which direction it flows"
            return None
        raw = abs(raw) * sign
    if abs(raw) > _LARGEST:
        registers.reasons[value.id] = f"it is no number that could be meant: {_MEANT}"
        return None
    found = raw * scale + value.offset
    if value.floor is not None:
        found = max(found, Decimal(value.floor))
    if (value.min is not None and found < value.min) or (value.max is not None and found > value.max):
        shown = f"{found:f} {entity.unit or ''}".strip()
        registers.reasons[value.id] = f"{shown} is not plausible: {_MEANT}"
        return None
    digits = entity.precision if value.decimals is None else value.decimals
    return numbers.rounded(found, digits or 0)


def _sign(direction: Direction, registers: _Registers) -> int | None:
    """Return 1, -1, 0 for neither of two bits, None for a code that is neither."""
    (word,) = registers.at(direction.address)
    if direction.positive_bit is not None and direction.negative_bit is not None:
        return (word >> direction.positive_bit & 1) - (word >> direction.negative_bit & 1)
    return 1 if word == direction.positive else -1 if word == direction.negative else None
