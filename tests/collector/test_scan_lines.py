"""device_scan of buses: units and chips that answer, without disturbing the devices on the line."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from bus.about import MEASUREMENT, Entity
from collector import devices as kinds
from collector.device import Owned
from collector.devices.description import (
    BadRecordError,
    Decoded,
    LineError,
    NoAnswerError,
    PolledKind,
    RefusedError,
    Row,
    Wire,
)
from collector.devices.lines import Line, ModbusLine
from collector.lines import line_of
from collector.scan import Refusing
from collector.scan.modbus import ModbusScan
from collector.scan.survey import Read
from config.model import Device
from tests.clock import FakeTime
from tests.collector.clients import Json, LineHouse
from tests.emulators.modbus_rtu import Slave, Tables

PORT = "/dev/ttyRS485"


@dataclass(frozen=True)
class Guess:
    """What a guesser returns."""

    kind: str
    profile: str | None = None
    model: str | None = None
    serial_number: str | None = None


def by_first_register(read: Read) -> list[Guess]:
    """A meter of the test's: its first input register is its serial number, too."""
    found = read(4, 0, 1)
    return [] if found is None else [Guess("meter", None, "M1", str(found[0]))]


class ScriptedLine:
    """A Modbus line with the given units; a unit may be an error that it answers with."""

    def __init__(self, units: dict[int, int | Exception]) -> None:
        self.units = units
        self.asked: list[int] = []
        self.requests = 0
        self.opened = self.closed = 0
        self.broken: LineError | None = None

    def open(self) -> None:
        """Count it, or break."""
        if self.broken:
            raise self.broken
        self.opened += 1

    def close(self) -> None:
        """Count it."""
        self.closed += 1

    def rest(self, seconds: float) -> None:
        """It needs no rest."""

    def blocks(self) -> list[Mapping[str, str]]:
        """Nothing comes by itself."""
        raise NoAnswerError("nothing comes")

    def registers(self, unit: int, function: int, address: int, count: int) -> tuple[int, ...]:
        """Its number on function 4; silence on 3 for units from 100 on."""
        self.requests += 1
        if not self.asked or self.asked[-1] != unit:
            self.asked.append(unit)
        answer = self.units.get(unit)
        if answer is None or (function == 3 and unit >= 100):
            raise NoAnswerError(f"unit {unit} keeps silent")
        if isinstance(answer, Exception):
            raise answer
        if function == 3 or address:
            raise RefusedError("illegal data address")
        return (answer,) * count


POWER = Entity(name="Power", unit="W", device_class="power", state_class=MEASUREMENT)


class Meter:
    """A device on the wire."""

    rows: Mapping[str, Row] = MappingProxyType({"power": Row(entity=POWER)})

    def __init__(self, settings: Device) -> None:
        self._unit = settings.unit or 1

    def poll(self, line: ModbusLine, _now: float) -> Decoded:
        """Its first register is its power."""
        return Decoded({"power": float(line.registers(self._unit, 4, 0, 1)[0])})


@pytest.fixture(autouse=True)
def _kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = PolledKind(
        wire=Wire.MODBUS,
        name="meter",
        title="A meter",
        manufacturer="Nobody",
        rows=Meter.rows,
        source="this test",
        needs=("port", "unit"),
        takes=("baudrate",),
        every=1.0,
        make=Meter,
    )
    monkeypatch.setattr(kinds, "KINDS", {**kinds.KINDS, "meter": meter})
    monkeypatch.setitem(kinds._WIRES, "meter", kinds.MODBUS)


def bus_of(
    folder: Path, time: FakeTime, wire: ScriptedLine, devices: dict[str, Device] | None = None
) -> LineHouse:
    def lines(device: Owned) -> tuple[str, Callable[[], Line]]:
        return str(device.settings.port), lambda: wire

    return LineHouse(
        folder,
        time,
        devices or {},
        "serial",
        lines=lines,
        scan=lambda source, readings: ModbusScan(source, readings, by_first_register, tcp=False),
    )


