"""What a `write` of a Modbus profile sends, what it refuses, and what is wrong with one."""

# ruff: noqa: E501 — a row of TOML is one line

import re
import tomllib
from collections.abc import Sequence
from contextlib import nullcontext
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.commands import Switch, Wanted
from collector.devices.description import (
    BadRecordError,
    DecodeError,
    NoAnswerError,
    NotObeyedError,
    RefusedError,
    UnfitError,
    WrongKindError,
)
from collector.devices.modbus.build import build
from collector.devices.modbus.device import ModbusDevice
from tests.collector.profile_cases import Words
from tests.collector.test_modbus_profiles import Registers

HEAD = """
[profile]
name = "mine"
title = "Acme"
manufacturer = "Acme"
source = "its manual"
"""
SETTINGS = """
[[block]]
name = "settings"
function = 3
address = 0
count = 12
values = [
  { id = "volts", address = 0, type = "u16", scale = 0.1, unit = "V", precision = 1, write = { range = [10, 30], restart = "kept" } },
  { id = "watts", address = 1, type = "i32", sign = -1, unit = "W", write = { range = [-5000, 5000], step = 10, restart = "0 W", every = 0 } },
  { id = "small", address = 3, type = "i32", word_order = "little", unit = "W", write = { range = [-70000, 70000], restart = "kept" } },
  { id = "degrees", address = 5, type = "i16", scale = 0.5, offset = -20, unit = "°C", decimals = 1, write = { range = [-20, 60], restart = "kept", function = 16 } },
  { id = "float", address = 6, type = "f32", unit = "A", precision = 2, write = { range = [-10.5, 10.5], restart = "kept" } },
  { id = "power", address = 8, type = "u16", scale_register = 9, unit = "W", write = { range = [0, 60000], restart = "kept" } },
  { id = "mode", address = 10, type = "u16", bits = [4, 7], options = { 0 = "off", 1 = "eco", 2 = "full", 3 = "full" }, write = { restart = "kept" } },
  { id = "buzzer", address = 10, type = "bit", bit = 15, write = { restart = "kept", hint = "is it locked?" } },
  { id = "rated", address = 11, type = "u16", unit = "V" },
]

[[block]]
name = "coil"
function = 1
address = 7
count = 1
values = [{ id = "lock", address = 7, type = "bit", write = { restart = "kept" } }]
"""
START: dict[int, Words] = {
    1: {7: (0,)},
    3: {0: (120, 0, 0, 0, 0, 60, 0, 0, 5, 0xFFFF, 0x8F10, 12)},
}


def built(text: str) -> ModbusDevice:
    return ModbusDevice(build(tomllib.loads(HEAD + text, parse_float=Decimal)), 1)


def written(line: Registers) -> list[tuple[int, int, int, int]]:
    return [asked for asked in line.asked if asked[1] in (5, 6, 16)]


@pytest.mark.parametrize(
    ("entity", "wanted", "request_", "registers"),
    [
        ("volts", 14.4, (1, 6, 0, 1), {0: 144}),
        ("volts", 29.999999999, (1, 6, 0, 1), {0: 300}),
        ("watts", 2500, (1, 16, 1, 2), {1: 0xFFFF, 2: 0xF63C}),
        ("watts", -2500, (1, 16, 1, 2), {1: 0, 2: 2500}),
        ("small", 65537, (1, 16, 3, 2), {3: 1, 4: 1}),
        ("small", -1, (1, 16, 3, 2), {3: 0xFFFF, 4: 0xFFFF}),
        ("degrees", -10.5, (1, 16, 5, 1), {5: 19}),
        ("float", -2.5, (1, 16, 6, 2), {6: 0xC020, 7: 0}),
        ("power", 100, (1, 6, 8, 1), {8: 1000, 9: 0xFFFF}),
        ("mode", "eco", (1, 6, 10, 1), {10: 0x8F10}),
        ("mode", "off", (1, 6, 10, 1), {10: 0x8F00}),
        ("buzzer", Switch.OFF, (1, 6, 10, 1), {10: 0x0F10}),
        ("buzzer", Switch.TOGGLE, (1, 6, 10, 1), {10: 0x0F10}),
    ],
)
def test_a_wanted_value_becomes_its_registers_and_no_others(
    entity: str, wanted: Wanted, request_: tuple[int, int, int, int], registers: dict[int, int]
) -> None:
    line = Registers(START)
    before = dict(line.tables[3])
    if before[10] == registers.get(10):
        line.tables[3][10] = before[10] = 0x8F20
    answer = built(SETTINGS).switch(line, entity, wanted)
    assert written(line) == [request_]
    assert line.tables[3] == before | registers
    told = answer[entity]
    assert told == {"OFF": "OFF", "TOGGLE": "OFF"}.get(str(wanted), wanted) or told == pytest.approx(wanted)


