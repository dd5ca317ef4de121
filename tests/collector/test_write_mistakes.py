"""What is wrong with a `write` or a `[[together]]` of a profile is told with its place."""

import re
import tomllib
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.devices.modbus.build import build
from collector.devices.modbus.profile import ProfileError
from tests.collector.test_modbus_writing import HEAD, TOGETHER, built
from tests.rounds import rounds

BLOCK = """
[[block]]
name = "one"
function = {function}
address = 0
count = 4
values = [{{ id = "x", address = {address}, type = "{type}", {unit}{more}write = {{ {write} }} }}]
"""


def wrong(write: str, type_: str = "u16", function: int = 3, more: str = "", address: str = "0") -> str:
    unit = "" if type_ in ("bit", "str") or "options" in more else 'unit = "W", '
    text = BLOCK.format(write=write, type=type_, function=function, more=more, address=address, unit=unit)
    with pytest.raises(ProfileError) as raised:
        built(text)
    assert raised.value.allowed
    return str(raised.value)


RANGE, KEPT = "range = [0, 100]", 'restart = "kept"'
OPTIONS = 'options = { 0 = "off", 1 = "on" }, '


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (lambda: wrong(RANGE), "block[one].values[x].write.restart: it is missing"),
        (lambda: wrong(KEPT), "write.range: it is missing"),
        (lambda: wrong(f"range = [5, 5], {KEPT}"), "write.range: it is 5, 5"),
        (lambda: wrong(f"range = [9, 5], {KEPT}"), "write.range: it is 9, 5"),
        (lambda: wrong(f"range = [0], {KEPT}"), "write.range: it is [0]; allowed: two"),
        (lambda: wrong(f"range = [0, 70000], {KEPT}"), "a u16 cannot hold it; allowed: register values 0 to"),
        (lambda: wrong(f"range = [-1, 1], {KEPT}"), "a u16 cannot hold it"),
        (lambda: wrong(f"range = [0, 1], {KEPT}", more="sign = -1, "), "a u16 cannot hold it"),
        (lambda: wrong(f"{RANGE}, {KEPT}, step = 0.5"), "write.step: it is 0.5; allowed: multiples of 1"),
        (lambda: wrong(f"{RANGE}, {KEPT}, step = 0"), "write.step: it is 0; allowed: a number above 0"),
        (lambda: wrong(f"range = [0.5, 5], {KEPT}"), "write.range: it is 0.5; allowed: multiples of 1"),
        (lambda: wrong(f"{RANGE}, {KEPT}, step = 0.1", more="scale = 0.1, "), "multiples of 1"),
        (lambda: wrong(f"{RANGE}, {KEPT}, function = 5"), "write.function: it is 5; allowed: 6 or 16"),
        (lambda: wrong(f"{RANGE}, {KEPT}, function = 6", "u32"), "write.function: it is 6; allowed: 16"),
        (lambda: wrong(f"{RANGE}, {KEPT}", function=4), "it can only be read"),
        (lambda: wrong(KEPT, "str", more="count = 2, "), "it can only be read"),
        (lambda: wrong(KEPT, "bit", function=2), "it can only be read"),
        (lambda: wrong(f"{RANGE}, {KEPT}", address="[0, 1]"), "it is made of several values"),
        (lambda: wrong(f"{RANGE}, {KEPT}", more="subtract = 1, "), "it is made of several values"),
        (lambda: wrong(f"{RANGE}, {KEPT}", more=OPTIONS), "write.range: only numbers have one"),
        (lambda: wrong(f"step = 1, {KEPT}", "bit", more="bit = 1, "), "write.step: only numbers have one"),
        (lambda: wrong(f"{RANGE}, {KEPT}, every = -1"), "write.every: it is -1"),
        (lambda: wrong(f'{RANGE}, {KEPT}, only_when = "y"'), "write.only_when: it is 'y'"),
        (
            lambda: wrong(f"{RANGE}, {KEPT}, nominal = {{ id = 'y', at = 1, most = 2 }}"),
            "nominal.id: it is 'y'",
        ),
        (
            lambda: wrong(f"{RANGE}, {KEPT}, nominal = {{ id = 'x', at = 0, most = 2 }}"),
            "nominal.at: it is 0",
        ),
        (
            lambda: wrong(f"{RANGE}, {KEPT}, nominal = {{ id = 'x', at = 3, most = 2 }}"),
            "nominal.at: it is 3",
        ),
        (lambda: wrong(f"range = [nan, 5], {KEPT}"), "write.range[1]: it is NaN"),
        (lambda: wrong(f"range = [0, inf], {KEPT}"), "write.range[2]: it is Infinity"),
        (lambda: wrong(f"range = [0, 1{'0' * 400}], {KEPT}"), "write.range[2]: it is 1000"),
        (
            lambda: wrong(f"range = [1e30, 2e30], {KEPT}"),
            "write.range[1]: it is 1E+30; allowed: a number up to",
        ),
        (lambda: wrong(f"{RANGE}, {KEPT}, step = 1{'0' * 400}", "f32"), "write.step: it is 1000"),
        (lambda: wrong(f"{RANGE}, {KEPT}", more="scale = 1e-30, "), "scale: it is 1E-30"),
        (lambda: wrong(f"{RANGE}, {KEPT}, steps = 1"), "write.steps: there is no such key"),
        (lambda: wrong(KEPT, "bit", function=1, more="command = {}, "), "there is a command, too"),
    ],
)
def test_what_is_wrong_with_a_write_is_told_with_its_place(said: Callable[[], str], told: str) -> None:
    assert told in said()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("count = 3", "count = 5", "together[100].count: 100 to 104 are in none"),
        ("address = 100\ncount = 3", "address = 99\ncount = 3", "together[99].count: 99 to 101 are in none"),
        ("high > middle", "high < middle", "together[100].order: it is 'high < middle >= low'"),
        ("high > middle", "high >", "together[100].order: it is 'high > >= low'"),
        ("high > middle", "tall > middle", "together[100].order: there is no 'tall'; allowed: high, middle"),
        ("high > middle", "system > middle", "there is no 'system'"),
        ("count = 3", "count = 0", "together[100].count: it is 0; allowed: a whole number from 1 to 123"),
    ],
)
def test_what_is_wrong_with_a_group_is_told_with_its_place(old: str, new: str, told: str) -> None:
    with pytest.raises(ProfileError, match=re.escape(told)):
        built(TOGETHER.replace(old, new))


