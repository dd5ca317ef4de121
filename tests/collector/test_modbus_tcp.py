"""The Modbus TCP line against pymodbus's server and against one that breaks the protocol."""

import socket
from collections.abc import Iterator

import pytest

from collector.devices.description import BadRecordError, LineError, NoAnswerError, RefusedError
from collector.devices.modbus import tcp_address
from collector.transports.modbus_tcp import ModbusTcp
from tests.emulators.modbus_tcp import HOST, HostileServer, ModbusServer, Unit

QUICK = 0.1
HOLDING = {100 + n: 1000 + n for n in range(20)}


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer(3, HOLDING) as server:
        yield server


@pytest.fixture
def line(server: HostileServer) -> Iterator[ModbusTcp]:
    line = ModbusTcp(HOST, server.port, timeout=QUICK)
    line.open()
    yield line
    line.close()


@pytest.fixture(scope="module")
def theirs() -> Iterator[ModbusTcp]:
    units = {
        1: Unit(
            holding={
                100: 1,
                101: 0xFFFF,
                102: 0x8000,
                **{n: n for n in range(1000, 1125)},
                **dict.fromkeys(range(2000, 2123), 0),
            },
            input={5: 42},
            coils={n: n % 3 == 0 for n in range(19)},
        ),
        9: Unit(input={5: 43}),
    }
    with ModbusServer(units) as server:
        line = ModbusTcp(HOST, server.port, timeout=5)
        line.open()
        yield line
        line.close()


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ((1, 3, 100, 3), (1, 0xFFFF, 0x8000)),
        ((1, 4, 5, 1), (42,)),
        ((9, 4, 5, 1), (43,)),
        ((1, 3, 1000, 125), tuple(range(1000, 1125))),
    ],
)
def test_registers_as_pymodbus_serves_them(
    theirs: ModbusTcp, question: tuple[int, int, int, int], expected: tuple[int, ...]
) -> None:
    assert theirs.registers(*question) == expected


def test_bits_and_a_coil_as_pymodbus_serves_them(theirs: ModbusTcp) -> None:
    assert theirs.bits(1, 1, 0, 19) == tuple(n % 3 == 0 for n in range(19))
    theirs.write_coil(1, 1, on=True)
    assert theirs.bits(1, 1, 1, 1) == (True,)
    theirs.write_coil(1, 1, on=False)
    assert theirs.bits(1, 1, 1, 1) == (False,)


@pytest.mark.parametrize(
    ("function", "address", "words"), [(6, 2001, (0xFFFE,)), (16, 2001, (7,)), (16, 2000, tuple(range(123)))]
)
def test_registers_are_written_as_pymodbus_takes_them(
    theirs: ModbusTcp, function: int, address: int, words: tuple[int, ...]
) -> None:
    theirs.write_registers(1, function, address, words)
    assert theirs.registers(1, 3, address, len(words)) == words


def test_a_write_to_what_is_not_there_is_refused_in_words(theirs: ModbusTcp) -> None:
    with pytest.raises(RefusedError, match=r"unit 1 .*no such address \(exception 2\)"):
        theirs.write_registers(1, 16, 102, (1, 2))


@pytest.mark.parametrize("function", [6, 16])
@pytest.mark.parametrize(
    ("fault", "raises", "done"),
    [
        ("deaf", (NoAnswerError, "does not answer"), False),
        ("silent", (NoAnswerError, "does not answer"), True),
        ("closed", (NoAnswerError, "closed the connection"), True),
        ("half", (NoAnswerError, "closed the connection"), True),
        ("busy", (NoAnswerError, "busy"), False),
        ("wrong_unit", (BadRecordError, "unit 4 answered for unit 3"), True),
        ("wrong_function", (BadRecordError, "another question"), True),
        ("wrong_count", (BadRecordError, "function {}, to write, wrongly"), True),
        ("garbage", (BadRecordError, "not Modbus TCP"), False),
    ],
)
def test_a_write_that_went_wrong_is_told_and_sent_once(
    server: HostileServer,
    line: ModbusTcp,
    function: int,
    fault: str,
    raises: tuple[type[Exception], str],
    *,
    done: bool,
) -> None:
    line.registers(3, 3, 100, 1)
    server.faults = [fault]
    with pytest.raises(raises[0], match=raises[1].format(function)):
        line.write_registers(3, function, 100, (5,) if function == 6 else (5, 6))
    assert [request[7] for request in server.requests] == [3, function]
    assert line.registers(3, 3, 100, 1) == ((5 if done else 1000),)


