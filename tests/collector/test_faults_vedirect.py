"""A VE.Direct cable on a real pseudo terminal and a real socket, and all that happens to it."""

import socket
import threading
import time as real_time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import serial

from collector.device import Owned
from collector.devices.description import BadRecordError, LineError, NoAnswerError
from collector.devices.lines import Line
from collector.lines import line_of
from collector.transports.vedirect import VeDirectCable
from config.model import Device
from tests.clock import FakeTime
from tests.collector.rig import Rig
from tests.emulators.vedirect import Cable, Mppt, Phoenix, Product, SmartShunt, Talker, block
from tests.ports import free_port

# Noise as a wrong baud rate makes it; it has no checksum anywhere.
NOISE = bytes(range(128, 256))


class Plug:
    """A name under which a cable is found, as /dev/serial/by-id/… is."""

    def __init__(self, path: Path, says: Product | bytes | None, stack: ExitStack) -> None:
        self.path = path
        self.cable = Cable()
        stack.callback(self.pull)
        self.talker = stack.enter_context(Talker(self.cable.write, says))
        path.symlink_to(self.cable.path)

    def pull(self) -> None:
        """Out with it."""
        self.path.unlink(missing_ok=True)
        self.cable.pull()

    def plug(self) -> None:
        """In with it."""
        self.cable = Cable()
        self.talker.write = self.cable.write
        self.path.symlink_to(self.cable.path)


class Bridge:
    """A TCP server that gives every client what is written to it; power comes and goes."""

    def __init__(self) -> None:
        self.port = free_port()
        self._clients: list[socket.socket] = []
        self._server: socket.socket | None = None

    def start(self) -> None:
        """Listen, at the same port each time."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                self._clients.append(server.accept()[0])

    def write(self, data: bytes) -> None:
        """Give it to all; what one does not take is lost."""
        for client in self._clients:
            with suppress(OSError):
                client.send(data, socket.MSG_DONTWAIT)

    def stop(self) -> None:
        """Hang up on all and listen no more."""
        if self._server is not None:
            # Wakes the thread in accept, which closing alone does not.
            with suppress(OSError):
                self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
        for client in self._clients:
            client.close()
        self._clients = []


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def shunt(tmp_path: Path, stack: ExitStack) -> Plug:
    return Plug(tmp_path / "shunt", SmartShunt(), stack)


@pytest.fixture
def mppt(tmp_path: Path, stack: ExitStack) -> Plug:
    return Plug(tmp_path / "mppt", Mppt(), stack)


def impatient(device: Owned) -> tuple[str, Callable[[], Line]]:
    """As line_of, but silence is known after a fifth of a second."""
    port = str(device.settings.port)
    return port, lambda: VeDirectCable(port, patience=0.2)


Start = Callable[..., Rig]


@pytest.fixture
def start(tmp_path: Path, time: FakeTime, stack: ExitStack) -> Start:
    def start(ports: dict[str, str], *, lines: Callable[[Owned], tuple[str, Callable[[], Line]]]) -> Rig:
        devices = {
            name: Device(kind="vedirect", port=port, every=2.0, timeout=10) for name, port in ports.items()
        }
        rig = Rig(tmp_path, time, devices, "serial", lines)
        stack.callback(rig.close)
        return rig

    return start


def until(rig: Rig, done: Callable[[], bool], seconds: int = 120) -> int:
    """Let seconds of the rig pass until it is so; returns how many."""
    for passed in range(seconds):
        if done():
            return passed
        rig.pass_(1.0)
    raise TimeoutError(rig.journal.problems)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (SmartShunt(), {"voltage": 12.84, "soc": 87.3, "energy_charged": 52_310}),
        (Mppt(), {"voltage": 13.42, "power": 58, "charge_state": "bulk"}),
        (Phoenix(), {"voltage": 12.61, "device_state": "inverting"}),
    ],
    ids=["SmartShunt", "MPPT", "Phoenix"],
)
def test_a_device_is_read_over_its_real_line(
    tmp_path: Path, stack: ExitStack, start: Start, says: Product, expected: dict[str, object]
) -> None:
    plug = Plug(tmp_path / "plug", says, stack)
    rig = start({"van": str(plug.path)}, lines=line_of)
    until(rig, lambda: any(expected.items() <= said.items() for said in rig.said("van")))
    assert rig.online("van")
    about = rig.about("van")
    assert expected.keys() <= about.keys()
    assert "midpoint_voltage" not in about
    assert about["voltage"]["name"] == ("Voltage" if "soc" in expected else "Battery voltage")


FAULTS: tuple[tuple[str, str], ...] = (
    ("pulled", "is the cable plugged in"),
    ("silent", "nothing comes from"),
    ("noise", "is the baud rate 19200"),
    ("hex only", "no whole VE.Direct block"),
)


def _break(plug: Plug, fault: str) -> None:
    match fault:
        case "pulled":
            plug.pull()
        case "silent":
            plug.talker.says = None
        case "noise":
            plug.talker.says = NOISE
        case "hex only":
            plug.talker.says = b":A0002000148\n"


def _mend(plug: Plug, fault: str) -> None:
    plug.talker.says = SmartShunt()
    if fault == "pulled":
        plug.plug()


@pytest.mark.parametrize(("fault", "reason"), FAULTS)
def test_a_fault_is_told_and_ends_by_itself(
    shunt: Plug, mppt: Plug, start: Start, fault: str, reason: str
) -> None:
    rig = start({"shunt": str(shunt.path), "mppt": str(mppt.path)}, lines=impatient)
    until(rig, lambda: bool(rig.online("shunt") and rig.online("mppt")))
    _break(shunt, fault)
    # While it did not answer by HEX, one more block came.
    assert until(rig, lambda: rig.online("shunt") is False) <= 14
    assert reason in (rig.problem("shunt") or "")
    assert str(shunt.path) in (rig.problem("shunt") or "")
    assert rig.said("shunt")[-1]["voltage"] is None
    assert rig.online("mppt")
    assert rig.problem("mppt") is None
    rig.run(60, step=10.0)
    assert rig.journal.counters["failed_polls.mppt"] == 0
    _mend(shunt, fault)
    assert until(rig, lambda: rig.online("shunt") is True) <= 62
    assert rig.problem("shunt") is None


def test_a_port_that_is_not_there_is_told_at_once(tmp_path: Path, start: Start) -> None:
    rig = start({"van": str(tmp_path / "usb-nothing")}, lines=line_of)
    rig.pass_(1.0)
    assert "is not there" in (rig.problem("van") or "")


def test_a_port_in_use_is_told_and_taken_when_it_is_free(shunt: Plug, start: Start) -> None:
    other = serial.Serial(str(shunt.path), exclusive=True)
    rig = start({"van": str(shunt.path)}, lines=impatient)
    rig.pass_(1.0)
    assert "in use by another program" in (rig.problem("van") or "")
    other.close()
    assert until(rig, lambda: rig.online("van") is True) <= 62


def test_a_port_without_permission_is_told(
    monkeypatch: pytest.MonkeyPatch, shunt: Plug, start: Start
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # The tests may run as root, whom the kernel refuses nothing.
    monkeypatch.setattr("serial.serialposix.os.open", refuse)
    rig = start({"van": str(shunt.path)}, lines=line_of)
    rig.pass_(1.0)
    assert "group dialout" in (rig.problem("van") or "")


@pytest.mark.parametrize("fault", ["gone", "silent"])
def test_over_the_network(start: Start, stack: ExitStack, fault: str) -> None:
    bridge = Bridge()
    bridge.start()
    stack.callback(bridge.stop)
    talker = stack.enter_context(Talker(bridge.write, Mppt()))
    rig = start({"van": f"socket://127.0.0.1:{bridge.port}"}, lines=impatient)
    until(rig, lambda: rig.online("van") is True)
    if fault == "gone":
        bridge.stop()
    else:
        talker.says = None
    assert until(rig, lambda: rig.online("van") is False) <= 12
    assert f"socket://127.0.0.1:{bridge.port}" in (rig.problem("van") or "")
    talker.says = Mppt()
    if fault == "gone":
        bridge.start()
    assert until(rig, lambda: rig.online("van") is True) <= 62


class Ticking:
    """A clock of the line's own that a test moves; it also runs, so that a call ends."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return real_time.monotonic() + self.ahead


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def cable(stack: ExitStack) -> Cable:
    cable = Cable()
    stack.callback(cable.pull)
    return cable


