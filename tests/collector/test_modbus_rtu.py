"""The Modbus RTU line on a real pty: what it reads, how it fails, and that it never takes a late answer."""

from collections.abc import Iterator
from contextlib import suppress

import minimalmodbus  # type: ignore[import-untyped]  # it ships no types
import pytest
import serial
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.devices.description import (
    BadRecordError,
    DecodeError,
    LineError,
    NoAnswerError,
    RefusedError,
)
from collector.transports.modbus_rtu import ModbusRtu, RtuPort
from tests.emulators.modbus_rtu import Slave, Tables, sealed
from tests.emulators.tunnel import Tunnel

# Long enough for a busy machine to answer in time, short enough to wait for.
TIMEOUT = 0.3


def tables() -> Tables:
    return Tables(
        input={address: address for address in range(0x3100, 0x3200)},
        holding={0: 11, 1: 12, 2: 13},
        coils={2: 1, 3: 0, **dict.fromkeys(range(16, 27), 1)},
        discrete={0: 0, 7: 1},
    )


@pytest.fixture
def slave() -> Iterator[Slave]:
    with Slave({1: tables(), 2: Tables(input={0x3100: 22})}, late=TIMEOUT * 1.5) as made:
        yield made


@pytest.fixture
def line(slave: Slave) -> Iterator[ModbusRtu]:
    made = ModbusRtu(slave.port, 115_200, timeout=TIMEOUT)
    made.open()
    yield made
    made.close()


def test_the_check_bytes_are_those_of_the_specification() -> None:
    # The worked example of Modbus over Serial Line V1.02, appendix B: 02 07 gives 41 12.
    assert sealed(bytes([0x02, 0x07])) == bytes([0x02, 0x07, 0x41, 0x12])


@pytest.mark.parametrize(
    ("function", "address", "expected"), [(4, 0x3100, (0x3100, 0x3101)), (3, 1, (12, 13))]
)
def test_registers_are_read(line: ModbusRtu, function: int, address: int, expected: tuple[int, ...]) -> None:
    assert line.registers(1, function, address, 2) == expected


def test_the_most_registers_of_one_request_are_read(line: ModbusRtu) -> None:
    assert line.registers(1, 4, 0x3100, 125) == tuple(range(0x3100, 0x3100 + 125))


@pytest.mark.parametrize(
    ("function", "address", "expected"),
    [(1, 2, (True, False)), (1, 16, (True,) * 11), (2, 7, (True,)), (2, 0, (False,))],
)
def test_bits_are_read(line: ModbusRtu, function: int, address: int, expected: tuple[bool, ...]) -> None:
    assert line.bits(1, function, address, len(expected)) == expected


def test_a_coil_is_written(slave: Slave, line: ModbusRtu) -> None:
    line.write_coil(1, 3, on=True)
    assert slave.units[1].coils[3] == 1
    line.write_coil(1, 3, on=False)
    assert slave.units[1].coils[3] == 0


@pytest.mark.parametrize(
    ("function", "address", "words"), [(6, 1, (0xFFFE,)), (16, 1, (7,)), (16, 0, (1, 0, 0xFFFF))]
)
def test_registers_are_written(
    slave: Slave, line: ModbusRtu, function: int, address: int, words: tuple[int, ...]
) -> None:
    line.write_registers(1, function, address, words)
    assert [slave.units[1].holding[address + n] for n in range(len(words))] == [*words]
    assert slave.requests[-1].function == function


def test_the_most_registers_of_one_write_are_written(slave: Slave, line: ModbusRtu) -> None:
    slave.units[1].holding |= dict.fromkeys(range(500, 623), 0)
    line.write_registers(1, 16, 500, range(123))
    assert [slave.units[1].holding[n] for n in range(500, 623)] == [*range(123)]


def write(line: ModbusRtu, function: int) -> None:
    line.write_registers(1, function, 0, (5,) if function == 6 else (5, 6, 7))


