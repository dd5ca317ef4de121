"""SunSpec devices, register by register from the model definitions, over a real connection."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from collector.devices.description import (
    BadRecordError,
    Decoded,
    LineError,
    NoAnswerError,
    RefusedError,
)
from collector.devices.modbus.device import make
from collector.devices.modbus.models import guesses
from collector.devices.modbus.sunspec import KNOWN, SunSpecDevice, row
from collector.transports.modbus_rtu import ModbusRtu
from collector.transports.modbus_tcp import ModbusTcp
from config.model import Device
from tests.collector import test_registry
from tests.collector.profile_cases import CASES as PROFILES
from tests.emulators import sunspec
from tests.emulators.modbus_rtu import Slave, Tables
from tests.emulators.modbus_tcp import HOST, HostileServer, ModbusServer, Unit

MAKER = sunspec.common("Fake", "Inv10k", "SN0001")
HUAWEI = PROFILES[0]
Chain = Mapping[int, int]


@contextmanager
def connected(holding: Chain, unit: int = 1) -> Iterator[ModbusTcp]:
    with ModbusServer({unit: Unit(holding=holding)}) as server:
        line = ModbusTcp(HOST, server.port, timeout=5)
        line.open()
        yield line
        line.close()


def polled(holding: Chain) -> Decoded:
    with connected(holding) as line:
        return SunSpecDevice(1).poll(line, 0)


CASES: dict[str, tuple[list[tuple[int, list[int]]], dict[str, float | str | None]]] = {
    "three-phase inverter": (
        [MAKER, sunspec.inverter()],
        {
            "power": 2765,
            "pv_power": 2850,
            "dc_power": 2850,
            "dc_voltage": 740.5,
            "current": 12.03,
            "current_l1": 4.01,
            "voltage_l1": 230.1,
            "voltage_l3": 229.9,
            "frequency": 50.01,
            "apparent_power": 2770,
            "reactive_power": -120,
            "energy_total": 123_456,
            "temperature": 41.8,
            "status": "producing",
            "serial_number": "SN0001",
        },
    ),
    "at night a little flows back: PV is never negative": (
        [MAKER, sunspec.inverter(watts=-12, dc_watts=-3, state=2)],
        {"power": -12, "pv_power": 0, "dc_power": -3, "status": "sleeping"},
    ),
    "an undescribed state": ([MAKER, sunspec.inverter(state=77)], {"status": None, "power": 2765}),
    "floats": (
        [MAKER, sunspec.float_inverter()],
        {
            "current": 10.0,
            "current_l1": None,
            "voltage_l1": 230.2,
            "power": 2001,
            "frequency": 50.0,
            "energy_total": 10_000_000,
            "dc_voltage": None,
            "pv_power": 2048,
        },
    ),
    "trackers": (
        [MAKER, sunspec.inverter(), sunspec.trackers([("1", 512, 3801, 1946), ("2", 300, 3000, 900)])],
        {"pv_power": 2846, "pv_power_1": 1946, "pv_voltage_1": 380.1, "pv_current_2": 3.0},
    ),
    "trackers that are a battery": (
        [
            MAKER,
            sunspec.float_inverter(),
            sunspec.trackers(
                [
                    ("MPPT 1", 1, 1, 1000),
                    ("MPPT 2", 1, 1, 500),
                    ("StCha 3", 1, 1, 0),
                    ("StDisCha 4", 1, 1, 700),
                ]
            ),
            sunspec.storage(),
        ],
        {"pv_power": 1500, "battery_power": -700, "battery_soc": 80.5, "battery_voltage": 52.1},
    ),
    "meter": (
        [MAKER, sunspec.meter(watts=-1500)],
        {
            "grid_power": -1500,
            "grid_power_l1": -750,
            "grid_voltage_l1": 230.1,
            "frequency": 50.0,
            "grid_export_energy": 50_000,
            "grid_import_energy": 70_000,
        },
    ),
    "SolarEdge counts export positive": (
        [sunspec.common("SolarEdge ", "SE5000", "1"), sunspec.meter(watts=-1500)],
        {"grid_power": 1500, "grid_power_l1": 750, "grid_export_energy": 50_000},
    ),
    "battery that charges": (
        [MAKER, sunspec.battery(watts=600, state=4)],
        {
            "battery_power": 600,
            "battery_current": -12.0 * -1,
            "battery_soc": 65.5,
            "battery_soh": 99.0,
            "battery_voltage": 51.2,
            "battery_charge_state": "charging",
        },
    ),
    "battery that discharges, by its state and not by its sign": (
        [MAKER, sunspec.battery(watts=600, state=3)],
        {"battery_power": -600, "battery_current": -12.0, "battery_charge_state": "discharging"},
    ),
    "battery that does not say which way": (
        [MAKER, sunspec.battery(watts=600, state=6)],
        {"battery_power": None, "battery_current": None, "battery_charge_state": "holding"},
    ),
    "700 series": (
        [MAKER, sunspec.der(), sunspec.capacity()],
        {
            "power": 1500,
            "voltage_l1": 230.1,
            "voltage_l2": None,
            "current_l1": 6.52,
            "frequency": 50.0,
            "energy_total": 100_000,
            "temperature": 40.1,
            "status": "producing",
            "battery_soc": 60,
            "battery_soh": 99,
        },
    ),
    "unknown models between": (
        [MAKER, (64999, [1, 2, 3]), (120, [0] * 26), sunspec.inverter()],
        {"power": 2765},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_models_become_values(case: str) -> None:
    models, expected = CASES[case]
    decoded = polled(sunspec.chain(40000, models))
    assert {entity: decoded.values.get(entity, "absent") for entity in expected} == expected
    assert decoded.rows is not None
    assert decoded.values.keys() <= decoded.rows.keys()
    assert decoded.unknown == (("status",) if case == "an undescribed state" else ())


@pytest.mark.parametrize("base", [40000, 0, 50000])
def test_the_map_is_found_at_each_of_its_places(base: int) -> None:
    decoded = polled(sunspec.chain(base, [MAKER, sunspec.inverter()]))
    assert decoded.values["power"] == 2765
    assert decoded.sw_version == "1.2.3"
    assert (decoded.manufacturer, decoded.model) == ("Fake", "Inv10k")


def test_all_that_can_come_is_accepted_by_home_assistant() -> None:
    everything = [models for models, _ in CASES.values()]
    for models in everything:
        decoded = polled(sunspec.chain(40000, models))
        for entity in decoded.values:
            test_registry.test_an_entity_is_one_home_assistant_accepts("sunspec", entity, row(entity).entity)


def test_both_kinds_share_a_serial_bus() -> None:
    chain = sunspec.chain(40000, [MAKER, sunspec.inverter()])
    known = {a + n: w for a, run in HUAWEI.words[3].items() for n, w in enumerate(run)}
    blocks = (range(first, first + 125) for first in (30000, 32000, 37000, 37125, 37700))
    whole = {a: known.get(a, 0) for block in blocks for a in block}
    with Slave({1: Tables(holding=whole), 2: Tables(holding=chain)}) as slave:
        line = ModbusRtu(slave.port, 9600, timeout=2)
        line.open()
        sun = make(Device(kind="modbus", port=slave.port, profile="huawei_sun2000"))
        for now in (0, 10):
            assert SunSpecDevice(2).poll(line, now).values["power"] == 2765
            assert sun.poll(line, now).values["battery_power"] == 1500
        line.close()


def test_a_device_without_the_marker_is_none() -> None:
    with pytest.raises(RefusedError, match="no marker at 40000, 0, 50000"):
        polled({40000: 1, 40001: 2, 40002: 3})


def test_a_device_without_models_we_read_says_which_it_has() -> None:
    with pytest.raises(RefusedError, match="it has: 1, 120"):
        polled(sunspec.chain(40000, [MAKER, (120, [0] * 26)]))


INVERTER = [MAKER, sunspec.inverter()]
# Models of the library that repeat a part, and one that no definition has.
REPEATING = (*range(705, 713), 714, 803, 804, 64410, 64411, 64413, 126, 401, 64870)


def without_end(models: list[tuple[int, list[int]]], *behind: int) -> dict[int, int]:
    """A chain with `behind` in place of its end mark."""
    holding = sunspec.chain(40000, models)
    end = max(holding) - 1
    return {a: w for a, w in holding.items() if a < end} | dict(enumerate(behind, end))


@pytest.mark.parametrize(
    "behind",
    [
        pytest.param((), id="nothing (SMA)"),
        pytest.param((0,), id="a lone zero (Kostal)"),
        pytest.param((0xFFFF,), id="the mark without its length"),
        pytest.param((0,) * 2000, id="zeros"),
        pytest.param((1, 0xFFF0), id="a length that no map has"),
        pytest.param((0x4142, 0x4344, *[0x4546] * 50), id="noise"),
        pytest.param((120, 26, *[0] * 20), id="a model that is cut short"),
        pytest.param((64999, 0) * 500, id="models without length, for ever"),
    ],
)
def test_whatever_stands_behind_the_last_model_it_is_read(behind: tuple[int, ...]) -> None:
    values = polled(without_end(INVERTER, *behind)).values
    assert (values["power"], values["energy_total"]) == (2765, 123_456)


@pytest.mark.parametrize("model", REPEATING)
@pytest.mark.parametrize("count", [0xFFFF, 0, 99])
def test_a_model_that_nobody_reads_may_say_what_it_likes(model: int, count: int) -> None:
    chain = [MAKER, (model, [count] * 18), sunspec.der(), (model, [count] * 18), sunspec.capacity()]
    values = polled(sunspec.chain(40000, chain)).values
    assert (values["power"], values["battery_soc"]) == (1500, 60)


@pytest.mark.parametrize("more", [1, 7, 19, -1, -12])
def test_a_length_that_does_not_fit_costs_no_other_model(more: int) -> None:
    number, words = sunspec.trackers([("1", 512, 3801, 1946), ("2", 300, 3000, 900)])
    words = words[:more] if more < 0 else [*words, *[0] * more]
    values = polled(sunspec.chain(40000, [MAKER, (number, words), sunspec.inverter()])).values
    assert (values["power"], values["pv_power_1"]) == (2765, 1946)
    assert values.get("pv_power_2") == (900 if more > 0 else None)


def test_of_a_model_that_is_shorter_the_rest_is_unknown() -> None:
    number, words = sunspec.inverter()
    values = polled(sunspec.chain(40000, [MAKER, (number, words[:20])])).values
    assert (values["voltage_l1"], values["energy_total"]) == (230.1, None)


def test_a_model_that_is_refused_at_night_costs_no_other() -> None:
    trackers = sunspec.trackers([("1", 512, 3801, 1946)])
    holding = sunspec.chain(40000, [MAKER, trackers, sunspec.inverter(), sunspec.meter(watts=5)])
    wanted = ("power", "status", "pv_power_1", "pv_power", "grid_power")
    with HostileServer(1, holding) as server:
        line = ModbusTcp(HOST, server.port, timeout=5)
        device = SunSpecDevice(1)

        def told(now: float) -> list[object]:
            values = device.poll(line, now).values
            return [values[name] for name in wanted]

        by_day = [2765, "producing", 1946, 1946, 5]
        assert told(0) == by_day
        server.holding = {a: w for a, w in holding.items() if not 40075 <= a < 40110}
        assert told(10) == [None, None, None, None, 5]
        server.holding = holding
        assert told(3600) == by_day
        line.close()


def test_a_device_that_is_silent_behind_the_last_model_is_looked_at_again() -> None:
    holding = sunspec.chain(40000, [*INVERTER, sunspec.meter(watts=5)])
    end = 40002 + 68 + 52
    with HostileServer(1, holding) as server:
        line = ModbusTcp(HOST, server.port, timeout=0.3)
        device = SunSpecDevice(1)
        server.mute = {end}
        assert "grid_power" not in device.poll(line, 0).values
        server.mute = set()
        assert "grid_power" not in device.poll(line, 3590).values
        assert device.poll(line, 3601).values["grid_power"] == 5
        line.close()


def test_a_lost_answer_does_not_end_the_list() -> None:
    with HostileServer(1, sunspec.chain(40000, INVERTER)) as server:
        line = ModbusTcp(HOST, server.port, timeout=0.3)
        server.faults = ["split", "split", "silent"]
        assert SunSpecDevice(1).poll(line, 0).values["power"] == 2765
        line.close()


def test_models_that_stand_elsewhere_now_are_found_again() -> None:
    with HostileServer(1, sunspec.chain(40000, INVERTER)) as server:
        line = ModbusTcp(HOST, server.port, timeout=5)
        device = SunSpecDevice(1)
        device.poll(line, 0)
        server.holding = sunspec.chain(40000, [MAKER, sunspec.capacity(), *INVERTER[1:]])
        with pytest.raises(BadRecordError, match="is no SunSpec model 103 any more, but 713"):
            device.poll(line, 10)
        assert device.poll(line, 20).values["power"] == 2765
        line.close()


@pytest.mark.parametrize(
    "holding",
    [
        {40000: 0x5375, 40001: 0x6E53, **dict.fromkeys(range(40002, 42000), 0)},
        {40000: 0x5375, 40001: 0x6E53, 40002: 103, 40003: 0xFFF0},
    ],
)
def test_a_chain_without_a_model_says_where_it_ends(holding: Chain) -> None:
    with pytest.raises(RefusedError, match=r"it has: none; .* 40002"):
        polled(holding)


def test_models_are_found_once_and_again_after_a_failure() -> None:
    holding = sunspec.chain(40000, [MAKER, sunspec.inverter()])
    with HostileServer(1, holding) as server:
        line = ModbusTcp(HOST, server.port, timeout=0.3)
        device = SunSpecDevice(1)
        assert device.poll(line, 0).values["power"] == 2765
        asked = len(server.requests)
        assert device.poll(line, 10).values["power"] == 2765
        assert len(server.requests) == asked + 1, "one request reads the one model"
        server.always = "silent"
        with pytest.raises(NoAnswerError):
            device.poll(line, 20)
        server.always = None
        server.holding = sunspec.chain(40000, [MAKER, sunspec.meter(watts=5)])
        assert device.poll(line, 30).values["grid_power"] == 5
        line.close()


def test_a_line_that_is_lost_in_the_search_is_not_swallowed() -> None:
    holding = sunspec.chain(40000, [MAKER, sunspec.inverter()])
    with HostileServer(1, holding) as server:
        line = ModbusTcp(HOST, server.port, timeout=0.3)
        for good in range(3):
            server.faults = [*["split"] * good, "closed", "closed", "closed"]
            with pytest.raises(LineError):
                SunSpecDevice(1).poll(line, 0)
            server.faults = []
        line.close()


def test_a_device_that_is_silent_about_wrong_addresses_is_found_in_the_end() -> None:
    with HostileServer(1, sunspec.chain(0, [MAKER, sunspec.inverter()])) as server:
        line = ModbusTcp(HOST, server.port, timeout=0.3)
        device = SunSpecDevice(1)
        server.mute = {40000}
        with pytest.raises(NoAnswerError):
            device.poll(line, 0)
        assert device.poll(line, 10).values["power"] == 2765
        line.close()


def test_it_is_guessed_with_its_name() -> None:
    holding = sunspec.chain(40000, [MAKER, sunspec.inverter()])
    with connected(holding) as line:

        def read(function: int, address: int, count: int) -> tuple[int, ...] | None:
            try:
                return line.registers(1, function, address, count)
            except RefusedError:
                return None

        found = guesses(read)
    assert [(g.kind, g.confidence, g.model, g.serial_number) for g in found] == [
        ("sunspec", "certain", "Fake Inv10k", "SN0001")
    ]


def test_every_model_we_read_is_one_the_library_knows() -> None:
    from sunspec2 import device  # type: ignore[import-untyped]  # noqa: PLC0415  # it ships no types

    assert all(device.get_model_def(number) for number in KNOWN)