def test_units_are_found_with_what_they_are_read_as(tmp_path: Path, time: FakeTime) -> None:
    wire = ScriptedLine({2: 7, 3: BadRecordError("noise"), 5: RefusedError("illegal function"), 120: 9})
    house = bus_of(tmp_path, time, wire)
    steps, answer = house.scan(port=PORT, units="1-5", baudrates=[9600])
    assert [step["done"] for step in steps] == [*range(1, 12), 11, 11, 11]
    assert {step["of"] for step in steps} == {11}
    told = [one["unit"] for step in steps for one in step["found"]]
    assert told == [2, 5, 3], "those that can be read come first"
    found = {one["unit"]: one for one in answer["data"]["found"]}
    assert found[2] == {
        "port": PORT,
        "baudrate": 9600,
        "unit": 2,
        "guesses": [{"kind": "meter", "profile": None, "model": "M1", "serial_number": "7"}],
        "proposals": [{"kind": "meter", "settings": {"port": PORT, "baudrate": 9600, "unit": 2}}],
        "note": None,
        "configured": None,
    }
    assert "garbled" in found[3]["note"]
    assert (found[5]["guesses"], found[5]["proposals"]) == ([], [])
    assert "lets nothing be read" in found[5]["note"]
    assert "tried" not in answer["data"]
    _, answer = house.scan(port=PORT, units="120", baudrates=[9600])
    assert [one["unit"] for one in answer["data"]["found"]] == [120], "which is silent on function 3"
    assert wire.opened == wire.closed, "the port is free again after each"


def test_the_units_that_makers_use_are_asked_first(tmp_path: Path, time: FakeTime) -> None:
    wire = ScriptedLine({})
    bus_of(tmp_path, time, wire).scan(port=PORT, baudrates=[9600])
    assert wire.asked[:14] == [*range(1, 11), 71, 126, 240, 247]
    wire.asked.clear()
    bus_of(tmp_path, time, wire).scan(port=PORT, units="1-247", baudrates=[9600])
    assert wire.asked[:14] == [*range(1, 11), 71, 126, 240, 247]
    assert sorted(wire.asked[:247]) == [*range(1, 248)]
    wire.asked.clear()
    bus_of(tmp_path, time, wire).scan(port=PORT, units="200-202,126", baudrates=[9600])
    assert wire.asked[:4] == [126, 200, 201, 202]


def test_nothing_says_what_was_tried_and_what_to_do(tmp_path: Path, time: FakeTime) -> None:
    _, answer = bus_of(tmp_path, time, ScriptedLine({})).scan(port=PORT)
    assert answer["data"]["found"] == []
    assert answer["data"]["tried"] == (
        "asked 14 units (1-10, 71, 126, 240, 247) on /dev/ttyRS485 at 9600 and 19200 and 115200 bit/s, and"
        " listened for VE.Direct; next: is the device on, are A and B not exchanged, has it another baud"
        " rate? With units 1-247 all are asked, which takes minutes"
    )


def test_what_the_product_does_not_read_is_not_proposed(
    tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        f"{__name__}.by_first_register",
        lambda _read: [Guess("epever_tracer"), Guess("modbus", "nobody"), Guess("nothing"), Guess("meter")],
    )
    (found,) = bus_of(tmp_path, time, ScriptedLine({4: 7})).scan(port=PORT, units="4", baudrates=[9600])[1][
        "data"
    ]["found"]
    assert found["proposals"] == []
    assert "no epever_tracer: " in found["note"]
    assert "no nobody: profile" in found["note"]
    assert "no nothing: there is no kind" in found["note"]
    assert "meter" not in {one["kind"] for one in found["guesses"]}, "no more than three are tried"


def test_a_device_with_no_value_at_all_is_not_proposed(
    tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Meter, "poll", lambda *_: Decoded({"power": None}))
    (found,) = bus_of(tmp_path, time, ScriptedLine({4: 7})).scan(port=PORT, units="4", baudrates=[9600])[1][
        "data"
    ]["found"]
    assert (found["proposals"], found["note"]) == ([], "no meter: it gives no value")