@pytest.fixture
def line(cable: Cable, clock: Ticking, stack: ExitStack) -> VeDirectCable:
    line = VeDirectCable(cable.path, monotonic=clock, patience=0.3)
    stack.callback(line.close)
    line.open()
    return line


def numbered(*numbers: int) -> bytes:
    return b"".join(block({"PID": "0xA053", "V": str(number)}) for number in numbers)


def test_all_that_came_is_given_at_once(line: VeDirectCable, cable: Cable) -> None:
    cable.write(numbered(0, 1, 2) + numbered(3)[:9])
    assert [fields["V"] for fields in line.blocks()] == ["1", "2"]
    cable.write(numbered(3)[9:])
    assert [fields["V"] for fields in line.blocks()] == ["3"]


def test_what_waited_long_is_not_taken_for_now(line: VeDirectCable, cable: Cable, clock: Ticking) -> None:
    cable.write(numbered(0, 1) + numbered(5)[:9])
    line.blocks()
    cable.write(numbered(2, 3, 4))
    clock.ahead += 1.6
    with pytest.raises(NoAnswerError):
        line.blocks()
    cable.write(numbered(5)[9:] + numbered(6))
    assert [fields["V"] for fields in line.blocks()] == ["6"]


def test_silence_and_noise_are_told_apart_and_neither_burns_the_processor(
    line: VeDirectCable, cable: Cable
) -> None:
    began, worked = real_time.monotonic(), real_time.thread_time()
    with pytest.raises(NoAnswerError, match="nothing comes from"):
        line.blocks()
    cable.write(NOISE + b"\r\nV\t1\r\nChecksum\t\0" * 2)
    with pytest.raises(BadRecordError, match=r"162 bytes and 1 damaged blocks .* baud rate 19200"):
        line.blocks()
    assert real_time.monotonic() - began >= 0.6
    assert real_time.thread_time() - worked < 0.1


def test_a_silent_connection_is_made_anew_but_a_silent_cable_is_not(
    line: VeDirectCable, clock: Ticking, stack: ExitStack
) -> None:
    bridge = Bridge()
    bridge.start()
    stack.callback(bridge.stop)
    network = VeDirectCable(f"socket://127.0.0.1:{bridge.port}", monotonic=clock, patience=0.2)
    stack.callback(network.close)
    network.open()
    for opened, late in ((network, LineError), (line, NoAnswerError)):
        with pytest.raises(NoAnswerError):
            opened.blocks()
        clock.ahead += 10.0
        with pytest.raises(late):
            opened.blocks()


def test_a_line_that_is_not_open_says_so() -> None:
    line = VeDirectCable("/dev/nothing")
    line.close()
    with pytest.raises(LineError, match="not open"):
        line.blocks()
