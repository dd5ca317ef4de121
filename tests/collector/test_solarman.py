"""Solarman V5: a logger written from the description, frames of real loggers, noise; as its owner sees it."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.device import Owned
from collector.devices.description import (
    BadRecordError,
    DecodeError,
    LineError,
    NoAnswerError,
    RefusedError,
    SettingError,
)
from collector.devices.frames import crc16
from collector.devices.lines import Line
from collector.devices.modbus import check_port, tcp_address
from collector.lines import line_of
from collector.scan.modbus import scan_of
from collector.transports.solarman import SolarmanV5, framed
from config.model import Device
from tests.clock import FakeTime
from tests.collector.clients import LineHouse
from tests.collector.modbus_cases import DEYE_RECORDED
from tests.collector.profile_cases import HOLDING
from tests.collector.rig import Rig
from tests.emulators.modbus_rtu import Tables
from tests.emulators.solarman import HOST, Logger
from tests.rounds import rounds

SERIAL = 2_712_345_678
QUICK = 0.15
DEYE = {a + n: w for a, run in DEYE_RECORDED.words[HOLDING].items() for n, w in enumerate(run)}


def tables() -> Tables:
    return Tables(holding={**DEYE, **{1000 + n: n for n in range(125)}}, input={5: 42}, coils={2: 1, 3: 0})


@pytest.fixture
def logger() -> Iterator[Logger]:
    with Logger(SERIAL, {1: tables()}) as logger:
        yield logger


@pytest.fixture
def line(logger: Logger) -> Iterator[SolarmanV5]:
    line = SolarmanV5(HOST, logger.port, SERIAL, timeout=QUICK)
    yield line
    line.close()


def test_registers_bits_and_a_coil(line: SolarmanV5) -> None:
    assert line.registers(1, 3, 1000, 125) == tuple(range(125))
    assert line.registers(1, 4, 5, 1) == (42,)
    assert line.bits(1, 1, 2, 2) == (True, False)
    line.write_coil(1, 3, on=True)
    assert line.bits(1, 1, 2, 2) == (True, True)
    with pytest.raises(RefusedError, match="no such address"):
        line.registers(1, 3, 9000, 1)


def test_a_request_on_the_wire(logger: Logger, line: SolarmanV5) -> None:
    # pysolarmanv5's own example of a request, but for its sequence: utils/solarman_decoder.py.
    asked = bytes.fromhex("a5 17 00 10 45 bb 00 b2 6e 3c 6a 02" + "00" * 14 + "01 03 00 03 00 05 75 c9 39 15")
    rtu = bytes.fromhex("01 03 00 03 00 05")
    assert framed(0x4510, (0xBB, 0), 1_782_345_394, b"\x02" + bytes(14) + rtu + crc16(rtu)) == asked
    line.registers(1, 3, 500, 1)
    assert logger.requests[0][:5] == asked[:5]
    assert logger.requests[0][26:-4] == bytes.fromhex("01 03 01 f4 00 01")


# Whole answers of real loggers to a question for registers, with the number they were asked by.
RECORDED = {
    "issue 19": (
        0x8E2C4CAA,
        0x97,
        "a515001015976caa4c2c8e0201b6a60f001b27000053760763010302010a39d3ed15",
        (266,),
    ),
    "issue 62, checked twice": (
        0x6A3C6EB2,
        0xBB,
        "a51f001015bb52b26e3c6a0201b017ee00b41a0000620eb76501030a32313036323334323538306e0000d615",
        (0x3231, 0x3036, 0x3233, 0x3432, 0x3538),
    ),
    "608, the map of another model": (
        0xAE9882BF,
        0x69,
        "a51f0010156948bf8298ae0201ee0f0000530a0000d6b97a6601030c00000000000000000000000093705b15",
        (0,) * 6,
    ),
}


class Spoken:
    """A server that says these bytes after each request, whatever it was."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self._socket = socket.create_server((HOST, 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                while self._answers and connection.recv(4096):
                    connection.sendall(self._answers.pop(0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def spoken(
    number: int | None, sequence: int, *answers: str, timeout: float = QUICK
) -> tuple[Spoken, SolarmanV5]:
    server = Spoken(*map(bytes.fromhex, answers))
    line = SolarmanV5(HOST, server.port, number, timeout=timeout)
    line._sequence = sequence - 1
    return server, line


@pytest.mark.parametrize("name", RECORDED)
def test_answers_of_real_loggers(name: str) -> None:
    number, sequence, answer, words = RECORDED[name]
    server, line = spoken(number, sequence, answer)
    with server:
        assert line.registers(1, 3, 3, len(words)) == words
        line.close()


# Issues 14, 87 (after a line of text) and 6: the number is another one's; the inverter does not answer.
WRONG = "a51000101500 04375c79f20201f36d0400640000000000000006000815"
AFTER_TEXT = (
    "41542b595a434d505645523d4d57335f3136555f353430365f322e33322d44310d0a0d0a"
    "a5100010152d5579a7e8ed02014fdc36006f130000528b706706004c15"
)
NO_INVERTER = "a510001015000d55b1eb8a020175b80600c202000021eb84620500ae15"


def test_a_wrong_number_is_told_with_the_right_one() -> None:
    for answer, sequence, right in ((WRONG, 0, 0xF2795C37), (AFTER_TEXT, 0x2D, 0xEDE8A779)):
        server, line = spoken(902_000_501, sequence, answer)
        with (
            server,
            pytest.raises(LineError, match=f"serial number {right}, not 902000501: write logger = {right}"),
        ):
            line.registers(1, 3, 0, 1)


def test_an_inverter_that_does_not_answer_is_told(logger: Logger) -> None:
    server, line = spoken(2_330_702_165, 0, NO_INVERTER)
    with server, pytest.raises(NoAnswerError, match=r"does not answer \(code 5\): is the unit right"):
        line.registers(1, 4, 33022, 6)
    line = SolarmanV5(HOST, logger.port, SERIAL, timeout=QUICK)
    with pytest.raises(NoAnswerError, match=r"unit 7 behind the data logger .* \(code 5\)"):
        line.registers(7, 3, 500, 1)
    assert line.registers(1, 3, 500, 1) == (2,), "the connection goes on"
    line.close()


def test_a_number_that_is_not_given_is_learned_from_the_logger(logger: Logger) -> None:
    line = SolarmanV5(HOST, logger.port, timeout=QUICK)
    assert line.registers(1, 3, 500, 1) == (2,)
    assert line.registers(1, 3, 588, 1) == (29,)
    numbers = [struct.unpack("<I", one[7:11])[0] for one in logger.requests]
    assert numbers == [0, SERIAL, SERIAL]
    line.close()
    logger.strict = True
    line = SolarmanV5(HOST, logger.port, timeout=QUICK)
    with pytest.raises(NoAnswerError, match=r"write its serial number, which is on its label, as logger"):
        line.registers(1, 3, 500, 1)


@pytest.mark.parametrize(
    "fault", ["heartbeat", "handshake", "report", "text", "foreign", "twice", "split", "echo"]
)
def test_what_a_logger_says_beside_its_answer_does_no_harm(
    logger: Logger, line: SolarmanV5, fault: str
) -> None:
    logger.always = fault
    for place in range(5):
        assert line.registers(1, 3, 1000 + place, 2) == (place, place + 1)
    assert (logger.connections, len(logger.requests)) == (1, 5)


def test_a_heartbeat_is_answered(logger: Logger, line: SolarmanV5) -> None:
    logger.faults = ["heartbeat"]
    line.registers(1, 3, 500, 1)
    line.registers(1, 3, 500, 1)
    (reply,) = logger.replies
    asked = logger.requests[0][5]
    assert reply[3:5] == b"\x10\x17"
    assert (reply[5], reply[7:11]) == ((asked + 1) % 256, struct.pack("<I", SERIAL))


FAULTS = {
    "silent": (NoAnswerError, "does not answer for unit 1: is its serial number 2712345678"),
    "checksum": (BadRecordError, "a frame of the logger is damaged"),
    "end": (BadRecordError, "a frame of the logger is damaged"),
    "crc": (BadRecordError, "reaches the logger damaged"),
    "short": (BadRecordError, "wrongly"),
    "noise": (BadRecordError, "reaches the logger damaged"),
    "unit": (BadRecordError, "unit 2 answered for unit 1"),
    "busy": (NoAnswerError, "it is busy"),
    "illegal": (RefusedError, "no such address"),
    "closed": (LineError, "closed the connection"),
    "half": (LineError, "closed the connection"),
    "tcp": (NoAnswerError, "does it speak Modbus TCP there? Then write port = tcp://"),
    "http": (BadRecordError, "is not Solarman V5"),
    "endless": (BadRecordError, "is not Solarman V5"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_has_a_name_and_the_next_question_is_answered(
    logger: Logger, line: SolarmanV5, fault: str
) -> None:
    error, words = FAULTS[fault]
    logger.always = fault
    with pytest.raises(error) as caught:
        line.registers(1, 3, 500, 2)
    assert words in str(caught.value)
    logger.always = ""
    assert line.registers(1, 3, 588, 1) == (29,)


def test_a_logger_with_a_new_number_each_time_is_given_up(logger: Logger) -> None:
    line = SolarmanV5(HOST, logger.port, timeout=QUICK)
    logger.always = "moody"
    with pytest.raises(BadRecordError, match="another number each time"):
        line.registers(1, 3, 500, 1)
    assert len(logger.requests) == 2


def test_a_late_answer_is_never_taken_for_the_next(logger: Logger, line: SolarmanV5) -> None:
    assert line.registers(1, 3, 1000, 1) == (0,)
    logger.faults = ["late"]
    assert [line.registers(1, 3, 1001 + n, 1) for n in range(4)] == [(1 + n,) for n in range(4)]
    assert logger.connections == 1


def test_a_connection_that_was_closed_while_idle_is_opened_without_a_word(
    logger: Logger, line: SolarmanV5
) -> None:
    line.registers(1, 3, 500, 1)
    logger.hang_up()
    assert line.registers(1, 3, 588, 1) == (29,)
    assert logger.connections == 2


def test_sequence_numbers_begin_again(logger: Logger, line: SolarmanV5) -> None:
    line._sequence = 0xFF
    assert line.registers(1, 3, 500, 1) == (2,)
    assert logger.requests[0][5] == 0


GOOD = framed(0x1510, (1, 9), SERIAL, b"\x02\x01" + bytes(12) + bytes.fromhex("0103020007f986"))
BYTES = st.one_of(
    st.binary(max_size=300),
    # The right one, cut, with bits turned, with something before and behind, or longer than it says.
    st.builds(lambda n: GOOD[:n], st.integers(0, len(GOOD))),
    st.builds(
        lambda at, bit: bytes(b ^ (1 << bit if n == at else 0) for n, b in enumerate(GOOD)),
        st.integers(0, len(GOOD) - 1),
        st.integers(0, 7),
    ),
    st.builds(lambda a, b: a + GOOD + b, st.binary(max_size=20), st.binary(max_size=20)),
    # Whole frames around anything, of any code and number.
    st.builds(
        lambda code, seq, number, payload: framed(code, (seq, 0), number, payload),
        st.sampled_from((0x1510, 0x4510, 0x4710, 0x4110, 0x4810, 0, 0xFFFF)),
        st.sampled_from((0, 1, 2, 255)),
        st.sampled_from((SERIAL, 0, 0xFFFFFFFF)),
        st.binary(max_size=60),
    ),
)


@settings(deadline=None, max_examples=rounds(60, 400))
@given(said=st.lists(BYTES, min_size=1, max_size=4), number=st.sampled_from((SERIAL, None)))
def test_whatever_a_logger_sends_only_our_errors_leave_the_line(
    said: list[bytes], number: int | None
) -> None:
    with Spoken(b"".join(said)) as server:
        line = SolarmanV5(HOST, server.port, number, timeout=0.03)
        try:
            assert all(0 <= word <= 0xFFFF for word in line.registers(1, 3, 0, 1))
        except (DecodeError, LineError) as error:
            assert str(error)  # noqa: PT017 — any of ours will do, with words
        line.close()


PORTS = [
    ("solarman://192.168.1.30", ("192.168.1.30", 8899)),
    ("solarman://logger.local:18899", ("logger.local", 18899)),
    ("solarman://[fd00::5]/", ("fd00::5", 8899)),
]


@pytest.mark.parametrize(("port", "expected"), PORTS)
def test_ports(port: str, expected: tuple[str, int]) -> None:
    assert tcp_address(port) == expected
    check_port(Device(kind="modbus", port=port, logger=1, unit=247))


@pytest.mark.parametrize(
    ("made", "field", "words"),
    [
        (Device(kind="modbus", port="solarman://"), "port", "names no host"),
        (Device(kind="modbus", port="solarman://h/1"), "port", "more than host and port"),
        (Device(kind="modbus", port="solarman://h", unit=0), "unit", "for tcp:// only"),
        (Device(kind="modbus", port="tcp://h", logger=5), "logger", "with solarman:// only"),
        (Device(kind="modbus", port="/dev/ttyUSB0", logger=5), "logger", "with solarman:// only"),
    ],
)
def test_settings_that_cannot_be(made: Device, field: str, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        check_port(made)
    assert caught.value.field == field
    assert words in f"{caught.value.wrong}; {caught.value.allowed}"


def quick(owned: Owned) -> tuple[str, Callable[[], Line]]:
    """The real line, but impatient."""
    name, make = line_of(owned)
    assert isinstance(make(), SolarmanV5)
    host, port = tcp_address(owned.settings.port or "")
    return name, lambda: SolarmanV5(host, port, owned.settings.logger, timeout=QUICK)


def test_an_inverter_behind_a_logger_as_its_owner_sees_it(logger: Logger, tmp_path: Path) -> None:
    port = f"solarman://{HOST}:{logger.port}"
    device = Device(kind="modbus", port=port, profile="deye_sg04lp3", every=5)
    rig = Rig(tmp_path, FakeTime(), {"sun": device}, "tcp", lines=quick)
    logger.faults = ["text", "heartbeat"]
    rig.run(10)
    assert rig.online("sun")
    expected = {k: v for k, v in DEYE_RECORDED.expected.items() if k in rig.said("sun")[-1]}
    assert expected["pv_power"] == 6681
    assert {key: rig.said("sun")[-1][key] for key in expected} == expected
    # The stick is changed for another one.
    logger.serial += 1
    rig.run(20)
    assert rig.said("sun")[-1]["pv_power"] == 6681
    assert rig.problem("sun") is None
    logger.units.clear()
    rig.run(75, step=2.5)
    assert rig.online("sun") is False
    assert "does not answer (code 5): is the unit right" in (rig.problem("sun") or "")
    rig.close()


def test_a_wrong_number_as_its_owner_sees_it(logger: Logger, tmp_path: Path) -> None:
    port = f"solarman://{HOST}:{logger.port}"
    device = Device(kind="modbus", port=port, profile="deye_sg04lp3", every=5, logger=12345)
    rig = Rig(tmp_path, FakeTime(), {"sun": device}, "tcp", lines=quick)
    rig.run(75, step=2.5)
    assert not rig.online("sun")
    assert f"write logger = {SERIAL}, or leave it out" in (rig.problem("sun") or "")
    rig.close()


def test_units_behind_a_logger_are_found_by_a_scan(logger: Logger, tmp_path: Path) -> None:
    house = LineHouse(tmp_path, FakeTime(), {}, "tcp", lines=quick, scan=partial(scan_of, "tcp"))
    port = f"solarman://{HOST}:{logger.port}"
    _, answer = house.scan(port=port, units="1-2")
    (found,) = answer["data"]["found"]
    assert (found["unit"], found["port"]) == (1, port)
    assert found["proposals"][0] == {
        "kind": "modbus",
        "settings": {"profile": "deye_sg04lp3", "port": port, "unit": 1},
    }
    serial = LineHouse(
        tmp_path / "serial", FakeTime(), {}, "serial", lines=quick, scan=partial(scan_of, "serial")
    )
    code, text = serial.refusal("device_scan", port=port)
    assert (code, "is scanned by collector_tcp" in text) == ("invalid", True), text


def test_settings_are_written_once_and_read_back(line: SolarmanV5) -> None:
    line.write_registers(1, 6, 1000, (77,))
    line.write_registers(1, 16, 1001, (78, 79))
    assert line.registers(1, 3, 1000, 3) == (77, 78, 79)
    with pytest.raises(RefusedError, match="no such address"):
        line.write_registers(1, 16, 9000, (1, 2))
