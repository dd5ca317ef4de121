"""Makes a profile from the tables of a TOML file, and says what is wrong with one. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from collector.devices.modbus import not_available, raw_bounds
from collector.devices.modbus.profile import (
    BIT_FUNCTIONS,
    COIL,
    HOLDING,
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
    Together,
    Value,
    Writing,
    as_list,
)
from collector.devices.rows import SERIAL_NUMBER


def build(content: Mapping[str, object]) -> Profile:
    """Make the profile in a parsed TOML file (numbers with a point as Decimal). Raises ProfileError."""
    _require_finite(content, "")
    try:
        profile = msgspec.convert(content, Profile, builtin_types=(Decimal,))
    except msgspec.ValidationError as error:
        raise _explained(str(error), content) from error
    for one, value in _inside(profile):
        if value.obeys is None and _is_number(value):
            value.write = one.write
    for where, wrong, allowed in _mistakes(profile):
        raise ProfileError(where, wrong, allowed)
    for block in profile.blocks:
        for value in block.values:
            _fill_in(value, profile.about)
    for mark in profile.identify.marks:
        mark.others = _by_number(mark.others)
    profile.rows()
    return profile


# Beyond what 64 bits say, and finer than any scale.
_LARGEST, _DECIMALS = Decimal("1e20"), 18


def _require_finite(content: object, where: str) -> None:
    """Raise ProfileError for a number that TOML has and no register: nan, inf, 1e400."""
    if isinstance(content, Mapping):
        for key, one in content.items():
            _require_finite(one, f"{where}.{key}" if where else str(key))
    elif isinstance(content, list):
        for place, one in enumerate(content, 1):
            _require_finite(one, f"{where}[{_called(one, place)}]")
    elif isinstance(content, int | Decimal) and not _is_meant(Decimal(content)):
        raise ProfileError(
            where,
            f"it is {str(content)[:20]}",
            f"a number up to {_LARGEST:g}, of at most {_DECIMALS} decimals",
        )


def _is_meant(number: Decimal) -> bool:
    decimals = number.as_tuple().exponent
    return isinstance(decimals, int) and decimals >= -_DECIMALS and abs(number) <= _LARGEST


def _inside(profile: Profile) -> Iterator[tuple[Together, Value]]:
    """Each value that is written together with others."""
    for one in profile.together:
        for block in profile.blocks:
            yield from ((one, value) for value in block.values if one.has(block, value))


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
            yield from _unwritable(value, block, where)
    yield from _unknown(profile)
    yield from _untogether(profile)
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
        key = "command" if value.write is None else "write"
        wanted = None if value.obeys is None else value.obeys.only_when
        words = [one for one, other in values.items() if other.options is not None]
        if wanted is not None and wanted not in words:
            yield f"values[{entity}].{key}.only_when", f"it is {wanted!r}", ", ".join(words) or "none here"
        nominal = None if value.write is None else value.write.nominal
        numbers = [one for one, other in values.items() if _is_number(other)]
        if nominal is not None and nominal.id not in numbers:
            yield f"values[{entity}].write.nominal.id", f"it is {nominal.id!r}", ", ".join(numbers)


def _is_number(value: Value) -> bool:
    return value.options is None and value.type not in ("bit", "str")


def _unwritable(value: Value, block: Block, where: str) -> Iterator[Wrong]:
    """Why a value cannot be written as its `write` says."""
    write = value.write
    if write is None:
        return
    where = f"{where}.write"
    if value.command is not None:
        yield where, "there is a command, too", "one of them: a command needs no allow_write"
    if block.function not in (COIL, HOLDING) or value.type == "str":
        yield (
            where,
            "it can only be read",
            f"a number, bit or word of a block with function {COIL} or {HOLDING}",
        )
    made = len(as_list(value.address)) > 1 or value.subtract or value.times
    if made or value.high is not None or value.direction is not None or value.sign_bit is not None:
        plain = "a value with one address, without subtract, direction, times, high or sign_bit"
        yield where, "it is made of several values", plain
    functions = (5,) if block.function == COIL else (6, 16) if value.size == 1 else (16,)
    if write.function not in (None, *functions):
        yield f"{where}.function", f"it is {write.function}", " or ".join(map(str, functions))
    if not _is_number(value):
        for key in ("range", "step", "nominal"):
            if getattr(write, key) is not None:
                yield f"{where}.{key}", "only numbers have one", "leave it out"
    elif value.scale:
        yield from _unranged(value, write, where)


def _unranged(value: Value, write: Writing, where: str) -> Iterator[Wrong]:
    if write.range is None or write.range[0] >= write.range[1]:
        wrong = "it is missing" if write.range is None else f"it is {', '.join(map(str, write.range))}"
        yield f"{where}.range", wrong, "the least and the largest number, such as [9, 17]"
        return
    if write.nominal is not None and not 0 < write.nominal.at <= write.nominal.most:
        yield f"{where}.nominal.at", f"it is {write.nominal.at}", "a number above 0, at most as large as most"
        return
    finest = max(value.digits, Decimal(1).scaleb(-_decimals(value, where)))
    for key, one in (("step", write.step or value.digits), ("range", write.range[0] - value.offset)):
        wrong = f"it is {one if key == 'step' else write.range[0]}"
        if value.scale_register is None and value.type != "f32" and Decimal(one) % finest:
            yield f"{where}.{key}", wrong, f"multiples of {finest:f}, by scale and decimals"
    if write.step is not None and write.step <= 0:
        yield f"{where}.step", f"it is {write.step}", "a number above 0"
    least, most = (Decimal(str(one)) for one in write.limits() or ())
    bounds = raw_bounds(value.type)
    raw = sorted((one - value.offset) / Decimal(value.scale * value.sign) for one in (least, most))
    if bounds is not None and value.scale_register is None and not bounds[0] <= raw[0] <= raw[1] <= bounds[1]:
        yield (
            f"{where}.range",
            f"a {value.type} cannot hold it",
            f"register values {bounds[0]} to {bounds[1]}",
        )


def _decimals(value: Value, where: str) -> int:
    """Return how many decimals the value is read with."""
    if value.decimals is not None:
        return value.decimals
    return value.measured(where, optional=False).entity.precision or 0


def _untogether(profile: Profile) -> Iterator[Wrong]:
    """Find what is wrong with registers that are written together."""
    blocks = [block for block in profile.blocks if block.function == HOLDING]
    for one in profile.together:
        where, last = f"together[{one.address}]", one.address + one.count - 1
        if not any(block.address <= one.address and last < block.address + block.count for block in blocks):
            allowed = f"registers of one block with function = {HOLDING}"
            yield f"{where}.count", f"{one.address} to {last} are in none", allowed
        inside = [value.id for group, value in _inside(profile) if group is one and _is_number(value)]
        for chain in one.order:
            words = chain.split()
            if len(words) < 3 or not len(words) % 2 or not {*words[1::2]} <= {">", ">="}:
                yield f"{where}.order", f"it is {chain!r}", "ids with > or >= between them: a > b >= c"
            for strange in (word for word in words[::2] if word not in inside):
                yield f"{where}.order", f"there is no {strange!r}", ", ".join(inside)


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