_ODD = ("0", "0.1", "-0.5", "1e400", "1e-400", "1e30", "-1e-30", "NaN", "sNaN", "Infinity", "-Infinity")
# One odd number is enough to be refused: most must be good, so that the others are looked at.
_NUMBERS = st.sampled_from([*[0, 1, 10, 20] * 10, 70_000, -1, 10**30, 10**400, *map(Decimal, _ODD)])
_ANYTHING = st.one_of(
    _NUMBERS, st.sampled_from(["", "a", "10"]), st.booleans(), st.lists(_NUMBERS, max_size=3)
)
_RANGES = st.lists(_NUMBERS, min_size=2, max_size=2)
_NOMINAL = st.fixed_dictionaries(
    {"id": st.sampled_from(["system", "high", "?"]), "at": _NUMBERS, "most": _NUMBERS}
)
_WRITE = st.fixed_dictionaries(
    {"restart": st.just("kept"), "range": _RANGES},
    optional={
        "step": _ANYTHING,
        "every": _ANYTHING,
        "nominal": _NOMINAL,
        "function": st.sampled_from([5, 6, 16, 3]),
        "only_when": st.sampled_from(["high", "?", ""]),
    },
)
_WORDS = st.lists(st.sampled_from(["high", "middle", "low", "system", ">", ">=", "<", "?"]), max_size=5)
_ORDER = st.lists(_WORDS.map(" ".join), max_size=2)


@settings(max_examples=rounds(300, 3000))
@given(st.data())
def test_whatever_a_write_says_is_taken_or_refused_with_its_place(data: st.DataObject) -> None:
    content = tomllib.loads(HEAD + TOGETHER, parse_float=Decimal)
    content["together"][0] |= {"write": data.draw(_WRITE), "order": data.draw(_ORDER)}
    value = content["block"][0]["values"][0]
    value["scale"] = data.draw(st.one_of(_NUMBERS, st.just(Decimal("0.1"))))
    value["write"] = data.draw(_WRITE)
    wrong = None
    try:
        build(content)
    except ProfileError as error:
        wrong = error
    assert wrong is None or (wrong.where and wrong.allowed)