def test_a_write_leaves_the_pause_that_its_gateway_needs(server: HostileServer) -> None:
    slept: list[float] = []
    line = ModbusTcp(HOST, server.port, timeout=QUICK, sleep=slept.append)
    line.rest(10)
    line.registers(3, 3, 100, 1)
    line.write_registers(3, 6, 100, (5,))
    line.close()
    assert slept == [pytest.approx(10, abs=1)]


def test_a_write_on_a_connection_that_was_closed_meanwhile_is_not_repeated_blindly(
    server: HostileServer, line: ModbusTcp
) -> None:
    line.registers(3, 3, 100, 1)
    server.hang_up()
    with pytest.raises(NoAnswerError, match="closed the connection"):
        line.write_registers(3, 6, 100, (5,))
    assert line.registers(3, 3, 100, 1) == (1000,)


def test_what_a_unit_does_not_have_is_refused_in_words(theirs: ModbusTcp) -> None:
    with pytest.raises(RefusedError, match=r"unit 1 .*no such address \(exception 2\)"):
        theirs.registers(1, 3, 102, 2)
    assert theirs.registers(1, 3, 100, 1) == (1,), "the connection goes on"


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("silent", NoAnswerError, "does not answer"),
        ("busy", NoAnswerError, "busy"),
        ("gateway", NoAnswerError, "is the unit right"),
        ("wrong_unit", BadRecordError, "unit 4 answered for unit 3"),
        ("wrong_function", BadRecordError, "another question"),
        ("wrong_count", BadRecordError, "wrongly"),
        ("garbage", BadRecordError, "not Modbus TCP"),
        ("closed", LineError, "Many take only one"),
        ("half", LineError, "closed the connection"),
    ],
)
def test_a_fault_has_a_name_and_the_next_question_is_answered(
    server: HostileServer, line: ModbusTcp, fault: str, error: type[Exception], words: str
) -> None:
    server.always = fault
    with pytest.raises(error, match=words):
        line.registers(3, 3, 100, 2)
    server.always = None
    assert line.registers(3, 3, 110, 2) == (1010, 1011)


def test_a_late_answer_is_never_taken_for_the_next(server: HostileServer, line: ModbusTcp) -> None:
    assert line.registers(3, 3, 100, 1) == (1000,)
    server.faults = ["late", "silent"]
    with pytest.raises(NoAnswerError):
        line.registers(3, 3, 101, 1)
    assert [line.registers(3, 3, 100 + n, 1) for n in range(5)] == [(1000 + n,) for n in range(5)]


def test_after_silence_the_connection_is_a_new_one(server: HostileServer, line: ModbusTcp) -> None:
    line.registers(3, 3, 100, 1)
    server.faults = ["silent", "silent"]
    with pytest.raises(NoAnswerError):
        line.registers(3, 3, 100, 1)
    line.registers(3, 3, 100, 1)
    assert server.connections == 2


def test_one_lost_answer_of_a_connection_that_has_answered_is_asked_for_again(
    server: HostileServer, line: ModbusTcp
) -> None:
    line.registers(3, 3, 100, 1)
    server.faults = ["silent"]
    assert line.registers(3, 3, 101, 1) == (1001,)
    assert (server.connections, len(server.requests)) == (1, 3)


def test_a_gateway_that_loses_quick_questions_is_left_a_pause(server: HostileServer) -> None:
    slept: list[float] = []
    line = ModbusTcp(HOST, server.port, timeout=QUICK, sleep=slept.append)
    for place in range(3):
        server.faults = ["split", "silent"] if place < 2 else []
        assert line.registers(3, 3, 100, 1) == (1000,)
        assert line.registers(3, 3, 101, 1) == (1001,)
    # Found by itself: nothing, then 0.1 s, then 0.2 s, less what has passed.
    assert sorted({round(one, 1) for one in slept}) == [0.1, 0.2]
    line.rest(0.5)
    slept.clear()
    line.registers(3, 3, 102, 1)
    assert [round(one, 1) for one in slept] == [0.5]
    line.close()


