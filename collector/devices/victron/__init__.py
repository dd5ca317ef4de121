"""Victron devices, over Bluetooth and on a cable: bits that stand for alarms and reasons to be off in both.

Bits of VE_REG_ALARM_REASON, VE_REG_WARNING_REASON and VE_REG_DEVICE_OFF_REASON_2:
github.com/victronenergy/gui-v2, velib/inc/velib/ve_regs.h.
"""

from collections.abc import Iterable, Mapping

from collector.devices.description import ImplausibleError, Row, Values
from collector.devices.rows import flag, on_off, problem, status

# In the order of the bits; the two lists share them.
REASONS = (
    ("low_voltage", "Low voltage"),
    ("high_voltage", "High voltage"),
    ("low_soc", "Low charge"),
    ("low_starter_voltage", "Low starter voltage"),
    ("high_starter_voltage", "High starter voltage"),
    ("low_temperature", "Low temperature"),
    ("high_temperature", "High temperature"),
    ("mid_voltage", "Midpoint voltage"),
    ("overload", "Overload"),
    ("dc_ripple", "DC ripple"),
    ("low_ac_voltage", "Low AC voltage"),
    ("high_ac_voltage", "High AC voltage"),
    ("short_circuit", "Short circuit"),
    ("bms_lockout", "BMS lockout"),
)
_UNDEFINED_REASONS = 0xC000


def reason_rows(bits: Iterable[int], of: str = "alarm") -> dict[str, Row]:
    """Declare all together and each bit that the device can set; `of` is "alarm" or "warning"."""
    each = {f"{of}_{REASONS[bit][0]}": problem(f"{REASONS[bit][1]} {of}") for bit in bits}
    return {of: problem(of.capitalize(), diagnostic=False), **each}


def read_reasons(reasons: int, bits: Iterable[int], of: str = "alarm") -> Values:
    """Read values of `reason_rows`. Raises ImplausibleError for bits that such a device never sets."""
    values: Values = {of: "ON" if reasons else "OFF"}
    foreign = reasons
    for bit in bits:
        values[f"{of}_{REASONS[bit][0]}"] = "ON" if reasons >> bit & 1 else "OFF"
        foreign &= ~(1 << bit)
    # One of another kind of device may be new firmware; several, or the undefined bits, are noise.
    if foreign.bit_count() > 1 or foreign & _UNDEFINED_REASONS:
        raise ImplausibleError(f"implausible: {of} bits {reasons:#06x}")
    return values


OFF_REASONS = (
    ("no_input_power", "No input power"),
    ("switched_off_switch", "Switched off by its switch"),
    ("switched_off_register", "Switched off by an app or button"),
    ("remote_input", "Switched off by the remote input"),
    ("protection_active", "Protection active"),
    ("pay_as_you_go_out_of_credit", "Pay as you go out of credit"),
    ("bms", "Switched off by the BMS"),
    ("engine_shutdown", "Engine shutdown detected"),
    ("analysing_input_voltage", "Analysing input voltage"),
    ("low_battery_temperature", "Battery too cold"),
    ("no_pv_power", "No solar power"),
    ("low_battery", "Battery voltage too low"),
    ("low_mains", "Mains voltage too low"),
    ("no_can_sync", "Parallel inverter out of sync"),
    ("not_enough_inverters", "Too few parallel inverters"),
    ("active_alarm", "Kept off by an alarm"),
)
OFF_REASON_ROWS: Mapping[str, Row] = {
    "off_reason": status(
        "Off reason", ("none", *(word for word, _ in OFF_REASONS), "several"), diagnostic=True
    ),
    **{f"off_reason_{word}": flag(name, diagnostic=True) for word, name in OFF_REASONS},
}


def read_off_reasons(reasons: int) -> tuple[Values, tuple[str, ...]]:
    """Read values of OFF_REASON_ROWS and what is unknown of them. Raises ImplausibleError."""
    found = [word for bit, (word, _) in enumerate(OFF_REASONS) if reasons >> bit & 1]
    reserved = reasons >> len(OFF_REASONS)
    if reserved.bit_count() > 1:
        raise ImplausibleError(f"implausible: off reasons {reasons:#010x}")
    values: Values = {f"off_reason_{word}": on_off(word in found) for word, _ in OFF_REASONS}
    count = len(found) + reserved.bit_count()
    if count > 1:
        return {"off_reason": "several", **values}, ()
    if reserved:
        return {"off_reason": None, **values}, ("off_reason",)
    return {"off_reason": found[0] if found else "none", **values}, ()
