"""device_scan through the real transports: pymodbus's servers, silent gateways, dongles, VE.Direct."""

import asyncio
import os
import pty
import selectors
import threading
import time as real
import tty
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer

from bus.clock import Clock
from collector.lines import line_of
from collector.scan.modbus import ModbusScan, guesses_of
from collector.scan.survey import RollCall
from collector.transports.modbus_rtu import ModbusRtu
from collector.transports.modbus_tcp import ModbusTcp
from tests.clock import FakeTime
from tests.collector.clients import Json, LineHouse
from tests.emulators import vedirect
from tests.emulators.gateway import HOST, Gateway
from tests.emulators.modbus_rtu import Slave, Tables
from tests.emulators.modbus_tcp import ModbusServer, Unit
from tests.emulators.sunspec import chain, common, inverter


@pytest.fixture
def time() -> FakeTime:
    """How fast a line answers is measured: seconds are real ones here."""
    found = FakeTime()
    found.clock = Clock(lambda: found.wall_ms, real.monotonic, lambda: found.quality)
    return found


def house(folder: Path, time: FakeTime, transport: str) -> LineHouse:
    return LineHouse(
        folder,
        time,
        {},
        transport,
        lines=line_of,
        scan=lambda source, readings: ModbusScan(source, readings, guesses_of, tcp=transport == "tcp"),
    )


def found(answer: Json) -> list[Json]:
    units: list[Json] = answer["data"]["found"]
    return units


def sunspec(maker: str = "KOSTAL", serial: str = "K-0071") -> Tables:
    """An inverter that says who made it."""
    return Tables(holding=chain(40_000, [common(maker, "Plenticore", serial), inverter()]))


CASES = ("KOSTAL", 71), ("SMA", 126), ("Fronius", 240)


@pytest.mark.parametrize(("maker", "unit"), CASES)
def test_the_unit_that_a_maker_uses_is_found_behind_a_silent_gateway(
    tmp_path: Path, time: FakeTime, maker: str, unit: int
) -> None:
    began = real.monotonic()
    with ModbusServer({unit: Unit(holding=sunspec(maker).holding)}) as server:
        port = f"tcp://{HOST}:{server.port}"
        _, answer = house(tmp_path, time, "tcp").scan(port=port, units="1-2,71,126,240")
    (one,) = found(answer)
    assert one["unit"] == unit
    assert one["proposals"] == [{"kind": "sunspec", "settings": {"port": port, "unit": unit}}]
    assert one["guesses"][0]["model"] == f"{maker} Plenticore"
    assert real.monotonic() - began < 10, "a silent unit costs less than a second"


@contextmanager
def wire() -> Iterator[tuple[str, str]]:
    """Two ports, joined by a wire."""
    ends = [pty.openpty() for _ in range(2)]
    for _, slave in ends:
        tty.setraw(slave)
    ended = threading.Event()

    def carry() -> None:
        with selectors.DefaultSelector() as ready:
            for (mine, _), (other, _) in (ends, ends[::-1]):
                ready.register(mine, selectors.EVENT_READ, other)
            while not ended.is_set():
                for key, _ in ready.select(0.05):
                    os.write(key.data, os.read(key.fd, 256))

    thread = threading.Thread(target=carry)
    thread.start()
    yield os.ttyname(ends[0][1]), os.ttyname(ends[1][1])
    ended.set()
    thread.join(10)
    for end in (one for pair in ends for one in pair):
        os.close(end)


