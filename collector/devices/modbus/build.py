"""Makes a profile from the tables of a TOML file, and says what is wrong with one. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from collector.devices.modbus import not_available
from collector.devices.modbus.profile import (
    BIT_FUNCTIONS,
    COIL,
    LAST_REGISTER,
    MODEL,
    TEXT,
    About,
    Block,
    Exact,
    Identity,
    Mark,
    Profile,
    ProfileError,
    Value,
    as_list,
)
from collector.devices.rows import SERIAL_NUMBER


def build(content: Mapping[str, object]) -> Profile:
    """Make the profile in a parsed TOML file (numbers with a point as Decimal). Raises ProfileError."""
    try:
        profile = msgspec.convert(content, Profile, builtin_types=(Decimal,))
    except msgspec.ValidationError as error:
        raise _explained(str(error), content) from error
    for where, wrong, allowed in _mistakes(profile):
        raise ProfileError(where, wrong, allowed)
    for block in profile.blocks:
        for value in block.values:
            _fill_in(value, profile.about)
    for mark in profile.identify.marks:
        mark.others = _by_number(mark.others)
    profile.rows()
    return profile


def _fill_in(value: Value, about: About) -> None:
    """Give a value what the profile says for all; lists where the file may be short."""
    value.word_order = value.word_order or about.word_order
    value.invalid = as_list(value.invalid) or not_available(
        "u16" if value.type == "bit" else value.type, about.not_available
    )
    value.address, value.subtract = as_list(value.address), as_list(value.subtract)
    value.times = as_list(value.times)
    value.scale *= value.sign
    if value.type == "bit" and value.bit is None:
        value.bit = 0
    if value.options is not None:
        value.options = _by_number(value.options)


def _by_number(words: Mapping[str, str]) -> dict[str, str]:
    return {str(int(code, 0)): word for code, word in words.items()}


Wrong = tuple[str, str, str]


def _mistakes(profile: Profile) -> Iterator[Wrong]:
    """Find what the types of the tables do not tell: where, what is wrong, what is allowed."""
    for block in profile.blocks:
        if block.address + block.count - 1 > LAST_REGISTER:
            most = LAST_REGISTER + 1 - block.address
            yield f"block[{block.name}].count", f"it is {block.count}", f"1 to {most}"
        for value in block.values:
            where = f"block[{block.name}].values[{value.id}]"
            yield from _outside(value, block, where)
            yield from _uncounted(value, where)
            yield from _of_bits(value, block, where)
            yield from _unfit(value, where)
    yield from _unknown(profile)
    for mark in profile.identify.marks:
        where = f"identify.marks[{mark.address}]"
        if not (mark.compares or mark.others):
            yield f"{where}.equals", "nothing to compare with", "equals, starts, min and max, or others"
        yield from _no_numbers(mark.others, f"{where}.others")
        yield from _uncounted(mark, where)
    for key, one in ((MODEL, profile.model), (SERIAL_NUMBER, profile.serial_number)):
        if one is not None:
            yield from _uncounted(one, key)


def _no_numbers(codes: Iterable[str], where: str) -> Iterator[Wrong]:
    for code in codes:
        if not re.fullmatch(r"[+-]?\d+|0[xX][0-9a-fA-F]+", code):
            yield where, f"{code!r} is no number", "0, 17, 0x0200, …"


def _unknown(profile: Profile) -> Iterator[Wrong]:
    """Entities that are named and that no block tells."""
    values = {value.id: value for block in profile.blocks for value in block.values}
    for entity, value in values.items():
        for factor in as_list(value.times):
            if factor not in values:
                yield f"values[{entity}].times", f"there is no {factor!r}", ", ".join(values)
        wanted = None if value.command is None else value.command.only_when
        words = [one for one, other in values.items() if other.options is not None]
        if wanted is not None and wanted not in words:
            yield f"values[{entity}].command.only_when", f"it is {wanted!r}", ", ".join(words) or "none here"


def _uncounted(one: Value | Mark | Identity, where: str) -> Iterator[Wrong]:
    if (one.type == "str") is (one.count is None):
        wrong = "it is missing" if one.count is None else f"a {one.type} has its own size"
        yield f"{where}.count", wrong, "1 to 60 registers for a str, and none for other types"


def _outside(value: Value, block: Block, where: str) -> Iterator[Wrong]:
    places = [("address", a, value.size) for a in as_list(value.address)]
    places += [("subtract", a, value.size) for a in as_list(value.subtract)]
    places += [
        (key, register, 1)
        for key, register in (("scale_register", value.scale_register), ("high", value.high))
        if register is not None
    ]
    if value.direction is not None:
        places.append(("direction.address", value.direction.address, 1))
    last = block.address + block.count - 1
    for key, address, size in places:
        if address < block.address or address + size - 1 > last:
            end = "" if size == 1 else f" to {address + size - 1}"
            wrong = f"{address}{end} lies outside block {block.name}"
            yield f"{where}.{key}", wrong, f"{block.address} to {last}"


def _of_bits(value: Value, block: Block, where: str) -> Iterator[Wrong]:
    single = block.function in BIT_FUNCTIONS
    if single and value.type != "bit":
        yield f"{where}.type", f"function {block.function} reads bits, not {value.type}", "bit"
    if value.type != "bit" and value.bit is not None:
        yield f"{where}.bit", f"a {value.type} has none", 'type = "bit"'
    if value.type == "bit" and single is (value.bit is not None):
        wrong = f"function {block.function} reads single bits" if single else "it is missing"
        yield f"{where}.bit", wrong, "leave it out" if single else "a whole number from 0 to 15"
    if value.command is not None and block.function != COIL:
        yield f"{where}.command", "only a coil obeys", f"a value of a block with function = {COIL}"


def _unfit(value: Value, where: str) -> Iterator[Wrong]:
    if value.bits is not None and (value.type != "u16" or value.bits[0] > value.bits[1]):
        yield f"{where}.bits", f"it is {value.bits}", "first and last bit of a u16"
    if value.sign_bit is not None and value.bits is None:
        yield f"{where}.sign_bit", "there are no bits that it could be the sign of", "with bits only"
    if value.high is not None and value.type not in ("u32", "i32"):
        yield f"{where}.high", f"a {value.type} has no high word", "with u32 and i32 only"
    if not value.scale:
        yield f"{where}.scale", "it is 0", "any other number"
    yield from _no_numbers(value.options or (), f"{where}.options")
    if (one := value.direction) is not None:
        codes, bits = (one.positive, one.negative), (one.positive_bit, one.negative_bit)
        if (None in codes) is (None in bits) or {*codes, *bits} == {None}:
            allowed = "positive and negative, or positive_bit and negative_bit"
            yield f"{where}.direction", "one of the two directions is missing", allowed


_AT = re.compile(r" - at `\$\.?(.*)`$")
_FIELD = re.compile(r"Object (?:contains unknown|missing required) field `(.*)`\Z", re.DOTALL)
_STEP = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")


def _explained(said: str, content: object) -> ProfileError:
    """Turn msgspec's sentence into a place of the file, what stands there and what is allowed."""
    at = _AT.search(said)
    said = _AT.sub("", said)
    found = _FIELD.match(said)
    steps = [
        name or int(place)
        for name, place in _STEP.findall(at.group(1) if at else "")
        if name or place.isdigit()
    ]
    if found is not None:
        steps.append(found[1])
    where, value, hint, keys = _walked(steps, content)
    if found is not None and "unknown" in said:
        return ProfileError(where, "there is no such key", ", ".join(sorted(keys)))
    wrong = "it is missing" if value is None else "there is none" if value in ([], {}) else f"it is {value!r}"
    return ProfileError(where, "there is none" if where == "block" else wrong, allowed(hint))


