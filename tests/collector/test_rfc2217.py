"""Serial ports elsewhere, by RFC 2217: pyserial's client against pyserial's own server side, on real ptys."""

import os
import select
import threading
import time as real_time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from string import ascii_letters

import pytest
import serial.rfc2217

from collector.device import Owned
from collector.devices.description import LineError
from collector.devices.lines import Line
from collector.lines import baudrate, line_of
from collector.transports import serial_port
from collector.transports.modbus_rtu import ModbusRtu
from collector.transports.serial_port import close_port, forget_received, forget_unsent, open_port
from collector.transports.vedirect import VeDirectCable
from config.model import Device
from tests.clock import FakeTime
from tests.collector.rig import Rig
from tests.emulators.epever import Tracer, Weather
from tests.emulators.modbus_rtu import Slave
from tests.emulators.rfc2217 import Rfc2217Server
from tests.emulators.vedirect import HEX_FRAMES, Cable, Talker, block

EVERY, TIMEOUT = 5.0, 15.0
# The longest pause between two attempts, and a poll.
LONGEST_S = 60.0 + EVERY + 1.0
# How long a device may think, in real seconds.
PATIENCE = 0.2
EVERYTHING = bytes(range(256))
# Below 0 by night: the high words of what flows out of the battery and of its temperature begin with 0xFF.
NIGHT = Weather(pv_voltage=0.0, pv_power=0.0, voltage=12.5, temperature=-3.5)


def with_check_byte_ff(volts: int) -> bytes:
    """A block of a solar charger whose last byte is 0xFF."""
    texts = (head * length + tail for head, tail, length in product(ascii_letters, ascii_letters, range(10)))
    made = (block({"PID": "0xA053", "V": str(volts), "SER#": text}) for text in texts)
    return next(one for one in made if one.endswith(b"\xff"))


# What a wrong baud rate makes of something, a HEX frame, and two blocks: the first only ends the noise.
SPOKEN = EVERYTHING + HEX_FRAMES[0] + with_check_byte_ff(12_000) + with_check_byte_ff(13_420)


def impatient(time: FakeTime) -> Callable[[Owned], tuple[str, Callable[[], Line]]]:
    """The real lines, which wait less long for a device."""

    def lines(device: Owned) -> tuple[str, Callable[[], Line]]:
        name, make = line_of(device)
        port = str(device.settings.port)
        if isinstance(make(), VeDirectCable):
            return name, lambda: VeDirectCable(port, patience=PATIENCE)
        assert isinstance(make(), ModbusRtu)
        speed = baudrate(device.settings, device.poller)
        return name, lambda: ModbusRtu(port, speed, timeout=PATIENCE, monotonic=time.clock.monotonic)

    return lines


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack
    left = [thread.name for thread in threading.enumerate() if "RFC 2217" in thread.name]
    assert left == [], "pyserial's threads end with their ports"


@pytest.fixture
def cable(stack: ExitStack) -> Cable:
    cable = Cable()
    stack.callback(cable.pull)
    return cable


@pytest.fixture
def server(cable: Cable, stack: ExitStack) -> Rfc2217Server:
    return stack.enter_context(Rfc2217Server(cable.path))


class House:
    """A solar charger on a cable or a controller on a bus, behind a server, and the collector."""

    def __init__(self, kind: str, folder: Path, time: FakeTime, stack: ExitStack) -> None:
        if kind == "vedirect":
            cable = Cable()
            stack.callback(cable.pull)
            stack.enter_context(Talker(cable.write, SPOKEN))
            port, self.voltage = cable.path, 13.42
        else:
            # It understands nothing at another speed.
            bus = stack.enter_context(Slave({1: Tracer.simulated(NIGHT)}, baudrate=115_200))
            port, self.voltage = bus.port, 12.5
        self.server = stack.enter_context(Rfc2217Server(port))
        url = f"{self.server.url}?timeout=0.3"
        device = Device(kind=kind, port=url, every=EVERY, timeout=TIMEOUT)
        self.rig = Rig(folder, time, {"van": device}, "serial", impatient(time))
        stack.callback(self.rig.close)

    def begin(self) -> None:
        """Until the first reading, which a machine that is busy may miss once."""
        self.rig.run(3 * EVERY + 1, step=1.0)
        assert (self.rig.online("van"), self.rig.problem("van")) == (True, None)


@pytest.fixture(params=["vedirect", "epever_tracer"])
def house(request: pytest.FixtureRequest, tmp_path: Path, time: FakeTime, stack: ExitStack) -> House:
    return House(request.param, tmp_path, time, stack)


def test_a_device_is_read(house: House) -> None:
    house.begin()
    assert house.rig.said("van")[-1]["voltage"] == house.voltage
    assert house.server.escaped > 0, "0xFF went through telnet"


def test_the_speed_of_the_port_is_set_there(tmp_path: Path, time: FakeTime, stack: ExitStack) -> None:
    for kind, speed in (("vedirect", 19_200), ("epever_tracer", 115_200)):
        house = House(kind, tmp_path / kind, time, stack)
        house.begin()
        assert house.server.baudrates[-1] == speed