@pytest.mark.parametrize("function", [6, 16])
@pytest.mark.parametrize(
    ("fault", "raises", "done"),
    [
        ("deaf", (NoAnswerError, "unit 1 does not answer"), False),
        ("silent", (NoAnswerError, "unit 1 does not answer"), True),
        ("busy", (NoAnswerError, "unit 1 is busy"), False),
        ("illegal", (RefusedError, "it has no such address"), False),
        ("illegal_value", (RefusedError, "it does not take this count or value"), False),
        ("failure", (RefusedError, "it failed at it"), False),
        ("crc", (BadRecordError, "damaged"), True),
        ("truncate", (BadRecordError, "damaged"), True),
        ("wrong_unit", (BadRecordError, "damaged"), True),
        ("wrong_function", (BadRecordError, "damaged"), True),
        ("wrong_address", (BadRecordError, "damaged"), True),
        ("wrong_value", (BadRecordError, "damaged"), True),
    ],
)
def test_a_write_that_went_wrong_is_told_and_sent_once(
    slave: Slave,
    line: ModbusRtu,
    function: int,
    fault: str,
    raises: tuple[type[Exception], str],
    *,
    done: bool,
) -> None:
    slave.faults.append(fault)
    with pytest.raises(raises[0], match=raises[1]):
        write(line, function)
    assert [one.function for one in slave.requests] == [function]
    assert line.registers(1, 3, 0, 1) == ((5 if done else 11),)


@pytest.mark.parametrize("function", [6, 16])
def test_a_late_answer_to_a_write_is_no_answer_to_the_next(
    slave: Slave, line: ModbusRtu, function: int
) -> None:
    slave.faults.append("late")
    with pytest.raises(NoAnswerError):
        write(line, function)
    assert line.registers(1, 3, 0, 2) == ((5, 12) if function == 6 else (5, 6))
    slave.faults.append("illegal_value")
    with pytest.raises(RefusedError):
        write(line, function)


@pytest.mark.parametrize("function", [6, 16])
def test_an_echo_of_a_write_is_not_its_answer(slave: Slave, line: ModbusRtu, function: int) -> None:
    slave.faults += ["echo"] * 3
    assert line.registers(1, 3, 0, 1) == (11,)
    write(line, function)
    assert line.registers(1, 3, 0, 1) == (5,)


def test_the_echo_of_a_unit_that_is_not_there_is_not_believed(slave: Slave, line: ModbusRtu) -> None:
    slave.faults += ["echo", "only_echo"]
    line.registers(1, 3, 0, 1)
    with pytest.raises(NoAnswerError):
        write(line, 6)


def test_units_of_one_line_are_told_apart(line: ModbusRtu) -> None:
    assert line.registers(2, 4, 0x3100, 1) == (22,)
    assert line.registers(1, 4, 0x3100, 1) == (0x3100,)


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ("silent", NoAnswerError, "unit 1 does not answer at 115200 baud"),
        ("busy", NoAnswerError, "unit 1 is busy"),
        ("illegal", RefusedError, "no such address (exception 2)"),
        ("illegal_function", RefusedError, "not know this function (exception 1)"),
        ("illegal_value", RefusedError, "count or value (exception 3)"),
        ("failure", RefusedError, "failed at it (exception 4)"),
        ("crc", BadRecordError, "Checksum error"),
        ("truncate", BadRecordError, "Checksum error"),
        ("noise", BadRecordError, "Checksum error"),
        ("garbage", BadRecordError, "Checksum error"),
        ("wrong_unit", BadRecordError, "Wrong return slave address: 2 instead of 1"),
        ("wrong_function", BadRecordError, "Wrong functioncode"),
        ("short", BadRecordError, "data length is wrong"),
    ],
)
def test_a_fault_is_named_and_the_next_answer_is_right(
    slave: Slave, line: ModbusRtu, fault: str, error: type[Exception], text: str
) -> None:
    slave.faults.append(fault)
    with pytest.raises(error) as raised:
        line.registers(1, 4, 0x3100, 2)
    said = raised.value.__cause__ if error is BadRecordError else raised.value
    assert text in str(said)
    assert line.registers(1, 4, 0x3110, 2) == (0x3110, 0x3111)