def test_one_device_that_answers_for_all_units_is_one(tmp_path: Path, time: FakeTime) -> None:
    wire = ScriptedLine(dict.fromkeys(range(1, 248), 7))
    (found,) = bus_of(tmp_path, time, wire).scan(port=PORT, baudrates=[9600])[1]["data"]["found"]
    assert found["unit"] == 1
    assert found["note"] == (
        "one device, which answers as unit 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 71, 126, 240, 247; its maker uses 1"
    )
    assert wire.requests < 100


def test_one_without_a_serial_number_that_answers_for_all_units_is_one_too(
    tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        f"{__name__}.by_first_register", lambda read: [Guess("meter")] if read(4, 0, 1) else []
    )
    wire = ScriptedLine(dict.fromkeys(range(1, 248), 7))
    (found,) = bus_of(tmp_path, time, wire).scan(port=PORT, baudrates=[9600])[1]["data"]["found"]
    assert "one device, which answers as unit 1, 2" in found["note"]
    few = ScriptedLine(dict.fromkeys(range(1, 4), 7))
    found = bus_of(tmp_path, time, few).scan(port=PORT, baudrates=[9600])[1]["data"]["found"]
    assert [one["unit"] for one in found] == [1, 2, 3], "three of fourteen that answer are three meters"


def test_a_gateway_that_refuses_for_units_that_are_not_there_is_one_line(
    tmp_path: Path, time: FakeTime
) -> None:
    units: dict[int, int | Exception] = dict.fromkeys(range(1, 248), RefusedError("it failed at it"))
    house = bus_of(tmp_path, time, ScriptedLine(units | {71: 7}))
    found = house.scan(port=PORT, baudrates=[9600])[1]["data"]["found"]
    assert [(one["unit"], len(one["proposals"])) for one in found] == [(1, 0), (71, 1)]
    assert found[0]["note"].startswith("as unit 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 126, 240, 247; answers, but")


def test_two_units_with_one_serial_number_are_one_device(tmp_path: Path, time: FakeTime) -> None:
    wire = ScriptedLine({3: 7, 4: 8, 9: 7})
    found = bus_of(tmp_path, time, wire).scan(port=PORT, baudrates=[9600])[1]["data"]["found"]
    assert [(one["unit"], one["note"]) for one in found] == [
        (3, "one device, which answers as unit 3, 9"),
        (4, None),
    ]


def test_many_devices_of_one_model_stay_many(tmp_path: Path, time: FakeTime) -> None:
    wire = ScriptedLine({unit: 1000 + unit for unit in range(1, 11)})
    found = bus_of(tmp_path, time, wire).scan(port=PORT, units="1-10", baudrates=[9600])[1]["data"]["found"]
    assert [one["unit"] for one in found] == [*range(1, 11)]


def test_a_unit_that_is_silent_about_most_does_not_hold_up_its_line(
    tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        f"{__name__}.by_first_register", lambda read: [Guess(str(read(3, n, 1))) for n in range(50)][:1]
    )
    wire = ScriptedLine({120: 9})
    _, answer = bus_of(tmp_path, time, wire).scan(port=PORT, units="120", baudrates=[9600])
    assert [one["unit"] for one in answer["data"]["found"]] == [120]
    assert wire.requests < 10


def test_a_free_port_is_tried_at_the_usual_speeds_until_something_answers(
    tmp_path: Path, time: FakeTime
) -> None:
    wire = ScriptedLine({1: 7})
    steps, answer = bus_of(tmp_path, time, wire).scan(port=PORT)
    assert [one["baudrate"] for one in answer["data"]["found"]] == [9600]
    assert {step["of"] for step in steps} == {1 + 3 * 2 * 14}
    _, answer = bus_of(tmp_path, time, wire).scan(port=PORT, baudrates=[9600, 19200])
    assert [one["baudrate"] for one in answer["data"]["found"]] == [9600, 19200], "those of the owner's all"
    wire.units = {}
    wire.opened = wire.closed = 0
    bus_of(tmp_path, time, wire).scan(port=PORT)
    assert wire.opened == wire.closed == 4, "to listen, and at three speeds"


