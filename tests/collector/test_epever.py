"""The Epever Tracer: the capture of a real one, every sign, pair and status bit, and what it lacks."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.commands import Switch
from collector.devices.description import Decoded, LineError, NoAnswerError, RefusedError
from collector.devices.modbus.device import KINDS, ModbusDevice
from collector.devices.modbus.device import decode as decoded
from collector.devices.modbus.models import load
from collector.devices.modbus.profile import Block, as_list
from collector.transports.modbus_rtu import ModbusRtu
from config.mistakes import ConfigError
from config.model import Device, Settings
from tests.collector.rig import check
from tests.emulators import epever as twin
from tests.emulators.modbus_rtu import Slave

EPEVER = KINDS["epever_tracer"]
ROWS = EPEVER.rows
BLOCKS = {block.address: block for block in load("epever_tracer").blocks}
HOUR = 3600.0
# What its own display and EPSolar's program make of the captured registers; 0x331B is torn, see below.
CAPTURED: dict[str, float | str | None] = {
    "pv_voltage": 1.97,
    "pv_current": 0.0,
    "pv_power": 0.0,
    "voltage": 12.96,
    "charge_current": 0.0,
    "charge_power": 0.0,
    "load_voltage": 12.95,
    "load_current": 0.0,
    "load_power": 0.0,
    "battery_temperature": 25.0,
    "temperature": 28.89,
    "heatsink_temperature": 28.89,
    "soc": 70,
    "battery_status": "normal",
    "battery_temperature_status": "normal",
    "charge_state": "off",
    "pv_status": "normal",
    "running": "ON",
    "fault": "OFF",
    "load": "ON",
    "night": "ON",
    "overheated": "OFF",
    "current": None,
    "power": None,
    "pv_voltage_max_today": 2.04,
    "pv_voltage_min_today": 1.9,
    "voltage_max_today": 12.98,
    "voltage_min_today": 12.95,
    "load_energy_today": 0,
    "load_energy_month": 20,
    "load_energy_year": 1620,
    "load_energy_total": 1620,
    "pv_energy_today": 0,
    "pv_energy_month": 110,
    "pv_energy_year": 2780,
    "pv_energy_total": 2780,
    "rated_pv_voltage": 150.0,
    "rated_pv_current": 20.0,
    "rated_pv_power": 520.0,
    "rated_voltage": 24.0,
    "rated_charge_current": 20.0,
    "rated_charge_power": 500.0,
    "charging_mode": "mppt",
    "rated_load_current": 20.0,
    "system_voltage": 12.0,
    "battery_type": "sealed",
    "battery_capacity": 100,
    "high_voltage_disconnect": 16.0,
    "charging_limit_voltage": 15.0,
    "equalization_voltage": 14.6,
    "boost_voltage": 14.4,
    "float_voltage": 13.8,
    "low_voltage_reconnect": 12.6,
    "low_voltage_disconnect": 11.1,
    "discharging_limit_voltage": 10.6,
    "load_mode": "manual",
    # This model has no 0x3202.
    "discharge_fault": None,
    "output_short": None,
}


def made() -> ModbusDevice:
    """The controller as settings without a word describe it."""
    device = EPEVER.make(Device(kind="epever_tracer"))
    assert isinstance(device, ModbusDevice)
    return device


def decode(block: Block, words: tuple[int, ...]) -> Decoded:
    """What a block tells."""
    return decoded(block, words, ROWS)


@dataclass
class Wire:
    """A controller on a bus, and the line to it."""

    tracer: twin.Tracer
    slave: Slave
    line: ModbusRtu
    asked: ModbusDevice = field(default_factory=made)

    def poll(self, now: float = 0.0) -> Decoded:
        """Ask it; forgets what was asked before."""
        self.slave.requests.clear()
        return self.asked.poll(self.line, now)

    @property
    def addresses(self) -> list[int]:
        """The registers that the last poll began to read at."""
        return [request.address for request in self.slave.requests]


@pytest.fixture
def wire() -> Iterator[Wire]:
    tracer = twin.Tracer.captured()
    with Slave({1: tracer}) as slave:
        line = ModbusRtu(slave.port, 115_200, timeout=0.4)
        line.open()
        yield Wire(tracer, slave, line)
        line.close()


def one(address: int, *words: int) -> dict[str, float | str | None]:
    """Values of the block that begins at an address, its first words given, the others 0."""
    block = BLOCKS[address]
    return dict(decode(block, (*words, *[0] * (block.count - len(words)))).values)


@pytest.mark.parametrize("entity", CAPTURED)
def test_the_capture_reads_as_documented(wire: Wire, entity: str) -> None:
    assert wire.poll().values[entity] == CAPTURED[entity]


def test_every_row_is_told_and_nothing_else(wire: Wire) -> None:
    assert wire.poll().values.keys() == ROWS.keys()


def test_no_request_but_those_it_lacks_spans_a_hole_of_the_real_one(wire: Wire) -> None:
    tables = {1: wire.tracer.coils, 2: wire.tracer.discrete, 3: wire.tracer.holding, 4: wire.tracer.input}
    refused = [
        block.address
        for block in BLOCKS.values()
        if any(block.address + place not in tables[block.function] for place in range(block.count))
    ]
    assert refused == [0x3108, 0x3202]


@pytest.mark.parametrize("block", BLOCKS.values(), ids=lambda block: f"{block.address:#x}")
def test_both_words_of_32_bits_come_in_one_request(block: Block) -> None:
    for value in block.values:
        (address,) = as_list(value.address)
        last = address + value.size - 1
        assert block.address <= address <= last < block.address + block.count


@pytest.mark.parametrize(
    ("address", "words", "expected"),
    [
        (0x3100, (1750, 686, 12_000, 0, 1320), {"pv_voltage": 17.5, "pv_current": 6.86, "pv_power": 120.0}),
        # The document's own example: 3000 W are 0x93E0 and 0x0004.
        (0x3100, (0, 0, 0x93E0, 0x0004), {"pv_power": 3000.0}),
        (0x3100, (0xFFFF,), {"pv_voltage": None}),
        (0x3100, (0, 0xFFFF), {"pv_current": None}),
        (0x3100, (0, 0, 0xFFFF, 0xFFFF), {"pv_power": None}),
        (0x331B, (0xFFFF, 0xFFFF), {"current": -0.01}),
        (0x331B, (0xFDA8, 0xFFFF), {"current": -6.0}),
        (0x331B, (2000, 0), {"current": 20.0}),
        (0x331B, (0, 0xFFFF), {"current": None}),
        (0x3110, (0xFC18, 0xF060, 2500), {"battery_temperature": -10.0, "temperature": -40.0}),
        (0x3110, (0x8000,), {"battery_temperature": None}),
        (0x311A, (0,), {"soc": 0}),
        (0x311A, (100,), {"soc": 100}),
        (0x311A, (101,), {"soc": None}),
        (0x3300, (0, 0, 0, 0, 0xFFFF, 0), {"load_energy_today": 655_350}),
        (0x3300, (0, 0, 0, 0, 0, 1), {"load_energy_today": 655_360}),
        (0x9000, (9,), {"battery_type": "lithium_nickel_cobalt_manganese"}),
        (0x9000, (13,), {"battery_type": None}),
        (0x903D, (3,), {"load_mode": "timer"}),
    ],
)
def test_registers_mean(
    address: int, words: tuple[int, ...], expected: dict[str, float | str | None]
) -> None:
    said = one(address, *words)
    assert {entity: said[entity] for entity in expected} == expected


@pytest.mark.parametrize(
    ("register", "raw", "entity", "word"),
    [
        (0, 0x0001, "battery_status", "overvoltage"),
        (0, 0x0002, "battery_status", "undervoltage"),
        (0, 0x0003, "battery_status", "low_voltage_disconnect"),
        (0, 0x0004, "battery_status", "fault"),
        (0, 0x0005, "battery_status", None),
        (0, 0x0010, "battery_temperature_status", "high"),
        (0, 0x0020, "battery_temperature_status", "low"),
        (0, 0x0030, "battery_temperature_status", None),
        (0, 0x0100, "battery_resistance_fault", "ON"),
        (0, 0x8000, "rated_voltage_fault", "ON"),
        (1, 0x0001, "running", "ON"),
        (1, 0x0002, "fault", "ON"),
        (1, 0x0004, "charge_state", "float"),
        (1, 0x0008, "charge_state", "boost"),
        (1, 0x000C, "charge_state", "equalization"),
        (1, 0x0010, "pv_short", "ON"),
        (1, 0x0040, "imbalance", "ON"),
        (1, 0x0080, "load_mosfet_short", "ON"),
        (1, 0x0100, "load_short", "ON"),
        (1, 0x0200, "load_overcurrent", "ON"),
        (1, 0x0400, "pv_overcurrent", "ON"),
        (1, 0x0800, "reverse_mosfet_short", "ON"),
        (1, 0x1000, "charging_path_fault", "ON"),
        (1, 0x2000, "charging_mosfet_short", "ON"),
        (1, 0x4000, "pv_status", "no_power"),
        (1, 0x8000, "pv_status", "too_high"),
        (1, 0xC000, "pv_status", "error"),
    ],
)
def test_a_status_bit_means_one_thing_and_no_other(
    register: int, raw: int, entity: str, word: str | None
) -> None:
    words = [0, 0]
    words[register] = raw
    quiet, said = one(0x3200, 0, 0), one(0x3200, *words)
    assert {key: value for key, value in said.items() if value != quiet[key]} == {entity: word}


def test_a_code_that_nobody_described_is_counted() -> None:
    assert decode(BLOCKS[0x3200], (5, 0)).unknown == ("battery_status",)


def test_nonsense_is_unknown_with_the_reason(wire: Wire) -> None:
    # The words of -0.01 A, or 0 A, read apart.
    why = "is not plausible: is the profile, or the kind, the right one for this model?"
    assert wire.poll().reasons == {"current": f"-655.36 A {why}", "power": f"-655.36 {why}"}


@given(st.data())
def test_any_registers_are_values_in_bounds_or_unknown(data: st.DataObject) -> None:
    block = data.draw(st.sampled_from(list(BLOCKS.values())))
    said = decode(block, tuple(data.draw(st.integers(0, 0xFFFF)) for _ in range(block.count)))
    assert said.values.keys() == {value.id for value in block.values}
    for one in block.values:
        value = said.values[one.id]
        if isinstance(value, float | int):
            assert one.max is not None
            assert (one.min or 0) <= value <= one.max


@pytest.mark.parametrize(("pv", "load", "sign"), [(120.0, 26.0, 1), (0.0, 26.0, -1)])
def test_net_current_and_power_are_positive_into_the_battery(
    wire: Wire, pv: float, load: float, sign: int
) -> None:
    wire.tracer.show(twin.Weather(pv_power=pv, load=load, voltage=13.0))
    said = wire.poll().values
    assert said["current"] == pytest.approx((pv - load) / 13.0, abs=0.01)
    assert said["power"] == pytest.approx(pv - load, abs=0.1)
    assert (float(str(said["power"])) > 0) == (sign > 0)
    assert said["pv_power"] == pv


def test_ratings_and_settings_are_read_at_first_and_then_hourly(wire: Wire) -> None:
    settings = {block.address for block in BLOCKS.values() if block.every == HOUR}
    wire.poll(0.0)
    assert settings <= set(wire.addresses)
    wire.tracer.holding[0x903D] = 1
    for minute in range(1, 60):
        said = wire.poll(minute * 60.0)
        assert settings.isdisjoint(wire.addresses)
        assert said.values["load_mode"] == "manual"
    said = wire.poll(HOUR)
    assert settings <= set(wire.addresses)
    assert said.values["load_mode"] == "light"


@pytest.mark.parametrize(
    ("itself", "voltage"), [((1298, 314, 4075, 0), 12.98), ((0, 0, 0, 0), 13.03), (None, 13.03)]
)
def test_the_battery_itself_counts_where_a_model_tells_it(
    wire: Wire, itself: tuple[int, ...] | None, voltage: float
) -> None:
    # Registers of an XTRA3210N G3: eliasweingaertner/epever-ble, test_reader.py.
    wire.tracer.input[0x3104] = 1303
    if itself is not None:
        wire.tracer.input |= dict(enumerate(itself, 0x3108))
    said = wire.poll()
    assert said.values["voltage"] == voltage
    assert "voltage" not in said.unknown


def test_what_it_refuses_is_asked_for_ever_less_often(wire: Wire) -> None:
    asked = []
    for minute in range(150):
        wire.poll(minute * 60.0)
        if 0x3202 in wire.addresses:
            asked.append(minute)
    assert asked == [0, 1, 3, 7, 15, 31, 63, 123]


def test_a_block_that_appears_is_taken_and_one_that_goes_is_unknown(wire: Wire) -> None:
    wire.poll(0.0)
    wire.tracer.input[0x3202] = 0x0802
    del wire.tracer.input[0x330A]
    said = wire.poll(60.0).values
    assert (said["output_short"], said["discharge_fault"], said["output_overvoltage"]) == ("ON", "ON", "OFF")
    assert (said["pv_energy_today"], said["voltage"]) == (None, 12.96)


def test_a_required_block_that_is_refused_fails_the_poll(wire: Wire) -> None:
    del wire.tracer.input[0x3104]
    with pytest.raises(RefusedError, match="it has no such address"):
        wire.poll()


def test_silence_about_what_it_never_told_is_no_failure_but_about_what_it_did_is(wire: Wire) -> None:
    # 0x3202 is the tenth request.
    wire.slave.faults += [""] * 9 + ["silent"]
    assert wire.poll(0.0).values["output_short"] is None
    wire.slave.faults += [""] * 8 + ["silent"]
    with pytest.raises(NoAnswerError):
        wire.poll(60.0)
    assert wire.poll(120.0).values["pv_energy_total"] == 2780
    assert 0x9000 in wire.addresses, "after a failure nothing of before counts"


@pytest.mark.parametrize(
    ("lacks", "entity"),
    [(0x310C, "load_power"), (0x3111, "temperature"), (0x311A, "soc"), (0x3201, "charge_state")],
)
def test_a_model_without_one_of_its_blocks_is_read_all_the_same(wire: Wire, lacks: int, entity: str) -> None:
    del wire.tracer.input[lacks]
    said = wire.poll().values
    assert (said["voltage"], said[entity], said["boost_voltage"]) == (12.96, None, 14.4)


def test_a_lost_line_fails_the_poll(wire: Wire) -> None:
    wire.slave.faults += ["", "hangup"]
    with pytest.raises(LineError):
        wire.poll()


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        (0, Switch.ON, "ON"),
        (1, Switch.ON, "ON"),
        (1, Switch.OFF, "OFF"),
        (0, Switch.TOGGLE, "ON"),
        (1, Switch.TOGGLE, "OFF"),
    ],
)
def test_the_load_obeys_and_is_read_back(wire: Wire, before: int, wanted: Switch, after: str) -> None:
    wire.tracer.coils[twin.LOAD_COIL] = before
    assert wire.asked.switch(wire.line, "load", wanted) == {"load": after}
    assert wire.tracer.coils[twin.LOAD_COIL] == (after == "ON")
    assert wire.poll().values["load"] == after


@pytest.mark.parametrize(("mode", "name"), [(1, "light"), (2, "light_and_timer"), (3, "timer"), (9, "9")])
def test_a_load_that_follows_light_or_timer_is_left_alone(wire: Wire, mode: int, name: str) -> None:
    wire.tracer.holding[twin.LOAD_MODE] = mode
    with pytest.raises(RefusedError, match=f"only in load mode manual, and it is in {name}:"):
        wire.asked.switch(wire.line, "load", Switch.OFF)
    assert wire.tracer.coils[twin.LOAD_COIL] == 1


def test_a_model_without_load_modes_obeys(wire: Wire) -> None:
    del wire.tracer.holding[twin.LOAD_MODE]
    assert wire.asked.switch(wire.line, "load", Switch.OFF) == {"load": "OFF"}


def test_a_load_that_does_not_follow_is_refused(wire: Wire) -> None:
    wire.tracer.stuck = True
    with pytest.raises(RefusedError, match="the load output stays ON"):
        wire.asked.switch(wire.line, "load", Switch.OFF)


@pytest.mark.parametrize(
    ("front", "rear", "wrong"),
    [
        (None, None, None),
        (None, 115_200, None),
        (9600, 9600, None),
        (None, 9600, "device.rear.baudrate: front is on /dev/ttyUSB0 with 115200"),
        (9600, None, "device.rear.baudrate: front is on /dev/ttyUSB0 with 9600"),
    ],
)
def test_devices_on_one_port_must_agree_on_its_speed(
    front: int | None, rear: int | None, wrong: str | None
) -> None:
    devices = {
        "front": Device(kind="epever_tracer", port="/dev/ttyUSB0", baudrate=front),
        "rear": Device(kind="epever_tracer", port="/dev/ttyUSB0", baudrate=rear, unit=2),
        "shed": Device(kind="epever_tracer", port="/dev/ttyUSB1", baudrate=300),
    }
    if wrong is None:
        check(Settings(device=devices), "boondock.toml")
        return
    with pytest.raises(ConfigError) as raised:
        check(Settings(device=devices), "boondock.toml")
    assert wrong in str(raised.value)