@contextmanager
def pymodbus_on_a_line(units: dict[int, Unit]) -> Iterator[str]:
    """Pymodbus's RTU server on one end of a wire; yields the port at the other."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait_for(work: Coroutine[object, object, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(10)

    async def start(port: str) -> ModbusSerialServer:
        server = ModbusSerialServer(
            ModbusServer(units)._devices,
            framer=FramerType.RTU,
            port=port,
            baudrate=9600,
            trace_packet=lambda sent, packet: b"" if sent and packet[0] not in units else packet,
        )
        await server.serve_forever(background=True)
        return server

    with wire() as (ours, theirs):
        server = asyncio.run_coroutine_threadsafe(start(theirs), loop).result(10)
        yield ours
        wait_for(server.shutdown())  # type: ignore[no-untyped-call]  # pymodbus left it out
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.mark.parametrize(("maker", "unit"), CASES)
def test_the_unit_that_a_maker_uses_is_found_on_a_line(
    tmp_path: Path, time: FakeTime, maker: str, unit: int
) -> None:
    with pymodbus_on_a_line({unit: Unit(holding=sunspec(maker).holding)}) as port:
        _, answer = house(tmp_path, time, "serial").scan(port=port, units="1,71,126,240", baudrates=[9600])
    (one,) = found(answer)
    assert (one["unit"], one["proposals"][0]["kind"]) == (unit, "sunspec")
    assert one["proposals"][0]["settings"] == {"port": port, "baudrate": 9600, "unit": unit}


@pytest.mark.parametrize(
    ("mode", "connections"),
    [("drops", 1), ("says so", 1), ("waits and drops", 1), ("waits and says so", 1), ("hangs up", 6)],
)
def test_a_gateway_of_each_manner_tells_its_unit(
    tmp_path: Path, time: FakeTime, mode: str, connections: int
) -> None:
    with Gateway({4: sunspec()}, mode, answer=0.05, patience=0.5) as gateway:
        port = f"tcp://{HOST}:{gateway.port}"
        _, answer = house(tmp_path, time, "tcp").scan(port=port, units="1-5")
    assert [one["unit"] for one in found(answer)] == [4]
    assert gateway.connections <= 2 * connections
    if mode == "says so":
        assert sum(unit != 4 for unit in gateway.asked) == 4, "whom a gateway misses is not asked twice"


def test_a_gateway_that_has_still_to_do_is_waited_for(tmp_path: Path, time: FakeTime) -> None:
    with Gateway({4: sunspec()}, "waits and drops", patience=1.5) as gateway:
        _, answer = house(tmp_path, time, "tcp").scan(port=f"tcp://{HOST}:{gateway.port}", units="1-5")
    assert [(one["unit"], len(one["proposals"])) for one in found(answer)] == [(4, 1)]


def test_a_gateway_that_waits_for_each_silent_unit_is_not_asked_for_them_twice(
    tmp_path: Path, time: FakeTime
) -> None:
    with Gateway({1: sunspec()}, "waits and drops", patience=1.5) as gateway:
        _, answer = house(tmp_path, time, "tcp").scan(port=f"tcp://{HOST}:{gateway.port}", units="1-5")
    assert [(one["unit"], len(one["proposals"])) for one in found(answer)] == [(1, 1)]
    assert [gateway.asked.count(unit) for unit in range(2, 6)] == [1, 1, 1, 1]


def test_an_answer_that_comes_after_its_time_is_not_lost() -> None:
    with Gateway({2: sunspec()}, answer=0.9) as gateway:
        call = RollCall(far=True, monotonic=real.monotonic)
        line = ModbusTcp(HOST, gateway.port)
        try:
            for unit in (1, 2, 3):
                call.ask(unit, 3, 1.0 if unit == 3 else 0.0, line, 0.0)
        finally:
            line.close()
    assert call.there == {2}
    assert gateway.connections == 1
    assert call.pace.patience > 0.7, "the others are given more time"


def test_a_slow_unit_on_a_line_is_found() -> None:
    with Slave({2: Tables(holding={0: 5}), 4: Tables(holding={0: 6})}, late=0.45) as bus:
        bus.faults = ["late"] * 3
        line = ModbusRtu(bus.port, 9600)
        call = RollCall(far=False, monotonic=real.monotonic)
        line.open()
        try:
            for unit in (1, 2, 3, 4):
                call.ask(unit, 3, 0.0, line, 0.0)
        finally:
            line.close()
    assert call.there == {2, 4}


def test_a_dongle_that_answers_for_all_units_is_one_device_with_its_makers_unit(
    tmp_path: Path, time: FakeTime
) -> None:
    with Gateway({1: sunspec()}, "answers for all") as gateway:
        port = f"tcp://{HOST}:{gateway.port}"
        _, answer = house(tmp_path, time, "tcp").scan(port=port)
    (one,) = found(answer)
    assert one["unit"] == 71
    assert one["proposals"][0]["settings"]["unit"] == 71
    assert "one device, which answers as unit 1, 2, 3" in one["note"]
    assert "its maker uses 71" in one["note"]
    # Not all of its registers for each of its numbers.
    assert sum(unit == 5 for unit in gateway.asked) < 10


def test_a_device_that_also_answers_as_unit_0_and_255_is_one(tmp_path: Path, time: FakeTime) -> None:
    tables = sunspec("Fronius")
    with Gateway({1: tables, 0: tables, 255: tables}, "says so") as gateway:
        _, answer = house(tmp_path, time, "tcp").scan(port=f"tcp://{HOST}:{gateway.port}")
    (one,) = found(answer)
    assert (one["unit"], "answers as unit 1, 0, 255" in one["note"]) == (1, True)


def test_a_ve_direct_device_is_found_and_nothing_is_sent_to_it(tmp_path: Path, time: FakeTime) -> None:
    cable = vedirect.Cable()
    with vedirect.Talker(cable.write, vedirect.Mppt()):
        _, answer = house(tmp_path, time, "serial").scan(port=cable.path)
    sent = cable.read(0)
    cable.pull()
    (one,) = found(answer)
    assert (one["unit"], one["guesses"][0]["kind"]) == (None, "vedirect")
    assert sent == b""
    assert one["proposals"] == [{"kind": "vedirect", "settings": {"port": cable.path}}]


def test_what_was_proposed_is_read_as_proposed(tmp_path: Path, time: FakeTime) -> None:
    with Gateway({126: sunspec("SMA")}, "says so") as gateway:
        scanning = house(tmp_path, time, "tcp")
        (one,) = found(scanning.scan(port=f"tcp://{HOST}:{gateway.port}")[1])
        (proposal,) = one["proposals"]
        scanning.data("device_add", device="roof", kind=proposal["kind"], **proposal["settings"])
        for _ in range(30):
            scanning.rig.pass_(1.0)
        assert scanning.rig.said("roof")[-1]["dc_power"] == 2850
