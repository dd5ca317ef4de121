"""A line that is never silent and never says anything whole: one byte every few ms, for ever."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from queue import SimpleQueue

import pytest

from collector.devices.description import BadRecordError, DecodeError, LineError, NoAnswerError
from collector.devices.lines import ModbusLine
from collector.polling import Job, Worker
from collector.transports import modbus_rtu, vedirect
from collector.transports.modbus_rtu import ModbusRtu
from collector.transports.modbus_tcp import ModbusTcp
from collector.transports.serial_port import open_port
from collector.transports.vedirect import VeDirectCable
from tests.clock import FakeTime
from tests.emulators.modbus_rtu import Slave, Tables, sealed
from tests.emulators.modbus_tcp import HOST, HostileServer
from tests.emulators.tunnel import Tunnel
from tests.emulators.vedirect import Cable, Talker, block

# Of a read, and between two bytes: each read brings something, and far too little.
TIMEOUT, PERIOD = 0.05, 0.02
# A read lasts TIMEOUT or brings all it wants: three begin before the deadline (TIMEOUT, and as long again for
# the 255 bytes), four bring a part of an answer; then the line is heard out with five.
MOST_READS = 3 + 4 + 5
HOLDING = {100 + n: 1000 + n for n in range(20)}

Ask = Callable[[ModbusLine], object]


class Counted:
    """A port that counts its reads."""

    def __init__(self, port: str, baudrate: int, *, timeout: float) -> None:
        self._opened = open_port(port, baudrate, timeout=timeout)
        self.reads = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._opened, name)

    def read(self, size: int) -> bytes:
        """Count it."""
        self.reads += 1
        return bytes(self._opened.read(size))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Counted]:
    """The ports that were opened, the last is last."""
    opened: list[Counted] = []

    def open_counted(port: str, baudrate: int, *, timeout: float) -> Counted:
        opened.append(Counted(port, baudrate, timeout=timeout))
        return opened[-1]

    monkeypatch.setattr(modbus_rtu, "open_port", open_counted)
    monkeypatch.setattr(vedirect, "open_port", open_counted)
    return opened


@pytest.fixture
def bus(stack: ExitStack) -> Slave:
    return stack.enter_context(Slave({1: Tables(holding=dict.fromkeys(range(200), 7))}))


ASKED: dict[str, Ask] = {
    "registers": lambda line: line.registers(1, 3, 0, 125),
    "bits": lambda line: line.bits(1, 1, 0, 2000),
    "coil": lambda line: line.write_coil(1, 2, on=True),
    "register": lambda line: line.write_registers(1, 6, 2, (7,)),
    "several registers": lambda line: line.write_registers(1, 16, 2, (7,) * 123),
}
# The beginning of an answer that is right so far, of a refusal, of the echo of each question, and of nothing.
TRICKLES = (b"\x01\x03\xfa\x00", b"\x01\x83", sealed(bytes([1, 3, 0, 0, 0, 125])), b"\x55", b"\xff", b"\0")


@pytest.mark.parametrize("said", TRICKLES, ids=bytes.hex)
@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_a_question_ends_in_time_on_a_real_line(
    bus: Slave, stack: ExitStack, counted: list[Counted], ask: Ask, said: bytes
) -> None:
    bus.dead.add(1)
    line = ModbusRtu(bus.port, 115_200, timeout=TIMEOUT)
    stack.callback(line.close)
    line.open()
    drops = iter(said + b"\0" * 10_000)
    stack.enter_context(Talker(lambda _: bus.say(bytes([next(drops)])), b".", period=PERIOD))
    with pytest.raises((LineError, DecodeError)):
        ask(line)
    assert counted[-1].reads <= MOST_READS


def test_a_question_ends_by_the_clock_it_is_given(
    bus: Slave, stack: ExitStack, counted: list[Counted]
) -> None:
    now = [0.0]

    def monotonic() -> float:
        now[0] += 0.2
        return now[0]

    bus.dead.add(1)
    line = ModbusRtu(bus.port, 115_200, timeout=TIMEOUT, monotonic=monotonic)
    stack.callback(line.close)
    line.open()
    stack.enter_context(Talker(bus.say, b"\x01", period=PERIOD))
    with pytest.raises((LineError, DecodeError)):
        line.registers(1, 3, 0, 125)
    assert counted[-1].reads <= 1 + 5, "the deadline passed with the first look at the clock"


def test_a_long_answer_may_take_the_time_of_its_bytes(bus: Slave, stack: ExitStack) -> None:
    line = ModbusRtu(bus.port, 9600, timeout=2 * TIMEOUT)
    stack.callback(line.close)
    line.open()
    bus.faults.append("slow")
    assert line.registers(1, 3, 0, 125) == (7,) * 125


def test_a_tunnel_that_trickles_is_no_worse(bus: Slave, stack: ExitStack, counted: list[Counted]) -> None:
    tunnel = stack.enter_context(Tunnel(bus.port))
    bus.dead.add(1)
    line = ModbusRtu(tunnel.url, 115_200, timeout=TIMEOUT)
    stack.callback(line.close)
    line.open()
    stack.enter_context(Talker(bus.say, b"\x01", period=PERIOD))
    with pytest.raises((LineError, DecodeError)):
        line.registers(1, 3, 0, 125)
    assert sum(one.reads for one in counted) <= MOST_READS


def test_the_line_is_good_again_as_soon_as_it_is_silent(bus: Slave, stack: ExitStack) -> None:
    line = ModbusRtu(bus.port, 115_200, timeout=TIMEOUT)
    stack.callback(line.close)
    line.open()
    bus.dead.add(1)
    with Talker(bus.say, b"\x01", period=PERIOD / 10), pytest.raises(LineError, match="not fall silent"):
        line.registers(1, 3, 0, 125)
    bus.dead.clear()
    line.close()
    line.open()
    assert line.registers(1, 3, 0, 125) == (7,) * 125


def test_a_line_that_trickles_does_not_hold_up_another(bus: Slave, stack: ExitStack, time: FakeTime) -> None:
    other = stack.enter_context(Slave({1: Tables(holding={0: 42})}))
    bus.dead.add(1)
    stack.enter_context(Talker(bus.say, b"\x01", period=PERIOD))
    told: SimpleQueue[object] = SimpleQueue()
    for port, timeout in ((bus.port, 10 * TIMEOUT), (other.port, 20 * TIMEOUT)):
        line = ModbusRtu(port, 115_200, timeout=timeout)
        worker = Worker(port, line, emit=told.put, monotonic=time.clock.monotonic)
        worker.start()
        stack.callback(worker.join, 20.0)
        stack.callback(worker.stop)
        worker.do(Job(lambda line, _: line.registers(1, 3, 0, 1), lambda why, _: why))
    assert told.get(timeout=20.0) == (42,)
    assert isinstance(told.get(timeout=20.0), LineError | DecodeError)


@pytest.fixture
def cable(stack: ExitStack) -> Cable:
    cable = Cable()
    stack.callback(cable.pull)
    return cable


@pytest.mark.parametrize("said", [b"\x55", b":", b"\r", b"\t", b"A", b"\xff"])
def test_a_cable_that_trickles_holds_nobody_up(
    cable: Cable, stack: ExitStack, counted: list[Counted], said: bytes
) -> None:
    line = VeDirectCable(cable.path, patience=0.3)
    stack.callback(line.close)
    line.open()
    stack.enter_context(Talker(cable.write, said, period=PERIOD / 4))
    for _ in range(2):
        before = counted[0].reads
        with pytest.raises(BadRecordError, match="no whole VE"):
            line.blocks()
        # A read lasts 0.1 s.
        assert counted[0].reads - before <= 4


def test_a_cable_on_which_blocks_dribble_is_read(cable: Cable, stack: ExitStack) -> None:
    line = VeDirectCable(cable.path, patience=5.0)
    stack.callback(line.close)
    line.open()
    spoken = block({"PID": "0xA053", "V": "1"}) + block({"PID": "0xA053", "V": "13420"}) * 500
    drops = iter(spoken)
    stack.enter_context(Talker(lambda _: cable.write(bytes([next(drops)])), b".", period=PERIOD / 10))
    assert line.blocks()[0]["V"] == "13420"


@pytest.fixture
def server(stack: ExitStack) -> HostileServer:
    return stack.enter_context(HostileServer(3, HOLDING))


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("dribble", "unit 3 on .* sends, but no whole answer in 0.1 s"),
        # It may end within one of those answers.
        ("babble", "unit 3 on .* (does not answer|sends, but no whole answer|answers with transaction id)"),
    ],
)
def test_a_tcp_device_has_one_deadline_for_all_of_its_answer(
    server: HostileServer, stack: ExitStack, fault: str, text: str
) -> None:
    line = ModbusTcp(HOST, server.port, timeout=0.1)
    stack.callback(line.close)
    server.always = fault
    with pytest.raises(NoAnswerError, match=text):
        line.registers(3, 3, 100, 1)
    server.always = None
    assert line.registers(3, 3, 101, 2) == (1001, 1002)
    assert server.connections == 2