def _walked(steps: list[str | int], content: Any) -> tuple[str, object, Any, Iterable[str]]:  # noqa: ANN401 — TOML
    """Follow a path through the file and its types: name, value and type of its end, the keys beside it."""
    where, keys = "", list[str]()
    hint: Any = Profile
    for step in steps:
        if isinstance(step, int):
            content = content[step]
            where += f"[{_called(content, step + 1)}]"
            hint = next((get_args(one)[0] for one in _choices(hint) if get_origin(one) is list), None)
            continue
        table = next(
            (one for one in _choices(hint) if isinstance(one, type) and issubclass(one, Struct)), None
        )
        fields = {} if table is None else {f.encode_name: f.name for f in msgspec.structs.fields(table)}
        keys = list(fields)
        hint = get_type_hints(table, include_extras=True).get(fields.get(step, "")) if table else None
        content = content.get(step) if isinstance(content, dict) else None
        where += f".{step}" if where else step
    return where, content, hint, keys


def _called(table: object, place: int) -> object:
    """Name one of several tables by what it has of a name, else by its place."""
    names = (
        [table[key] for key in ("name", "id", "address") if key in table] if isinstance(table, dict) else []
    )
    return names[0] if names else place


def _choices(hint: Any) -> list[Any]:  # noqa: ANN401 — a type as `typing` takes it apart
    """List the types of a union, without their bounds."""
    if get_origin(hint) is Annotated:
        return _choices(get_args(hint)[0])
    if get_origin(hint) in (Literal, list, dict, None):
        return [hint]
    return [one for part in get_args(hint) for one in _choices(part)]


_PLAIN: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Decimal: "a number",
    Exact: "a number",
}


def allowed(hint: Any) -> str:  # noqa: ANN401 — a type as `typing` takes it apart
    """Say in words what a type of the format allows."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin is Literal:
        return (" or " if len(inner) == 2 else ", ").join(map(str, inner))
    if origin is Annotated:
        return _bounded(inner[0], inner[1])
    if origin is list:
        return f"a list of: {allowed(inner[0])}"
    if origin is dict:
        return 'words by number, such as {0 = "off", 0x0200 = "on"}'
    words = dict.fromkeys(allowed(one) for one in inner if one is not type(None))
    if {int, Decimal} <= set(inner):
        del words[_PLAIN[int]]
    return ", or ".join(words) or "a table"


def _bounded(hint: Any, bounds: Meta) -> str:  # noqa: ANN401 — a type as `typing` takes it apart
    if bounds.ge is not None:
        return f"{allowed(hint)} from {bounds.ge} to {bounds.le}"
    if bounds.pattern is not None:
        return "a text" if bounds.pattern == TEXT else "a-z, 0-9 and _"
    return f"{'two' if bounds.max_length else 'at least one'}, {allowed(hint)}"
