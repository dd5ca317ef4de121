"""The table of Victron's records: one Layout per type, one field per row.

Layouts: Victron, "Extra Manufacturer Data" (extra-manufacturer-data-2022-12-14.pdf), one table per record
type; what that leaves open is cited at the field, and so is where victron-ble 0.9.3 reads it differently.
Bounds catch a wrong key with the right first byte, which passes the key check and gives noise.
"""

from collections.abc import Mapping

from bus.about import Entity
from collector.devices.description import ImplausibleError, Row, Tested
from collector.devices.rows import measured, problem
from collector.devices.victron import read_reasons
from collector.devices.victron.batteries import LYNX_BMS, SMART_LITHIUM
from collector.devices.victron.fields import (
    SOURCE,
    Code,
    Flag,
    Layout,
    Number,
    OffReasons,
    OneOf,
    Power,
    Reasons,
    Record,
    amperes_field,
    consumed_field,
    degrees_field,
    soc_field,
    time_remaining_field,
    volts,
    volts_field,
)

BATTERY_SENSE = 0x0102
"""Our number for a Smart Battery Sense, which calls itself a battery monitor but fills two fields only."""

OPEN = 0xFF00
"""The numbers of records that are not encrypted have these bits."""


def _watts_field(
    entity: str, name: str, start: int, length: int = 16, *, within: tuple[float, float], role: str
) -> Number:
    row = measured(name, "W", role=role)
    return Number(entity, row, start, length, signed=within[0] < 0, within=within)


def _yield_field(start: int) -> Number:
    row = measured("Yield today", "Wh", daily=True, role="solar")
    return Number("yield_today", row, start, 16, times=10, within=(0, 200_000))


_CHARGE_STATE = Code("charge_state", "Charge state", 0, 8, "charge_state")
_INVERTER_STATE = Code("device_state", "Device state", 0, 8, "inverter_state")
_AC_INPUT = Code("ac_input", "Active AC input", 46, 2, "ac_input", absent=(3,))
# The first stands in the document; devices send the second: captures of the Smart Battery Sense, and
# github.com/victronenergy/dbus-ble-sensors, src/victron-battery_monitor.c.
_NO_CURRENT = (0x3FFFFF, 0x1FFFFF)


# The largest shunt Victron sells is for 2000 A.
def _shunt(role: str | None) -> tuple[Number, Power]:
    current, power = measured("Current", "A", role=role), measured("Power", "W", precision=1, role=role)
    within = (-2000, 2000)
    return (
        Number("current", current, 66, 22, 1000, signed=True, absent=_NO_CURRENT, within=within),
        Power("power", power),
    )


# What the auxiliary input measures; a sensor at 0 K is a sensor that is not there.
_NO_SENSOR = (0xFFFF, 0)
_STARTER = Number(
    "starter_voltage", volts("Starter voltage", role="starter", optional=True), 48, 16, 100, signed=True
)
_MIDPOINT = Number("midpoint_voltage", volts("Midpoint voltage", optional=True), 48, 16, 100)
_TEMPERATURE = Number(
    "temperature", measured("Temperature", "°C", optional=True), 48, 16, 100, plus=-273.15, absent=_NO_SENSOR
)
_AUX_STARTER, _AUX_MIDPOINT, _AUX_TEMPERATURE = range(3)


def _charger_error(start: int) -> Code:
    return Code("charger_error", "Charger error", start, 8, "charger_error", diagnostic=True)


def _require_charger(record: Record) -> None:
    """Refuse more than 130 A of all outputs: the largest charger with Bluetooth gives 100 A."""
    currents = (record.values.get(entity) for entity in ("current", "current_2", "current_3"))
    together = sum(current for current in currents if isinstance(current, float))
    if together > 130:
        raise ImplausibleError(f"implausible: {together:g} A of all outputs")


def _require_sense(record: Record) -> None:
    """Refuse a Smart Battery Sense that fills in the other fields of a battery monitor."""
    if record.bits(64, 2) != _AUX_TEMPERATURE or record.bits(66, 22) not in _NO_CURRENT:
        raise ImplausibleError("implausible: a Smart Battery Sense measures a temperature and no current")
    read_reasons(record.bits(32, 16), range(8))


# github.com/victronenergy/gui-v2, velib, VE_REG_DC_OUTPUT_STATUS; 4: keshavdv/victron-ble, pull request 74.
_OUTPUT_STATES = {0: "off", 1: "on", 2: "connecting", 3: "activating", 4: "off"}
_PROTECT_REASONS = (0, 1, 5, 6, 8, 12, 13)
# The Orion XS is not in the document. victron-ble knows the first; VE_REG_DC_CHANNEL1_VOLTAGE and _CURRENT of
# all other records use the second, and are signed: victron-ble reads -0.2 A as 6553.4 A, and no Orion XS
# comes near the sign bit.
_XS_ABSENT = (0xFFFF, 0x7FFF)
_XS_AMPERES = (-150, 150)

