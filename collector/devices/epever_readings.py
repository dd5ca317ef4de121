"""What an Epever controller measures: one request a block, none across an address that it refuses."""

from collector.devices.epever_fields import (
    Bit,
    Block,
    Field,
    Number,
    amperes,
    code,
    degrees,
    energy,
    faults,
    flag,
    volts,
    watts,
)
from collector.devices.rows import measured

COILS, DISCRETE, INPUT = 1, 2, 4
LOAD_COIL = 0x0002
_CHARGE_STATES = {0: "off", 1: "float", 2: "boost", 3: "equalization"}
_PV_STATES = {0: "normal", 1: "no_power", 2: "too_high", 3: "error"}
_BATTERY_STATES = {0: "normal", 1: "overvoltage", 2: "undervoltage", 3: "low_voltage_disconnect", 4: "fault"}
_BATTERY_TEMPERATURES = {0: "normal", 1: "high", 2: "low"}

_PV_AND_BATTERY: tuple[Field, ...] = (
    volts("pv_voltage", 0x3100, "PV voltage"),
    amperes("pv_current", 0x3101, "PV current"),
    watts("pv_power", 0x3102, "PV power"),
    volts("voltage", 0x3104, "Battery voltage"),
    amperes("charge_current", 0x3105, "Charging current"),
    watts("charge_power", 0x3106, "Charging power"),
)
_LOAD_AND_TEMPERATURES = (
    volts("load_voltage", 0x310C, "Load voltage"),
    amperes("load_current", 0x310D, "Load current"),
    watts("load_power", 0x310E, "Load power"),
    degrees("battery_temperature", 0x3110, "Battery temperature"),
    degrees("temperature", 0x3111, "Temperature inside", diagnostic=True),
    degrees("heatsink_temperature", 0x3112, "Heat sink temperature", diagnostic=True),
)
# The document says hundredths, devices say whole percent: kasbert/epsolar-tracer, pull request 10.
_SOC = Number(
    "soc",
    0x311A,
    measured("State of charge", "%", device_class="battery", precision=0, step=1),
    scale=1,
    most=100,
)
_STATUS: tuple[Field, ...] = (
    code("battery_status", 0x3200, "Battery status", _BATTERY_STATES, mask=0xF),
    code(
        "battery_temperature_status",
        0x3200,
        "Battery temperature status",
        _BATTERY_TEMPERATURES,
        shift=4,
        mask=0xF,
    ),
    *faults(
        0x3200,
        {
            8: ("battery_resistance_fault", "Battery internal resistance abnormal"),
            15: ("rated_voltage_fault", "Rated voltage wrongly identified"),
        },
    ),
    Bit("running", 0x3201, flag("Charger running", "running", diagnostic=True)),
    code("charge_state", 0x3201, "Charge state", _CHARGE_STATES, shift=2, mask=3),
    code("pv_status", 0x3201, "PV input status", _PV_STATES, shift=14, mask=3),
    *faults(
        0x3201,
        {
            1: ("fault", "Charger fault"),
            4: ("pv_short", "PV input short circuit"),
            # V2.6.
            6: ("imbalance", "Imbalance of the three circuits"),
            7: ("load_mosfet_short", "Load MOSFET short circuit"),
            8: ("load_short", "Load short circuit"),
            9: ("load_overcurrent", "Load overcurrent"),
            10: ("pv_overcurrent", "PV overcurrent"),
            11: ("reverse_mosfet_short", "Anti-reverse MOSFET short circuit"),
            # A short circuit in V1.1, an interruption in V2.6.
            12: ("charging_path_fault", "Charging or anti-reverse MOSFET fault"),
            13: ("charging_mosfet_short", "Charging MOSFET short circuit"),
        },
    ),
)
_LOAD = Bit("load", LOAD_COIL, flag("Load", optional=True, command=True))
# Its two words are one number: read apart they may belong to two moments, and -0.01 A becomes -655.36 A.
_CURRENT = Number(
    "current",
    0x331B,
    measured("Battery current", "A", optional=True),
    signed=True,
    long=True,
    least=-200,
    most=200,
)
# Not in V1.1.
_DISCHARGING = faults(
    0x3202,
    {
        1: ("discharge_fault", "Discharge fault"),
        4: ("output_overvoltage", "Output overvoltage"),
        5: ("boost_overvoltage", "Boost overvoltage"),
        6: ("high_side_short", "Short circuit on the high voltage side"),
        7: ("input_overvoltage", "Input overvoltage"),
        8: ("output_voltage_fault", "Output voltage abnormal"),
        9: ("discharge_stop_fault", "Discharge cannot be stopped"),
        10: ("discharge_start_fault", "Discharge impossible"),
        11: ("output_short", "Output short circuit"),
    },
    optional=True,
)
_STATISTICS = (
    volts("pv_voltage_max_today", 0x3300, "Highest PV voltage today", extra=True),
    volts("pv_voltage_min_today", 0x3301, "Lowest PV voltage today", extra=True),
    volts("voltage_max_today", 0x3302, "Highest battery voltage today", extra=True),
    volts("voltage_min_today", 0x3303, "Lowest battery voltage today", extra=True),
    energy("load_energy_today", 0x3304, "Load energy today"),
    energy("load_energy_month", 0x3306, "Load energy this month", diagnostic=True),
    energy("load_energy_year", 0x3308, "Load energy this year", diagnostic=True),
    energy("load_energy_total", 0x330A, "Load energy"),
    energy("pv_energy_today", 0x330C, "PV energy today"),
    energy("pv_energy_month", 0x330E, "PV energy this month", diagnostic=True),
    energy("pv_energy_year", 0x3310, "PV energy this year", diagnostic=True),
    energy("pv_energy_total", 0x3312, "PV energy"),
)
_OVERHEATED = Bit("overheated", 0x2000, flag("Overheated", "problem", diagnostic=True, optional=True))
_NIGHT = Bit("night", 0x200C, flag("Night", optional=True))

BLOCKS: tuple[Block, ...] = (
    Block(INPUT, 0x3100, 8, _PV_AND_BATTERY),
    Block(INPUT, 0x310C, 7, _LOAD_AND_TEMPERATURES),
    Block(INPUT, 0x311A, 1, (_SOC,)),
    Block(INPUT, 0x3200, 2, _STATUS),
    Block(COILS, LOAD_COIL, 1, (_LOAD,), optional=True),
    Block(INPUT, 0x331B, 2, (_CURRENT,), optional=True),
    Block(INPUT, 0x3300, 20, _STATISTICS, optional=True),
    Block(INPUT, 0x3202, 1, _DISCHARGING, optional=True),
    Block(DISCRETE, 0x2000, 1, (_OVERHEATED,), optional=True),
    Block(DISCRETE, 0x200C, 1, (_NIGHT,), optional=True),
)
