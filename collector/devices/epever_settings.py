"""What an Epever controller is made for and set to: read now and then, for it hardly changes."""

from collector.devices.epever_fields import Block, Field, Number, amperes, code, volts, watts
from collector.devices.rows import measured

HOLDING, INPUT = 3, 4
LOAD_MODE = 0x903D
LOAD_MODES = {0: "manual", 1: "light", 2: "light_and_timer", 3: "timer"}
_HOUR_S = 3600.0
# From 4 on: V2.6.
_BATTERY_TYPES = {
    0: "user",
    1: "sealed",
    2: "gel",
    3: "flooded",
    **dict.fromkeys(range(4, 8), "lithium_iron_phosphate"),
    **dict.fromkeys(range(8, 13), "lithium_nickel_cobalt_manganese"),
}
_VOLTAGES = (
    ("high_voltage_disconnect", "High voltage disconnect"),
    ("charging_limit_voltage", "Charging limit voltage"),
    ("high_voltage_reconnect", "High voltage reconnect"),
    ("equalization_voltage", "Equalization voltage"),
    ("boost_voltage", "Boost voltage"),
    ("float_voltage", "Float voltage"),
    ("boost_reconnect_voltage", "Boost reconnect voltage"),
    ("low_voltage_reconnect", "Low voltage reconnect"),
    ("undervoltage_recover", "Undervoltage recover"),
    ("undervoltage_warning", "Undervoltage warning"),
    ("low_voltage_disconnect", "Low voltage disconnect"),
    ("discharging_limit_voltage", "Discharging limit voltage"),
)
_RATED: tuple[Field, ...] = (
    volts("rated_pv_voltage", 0x3000, "Rated PV voltage", extra=True),
    amperes("rated_pv_current", 0x3001, "Rated PV current", extra=True),
    watts("rated_pv_power", 0x3002, "Rated PV power", extra=True),
    volts("rated_voltage", 0x3004, "Rated battery voltage", extra=True),
    amperes("rated_charge_current", 0x3005, "Rated charging current", extra=True),
    watts("rated_charge_power", 0x3006, "Rated charging power", extra=True),
    code("charging_mode", 0x3008, "Charging mode", {0: "on_off", 1: "pwm", 2: "mppt"}, extra=True),
)
_CAPACITY = measured("Battery capacity", "Ah", precision=0, optional=True, diagnostic=True)
_BATTERY: tuple[Field, ...] = (
    code("battery_type", 0x9000, "Battery type", _BATTERY_TYPES, extra=True),
    Number("battery_capacity", 0x9001, _CAPACITY, scale=1, most=65_535),
    *(
        volts(entity, address, name, extra=True)
        for address, (entity, name) in enumerate(_VOLTAGES, start=0x9003)
    ),
)
_LOAD_RATED = (amperes("rated_load_current", 0x300E, "Rated load current", extra=True),)
_SYSTEM = (volts("system_voltage", 0x311D, "System voltage", extra=True),)
_LOAD_MODE = (code("load_mode", LOAD_MODE, "Load mode", LOAD_MODES, extra=True),)

BLOCKS: tuple[Block, ...] = (
    Block(INPUT, 0x3000, 9, _RATED, every=_HOUR_S, optional=True),
    Block(INPUT, 0x300E, 1, _LOAD_RATED, every=_HOUR_S, optional=True),
    Block(INPUT, 0x311D, 1, _SYSTEM, every=_HOUR_S, optional=True),
    Block(HOLDING, 0x9000, 15, _BATTERY, every=_HOUR_S, optional=True),
    Block(HOLDING, LOAD_MODE, 1, _LOAD_MODE, every=_HOUR_S, optional=True),
)
