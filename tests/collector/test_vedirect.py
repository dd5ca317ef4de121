"""What VE.Direct devices say, and which values it becomes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from victron_ble.devices.dc_energy_meter import MeterType

from collector.devices import KINDS
from collector.devices.description import ImplausibleError, NoAnswerError, SettingError, Value, Values
from collector.devices.victron import vedirect
from collector.devices.victron.hex_protocol import HexFrame
from collector.devices.victron.labels import CHARGER_ERRORS, METER_TYPES, ROWS
from collector.devices.victron.products import Family
from collector.devices.victron.vedirect import (
    KIND,
    VeDirect,
    decode,
)
from config.model import Device
from tests.emulators.vedirect import BMV_702, Mppt, Phoenix, SmartShunt

SHUNT = SmartShunt()
# The same entities as over Bluetooth, by kind.
TWINS = {
    Family.MONITOR: "victron_battery_monitor",
    Family.SOLAR: "victron_solar_charger",
}


def values(fields: Mapping[str, str], *entities: str) -> Values:
    said = decode(fields).values
    return {entity: said[entity] for entity in entities} if entities else said


def test_a_smartshunts_values() -> None:
    decoded = decode(SHUNT.main() | SHUNT.history())
    assert decoded.model == "SmartShunt 500A/50mV"
    assert decoded.unknown == ()
    assert {e: v for e, v in decoded.values.items() if not e.startswith("alarm")} == {
        "voltage": 12.84,
        "current": -5.25,
        "power": -67.41,
        "soc": 87.3,
        "consumed_charge": -17.5,
        "time_remaining": 74_400,
        "starter_voltage": 12.71,
        "temperature": None,
        "meter_type": "battery_monitor",
        "firmware": "4.19",
        "deepest_discharge": -102.312,
        "last_discharge": -17.5,
        "average_discharge": -44.1,
        "charge_cycles": 12,
        "full_discharges": 0,
        "charge_drawn": 1234.567,
        "lowest_voltage": 11.234,
        "highest_voltage": 14.612,
        "time_since_full": 86_412,
        "synchronisations": 31,
        "low_voltage_alarms": 2,
        "high_voltage_alarms": 0,
        "lowest_starter_voltage": 11.9,
        "highest_starter_voltage": 14.41,
        "energy_discharged": 45_670,
        "energy_charged": 52_310,
    }


def test_a_solar_chargers_values() -> None:
    decoded = decode(Mppt().main())
    assert decoded.model == "SmartSolar Charger MPPT 75/15"
    assert {e: v for e, v in decoded.values.items() if not e.startswith("off_reason_")} == {
        "voltage": 13.42,
        "current": 4.1,
        "power": 58,
        "solar_voltage": 36.5,
        "charge_state": "bulk",
        "charger_error": "no_error",
        "tracker_state": "active",
        "off_reason": "none",
        "load": "ON",
        "load_current": 0.7,
        "yield_total": 102_060,
        "yield_today": 310,
        "highest_power_today": 91,
        "yield_yesterday": 480,
        "highest_power_yesterday": 110,
        "day_number": 279,
        "firmware": "1.50",
        "serial_number": "HQ9999ABCDE",
    }


def test_an_inverters_values() -> None:
    decoded = decode(Phoenix(warning_bits=1 << 8 | 1).main())
    assert decoded.model == "Phoenix Inverter 12V 500VA 230V"
    on = {e for e, v in decoded.values.items() if v == "ON"}
    assert on == {"warning", "warning_overload", "warning_low_voltage"}
    assert values(Phoenix().main(), "voltage", "device_state", "mode", "alarm", "alarm_overload") == {
        "voltage": 12.61,
        "device_state": "inverting",
        "mode": "inverter",
        "alarm": "OFF",
        "alarm_overload": "OFF",
    }
    assert values(Phoenix().main(), "ac_voltage", "ac_current", "ac_apparent_power") == {
        "ac_voltage": 230.04,
        "ac_current": 0.4,
        "ac_apparent_power": 92,
    }


# The twin's blocks with one field another, and what it becomes.
CASES: tuple[tuple[dict[str, str], str, str, str, Value], ...] = tuple(
    (fields, label, text, entity, value)
    for fields, cases in (
        (
            SHUNT.main(),
            (
                ("V", "---", "voltage", None),
                # What the device says it is.
                ("V", "---", "power", -67),
                ("P", "---", "power", -67.41),
                ("I", "---", "current", None),
                ("I", "15250", "current", 15.25),
                ("I", "-2000000", "current", -2000.0),
                ("SOC", "---", "soc", None),
                ("SOC", "0", "soc", 0.0),
                ("SOC", "1000", "soc", 100.0),
                ("CE", "---", "consumed_charge", None),
                ("TTG", "-1", "time_remaining", None),
                ("TTG", "---", "time_remaining", None),
                ("TTG", "0", "time_remaining", 0),
                ("VS", "-7", "starter_voltage", -0.007),
                ("VM", "6421", "midpoint_voltage", 6.421),
                ("DM", "-12", "midpoint_deviation", -1.2),
                ("T", "-11", "temperature", -11),
                ("MON", "-8", "meter_type", "wind_charger"),
                ("H6", "0", "charge_drawn", 0.0),
                ("H9", "---", "time_since_full", None),
                ("Alarm", "On", "alarm", "ON"),
                ("AR", "---", "alarm_low_voltage", None),
                ("AR", "5", "alarm_low_soc", "ON"),
                ("AR", "5", "alarm_low_voltage", "ON"),
                ("AR", "5", "alarm_high_voltage", "OFF"),
                # Bits of no alarm that a monitor has.
                ("AR", "49152", "alarm", "ON"),
                ("FW", "C208", "firmware", "2.08-rc-C"),
                ("FW", "308", "firmware", "3.08"),
                ("FWE", "0419FF", "firmware", "4.19"),
                ("FWE", "041902", "firmware", "4.19-beta-02"),
                ("Relay", "OFF", "relay", "OFF"),
            ),
        ),
        (
            Mppt().main(),
            (
                ("CS", "0", "charge_state", "off"),
                ("CS", "5", "charge_state", "float"),
                ("CS", "245", "charge_state", "starting_up"),
                ("CS", "252", "charge_state", "external_control"),
                ("ERR", "2", "charger_error", "voltage_high"),
                ("ERR", "19", "charger_error", "current_reversed"),
                ("MPPT", "0", "tracker_state", "off"),
                ("MPPT", "1", "tracker_state", "limited"),
                ("LOAD", "OFF", "load", "OFF"),
                ("I", "-1200", "current", -1.2),
                ("OR", "0x00000001", "off_reason", "no_input_power"),
                ("OR", "0x00000001", "off_reason_no_input_power", "ON"),
                ("OR", "0x00000003", "off_reason", "several"),
                ("OR", "---", "off_reason_bms", None),
                ("PPV", "---", "power", None),
            ),
        ),
        (
            Phoenix().main(),
            (
                ("CS", "1", "device_state", "low_power"),
                ("CS", "0", "device_state", "off"),
                ("MODE", "4", "mode", "off"),
                ("MODE", "5", "mode", "eco"),
                ("AR", "2048", "alarm_high_ac_voltage", "ON"),
                ("AC_OUT_V", "0", "ac_voltage", 0.0),
                ("OR", "0x00000008", "off_reason", "remote_input"),
            ),
        ),
    )
    for label, text, entity, value in cases
)


@pytest.mark.parametrize(("fields", "label", "text", "entity", "value"), CASES, ids=lambda p: str(p)[:16])
def test_a_text_becomes_a_value(
    fields: dict[str, str], label: str, text: str, entity: str, value: Value
) -> None:
    decoded = decode(fields | {label: text})
    assert decoded.values[entity] == value
    assert type(decoded.values[entity]) is not bool
    assert entity not in decoded.unknown


@pytest.mark.parametrize(
    ("fields", "label", "text", "entity"),
    [
        (Mppt().main(), "CS", "99", "charge_state"),
        (Mppt().main(), "ERR", "13", "charger_error"),
        (Mppt().main(), "MPPT", "3", "tracker_state"),
        (Mppt().main(), "OR", "0x80000000", "off_reason"),
        (Mppt().main(), "OR", "0xFF000000", "off_reason"),
        (Mppt().main(), "LOAD", "MAYBE", "load"),
        (Mppt().main(), "V", "12.8", "voltage"),
        (Mppt().main(), "V", "1_2", "voltage"),
        (Mppt().main(), "H19", "9" * 33, "yield_total"),
        (Mppt().main(), "FW", "", "firmware"),
        (Phoenix().main(), "MODE", "77", "mode"),
        (SHUNT.main(), "MON", "-63", "meter_type"),
    ],
)
def test_what_nobody_described_is_unknown(fields: dict[str, str], label: str, text: str, entity: str) -> None:
    decoded = decode(fields | {label: text})
    assert decoded.values[entity] is None
    assert decoded.unknown == (entity,)


@pytest.mark.parametrize(
    ("fields", "label", "text"),
    [
        (SHUNT.main(), "V", "128400"),
        (SHUNT.main(), "I", "-2000001"),
        (SHUNT.main(), "SOC", "1001"),
        (Mppt().main(), "PPV", "-1"),
        (Mppt().main(), "VPV", "700000"),
        (Phoenix().main(), "AC_OUT_V", "40000"),
    ],
)
def test_what_no_such_device_says_is_refused(fields: dict[str, str], label: str, text: str) -> None:
    with pytest.raises(ImplausibleError, match="implausible"):
        decode(fields | {label: text})


@pytest.mark.parametrize(
    ("fields", "family", "model"),
    [
        ({"PID": "0xA389", "V": "1"}, Family.MONITOR, "SmartShunt 500A/50mV"),
        ({"PID": BMV_702, "V": "1"}, Family.MONITOR, "BMV-702"),
        ({"PID": "0xA381"}, Family.MONITOR, "BMV-712 Smart"),
        ({"PID": "0x300"}, Family.SOLAR, "BlueSolar Charger MPPT 70/15"),
        ({"PID": "0xA05E"}, Family.SOLAR, "SmartSolar Charger MPPT 250/45"),
        ({"PID": "0xA2FC"}, Family.INVERTER, "Phoenix Inverter 48V 1200VA 120V"),
        ({"PID": "0xA999", "PPV": "1"}, Family.SOLAR, "VE.Direct 0xA999"),
        ({"PID": "0xA999", "V": "1"}, Family.OTHER, "VE.Direct 0xA999"),
        ({"BMV": "600S", "SOC": "1"}, Family.MONITOR, "BMV-600S"),
        ({"H1": "-1", "H17": "1"}, Family.MONITOR, None),
        ({"PID": "garbage", "AC_OUT_V": "1"}, Family.INVERTER, None),
        ({}, Family.OTHER, None),
    ],
)
def test_the_product_tells_the_family(fields: dict[str, str], family: Family, model: str | None) -> None:
    decoded = decode(fields)
    assert decoded.rows is ROWS[family]
    assert decoded.model == model
    assert decoded.values.keys() <= ROWS[family].keys()


@pytest.mark.parametrize("family", Family)
def test_the_kinds_rows_are_all_that_any_family_says(family: Family) -> None:
    for entity, row in ROWS[family].items():
        general = KIND.rows[entity].entity
        assert general.unit == row.entity.unit, entity
        assert general.device_class == row.entity.device_class, entity
        assert set(row.entity.options or ()) <= set(general.options or ()), entity


@pytest.mark.parametrize(("family", "bluetooth"), TWINS.items())
def test_a_cable_keeps_the_entities_of_the_radio(family: Family, bluetooth: str) -> None:
    for entity, row in KINDS[bluetooth].rows.items():
        if entity == "rssi":
            continue
        wired = ROWS[family][entity]
        assert replace(wired, optional=row.optional).step == row.step
        if row.entity.options is None:
            assert wired.entity == row.entity
        else:
            assert set(row.entity.options) <= set(wired.entity.options or ())


def test_the_words_are_those_of_the_radio() -> None:
    assert {code: METER_TYPES[code] for code in METER_TYPES if code} == {
        one.value: one.name.lower() for one in MeterType
    }
    assert {0, 2, 17, 18, 19, 20, 21, 26, 28, 33, 34, 38, 39, 65, 66, 67, 68, 116, 117, 119} <= set(
        CHARGER_ERRORS
    )


class Line:
    """Gives the blocks of one call after the other."""

    def __init__(self, *calls: Sequence[Mapping[str, str]]) -> None:
        self.calls = list(calls)

    def open(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def blocks(self, *, wait: bool = True) -> Sequence[Mapping[str, str]]:
        """The next call's."""
        assert wait
        return self.calls.pop(0)

    def told(self) -> Mapping[int, bytes]:
        """Nothing by HEX."""
        return {}

    def ask(self, question: HexFrame) -> HexFrame:
        """A cable of one direction."""
        raise NoAnswerError(question)


