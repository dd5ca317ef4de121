"""Makes a profile from the tables of a TOML file, and says what is wrong with one. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from bus.about import STATE_CLASSES, Entity
from collector.devices import modbus_words
from collector.devices.description import Row
from collector.devices.modbus_profile import Block, Direction, Mark, Profile, Value
from collector.devices.profile_table import ProfileError, Table
from collector.devices.rows import (
    MEASURES,
    SERIAL_NUMBER,
    common,
    measured,
    serial_number,
    status,
    text,
)

_ID = re.compile(r"[a-z0-9_]+")
# Modbus Application Protocol V1.1b3, 6.3 and 6.4: 1 to 125 registers in one request.
_MOST_REGISTERS = 125
_LAST = 0xFFFF
_DAY_S = 86_400
_INT64 = 2**63
KINDS = (*modbus_words.SIZES, "bit")


@dataclass(frozen=True, slots=True)
class _Defaults:
    little: bool
    convention: str


def build(content: Mapping[str, object]) -> Profile:
    """The profile in a parsed TOML file (numbers with a point as Decimal). Raises ProfileError."""
    top = Table("", content)
    about = top.table("profile")
    if about is None:
        raise ProfileError("profile", "the table is missing", "[profile] with name, title, source")
    defaults = _Defaults(
        little=about.choice("word_order", ("big", "little"), "big") == "little",
        convention=about.choice("not_available", modbus_words.CONVENTIONS, "none"),
    )
    blocks = tuple(_block(table, defaults) for table in top.tables("block", "name"))
    if not blocks:
        raise ProfileError("block", "there is none", "at least one [[block]] with values")
    marks, certain = _identify(top.table("identify"), defaults)
    serial = _text_block(top.table(SERIAL_NUMBER), SERIAL_NUMBER)
    profile = Profile(
        name=_id(about, "name"),
        title=about.text("title"),
        manufacturer=about.text("manufacturer"),
        source=about.text("source"),
        seen=about.boolean("seen_on_hardware", default=False),
        notes=about.texts("notes"),
        unit=about.integer("unit", 1, 247, 1),
        baudrate=about.integer("baudrate", 300, 4_000_000, 9600),
        blocks=blocks,
        model=_text_block(top.table("model"), "model"),
        serial=serial,
        marks=marks,
        certain=certain,
        rows=_rows(blocks if serial is None else (*blocks, serial)),
    )
    about.finish()
    top.finish()
    return profile


def _rows(blocks: tuple[Block, ...]) -> Mapping[str, Row]:
    rows: dict[str, Row] = {}
    for block in blocks:
        for value in block.values:
            if value.entity in rows:
                where = f"block[{block.name}].values[{value.entity}]"
                raise ProfileError(where, "the id is used twice", "each id once")
            rows[value.entity] = value.row
    return rows


def _id(table: Table, key: str) -> str:
    found = table.text(key)
    if not _ID.fullmatch(found):
        raise table.wrong(key, f"it is {found!r}", "a-z, 0-9 and _")
    return found


def _function(table: Table) -> int:
    found = table.integer("function", 1, 4, 3)
    if found not in (3, 4):
        raise table.wrong("function", f"it is {found}", "3 (holding registers) or 4 (input registers)")
    return found


def _block(table: Table, defaults: _Defaults) -> Block:
    address = table.integer("address", 0, _LAST)
    block = Block(
        name=table.text("name"),
        function=_function(table),
        address=address,
        count=table.integer("count", 1, min(_MOST_REGISTERS, _LAST + 1 - address)),
        every=float(table.integer("every", 0, _DAY_S, 0)),
        optional=table.boolean("optional", default=False),
    )
    values = tuple(_value(one, block, defaults) for one in table.tables("values", "id"))
    if not values:
        raise table.wrong("values", "there are none", "at least one")
    table.finish()
    return replace(block, values=values)


def _value(table: Table, block: Block, defaults: _Defaults) -> Value:
    entity = _id(table, "id")
    kind = table.choice("type", KINDS)
    size = table.integer("count", 1, _MOST_REGISTERS) if kind == "str" else modbus_words.SIZES.get(kind, 1)
    little = defaults.little
    if table.get("word_order") is not None:
        little = table.choice("word_order", ("big", "little")) == "little"
    options = table.codes("options")
    invalid = table.integers("invalid", -_INT64, 2 * _INT64)
    scale = table.number("scale", Decimal(1))
    sign = table.integer("sign", -1, 1, 1)
    if not scale or not sign:
        raise table.wrong("scale" if sign else "sign", "it is 0", "any other number" if sign else "1 or -1")
    value = Value(
        entity=entity,
        kind=kind,
        size=size,
        add=_places(table, block, "address", size),
        subtract=_places(table, block, "subtract", size),
        little=little,
        scale=scale * sign,
        scale_register=_place(table, block, "scale_register", 1),
        offset=table.number("offset", Decimal(0)),
        floor=table.maybe_number("floor"),
        least=table.maybe_number("min"),
        most=table.maybe_number("max"),
        invalid=frozenset(invalid) or modbus_words.not_available(_stored(kind), defaults.convention),
        options=options,
        bit=table.integer("bit", 0, 15) if kind == "bit" else None,
        direction=_direction(table.table("direction"), block),
        row=_row(table, entity, kind, options, optional=block.optional),
    )
    table.finish()
    return value


def _stored(kind: str) -> str:
    return "u16" if kind == "bit" else kind


def _within(table: Table, block: Block, key: str, address: int, size: int) -> int:
    last = block.address + block.count - 1
    if address < block.address or address + size - 1 > last:
        end = "" if size == 1 else f" to {address + size - 1}"
        raise table.wrong(
            key, f"{address}{end} lies outside block {block.name}", f"{block.address} to {last}"
        )
    return address


def _places(table: Table, block: Block, key: str, size: int) -> tuple[int, ...]:
    found = table.integers(key, 0, _LAST)
    if key == "address" and not found:
        raise table.wrong(key, "it is missing", "a register, or a list of registers to add up")
    return tuple(_within(table, block, key, address, size) for address in found)


def _place(table: Table, block: Block, key: str, size: int) -> int | None:
    found = table.maybe_integer(key, 0, _LAST)
    return None if found is None else _within(table, block, key, found, size)


def _direction(table: Table | None, block: Block) -> Direction | None:
    if table is None:
        return None
    bits = table.get("positive_bit") is not None
    suffix, most = ("_bit", 15) if bits else ("", _LAST)
    direction = Direction(
        address=_within(table, block, "address", table.integer("address", 0, _LAST), 1),
        positive=table.integer(f"positive{suffix}", 0, most),
        negative=table.integer(f"negative{suffix}", 0, most),
        bits=bits,
    )
    table.finish()
    return direction


def _row(table: Table, entity: str, kind: str, options: Mapping[int, str] | None, *, optional: bool) -> Row:
    precision, step = table.maybe_integer("precision", 0, 6), table.maybe_number("step")
    found = common(entity, precision=precision, step=None if step is None else float(step), optional=optional)
    if found is not None and kind not in ("str", "bit") and options is None:
        return found
    name = table.text("name", entity.replace("_", " ").capitalize())
    diagnostic = table.boolean("diagnostic", default=False)
    if options is not None:
        return status(name, tuple(dict.fromkeys(options.values())), diagnostic=diagnostic, optional=optional)
    if kind == "str":
        return text(name, diagnostic=diagnostic, optional=optional)
    if kind == "bit":
        device_class = table.get("device_class")
        entity_of_bit = Entity(
            name=name,
            boolean=True,
            device_class=None if device_class is None else table.text("device_class"),
            diagnostic=diagnostic,
        )
        return Row(entity=entity_of_bit, optional=optional)
    return _own_row(table, name, precision, step, diagnostic=diagnostic, optional=optional)


def _own_row(
    table: Table, name: str, precision: int | None, step: Decimal | None, *, diagnostic: bool, optional: bool
) -> Row:
    unit = table.choice("unit", tuple(MEASURES))
    given = {key: table.get(key) is not None for key in ("device_class", "state_class")}
    return measured(
        name,
        unit,
        device_class=table.text("device_class") if given["device_class"] else None,
        state_class=table.choice("state_class", STATE_CLASSES) if given["state_class"] else None,
        precision=precision,
        step=None if step is None else float(step),
        diagnostic=diagnostic,
        optional=optional,
    )


def _text_block(table: Table | None, entity: str) -> Block | None:
    if table is None:
        return None
    address = table.integer("address", 0, _LAST)
    kind = table.choice("type", ("str", "u32", "u64"), "str")
    size = table.integer("count", 1, 60) if kind == "str" else modbus_words.SIZES[kind]
    block = Block(
        name=entity,
        function=_function(table),
        address=address,
        count=size,
        optional=True,
        values=(
            Value(entity=entity, row=serial_number(), kind=kind, size=size, add=(address,), little=False),
        ),
    )
    table.finish()
    return block


def _identify(table: Table | None, defaults: _Defaults) -> tuple[tuple[Mark, ...], bool]:
    if table is None:
        return (), False
    marks = tuple(_mark(one, defaults) for one in table.tables("marks", "address"))
    certain = table.boolean("certain", default=False)
    table.finish()
    return marks, certain


def _mark(table: Table, defaults: _Defaults) -> Mark:
    kind = table.choice("type", tuple(modbus_words.SIZES))
    mark = Mark(
        function=_function(table),
        address=table.integer("address", 0, _LAST),
        kind=kind,
        size=table.integer("count", 1, 60) if kind == "str" else modbus_words.SIZES[kind],
        little=defaults.little,
        equals=table.integers("equals", -_INT64, 2 * _INT64),
        least=table.maybe_number("min"),
        most=table.maybe_number("max"),
        starts=table.texts("starts"),
    )
    if not (mark.equals or mark.starts or mark.least is not None or mark.most is not None):
        raise table.wrong("equals", "nothing to compare with", "equals, starts, or min and max")
    table.finish()
    return mark