def test_damage_is_told_in_one_text_whatever_it_was(slave: Slave, line: ModbusRtu) -> None:
    told = set()
    for fault in ("crc", "truncate", "wrong_unit", "short", "garbage"):
        slave.faults.append(fault)
        with pytest.raises(BadRecordError) as raised:
            line.registers(1, 4, 0x3100, 2)
        told.add(str(raised.value))
        assert line.registers(1, 3, 0, 1) == (11,)
    assert len(told) == 1, "or the owner's log fills with one line a poll"


@pytest.mark.parametrize("fault", ["echo", "split"])
def test_an_echo_and_an_answer_in_pieces_are_no_faults(slave: Slave, line: ModbusRtu, fault: str) -> None:
    slave.faults += [fault] * 3
    assert line.registers(1, 4, 0x3100, 2) == (0x3100, 0x3101)
    assert line.bits(1, 1, 2, 1) == (True,)
    line.write_coil(1, 2, on=False)
    assert slave.units[1].coils[2] == 0
    # The adapter is exchanged for one without echo.
    assert line.registers(1, 4, 0x3110, 1) == (0x3110,)


def test_a_refusal_does_not_cost_a_timeout(slave: Slave) -> None:
    line = ModbusRtu(slave.port, 115_200, timeout=60)
    line.open()
    with pytest.raises(RefusedError):
        line.registers(1, 4, 0x4000, 10)
    line.close()


def test_the_trap_is_real_minimalmodbus_alone_takes_the_late_answer(slave: Slave) -> None:
    slave.faults.append("late")
    with serial.Serial(slave.port, 115_200, timeout=TIMEOUT) as port:
        alone = minimalmodbus.Instrument(port, 1)
        with pytest.raises(minimalmodbus.NoResponseError):
            alone.read_registers(0x3100, 2, 4)
        assert alone.read_registers(0x3110, 2, 4) == [0x3100, 0x3101]


@pytest.mark.parametrize("lateness", [1.5, 2.5, 3.2])
def test_a_late_answer_is_never_taken_for_the_next_register(slave: Slave, lateness: float) -> None:
    slave.late = TIMEOUT * lateness
    slave.faults.append("late")
    line = ModbusRtu(slave.port, 115_200, timeout=TIMEOUT)
    line.open()
    with pytest.raises(NoAnswerError):
        line.registers(1, 4, 0x3100, 2)
    # The same unit, function and length: on the wire nothing tells the two answers apart.
    for address in (0x3110, 0x3120, 0x3130, 0x3140):
        with suppress(DecodeError):
            assert line.registers(1, 4, address, 2) == (address, address + 1)
    assert line.registers(1, 4, 0x3150, 2) == (0x3150, 0x3151)
    line.close()


def test_a_late_refusal_is_not_taken_for_one_of_another_function(slave: Slave, line: ModbusRtu) -> None:
    slave.stale = bytes([1, 0x84, 2])
    slave.faults.append("stale")
    with pytest.raises(BadRecordError, match="refused what was not asked"):
        line.registers(1, 3, 0, 1)
    assert line.registers(1, 3, 0, 1) == (11,)


def test_a_silent_unit_is_asked_the_plain_way_when_nothing_old_can_come(
    slave: Slave,
) -> None:
    now = [0.0]
    line = ModbusRtu(slave.port, 115_200, timeout=0.05, monotonic=lambda: now[0])
    line.open()
    slave.dead.add(1)
    for _ in range(6):
        with pytest.raises(NoAnswerError):
            line.registers(1, 4, 0x3100, 1)
    slave.dead.clear()
    with pytest.raises(NoAnswerError):
        line.registers(1, 4, 0x3100, 1)
    now[0] = 10.0
    slave.requests.clear()
    assert line.registers(1, 4, 0x3100, 1) == (0x3100,)
    assert [request.function for request in slave.requests] == [4]
    line.close()