def test_a_coil_may_be_a_setting() -> None:
    line = Registers(START)
    assert built(SETTINGS).switch(line, "lock", Switch.ON) == {"lock": "ON"}
    assert written(line) == [(1, 5, 7, True)]


@pytest.mark.parametrize(("entity", "now"), [("volts", 12), ("mode", "eco"), ("buzzer", Switch.ON)])
def test_what_is_so_already_is_not_written_again_where_that_wears(entity: str, now: Wanted) -> None:
    line = Registers(START)
    built(SETTINGS).switch(line, entity, now)
    assert written(line) == []


def test_what_a_device_forgets_is_written_each_time() -> None:
    line = Registers(START)
    built(SETTINGS).switch(line, "watts", 0)
    assert written(line) == [(1, 16, 1, 2)]


@pytest.mark.parametrize(
    ("entity", "wanted", "told"),
    [
        ("mode", "full", "'full': the device has 2 settings of that name"),
        ("volts", 14.44, "the register of the device cannot hold it"),
        ("power", 6553.7, "the register of the device cannot hold it"),
    ],
)
def test_what_a_register_cannot_say_is_not_written(entity: str, wanted: Wanted, told: str) -> None:
    line = Registers(START)
    with pytest.raises(UnfitError, match=re.escape(told)):
        built(SETTINGS).switch(line, entity, wanted)
    assert written(line) == []


def test_an_exponent_that_nobody_means_is_told() -> None:
    line = Registers(START)
    line.tables[3][9] = 0x8000
    with pytest.raises(UnfitError, match="does not say how its register counts"):
        built(SETTINGS).switch(line, "power", 10)


class Stubborn(Registers):
    """It loses answers, or keeps what it likes: one of `faults` a write, "" for none."""

    def __init__(self, words: dict[int, Words], *faults: str) -> None:
        super().__init__(words)
        self.faults = list(faults)

    def write_registers(self, unit: int, function: int, address: int, words: Sequence[int]) -> None:
        """Write, unless the fault says otherwise."""
        fault = self.faults.pop(0) if self.faults else ""
        self.asked.append((unit, function, address, len(words)))
        if fault != "lost question":
            self.tables[3] |= dict(enumerate((*words[:-1], 7) if fault == "other value" else words, address))
        if fault in ("lost question", "lost answer"):
            raise NoAnswerError("unit 1 does not answer")
        if fault == "damaged":
            raise BadRecordError("unit 1 answers with damaged frames")


@pytest.mark.parametrize(
    ("faults", "writes"),
    [
        (("lost answer",), 1),
        (("damaged",), 1),
        (("lost question",), 2),
        (("lost question", "lost answer"), 2),
    ],
)
def test_a_write_without_an_answer_is_read_back_before_it_is_sent_again(
    faults: tuple[str, ...], writes: int
) -> None:
    line = Stubborn(START, *faults)
    assert built(SETTINGS).switch(line, "volts", 14.4) == {"volts": 14.4}
    kinds = [asked[1] for asked in line.asked]
    assert kinds == [3, *[6, 3] * writes]


def test_a_write_that_is_lost_twice_has_failed() -> None:
    line = Stubborn(START, "lost question", "lost question", "")
    with pytest.raises(NoAnswerError):
        built(SETTINGS).switch(line, "volts", 14.4)
    assert len(written(line)) == 2


