"""VE.Direct HEX: frames of real devices and of the document, and bytes that nobody should have sent."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.commands import Switch, Wanted
from collector.devices.description import NoAnswerError, RefusedError
from collector.devices.victron.hex_protocol import Command, HexFrame, encode, of_register, parse
from collector.devices.victron.hex_side import HexSide, greet
from collector.devices.victron.labels import FIELDS, ROWS
from collector.devices.victron.products import Family
from collector.devices.victron.registers import AS_TEXT, LIMITS, REGISTERS, number
from collector.transports.vedirect import Frames
from tests.emulators.vedirect_hex import MPPT_REGISTERS, hex_frame, told, un16
from tests.rounds import rounds

DUMPS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "captures" / "vedirect_dumps.json").read_text(encoding="utf-8")
)


def framed(text: str) -> HexFrame:
    frame = parse(text.strip()[1:].encode("ascii"))
    assert frame is not None, text
    return frame


@pytest.mark.parametrize("text", DUMPS["answers"]["frames"])
def test_frames_of_real_devices_are_whole(text: str) -> None:
    frame = framed(text)
    assert (frame.flags, encode(frame)) == (0, text.encode("ascii") + b"\n")


@pytest.mark.parametrize(
    ("text", "entity", "value"),
    [
        (":7DBED009E16D2", "charger_temperature", 57.9),
        (":7DBED00520D27", "charger_temperature", 34.1),
        (":7ECED00FFFF77", "battery_temperature", None),
        (":7F6ED00EA156C", "float_voltage", 56.1),
        (":7F7ED00441610", "absorption_voltage", 57.0),
        (":7ECED0083737F", "battery_temperature", 22.56),
        (":7F0ED0064000D", "charge_current_limit", 10.0),
    ],
)
def test_a_registers_bytes_become_its_value(text: str, entity: str, value: float | None) -> None:
    frame = framed(text)
    assert frame.register is not None
    register = REGISTERS[Family.SOLAR][frame.register]
    assert (register.entity, register.read(frame.value)) == (entity, value)


@pytest.mark.parametrize(
    ("text", "label", "said"),
    [
        (":AD5ED008D14E8", None, None),
        (":ABBED00251866", "VPV", "61810"),
        (":ABCED00355001001C", "PPV", "861"),
        (":A8CED003C05000091", "I", "1340"),
        (":A8FED000800C7", "I", "800"),
    ],
)
def test_a_registers_bytes_become_text(text: str, label: str | None, said: str | None) -> None:
    frame = framed(text)
    assert frame.register is not None
    row = AS_TEXT[Family.SOLAR].get(frame.register)
    assert (row and row.label, row and row.read(frame.value)) == (label, said)


def test_the_documents_example_of_a_set() -> None:
    assert encode(of_register(Command.SET, 0xEDF0, un16(10, 0.1))) == b":8F0ED0064000C\n"
    assert encode(HexFrame(Command.PING)) == b":154\n"


def test_what_is_sent_is_what_the_document_says_byte_by_byte() -> None:
    for command in (1, 3, 4, 7, 8):
        for data in (b"", b"\xec\xed\x00", bytes(range(40))):
            assert encode(HexFrame(command, data)) == hex_frame(command, data)


@given(st.binary(max_size=300))
def test_any_digits_are_a_frame_or_none(noise: bytes) -> None:
    digits = noise.hex().encode("ascii")
    for text in (digits, digits[1:], digits.upper()[: len(digits) // 2]):
        frame = parse(text)
        assert frame is None or encode(frame).upper() == b":" + text.upper() + b"\n"


def test_a_digit_that_is_another_one_is_always_found() -> None:
    good = told(0xEDF7, un16(14.4, 0.01), 7)[1:-1]
    for at in range(len(good)):
        for digit in b"0123456789ABCDEF":
            bad = good[:at] + bytes([digit]) + good[at + 1 :]
            assert (parse(bad) is None) == (bad != good), bad


@given(st.binary(max_size=2000))
def test_noise_among_frames_costs_none_of_those_that_follow(noise: bytes) -> None:
    frames = Frames()
    frames.feed(noise + b"\n\n\r\n")
    frames.hex.clear()
    frames.feed(told(0xEDDB, un16(20, 0.01)) * 2)
    assert [frame.register for frame in frames.hex][-1:] == [0xEDDB]


def test_memory_of_frames_is_bounded() -> None:
    frames = Frames()
    for register in range(5000):
        frames.feed(told(register, bytes(100)))
    assert len(frames.hex) == 64
    frames.feed(b":" + b"0" * 100_000)
    assert frames._hex is None or len(frames._hex) <= 256


@pytest.mark.parametrize("family", Family)
def test_registers_read_whatever_comes_within_their_bounds(family: Family) -> None:
    chance = random.Random(11)  # noqa: S311 — a test that repeats
    for register in REGISTERS[family].values():
        for length in (*range(6), 40):
            for _ in range(rounds(20, 200)):
                value = register.read(chance.randbytes(length))
                assert value is None or isinstance(value, str | float | int)
                if register.within is not None and value is not None:
                    assert not isinstance(value, str)
                    assert register.within[0] <= value <= register.within[1]
    for label in AS_TEXT[family].values():
        for length in (*range(6), 40):
            assert label.read(chance.randbytes(length)).isascii()


@pytest.mark.parametrize("family", Family)
def test_the_tables_fit_each_other(family: Family) -> None:
    assert {label.label for label in AS_TEXT[family].values()} <= FIELDS[family].keys() | {"OR", "AR", "WARN"}
    for register in REGISTERS[family].values():
        assert ROWS[family][register.entity].write == register.row.write
        if register.row.write is not None:
            entity = register.row.entity
            assert entity.command
            assert entity.boolean or entity.options or (entity.range and entity.step)
    if family is Family.OTHER:
        assert not any(row.write for row in ROWS[family].values())


@pytest.mark.parametrize(
    ("data", "signed", "read"),
    [
        (b"", False, None),
        (b"\xff", False, None),
        (b"\xff\xff", False, None),
        (b"\xff\x7f", True, None),
        (b"\xff\xff", True, -1),
        (b"\x00\x80", True, -32768),
        (b"\xfe\xff\xff\xff", False, 0xFFFFFFFE),
        (bytes(5), False, None),
    ],
)
def test_what_stands_for_not_available(data: bytes, signed: bool, read: int | None) -> None:  # noqa: FBT001 — a table
    assert number(data, signed=signed) == read


class Liar:
    """Answers each question with the next of these frames, then not at all."""

    def __init__(self, *answers: HexFrame) -> None:
        self.answers = list(answers)
        self.asked = 0

    def open(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def blocks(self, *, wait: bool = True) -> Sequence[Mapping[str, str]]:
        """No text."""
        raise NoAnswerError(wait)

    def told(self) -> Mapping[int, bytes]:
        """Nothing."""
        return {}

    def ask(self, question: HexFrame) -> HexFrame:
        """Answer the next one, to another register too: the line looks at that."""
        self.asked += 1
        if not self.answers:
            raise NoAnswerError(question)
        return self.answers.pop(0)


_frames = st.builds(HexFrame, st.sampled_from([1, 3, 5, 7, 8]), st.binary(max_size=40))


@given(st.lists(_frames, max_size=12), st.sampled_from(["charger", "load_mode", "absorption_voltage"]))
def test_a_device_that_lies_is_refused_and_nothing_else_happens(answers: list[HexFrame], entity: str) -> None:
    side, line = HexSide(), Liar(*answers)
    asked: dict[str, Wanted] = {"charger": Switch.OFF, "load_mode": "on", "absorption_voltage": 14.4}
    wanted = asked[entity]
    try:
        said = side.switch(line, Family.SOLAR, entity, wanted)
    except (NoAnswerError, RefusedError):
        return
    assert said[entity] == wanted


@given(st.lists(_frames, max_size=40))
def test_a_liar_gives_values_within_the_tables_or_none(answers: list[HexFrame]) -> None:
    side = HexSide()
    for family in (Family.SOLAR, Family.INVERTER):
        side.ask(Liar(*answers), family, 0.0, alone=False)
        values, unknown = side.values(family, 1.0)
        assert values.keys() <= ROWS[family].keys()
        assert set(unknown) <= values.keys()
        side.rows(family, ROWS[family])
        side.texts(family, 1.0)


@given(st.lists(_frames, min_size=3, max_size=3))
def test_whoever_greets_says_texts_or_nothing(answers: list[HexFrame]) -> None:
    said = greet(Liar(*answers))
    assert said.keys() <= {"FW", "FWE", "PID", "SER#"}
    assert all(text.isprintable() and text.isascii() for text in said.values())


def test_a_device_has_registers_that_its_family_does_not_ask_for() -> None:
    asked = Liar(*(HexFrame(7, b"\0\0\1") for _ in range(100)))
    side = HexSide()
    for second in range(20):
        side.ask(asked, Family.SOLAR, float(second), alone=False)
    # Each once: none of them is there.
    assert asked.asked == len(REGISTERS[Family.SOLAR]) + len(LIMITS[Family.SOLAR])
    assert MPPT_REGISTERS.keys() >= REGISTERS[Family.SOLAR].keys()