def test_two_blocks_make_one_picture() -> None:
    device = VeDirect()
    line = Line([SHUNT.history()], [SHUNT.main()], [SHUNT.main() | {"V": "12900"}], [SHUNT.history()])
    first = device.poll(line, 1.0).values
    assert (first["voltage"], first["charge_cycles"]) == (12.84, 12)
    second = device.poll(line, 2.0).values
    assert (second["voltage"], second["charge_cycles"]) == (12.9, 12)
    assert device.poll(line, 3.0).values["voltage"] == 12.9


def test_what_is_not_said_again_becomes_unknown() -> None:
    device = VeDirect()
    line = Line([SHUNT.main(), SHUNT.history()], *([SHUNT.main()] for _ in range(5)))
    charged = [device.poll(line, float(now)).values["energy_charged"] for now in range(6)]
    assert charged == [52_310] * 4 + [None] * 2


def test_after_a_pause_nothing_old_is_left() -> None:
    device = VeDirect()
    line = Line([SHUNT.main(), SHUNT.history()], [SHUNT.main()])
    device.poll(line, 0.0)
    assert "energy_charged" not in device.poll(line, 60.0).values


def test_another_device_on_the_cable_begins_anew() -> None:
    device = VeDirect()
    line = Line([SHUNT.main(), SHUNT.history()], [SHUNT.main() | {"PID": BMV_702}], [Mppt().main()])
    assert "energy_charged" in device.poll(line, 0.0).values
    assert "energy_charged" not in device.poll(line, 1.0).values
    assert device.poll(line, 2.0).rows is ROWS[Family.SOLAR]


def test_labels_nobody_knows_are_not_kept() -> None:
    device = VeDirect()
    blocks = [Mppt(extra={f"X{number}": "1"}).main() for number in range(50)]
    said = device.poll(Line(blocks, [Mppt().main()]), 0.0)
    assert len(device._texts) <= len(Mppt().main())
    assert set(said.unread) == {f"label X{number}" for number in range(50)}, "but told"
    assert device.poll(Line([Mppt().main()]), 1.0).unread == ()


def test_modbus_ports_are_refused() -> None:
    with pytest.raises(SettingError, match="tcp://"):
        vedirect.make(Device(kind="vedirect", port="tcp://van.local:502"))
    assert vedirect.make(Device(kind="vedirect", port="socket://van.local:2323")).rows is KIND.rows