def test_a_device_on_the_bus_keeps_its_turns_and_its_speed(tmp_path: Path, time: FakeTime) -> None:
    wire = ScriptedLine({4: 7})
    house = bus_of(tmp_path, time, wire, {"meter": Device(kind="meter", port=PORT, unit=4, baudrate=19200)})
    house.rig.run(1)
    house.send("device_scan", b'{"port": "%s", "units": "1-6"}' % PORT.encode())
    for _ in range(15):
        house.rig.pass_(1.0)
    assert wire.asked.count(4) >= 5, wire.asked
    assert house.answers("device_scan")[-1]["data"]["found"] == [
        {
            "port": PORT,
            "baudrate": 19200,
            "unit": 4,
            "guesses": [{"kind": "meter", "profile": None, "model": "M1", "serial_number": "7"}],
            "proposals": [{"kind": "meter", "settings": {"port": PORT, "baudrate": 19200, "unit": 4}}],
            "note": None,
            "configured": "meter",
        }
    ]
    assert house.rig.online("meter")
    assert (wire.opened, wire.closed) == (1, 0)
    code, text = house.refusal("device_scan", port=PORT, baudrates=[9600])
    assert (code, "meter" in text) == ("denied", True)


def test_a_port_that_is_not_there_says_what_to_do_and_the_next_scan_may_come(
    tmp_path: Path, time: FakeTime
) -> None:
    wire = ScriptedLine({1: 7})
    wire.broken = LineError("/dev/ttyRS485 is not there: is the cable plugged in?")
    house = bus_of(tmp_path, time, wire)
    _, answer = house.scan(port=PORT)
    assert answer["error"] == {"code": "internal", "message": str(wire.broken)}
    wire.broken = None
    _, answer = house.scan(port=PORT, units="1", baudrates=[9600])
    assert len(answer["data"]["found"]) == 1


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({}, "port"),
        ({"port": "tcp://van.local"}, "collector_tcp"),
        ({"port": PORT, "units": "0-3"}, "units"),
        ({"port": PORT, "units": "5-3"}, "units"),
        ({"port": PORT, "units": "1-248"}, "units"),
        ({"port": PORT, "units": "x"}, "units"),
        ({"port": PORT, "units": "1-3,0"}, "units"),
        ({"port": PORT, "units": "1,,2"}, "units"),
        ({"port": PORT, "units": ",".join("1" * 17)}, "units"),
        ({"port": PORT, "baudrates": []}, "baudrates"),
        ({"port": PORT, "baudrates": [1]}, "baudrates"),
    ],
)
def test_what_cannot_be_scanned_is_refused(
    tmp_path: Path, time: FakeTime, params: dict[str, Json], word: str
) -> None:
    code, text = bus_of(tmp_path, time, ScriptedLine({})).refusal("device_scan", **params)
    assert (code, word in text) == ("invalid", True), text


@pytest.fixture
def twin() -> Iterator[Slave]:
    with Slave({1: Tables(input={0: 42})}) as bus:
        yield bus


def test_a_real_port_is_scanned(tmp_path: Path, time: FakeTime, twin: Slave) -> None:
    house = LineHouse(
        tmp_path,
        time,
        {},
        "serial",
        lines=line_of,
        scan=lambda source, readings: ModbusScan(source, readings, by_first_register, tcp=False),
    )
    _, answer = house.scan(port=str(twin.port), units="1-2", baudrates=[9600])
    assert [(one["unit"], one["guesses"]) for one in answer["data"]["found"]] == [
        (1, [{"kind": "meter", "profile": None, "model": "M1", "serial_number": "42"}])
    ]


def test_where_there_is_nothing_to_scan_it_is_said(tmp_path: Path, time: FakeTime) -> None:
    house = LineHouse(tmp_path, time, {}, "gpio", lines=line_of, scan=lambda *_: Refusing("no pin says"))
    assert house.refusal("device_scan", anything=1) == ("denied", "no pin says")