@pytest.mark.parametrize(
    ("entity", "wanted", "told", "value"),
    [
        ("volts", 14.4, "the volts is 0.7 V after 14.4 V was written", 0.7),
        ("mode", "off", "the mode is None after off was written", None),
        ("buzzer", Switch.TOGGLE, "the buzzer stays OFF: is it locked?", "OFF"),
    ],
)
def test_another_value_read_back_is_told_with_both(
    entity: str, wanted: Wanted, told: str, value: object
) -> None:
    line = Stubborn(START, "other value")
    if entity == "mode":
        line.tables[3][10] = 0x40
        line.write_registers = lambda *_: None  # type: ignore[method-assign]  # it does not obey
        told = "the mode is None after off was written"
    if entity == "buzzer":
        line.tables[3][10] = 0
    with pytest.raises(NotObeyedError, match=re.escape(told)) as raised:
        built(SETTINGS).switch(line, entity, wanted)
    assert raised.value.values == {entity: value}


def test_the_next_poll_reads_what_was_written_although_its_block_is_not_due() -> None:
    device = built(SETTINGS.replace("count = 12\n", "count = 12\nevery = 3600\n"))
    line = Registers(START)
    assert device.poll(line, 0.0).values["volts"] == 12
    device.switch(line, "volts", 14.4)
    assert device.poll(line, 10.0).values["volts"] == 14.4


_GRID = {
    "volts": st.integers(100, 300).map(lambda n: n / 10),
    "watts": st.integers(-500, 500).map(lambda n: n * 10.0),
    "small": st.integers(-70_000, 70_000).map(float),
    "degrees": st.integers(-40, 120).map(lambda n: n / 2),
    "float": st.integers(-1050, 1050).map(lambda n: n / 100),
    "power": st.integers(0, 6553).map(float),
}


@given(st.data())
def test_every_number_of_the_range_is_read_back_as_it_was_wanted(data: st.DataObject) -> None:
    entity = data.draw(st.sampled_from(sorted(_GRID)))
    wanted = data.draw(_GRID[entity])
    assert built(SETTINGS).switch(Registers(START), entity, wanted)[entity] == wanted


_ANY: st.SearchStrategy[Wanted] = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["off", "eco", "full", "?"])
)


@given(st.data())
def test_any_registers_and_any_wish_are_obeyed_or_refused(data: st.DataObject) -> None:
    line = Registers(START)
    line.tables[3] = {n: data.draw(st.integers(0, 0xFFFF)) for n in range(12)}
    before = dict(line.tables[3])
    entity = data.draw(st.sampled_from([*sorted(_GRID), "mode", "buzzer", "lock"]))
    if entity in ("buzzer", "lock"):
        wanted: Wanted = data.draw(st.sampled_from(list(Switch)))
    else:
        words = entity == "mode"
        wanted = data.draw(_ANY.filter(lambda one: isinstance(one, str) is words))
    try:
        built(SETTINGS).switch(line, entity, wanted)
    except NotObeyedError:
        raise
    except DecodeError:
        assert line.tables[3] == before


MARKED = """
[[identify.marks]]
address = 11
type = "u16"
equals = 12
sure = true
"""


@pytest.mark.parametrize(("mark", "right"), [(12, True), (24, False)])
def test_another_model_than_the_profile_is_for_is_never_written_to(mark: int, *, right: bool) -> None:
    line = Registers(START)
    device = built(SETTINGS + MARKED)
    device.poll(line, 0.0)
    # Something else is behind the address now, and it is an hour until that is looked at.
    line.tables[3][11] = mark
    with nullcontext() if right else pytest.raises(WrongKindError, match="is no model for profile mine"):
        device.switch(line, "volts", 14.4)
    assert len(written(line)) == right


def test_a_write_leaves_the_pause_of_the_settings_before_the_first_poll() -> None:
    line = Registers(START)
    device = built(SETTINGS)
    device.pause = 0.5
    device.switch(line, "volts", 14.4)
    assert line.rests == 0.5