def test_a_silent_unit_costs_its_neighbours_nothing_but_time(slave: Slave, line: ModbusRtu) -> None:
    slave.dead.add(1)
    for _ in range(3):
        with pytest.raises(NoAnswerError):
            line.registers(1, 4, 0x3100, 1)
        assert line.registers(2, 4, 0x3100, 1) == (22,)


def test_a_line_that_never_falls_silent_is_given_up(
    slave: Slave, line: ModbusRtu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RtuPort, "drain", lambda *_: False)
    slave.faults.append("garbage")
    with pytest.raises(LineError, match="does not fall silent"):
        line.registers(1, 4, 0x3100, 1)


def test_a_cable_that_is_pulled_is_a_lost_line_and_comes_back(slave: Slave, line: ModbusRtu) -> None:
    slave.faults.append("hangup")
    with pytest.raises(LineError, match="was lost"):
        line.registers(1, 4, 0x3100, 1)
    line.close()
    with pytest.raises(LineError, match="is not there"):
        line.open()
    slave.replug()
    line.open()
    assert line.registers(1, 4, 0x3100, 1) == (0x3100,)


def test_a_port_that_another_program_has_is_named(slave: Slave, line: ModbusRtu) -> None:
    assert line.registers(1, 4, 0x3100, 1) == (0x3100,)
    with pytest.raises(LineError, match="in use by another program"):
        ModbusRtu(slave.port, 115_200).open()


def test_another_baud_rate_is_silence_with_a_hint() -> None:
    with Slave({1: tables()}, baudrate=9600) as slave:
        line = ModbusRtu(slave.port, 115_200, timeout=0.05)
        line.open()
        with pytest.raises(NoAnswerError, match="are unit and baudrate right"):
            line.registers(1, 4, 0x3100, 1)
        line.close()


def test_a_tunnel_is_as_good_as_a_cable(slave: Slave) -> None:
    with Tunnel(slave.port) as tunnel:
        line = ModbusRtu(tunnel.url, 115_200, timeout=TIMEOUT)
        line.open()
        assert line.registers(1, 4, 0x3100, 2) == (0x3100, 0x3101)
        tunnel.cut()
        with pytest.raises((LineError, NoAnswerError)):
            line.registers(1, 4, 0x3100, 2)
        line.close()
        line.open()
        assert line.registers(1, 4, 0x3110, 2) == (0x3110, 0x3111)
        line.close()


def test_a_tunnel_that_looks_alive_and_is_dead_is_opened_anew(slave: Slave) -> None:
    with Tunnel(slave.port) as tunnel:
        line = ModbusRtu(tunnel.url, 115_200, timeout=TIMEOUT)
        line.open()
        tunnel.dead = True
        with pytest.raises(NoAnswerError):
            line.registers(1, 4, 0x3100, 2)
        tunnel.dead = False
        assert line.registers(1, 4, 0x3100, 2) == (0x3100, 0x3101)
        assert tunnel.clients == 2
        line.close()


class Liar(Tables):
    """Answers everything with the same bytes."""

    body = b""

    def answer(self, function: int, _data: bytes) -> bytes:
        """Its bytes, or nothing but the function."""
        return self.body or bytes([function])


@settings(max_examples=60, deadline=None)
@given(
    body=st.binary(min_size=0, max_size=12),
    fault=st.sampled_from(["", "crc"]),
    function=st.sampled_from([1, 3, 4, 5, 6, 16]),
)
def test_whatever_answers_is_a_value_or_an_error_of_the_house(body: bytes, fault: str, function: int) -> None:
    liar = Liar()
    liar.body = body
    with Slave({1: liar}) as slave:
        slave.faults.append(fault)
        line = ModbusRtu(slave.port, 115_200, timeout=0.03)
        line.open()
        with suppress(DecodeError):
            if function == 5:
                line.write_coil(1, 2, on=True)
            elif function in (6, 16):
                line.write_registers(1, function, 2, (7,))
            elif function == 1:
                assert len(line.bits(1, 1, 0, 3)) == 3
            else:
                assert len(line.registers(1, function, 0, 2)) == 2
        line.close()
