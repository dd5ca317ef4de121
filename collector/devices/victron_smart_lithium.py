"""Victron Lithium Battery Smart: what it reports and how a record becomes values."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from victron_ble.devices.smart_lithium import BalancerStatus, SmartLithium, SmartLithiumData

from collector.devices.description import BleKind, Decoded, ImplausibleError, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, Record, boolean, open_record
from collector.devices.victron_codes import Code, read_codes, words
from collector.devices.victron_rows import celsius, enumeration, flag, problem, volts

# extra-manufacturer-data-2022-12-14.pdf, table "SmartLithium (0x05)".
_READOUT_TYPE = 0x05
_PLAIN_LENGTH = 16
_CELLS = range(1, 9)
_CELL_BITS = 7
_BELOW, _ABOVE, _CELL_NOT_AVAILABLE = 0, 0x7E, 0x7F
_FEWEST_CELLS = 4
_SUM_TOLERANCE = 1.0
# 0 stands until the battery was charged to 100 % once.
_BALANCER = {"balancer": Code(116, 4, words(BalancerStatus), absent=(0x0F, 0))}

# VE_REG_BMS_FLAGS: github.com/victronenergy/gui-v2, velib, regs_payload.h. Those with an entity are the ones
# that github.com/victronenergy/dbus-ble-sensors, src/victron-smartlithium.c, reads from this record.
_ALARMS = {
    9: ("alarm_high_voltage", "High voltage alarm"),
    11: ("alarm_low_voltage", "Low voltage alarm"),
    15: ("alarm_high_temperature", "High temperature alarm"),
    22: ("alarm_low_temperature", "Low temperature alarm"),
    24: ("alarm_hardware_failure", "Hardware failure alarm"),
    29: ("alarm_high_current", "High current alarm"),
    30: ("alarm_cell_imbalance", "Cell imbalance alarm"),
}
_WARNINGS = {
    10: ("warning_high_voltage", "High voltage warning"),
    12: ("warning_low_voltage", "Low voltage warning"),
    16: ("warning_high_temperature", "High temperature warning"),
    28: ("warning_contactor", "Contactor warning"),
}
_OTHER_ALARMS = (18, 20, 23)
_OTHER_WARNINGS = (13, 14, 17, 19, 21, 27)
_ALLOWED = {
    25: ("allow_to_charge", "Allowed to charge"),
    26: ("allow_to_discharge", "Allowed to discharge"),
}
_RESERVED_FLAG = 31
_CHARGING, _DISCHARGING = 4, 5
_HOT, _COLD = (15, 16), (17, 18, 19, 20, 22)
# VE_REG_SMART_LITHIUM_ERROR_FLAGS, same file, in the order of the bits.
_ERRORS = (
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

ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "voltage": volts("Voltage"),
        "temperature": celsius("Temperature", step=1, precision=0),
        # Ends at 2.60 V ("below 2.61 V") and 3.86 V ("above 3.85 V").
        **{f"cell_{n}_voltage": volts(f"Cell {n} voltage", optional=n > _FEWEST_CELLS) for n in _CELLS},
        "balancer": enumeration("Balancer", _BALANCER["balancer"].words.values(), diagnostic=True),
        **{entity: flag(name) for entity, name in _ALLOWED.values()},
        "alarm": problem("Alarm", diagnostic=False),
        **{entity: problem(name) for entity, name in _ALARMS.values()},
        "warning": problem("Warning", diagnostic=False),
        **{entity: problem(name) for entity, name in _WARNINGS.values()},
        "error": problem("Error"),
        **{entity: problem(name) for entity, name in _ERRORS},
        **BLE_ROWS,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS. Raises DecodeError."""
    parser = SmartLithium(key.hex())
    record = open_record(parser, raw, readout_type=_READOUT_TYPE, plain_length=_PLAIN_LENGTH)
    codes, unknown = read_codes(record, _BALANCER)
    # victron-ble would refuse the whole record for an unknown balancer, the upper half of byte 14.
    plain = record.with_bytes(14, bytes([record.plain[14] & 0x0F]))
    data = SmartLithiumData(record.model_id, parser.parse_decrypted(plain))
    _require_plausible(record, data.get_battery_voltage())
    values: Values = {
        "voltage": data.get_battery_voltage(),
        "temperature": data.get_battery_temperature(),
        **_cells(record),
        **codes,
        **_flags(record.bits(0, 32)),
        "error": boolean(on=record.bits(32, 16) != 0),
        **{name: boolean(on=bool(record.bits(32 + bit, 1))) for bit, (name, _) in enumerate(_ERRORS)},
    }
    return Decoded(values, record.model, unknown)


def _cell_bits(record: Record) -> list[int]:
    return [record.bits(48 + _CELL_BITS * (n - 1), _CELL_BITS) for n in _CELLS]


def _cells(record: Record) -> Values:
    """The cells of a 12 V battery, or all eight once one of the upper four exists."""
    bits = _cell_bits(record)
    upper = any(cell != _CELL_NOT_AVAILABLE for cell in bits[_FEWEST_CELLS:])
    shown = bits if upper else bits[:_FEWEST_CELLS]
    # The ends of the scale are infinite in victron-ble.
    return {
        f"cell_{n}_voltage": None if cell == _CELL_NOT_AVAILABLE else (260 + cell) / 100
        for n, cell in enumerate(shown, start=1)
    }


def _flags(flags: int) -> Values:
    named = {**_ALARMS, **_WARNINGS, **_ALLOWED}
    return {
        "alarm": boolean(on=_any(flags, (*_ALARMS, *_OTHER_ALARMS))),
        "warning": boolean(on=_any(flags, (*_WARNINGS, *_OTHER_WARNINGS))),
        **{entity: boolean(on=bool(flags >> bit & 1)) for bit, (entity, _) in named.items()},
    }


def _any(flags: int, bits: Iterable[int]) -> bool:
    return any(flags >> bit & 1 for bit in bits)


def _require_plausible(record: Record, voltage: float | None) -> None:
    """A wrong key with the right first byte passes the key check and gives noise: it contradicts itself."""
    flags, errors = record.bits(0, 32), record.bits(32, 16)
    if flags >> _RESERVED_FLAG or (errors >> len(_ERRORS)).bit_count() > 1:
        raise ImplausibleError(f"implausible: flags {flags:#010x}, errors {errors:#06x}")
    both_ways = _any(flags, (_CHARGING,)) and _any(flags, (_DISCHARGING,))
    if both_ways or (_any(flags, _HOT) and _any(flags, _COLD)):
        raise ImplausibleError(f"implausible: flags {flags:#010x} contradict each other")
    if voltage is not None:
        _require_sum(_cell_bits(record), voltage)


def _require_sum(bits: list[int], voltage: float) -> None:
    """The cells add up to the voltage, as far as their scale goes and none is missing."""
    cells = [cell for cell in bits if cell != _CELL_NOT_AVAILABLE]
    excess = voltage - sum((260 + cell) / 100 for cell in cells)
    too_low = excess < -_SUM_TOLERANCE and _BELOW not in cells
    whole = len(cells) in (_FEWEST_CELLS, len(_CELLS))
    if too_low or (whole and excess > _SUM_TOLERANCE and _ABOVE not in cells):
        raise ImplausibleError(f"implausible: {voltage:g} V is not the sum of the cells")


KIND = BleKind(
    name="victron_smart_lithium",
    title="Victron Lithium Battery Smart over Bluetooth",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); victron-ble 0.9.3; dbus-ble-sensors; velib",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    decode=decode,
)