TOGETHER = """
[[block]]
name = "volts"
function = 3
address = 100
count = 4
values = [
  { id = "high", address = 100, type = "u16", scale = 0.1, unit = "V" },
  { id = "middle", address = 101, type = "u16", scale = 0.1, unit = "V" },
  { id = "low", address = 102, type = "u16", scale = 0.1, unit = "V" },
  { id = "system", address = 103, type = "u16", unit = "V" },
]

[[together]]
address = 100
count = 3
write = { range = [10, 20], restart = "kept", nominal = { id = "system", at = 12, most = 48 } }
order = ["high > middle >= low"]
"""


def volts(*words: int) -> dict[int, Words]:
    return {3: {100: words}}


def test_what_belongs_together_is_read_changed_and_written_whole() -> None:
    line = Registers(volts(150, 140, 130, 12))
    assert built(TOGETHER).switch(line, "middle", 13.0) == {"high": 15.0, "middle": 13.0, "low": 13.0}
    assert written(line) == [(1, 16, 100, 3)]
    assert [line.tables[3][n] for n in range(100, 104)] == [150, 130, 130, 12]


@pytest.mark.parametrize(
    ("entity", "wanted", "told"),
    [
        ("high", 14.0, "High (14) must be above Middle (14): change middle first"),
        ("middle", 15.0, "High (15) must be above Middle (15): change high first"),
        ("middle", 12.9, "Middle (12.9) must be at least Low (13): change low first"),
        ("low", 14.1, "Middle (14) must be at least Low (14.1): change middle first"),
    ],
)
def test_an_order_that_does_not_hold_is_told_and_nothing_is_written(
    entity: str, wanted: float, told: str
) -> None:
    line = Registers(volts(150, 140, 130, 12))
    with pytest.raises(UnfitError, match=re.escape(told)):
        built(TOGETHER).switch(line, entity, wanted)
    assert written(line) == []


def test_only_the_rules_of_the_value_itself_are_looked_at() -> None:
    # The owner of such a device must be able to mend it, one value after the other.
    line = Registers(volts(120, 140, 130, 12))
    assert built(TOGETHER).switch(line, "low", 12.5)["low"] == 12.5


@pytest.mark.parametrize(
    ("system", "wanted", "told"),
    [
        (12, 20.1, "value 20.1: allowed is 10 to 20 where system is 12"),
        (24, 19.9, "value 19.9: allowed is 20 to 40 where system is 24"),
        (0, 15.0, "value 15: the device does not say its system, which sets the range"),
    ],
)
def test_a_range_goes_with_its_nominal_value(system: int, wanted: float, told: str) -> None:
    line = Registers(volts(600, 140, 130, system))
    with pytest.raises(UnfitError, match=re.escape(told)):
        built(TOGETHER).switch(line, "high", wanted)
    assert written(line) == []


@pytest.mark.parametrize(
    ("system", "range_"), [(12, (10, 20)), (24, (20, 40)), (48, (40, 80)), (0, (10, 80))]
)
def test_the_range_is_told_as_soon_as_it_is_known(system: int, range_: tuple[float, float]) -> None:
    device, line = built(TOGETHER), Registers(volts(150, 140, 130, system))
    assert device.rows["high"].entity.range == (10, 80)
    told = device.poll(line, 0.0)
    assert (told.rows or device.rows)["high"].entity.range == range_
    assert device.poll(line, 10.0).rows is None, "once"


def test_a_model_without_the_mode_that_decides_can_be_written() -> None:
    text = (
        SETTINGS.replace("range = [10, 30],", 'range = [10, 30], only_when = "manual_mode", is = "on",')
        + """
[[block]]
name = "mode"
function = 4
address = 50
count = 1
optional = true
values = [{ id = "manual_mode", address = 50, type = "u16", options = { 0 = "off", 1 = "on" } }]
"""
    )
    assert built(text).switch(Registers(START), "volts", 14.4) == {"volts": 14.4}
    with pytest.raises(
        RefusedError, match="the volts obeys commands only in manual mode on, and it is in off"
    ):
        built(text).switch(Registers(START | {4: {50: (0,)}}), "volts", 14.4)
