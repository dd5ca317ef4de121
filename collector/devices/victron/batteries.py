"""The records of Victron's lithium batteries and their management, whose alarms are bits of their own."""

from collector.devices.description import ImplausibleError
from collector.devices.rows import flag, measured, problem
from collector.devices.victron.fields import (
    Cells,
    Code,
    Field,
    Flag,
    Layout,
    Number,
    Power,
    Record,
    amperes_field,
    consumed_field,
    degrees_field,
    soc_field,
    time_remaining_field,
    volts,
    volts_field,
)

# VE_REG_BMS_ERROR: github.com/victronenergy/gui-v2, velib, regs_payload.h, without the reserved numbers.
_LYNX_ERRORS = {
    0: "no_error",
    1: "battery_init",
    2: "no_battery_found",
    3: "unknown_product",
    4: "battery_type",
    5: "number_of_batteries",
    6: "no_shunt_found",
    7: "measure",
    8: "calculate",
    9: "batteries_in_series",
    10: "batteries",
    11: "hardware_failure",
    12: "watchdog",
    13: "over_voltage",
    14: "under_voltage",
    15: "over_temperature",
    16: "under_temperature",
    17: "io_expander",
    18: "under_charge_standby",
    20: "contactor_startup",
    22: "adc_failure",
    23: "slave_failure",
    25: "pre_charge",
    26: "contactor",
    28: "slave_update",
    29: "slave_update_unavailable",
    30: "calibration_lost",
    31: "settings_lost",
    32: "bms_cable",
    33: "reference_voltage",
    34: "wrong_system_voltage",
    35: "pre_charge_timeout",
    36: "atc_atd_failure",
    116: "calibration_lost",
    119: "settings_lost",
}


def _lynx_output(entity: str, name: str, start: int) -> Flag:
    # VE_REG_BMS_IO: pairs of bits, github.com/victronenergy/dbus-ble-sensors, src/victron-lsbms.c.
    return Flag(entity, flag(name), (start,), 2, on=(1,), absent=(0,))


def _lynx_alarm(entity: str, name: str, *starts: int) -> Flag:
    # VE_REG_BMS_WARNINGS_ALARMS, the same: 1 is normal; of 2 and 3 nobody says which is the warning, both are
    # worth a look.
    return Flag(entity, problem(name, diagnostic=len(starts) == 1), starts, 2, on=(2, 3), absent=(0,))


LYNX_BMS = Layout(
    number=0x0A,
    what="Lynx Smart BMS",
    title="Victron Lynx Smart BMS over Bluetooth",
    length=16,
    fields=(
        volts_field("voltage", "Voltage", 24, most=70, role="battery"),
        # The largest carries 1000 A.
        amperes_field("current", "Current", 40, within=(-1200, 1200), role="battery"),
        Power("power", measured("Power", "W", precision=1, role="battery")),
        # victron-ble looks for 14 set bits in this field of 10.
        soc_field(90),
        consumed_field(100),
        time_remaining_field(8),
        degrees_field("Temperature", 120, role="battery"),
        Code("error", "Error", 0, 8, _LYNX_ERRORS, diagnostic=True),
        _lynx_output("allow_to_charge", "Allowed to charge", 58),
        _lynx_output("allow_to_discharge", "Allowed to discharge", 60),
        _lynx_output("external_relay", "External relay", 62),
        _lynx_alarm("alarm", "Alarm", *range(72, 90, 2)),
        _lynx_alarm("alarm_low_cell_voltage", "Low cell voltage alarm", 72),
        _lynx_alarm("alarm_high_current", "High current alarm", 74),
        _lynx_alarm("alarm_high_internal_temperature", "High internal temperature alarm", 76),
        _lynx_alarm("alarm_contactor", "Contactor alarm", 78),
        _lynx_alarm("alarm_bms_cable", "BMS cable alarm", 80),
        _lynx_alarm("alarm_load_disconnect", "Load disconnect alarm", 82),
        _lynx_alarm("alarm_low_soc", "Low charge alarm", 84),
        _lynx_alarm("alarm_high_temperature", "High temperature alarm", 88),
    ),
    trouble="alarm",
    source="Victron, Extra Manufacturer Data (2022-12-14); victron-ble 0.9.3; dbus-ble-sensors; velib",
)

