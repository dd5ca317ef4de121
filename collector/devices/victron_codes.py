"""Victron's numbers that stand for words and bits that stand for alarms, the same in several records.

Their enums in victron-ble 0.9.3 raise on a code or a pair of bits that they do not list, so both are read
from the bits here; only the names come from the library. Bits of VE_REG_ALARM_REASON, VE_REG_WARNING_REASON
and VE_REG_DEVICE_OFF_REASON_2: github.com/victronenergy/gui-v2, velib/inc/velib/ve_regs.h.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from victron_ble.devices.base import ACInState, ChargerError, OperationMode
from victron_ble.devices.multirs import MultiRSOperationMode

from collector.devices.description import ImplausibleError, Row, Values
from collector.devices.victron import Record, boolean
from collector.devices.victron_rows import enumeration, flag, problem


@dataclass(frozen=True, slots=True)
class Code:
    """A field of `count` bits from bit `start`: its numbers as `words`; those of `absent` are null."""

    start: int
    count: int
    words: Mapping[int, str]
    absent: tuple[int, ...] = (0xFF,)


def words(codes: Iterable[Enum]) -> dict[int, str]:
    """An enum of victron-ble as lower-case words, without "not available", its misspelt word put right."""
    named = {int(code.value): code.name.lower().replace("ouput", "output") for code in codes}
    return {number: word for number, word in named.items() if word not in ("not_available", "unknown")}


CHARGE_STATES = words(OperationMode)
# Inverter/chargers say more than chargers; a word that both know is the chargers'.
INVERTER_STATES = words(MultiRSOperationMode) | {247: CHARGE_STATES[247]}
CHARGER_ERRORS = words(ChargerError)
AC_INPUTS = words(ACInState)

CHARGE_STATE = enumeration("Charge state", CHARGE_STATES.values())
CHARGER_ERROR = enumeration("Charger error", CHARGER_ERRORS.values(), diagnostic=True)
DEVICE_STATE = enumeration("Device state", INVERTER_STATES.values())
AC_INPUT = enumeration("Active AC input", AC_INPUTS.values())

CHARGER_CODES: Mapping[str, Code] = {
    "charge_state": Code(0, 8, CHARGE_STATES),
    "charger_error": Code(8, 8, CHARGER_ERRORS),
}


def read_codes(record: Record, codes: Mapping[str, Code]) -> tuple[Values, tuple[str, ...]]:
    """The words by entity, and the entities whose code nobody has described."""
    values: Values = {}
    unknown = []
    for entity, code in codes.items():
        number = record.bits(code.start, code.count)
        word = None if number in code.absent else code.words.get(number)
        values[entity] = word
        if word is None and number not in code.absent:
            unknown.append(entity)
    return values, tuple(unknown)


def require_credible(values: Values, unknown: tuple[str, ...], *, error: str) -> None:
    """Raise ImplausibleError when several codes are unknown, or one beside an error.

    One unknown code in a device that is well may be new firmware; more is noise.
    """
    troubled = values[error] not in (None, "no_error") and error not in unknown
    if len(unknown) > 1 or (unknown and troubled):
        raise ImplausibleError(f"implausible: {' and '.join(unknown)} unknown, {error} {values[error]}")


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
    """`of` is "alarm" or "warning": the row of all together and those of the bits that the device can set."""
    each = {f"{of}_{REASONS[bit][0]}": problem(f"{REASONS[bit][1]} {of}") for bit in bits}
    return {of: problem(of.capitalize(), diagnostic=False), **each}


def read_reasons(reasons: int, bits: Iterable[int], of: str = "alarm") -> Values:
    """Values of `reason_rows`. Raises ImplausibleError for several bits that such a device never sets."""
    each: Values = {f"{of}_{REASONS[bit][0]}": boolean(on=bool(reasons >> bit & 1)) for bit in bits}
    foreign = reasons & ~sum(1 << bit for bit in bits)
    # One of another kind of device may be new firmware; several, or the undefined bits, are noise.
    if foreign.bit_count() > 1 or foreign & _UNDEFINED_REASONS:
        raise ImplausibleError(f"implausible: {of} bits {reasons:#06x}")
    return {of: boolean(on=reasons != 0), **each}


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
    "off_reason": enumeration(
        "Off reason", ("none", *(word for word, _ in OFF_REASONS), "several"), diagnostic=True
    ),
    **{f"off_reason_{word}": flag(name, diagnostic=True) for word, name in OFF_REASONS},
}


def read_off_reasons(reasons: int) -> tuple[Values, tuple[str, ...]]:
    """Values of OFF_REASON_ROWS and what is unknown of them. Raises ImplausibleError."""
    found = [word for bit, (word, _) in enumerate(OFF_REASONS) if reasons >> bit & 1]
    reserved = reasons >> len(OFF_REASONS)
    if reserved.bit_count() > 1:
        raise ImplausibleError(f"implausible: off reasons {reasons:#010x}")
    values: Values = {f"off_reason_{word}": boolean(on=word in found) for word, _ in OFF_REASONS}
    count = len(found) + reserved.bit_count()
    if count > 1:
        return {"off_reason": "several", **values}, ()
    if reserved:
        return {"off_reason": None, **values}, ("off_reason",)
    return {"off_reason": found[0] if found else "none", **values}, ()