def test_a_negative_value_keeps_its_sign(tmp_path: Path, time: FakeTime, stack: ExitStack) -> None:
    house = House("epever_tracer", tmp_path, time, stack)
    house.begin()
    said = house.rig.said("van")[-1]
    assert (said["battery_temperature"], said["current"], said["load_power"]) == (-3.5, -2.08, 26.0)


def dead(house: House) -> None:
    house.server.dead = True


def gone(house: House) -> None:
    house.server.stop()


def gone_in_mid_read(house: House) -> None:
    house.server.hang_up_after = 7
    house.rig.run(EVERY, step=1.0)
    house.server.stop()


def mute(house: House) -> None:
    house.server.stop()
    house.server.mute = True
    house.server.start()


def mend(house: House) -> None:
    house.server.stop()
    house.server.dead = house.server.mute = False
    house.server.hang_up_after = None
    house.server.start()


@pytest.mark.parametrize(
    ("begin", "text"),
    [
        (dead, "does not answer at|nothing comes from"),
        (gone, "cannot be reached: it refuses connections"),
        (gone_in_mid_read, "cannot be reached: it refuses connections"),
        (mute, "does not answer by RFC 2217: .* socket://"),
    ],
)
def test_a_fault_is_told_and_ends_without_a_restart(
    house: House, begin: Callable[[House], None], text: str
) -> None:
    house.begin()
    begin(house)
    house.rig.run(2 * EVERY + TIMEOUT + 2, step=3.0)
    assert house.rig.online("van") is False
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(house.rig.problem("van"))
    assert house.rig.said("van")[-1]["voltage"] is None
    mend(house)
    house.rig.run(LONGEST_S, step=5.0)
    assert (house.rig.online("van"), house.rig.problem("van")) == (True, None)
    assert house.rig.said("van")[-1]["voltage"] == house.voltage


def test_a_client_that_is_dropped_in_mid_read_comes_again(house: House) -> None:
    house.begin()
    clients = house.server.clients
    house.server.hang_up_after = 7
    house.rig.run(2 * EVERY, step=1.0)
    house.rig.run(LONGEST_S, step=5.0)
    assert house.server.clients > clients
    assert (house.rig.online("van"), house.rig.problem("van")) == (True, None)


def test_a_server_that_never_negotiates_is_given_up_in_time(server: Rfc2217Server) -> None:
    server.mute = True
    began = real_time.monotonic()
    with pytest.raises(LineError, match="not answer by RFC 2217"):
        open_port(f"{server.url}?timeout=0.2", 19_200, timeout=PATIENCE)
    assert real_time.monotonic() - began < 2.9, "pyserial's own patience is 3 s"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("rfc2217://127.0.0.1:1", "it refuses connections: is its program running"),
        ("rfc2217://127.0.0.1", "cannot be reached"),
        ("rfc2217://no-such-host.invalid:2217", "there is no such host"),
        ("socket://no-such-host.invalid:2217", "there is no such host"),
        ("socket://127.0.0.1:1", "it refuses connections"),
        ("nonsense://127.0.0.1", "is no port: allowed are a path"),
        ("rfc2217://127.0.0.1:1?patience=3", "is no port: allowed are a path"),
    ],
)
def test_why_a_port_cannot_be_opened(url: str, text: str) -> None:
    with pytest.raises(LineError, match=text):
        open_port(url, 19_200, timeout=PATIENCE)


@pytest.fixture
def opened(server: Rfc2217Server, stack: ExitStack) -> serial.rfc2217.Serial:
    opened = open_port(server.url, 19_200, timeout=5.0)
    stack.callback(close_port, opened)
    return opened


def all_has_come(server: Rfc2217Server, opened: serial.rfc2217.Serial, count: int) -> None:
    """Wait until the server has sent so many bytes and pyserial's thread has them."""
    for _ in range(100):
        said = server.said
        # Its answer comes after what was said before.
        opened.rfc2217_set_control(serial.rfc2217.SET_CONTROL_DTR_ON)
        if said == count:
            return
    raise TimeoutError(server.said)


@pytest.mark.parametrize("purge", ["", "ignored", "refused"])
def test_what_came_is_forgotten_without_the_servers_help(
    server: Rfc2217Server, opened: serial.rfc2217.Serial, cable: Cable, purge: str
) -> None:
    server.purge = purge
    cable.write(b"old")
    all_has_come(server, opened, 3)
    forget_received(opened)
    forget_unsent(opened)
    cable.write(b"new")
    assert opened.read(3) == b"new"


def test_what_nobody_reads_does_not_fill_the_memory(
    server: Rfc2217Server, cable: Cable, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial_port, "_MOST_WAITING", 100)
    opened = open_port(server.url, 19_200, timeout=5.0)
    stack.callback(close_port, opened)
    cable.write(EVERYTHING)
    all_has_come(server, opened, 256)
    assert opened.in_waiting == 100
    assert opened.read(100) == EVERYTHING[-100:]


def test_every_byte_passes_both_ways(opened: serial.rfc2217.Serial, cable: Cable) -> None:
    cable.write(EVERYTHING)
    assert opened.read(256) == EVERYTHING
    opened.write(EVERYTHING)
    heard = b""
    while len(heard) < 256 and select.select([cable._ours], [], [], 5.0)[0]:
        heard += os.read(cable._ours, 256)
    assert heard == EVERYTHING