RECORDS: Mapping[str, Layout] = {
    "victron_ac_charger": Layout(
        number=0x08,
        what="AC charger",
        title="Victron Blue Smart and Phoenix Smart chargers over Bluetooth",
        length=13,
        fields=(
            _CHARGE_STATE,
            _charger_error(8),
            volts_field("voltage", "Battery voltage", 16, 13, signed=False, most=66, role="battery"),
            amperes_field("current", "Battery current", 29, 11, role="charger"),
            Power("power", measured("Charging power", "W", role="charger")),
            volts_field("voltage_2", "Battery 2 voltage", 40, 13, signed=False, most=66, optional=True),
            amperes_field("current_2", "Battery 2 current", 53, 11, optional=True),
            volts_field("voltage_3", "Battery 3 voltage", 64, 13, signed=False, most=66, optional=True),
            amperes_field("current_3", "Battery 3 current", 77, 11, optional=True),
            degrees_field("Temperature", 88),
            amperes_field("ac_current", "AC current", 95, 9, within=(0, 40), optional=True),
        ),
        trouble="charger_error",
        check=_require_charger,
    ),
    "victron_battery_monitor": Layout(
        number=0x02,
        what="battery monitor",
        title="Victron SmartShunt and BMV over Bluetooth",
        length=15,
        fields=(
            volts_field("voltage", "Voltage", 16, role="battery"),
            *_shunt("battery"),
            soc_field(108),
            consumed_field(88),
            time_remaining_field(0),
            OneOf(64, 2, {_AUX_STARTER: _STARTER, _AUX_MIDPOINT: _MIDPOINT, _AUX_TEMPERATURE: _TEMPERATURE}),
            Reasons(32, tuple(range(8))),
        ),
    ),
    # keshavdv/victron-ble, tests/test_battery_sense.py: of a battery monitor's fields it fills two.
    "victron_battery_sense": Layout(
        number=BATTERY_SENSE,
        what="Smart Battery Sense",
        title="Victron Smart Battery Sense over Bluetooth",
        length=15,
        fields=(
            volts_field("voltage", "Voltage", 16, role="battery"),
            Number(
                "temperature",
                measured("Temperature", "°C", role="battery"),
                48,
                16,
                100,
                plus=-273.15,
                absent=_NO_SENSOR,
                within=(-60, 125),
            ),
        ),
        check=_require_sense,
    ),
    "victron_dc_dc_converter": Layout(
        number=0x04,
        what="DC/DC converter",
        title="Victron Orion-Tr Smart over Bluetooth",
        length=10,
        fields=(
            _CHARGE_STATE,
            _charger_error(8),
            volts_field("input_voltage", "Input voltage", 16, signed=False, role="starter"),
            volts_field("output_voltage", "Output voltage", 32, role="battery"),
            OffReasons(48),
        ),
        trouble="charger_error",
        source=f"{SOURCE}; velib, ve_regs.h",
    ),
    "victron_dc_energy_meter": Layout(
        number=0x0D,
        what="DC energy meter",
        title="Victron SmartShunt and BMV as DC energy meter over Bluetooth",
        length=11,
        fields=(
            # In two's complement, none of them "not available": -1 is a generic source.
            Code(
                "meter_type",
                "Meter type",
                0,
                16,
                "meter_type",
                absent=(),
                signed=True,
                within=(-63, 63),
                diagnostic=True,
            ),
            volts_field("voltage", "Voltage", 16),
            # What it measures, its owner knows: the setting `role`.
            *_shunt(None),
            OneOf(64, 2, {_AUX_STARTER: _STARTER, _AUX_TEMPERATURE: _TEMPERATURE}),
            Reasons(32, (0, 1, 3, 4, 5, 6)),
        ),
        source=f"{SOURCE}; velib",
    ),
    "victron_inverter": Layout(
        number=0x03,
        what="inverter",
        title="Victron Phoenix Inverter Smart over Bluetooth",
        length=11,
        fields=(
            _INVERTER_STATE,
            volts_field("voltage", "Battery voltage", 24, role="battery"),
            # The largest gives 5 kVA, for a moment twice as much.
            Number(
                "ac_apparent_power",
                measured("AC output apparent power", "VA", role="load"),
                40,
                16,
                within=(0, 12_000),
            ),
            volts_field("ac_voltage", "AC output voltage", 56, 15, signed=False, most=300, role="load"),
            amperes_field("ac_current", "AC output current", 71, 11, within=(0, 100), role="load"),
            # VE.Direct-Protocol-3.32.pdf, field AR.
            Reasons(8, (0, 1, 5, 6, 8, 9, 10, 11, 12)),
        ),
        source=SOURCE.replace(";", ", VE.Direct 3.32;"),
        tested=(Tested.CAPTURE, Tested.TWIN),
    ),
    "victron_lynx_bms": LYNX_BMS,
    "victron_multi_rs": Layout(
        number=0x0B,
        what="Multi RS",
        title="Victron Multi RS Solar over Bluetooth",
        length=14,
        fields=(
            # victron-ble reads both codes signed, so that every one from 0x80 on is unknown to it.
            _INVERTER_STATE,
            _charger_error(8),
            volts_field("voltage", "Battery voltage", 32, 14, signed=False, role="battery"),
            # 6 kVA from a 48 V battery, for a moment twice as much.
            amperes_field("current", "Battery current", 16, within=(-400, 400), role="battery"),
            Power("power", measured("Battery power", "W", role="battery")),
            _AC_INPUT,
            # 50 A at 230 V pass through it.
            _watts_field("ac_in_power", "AC input power", 48, within=(-15_000, 15_000), role="grid"),
            _watts_field("ac_out_power", "AC output power", 64, within=(-15_000, 15_000), role="load"),
            _watts_field("pv_power", "Solar power", 80, within=(0, 20_000), role="solar"),
            _yield_field(96),
        ),
        trouble="charger_error",
    ),
    # Not published by Victron: keshavdv/victron-ble 0.9.3, devices/orion_xs.py, after
    # github.com/Fabian-Schmidt/esphome-victron_ble, pull request 54.
    "victron_orion_xs": Layout(
        number=0x0F,
        what="Orion XS",
        title="Victron Orion XS over Bluetooth",
        length=14,
        fields=(
            _CHARGE_STATE,
            _charger_error(8),
            volts_field("output_voltage", "Output voltage", 16, absent=_XS_ABSENT, role="battery"),
            amperes_field(
                "output_current",
                "Output current",
                32,
                absent=_XS_ABSENT,
                within=_XS_AMPERES,
                role="alternator",
            ),
            Power(
                "power", measured("Output power", "W", role="alternator"), "output_voltage", "output_current"
            ),
            volts_field("input_voltage", "Input voltage", 48, absent=_XS_ABSENT, role="starter"),
            amperes_field("input_current", "Input current", 64, absent=_XS_ABSENT, within=_XS_AMPERES),
            OffReasons(80),
        ),
        trouble="charger_error",
        source="keshavdv/victron-ble 0.9.3; Fabian-Schmidt/esphome-victron_ble, pull request 54; velib",
        tested=(Tested.CAPTURE, Tested.TWIN),
    ),
    "victron_inverter_rs": Layout(
        number=0x06,
        what="inverter RS",
        title="Victron Inverter RS over Bluetooth",
        length=12,
        fields=(
            _INVERTER_STATE,
            _charger_error(8),
            volts_field("voltage", "Battery voltage", 16, role="battery"),
            # As the Multi RS, of the same power.
            amperes_field("current", "Battery current", 32, within=(-400, 400), role="battery"),
            Power("power", measured("Battery power", "W", role="battery")),
            _watts_field("pv_power", "Solar power", 48, within=(0, 20_000), role="solar"),
            _yield_field(64),
            _watts_field("ac_out_power", "AC output power", 80, within=(-15_000, 15_000), role="load"),
        ),
        trouble="charger_error",
        source="Victron, Extra Manufacturer Data (2022-12-14); Fabian-Schmidt/esphome-victron_ble",
        tested=(Tested.TWIN,),
    ),
    # Not published by Victron. An owner found three voltages in a record: github.com/Fabian-Schmidt/
    # esphome-victron_ble, issue 135. Which is the battery's, the system's and the alternator's is not said.
    "victron_smart_bms": Layout(
        number=0x0E,
        what="Smart BMS",
        title="Victron Smart BMS 12/200 over Bluetooth, three voltages",
        length=14,
        fields=tuple(
            volts_field(f"voltage_{n}", f"Voltage {n}", 8 + 16 * n, signed=False, most=70, absent=_XS_ABSENT)
            for n in (1, 2, 3)
        ),
        source="Fabian-Schmidt/esphome-victron_ble, issue 135",
        notes=(
            (
                "Victron has not published this record. Which voltage is the battery's, the system's "
                "and the alternator's, compare with VictronConnect. The rest of the record is not "
                "read."
            ),
        ),
        tested=(Tested.CAPTURE, Tested.TWIN),
    ),
    "victron_smart_battery_protect": Layout(
        number=0x09,
        what="Smart Battery Protect",
        title="Victron Smart BatteryProtect over Bluetooth",
        length=15,
        fields=(
            Code("device_state", "Device state", 0, 8, "charge_state"),
            Code("output_state", "Output state", 8, 8, _OUTPUT_STATES),
            _charger_error(16),
            volts_field("input_voltage", "Input voltage", 56, role="battery"),
            volts_field("output_voltage", "Output voltage", 72, signed=False, role="load"),
            Reasons(24, _PROTECT_REASONS),
            Reasons(40, _PROTECT_REASONS, "warning"),
            OffReasons(88),
        ),
        trouble="charger_error",
        source=f"{SOURCE}; velib, ve_regs.h",
    ),
    "victron_smart_lithium": SMART_LITHIUM,
    "victron_solar_charger": Layout(
        number=0x01,
        what="solar charger",
        title="Victron SmartSolar and BlueSolar MPPT over Bluetooth",
        length=12,
        fields=(
            _CHARGE_STATE,
            _charger_error(8),
            volts_field("voltage", "Battery voltage", 16, role="battery"),
            # Negative when a load output draws more than the sun gives; its field ends at 51 A.
            amperes_field("current", "Battery current", 32, within=(-60, 250)),
            _watts_field("power", "Solar power", 64, within=(0, 20_000), role="solar"),
            _yield_field(48),
            amperes_field("load_current", "Load current", 80, 9, role="load", optional=True),
        ),
        trouble="charger_error",
    ),
    # It sends seldom and its battery must last: github.com/victronenergy/dbus-ble-sensors,
    # src/victron-solarsense.c. Its power is an estimate from the light, which no panel has given.
    "victron_solarsense": Layout(
        number=OPEN | 0x01,
        what="SolarSense",
        title="Victron SolarSense 750 over Bluetooth",
        length=14,
        fields=(
            Number("error", Row(entity=Entity(name="Error", diagnostic=True)), 0, 32),
            _charger_error(32),
            Number("estimated_power", measured("Estimated power", "W"), 40, 20, within=(0, 100_000)),
            Number(
                "estimated_yield_today",
                measured("Estimated yield today", "Wh", daily=True),
                60,
                20,
                times=10,
                within=(0, 2_000_000),
            ),
            Number("irradiance", measured("Irradiance", "W/m²"), 80, 14, 10, within=(0, 1600)),
            Number(
                "cell_temperature",
                measured("Cell temperature", "°C"),
                94,
                11,
                10,
                plus=-60,
                within=(-60, 120),
            ),
        ),
        source="victronenergy/dbus-ble-sensors, victron-solarsense.c",
        notes=(
            "It needs no key: its record is not encrypted.",
            (
                "Its power and yield are estimates from the light, for the panels that you have told "
                "it of. They have no role, so that they do not add to your chargers' power."
            ),
        ),
        silence=600.0,
        tested=(Tested.TWIN,),
    ),
    "victron_ve_bus": Layout(
        number=0x0C,
        what="VE.Bus",
        title="Victron MultiPlus and Quattro over Bluetooth (VE.Bus Smart dongle)",
        length=13,
        fields=(
            _INVERTER_STATE,
            # VictronConnect and the page "VE.Bus error codes" of Victron's website explain it; the list
            # ends at 26.
            Number(
                "ve_bus_error", Row(entity=Entity(name="VE.Bus error", diagnostic=True)), 8, 8, within=(0, 63)
            ),
            volts_field("voltage", "Battery voltage", 32, 14, signed=False, role="battery"),
            amperes_field("current", "Battery current", 16, within=(-2000, 2000), role="battery"),
            Power("power", measured("Battery power", "W", role="battery")),
            _AC_INPUT,
            # Three phases of several Quattros.
            _watts_field("ac_in_power", "AC input power", 48, 19, within=(-100_000, 100_000), role="grid"),
            _watts_field("ac_out_power", "AC output power", 67, 19, within=(-100_000, 100_000), role="load"),
            degrees_field("Battery temperature", 88, role="battery"),
            Number(
                "soc",
                measured("State of charge", "%", device_class="battery", precision=0, step=1, role="battery"),
                95,
                7,
                within=(0, 100),
            ),
            Flag("alarm", problem("Alarm", diagnostic=False), (86,), 2, on=(2,), absent=(3,)),
            Flag("warning", problem("Warning", diagnostic=False), (86,), 2, on=(1,), absent=(3,)),
        ),
        trouble="ve_bus_error",
    ),
}