# VE_REG_BMS_FLAGS: github.com/victronenergy/gui-v2, velib, regs_payload.h. Those with an entity are the ones
# that github.com/victronenergy/dbus-ble-sensors, src/victron-smartlithium.c, reads from this record.
_LITHIUM_ALARMS = (9, 11, 15, 18, 20, 22, 23, 24, 29, 30)
_LITHIUM_WARNINGS = (10, 12, 13, 14, 16, 17, 19, 21, 27, 28)
_CHARGING, _DISCHARGING = 1 << 4, 1 << 5
_HOT, _COLD = (sum(1 << bit for bit in bits) for bits in ((15, 16), (17, 18, 19, 20, 22)))
_NEVER_TOGETHER = ((_CHARGING, _DISCHARGING), (_HOT, _COLD))
_RESERVED_FLAG = 1 << 31
# VE_REG_SMART_LITHIUM_ERROR_FLAGS, same file, in the order of the bits.
_LITHIUM_ERRORS = (
    ("error_balancer", "Balancer failure"),
    ("error_communication", "No data of the balancers"),
    ("error_voltage_01", "Balancers 0 and 1 disagree"),
    ("error_voltage_12", "Balancers 1 and 2 disagree"),
    ("error_update_0", "Update of balancer 0 failed"),
    ("error_update_1", "Update of balancer 1 failed"),
    ("error_update_2", "Update of balancer 2 failed"),
    ("error_settings", "Settings lost"),
    ("error_overlapped_voltage", "Balancers disagree"),
    ("error_update", "Update of a balancer failed"),
    ("error_balancer_product", "Wrong balancer"),
)
_FEWEST_CELLS = 4
# The scale of a cell ends at 2.60 V ("below 2.61 V") and 3.86 V ("above 3.85 V").
_CELL_BELOW, _CELL_ABOVE, _SUM_TOLERANCE = 2.6, 3.86, 1.0


def _cell(n: int) -> Number:
    row = volts(f"Cell {n} voltage", optional=n > _FEWEST_CELLS)
    return Number(f"cell_{n}_voltage", row, 41 + 7 * n, 7, 100, plus=2.6)


_CELLS = tuple(_cell(n) for n in range(1, 9))


def _require_lithium(record: Record) -> None:
    """Noise contradicts itself: in the flags, or between the cells and their sum."""
    flags, errors = record.bits(0, 32), record.bits(32, 16)
    if flags & _RESERVED_FLAG or (errors >> len(_LITHIUM_ERRORS)).bit_count() > 1:
        raise ImplausibleError(f"implausible: flags {flags:#010x}, errors {errors:#06x}")
    if any(flags & one and flags & other for one, other in _NEVER_TOGETHER):
        raise ImplausibleError(f"implausible: flags {flags:#010x} contradict each other")
    voltage = record.values["voltage"]
    said = (record.values.get(cell.entity) for cell in _CELLS)
    cells = [value for value in said if isinstance(value, float)]
    if isinstance(voltage, float):
        excess = voltage - sum(cells)
        too_low = excess < -_SUM_TOLERANCE and _CELL_BELOW not in cells
        whole = len(cells) in (_FEWEST_CELLS, len(_CELLS))
        if too_low or (whole and excess > _SUM_TOLERANCE and _CELL_ABOVE not in cells):
            raise ImplausibleError(f"implausible: {voltage:g} V is not the sum of the cells")


def _lithium(entity: str, name: str, bit: int) -> Flag:
    return Flag(entity, problem(name), (bit,))


_LITHIUM_FLAGS: tuple[Field, ...] = (
    Flag("allow_to_charge", flag("Allowed to charge"), (25,)),
    Flag("allow_to_discharge", flag("Allowed to discharge"), (26,)),
    Flag("alarm", problem("Alarm", diagnostic=False), _LITHIUM_ALARMS),
    _lithium("alarm_high_voltage", "High voltage alarm", 9),
    _lithium("alarm_low_voltage", "Low voltage alarm", 11),
    _lithium("alarm_high_temperature", "High temperature alarm", 15),
    _lithium("alarm_low_temperature", "Low temperature alarm", 22),
    _lithium("alarm_hardware_failure", "Hardware failure alarm", 24),
    _lithium("alarm_high_current", "High current alarm", 29),
    _lithium("alarm_cell_imbalance", "Cell imbalance alarm", 30),
    Flag("warning", problem("Warning", diagnostic=False), _LITHIUM_WARNINGS),
    _lithium("warning_high_voltage", "High voltage warning", 10),
    _lithium("warning_low_voltage", "Low voltage warning", 12),
    _lithium("warning_high_temperature", "High temperature warning", 16),
    _lithium("warning_contactor", "Contactor warning", 28),
    Flag("error", problem("Error"), tuple(range(32, 48))),
    *(_lithium(entity, name, 32 + bit) for bit, (entity, name) in enumerate(_LITHIUM_ERRORS)),
)
SMART_LITHIUM = Layout(
    number=0x05,
    what="SmartLithium",
    title="Victron Lithium Battery Smart over Bluetooth",
    length=16,
    fields=(
        Number("voltage", volts("Voltage", role="battery"), 104, 12, 100),
        degrees_field("Temperature", 120, role="battery"),
        Cells(_CELLS),
        # 0 stands until the battery was charged to 100 % once.
        Code("balancer", "Balancer", 116, 4, "balancer", absent=(0x0F, 0), diagnostic=True),
        *_LITHIUM_FLAGS,
    ),
    check=_require_lithium,
    source="Victron, Extra Manufacturer Data (2022-12-14); victron-ble 0.9.3; dbus-ble-sensors; velib",
)