@pytest.mark.parametrize("fault", ["wrong_transaction", "same_transaction"])
def test_a_gateway_with_transaction_ids_of_its_own_is_believed_in_the_end(
    server: HostileServer, line: ModbusTcp, fault: str
) -> None:
    server.always = fault
    # The second of the same kind proves the rule; from then on nothing has to time out.
    assert line.registers(3, 3, 100, 2) == (1000, 1001)
    asked = len(server.requests)
    for place in range(101, 110):
        assert line.registers(3, 3, place, 1) == (900 + place,)
    assert len(server.requests) == asked + 9
    server.faults = ["silent"]
    with pytest.raises(NoAnswerError):
        line.registers(3, 3, 100, 1)
    assert line.registers(3, 3, 105, 1) == (1005,)


def test_answers_to_somebody_else_are_not_believed(server: HostileServer, line: ModbusTcp) -> None:
    server.always = "other_transaction"
    for _ in range(4):
        with pytest.raises(NoAnswerError, match=r"answers with transaction id .* another program"):
            line.registers(3, 3, 100, 2)
    server.always = None
    assert line.registers(3, 3, 100, 2) == (1000, 1001)


@pytest.mark.parametrize("unit", [0, 255])
def test_a_device_that_is_its_own_gateway_is_unit_0_or_255(unit: int) -> None:
    with ModbusServer({unit: Unit(holding={1: 7})}) as own:
        line = ModbusTcp(HOST, own.port, timeout=5)
        assert line.registers(unit, 3, 1, 1) == (7,)
        line.close()


def test_a_dongle_that_loses_the_first_request_of_a_connection_is_asked_twice(
    server: HostileServer, line: ModbusTcp
) -> None:
    server.always = "deaf to the first"
    assert line.registers(3, 3, 100, 1) == (1000,)
    assert (server.connections, len(server.requests)) == (1, 2)


def test_the_answer_to_a_repeated_question_skips_that_to_the_first(
    server: HostileServer, line: ModbusTcp
) -> None:
    server.faults = ["late"]
    assert line.registers(3, 3, 100, 1) == (1000,)
    assert line.registers(3, 3, 105, 1) == (1005,)


def test_a_connection_that_was_closed_while_idle_is_opened_without_a_word(
    server: HostileServer, line: ModbusTcp
) -> None:
    assert line.registers(3, 3, 100, 1) == (1000,)
    server.hang_up()
    assert line.registers(3, 3, 101, 1) == (1001,)


def test_an_answer_may_come_byte_by_byte(server: HostileServer, line: ModbusTcp) -> None:
    server.always = "split"
    assert line.registers(3, 3, 100, 20) == tuple(HOLDING.values())


def test_transaction_numbers_start_again_after_the_last(server: HostileServer, line: ModbusTcp) -> None:
    line._transaction = 0xFFFF
    assert line.registers(3, 3, 100, 1) == (1000,)
    assert server.requests[-1][:2] == b"\0\0"


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (HOST, "refuses connections: is Modbus TCP switched on, is the port right?"),
        ("no-such-host.invalid", "there is no host no-such-host.invalid: is the name right"),
    ],
)
def test_why_a_connection_cannot_be_made(server: HostileServer, host: str, words: str) -> None:
    server.stop()
    line = ModbusTcp(host, server.port, timeout=QUICK)
    with pytest.raises(LineError) as caught:
        line.open()
    server.start()
    assert words in str(caught.value)


def test_a_request_on_the_wire(server: HostileServer, line: ModbusTcp) -> None:
    line.registers(3, 3, 0x64, 2)
    assert server.requests[-1][2:] == bytes.fromhex("0000 0006 03 03 0064 0002")


def test_a_host_that_does_not_take_the_connection_in_time() -> None:
    with socket.create_server((HOST, 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        line = ModbusTcp(HOST, full.getsockname()[1], timeout=QUICK)
        with pytest.raises(LineError, match="cannot be reached: is it switched on and in this network"):
            line.open()


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("tcp://192.168.1.20", ("192.168.1.20", 502)),
        ("tcp://inverter.local:1502", ("inverter.local", 1502)),
        ("tcp://[fd00::5]:503", ("fd00::5", 503)),
        ("tcp://host/", ("host", 502)),
    ],
)
def test_ports(port: str, expected: tuple[str, int]) -> None:
    assert tcp_address(port) == expected


@pytest.mark.parametrize("port", ["tcp://", "tcp://host:x", "tcp://host:70000", "tcp://host/1", "tcp://a@b"])
def test_what_is_no_port(port: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        tcp_address(port)
