"""VE.Direct HEX: the table of registers, by family of device, beside those that stand for text.

Numbers, types, scales and what means "not available": github.com/victronenergy/gui-v2, velib, ve_regs.h;
words: Victron Energy, VE.Direct Protocol HEX of the MPPT chargers, the BMV and the Phoenix inverters. The
ranges of voltages are ours, where the device does not tell them: what a battery of that system may need.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from msgspec.structs import replace as changed

from bus.commands import Switch
from collector.devices.description import RefusedError, Row, Rows, Value, Write
from collector.devices.rows import as_optional, flag, measured, status
from collector.devices.victron.products import Family

# Asked again after so many seconds: measured values, and settings.
LIVE_S, SETTING_S = 10.0, 600.0
SERIAL, DEVICE_MODE = 0x010A, 0x0200
# As the text writes it.
NOT_AVAILABLE = "---"
# What other registers, or the text, say too.
REPEATS = frozenset({0x0100, 0x0102, 0x010B, DEVICE_MODE, 0x0120, 0x0202, 0x0205, 0xED8E, 0xEDD5, 0xEDD7})
_SYSTEM_VOLTAGE, _LARGEST_CURRENT = 0xEDEF, 0xEDDF
_KELVIN = -273.15
# Kept in a memory that wears; a mode must be able to go off at once after it went on.
_SET_POINT = Write(300, "kept")
_POSITION = Write(10, "kept")
_LOAD_MODES = {
    0: "off",
    1: "automatic",
    2: "alternative_1",
    3: "alternative_2",
    4: "on",
    5: "user_1",
    6: "user_2",
    7: "automatic_energy_selector",
}
_BATTERY_TYPES = {number: f"type_{number}" for number in range(1, 9)} | {255: "user_defined"}
_SWITCHED = {1: "ON", 4: "OFF", 0: "OFF"}
HIBERNATE = "hibernate"
INVERTER_MODES = {2: "inverter", 4: "off", 5: "eco", 253: HIBERNATE}


@dataclass(frozen=True, slots=True)
class Register:
    """A register's entity, its row, and how its number becomes the value; `words` lists codes instead.

    What a setting may be: `limits` are the registers that hold the least and the greatest number, on the same
    scale; `per_12_volts` is for each 12 V of the system. `every` is in seconds.
    """

    entity: str
    row: Row
    factor: float = 1
    plus: float = 0
    signed: bool = False
    words: Mapping[int, str] | None = None
    within: tuple[float, float] | None = None
    every: float = SETTING_S
    limits: tuple[int | None, int | None] = (None, None)
    per_12_volts: tuple[float, float] | None = None

    def read(self, data: bytes) -> Value:
        """Return the value, None if the device has none or says what it cannot be."""
        raw = number(data, signed=self.signed)
        if raw is None or self.words is not None:
            return None if raw is None or self.words is None else self.words.get(raw)
        value = round(raw * self.factor + self.plus, 3)
        least, most = self.within or (value, value)
        return value if least <= value <= most else None

    def strange(self, data: bytes) -> bool:
        """Whether it is a code that `words` does not have."""
        raw = number(data, signed=self.signed)
        return self.words is not None and raw is not None and raw not in self.words

    def write(self, wanted: Value, length: int) -> bytes:
        """Return the bytes of a value that the row allows. Raises RefusedError if they are too few."""
        if self.words is not None:
            raw = next(code for code, word in self.words.items() if word == wanted)
        else:
            assert isinstance(wanted, float | int)  # noqa: S101 — as its row says
            raw = round((wanted - self.plus) / self.factor)
        try:
            return raw.to_bytes(length, "little", signed=self.signed)
        except OverflowError as error:
            raise RefusedError(f"{wanted} does not fit into the {length} bytes of its register") from error

    def target(self, wanted: Switch | float | str, now: Value) -> Value:
        """Return the value that a command asks for."""
        if wanted is Switch.TOGGLE:
            return "OFF" if now == "ON" else "ON"
        return str(wanted) if self.words is not None else float(wanted)

    def narrowed(self, row: Row, known: Mapping[int, bytes]) -> Row:
        """Return its row with the range that the device itself tells, as far as it has."""
        bounds = row.entity.range
        if bounds is None:
            return row
        volts = number(known.get(_SYSTEM_VOLTAGE, b""))
        if self.per_12_volts is not None and volts:
            bounds = (self.per_12_volts[0] * volts / 12, self.per_12_volts[1] * volts / 12)
        told = [None if one is None else number(known.get(one, b"")) for one in self.limits]
        least, most = (
            bound if raw is None else round(raw * self.factor, 3)
            for raw, bound in zip(told, bounds, strict=True)
        )
        if (least, most) == row.entity.range or least >= most:
            return row
        return replace(row, entity=changed(row.entity, range=(least, most)))


def number(data: bytes, *, signed: bool = False) -> int | None:
    """Read a number of one to four bytes; None if it is another one, or stands for "not available"."""
    if not 1 <= len(data) <= 4:
        return None
    raw = int.from_bytes(data, "little", signed=signed)
    return None if raw == (1 << 8 * len(data) - signed) - 1 else raw


def _setting(row: Row, least: float, most: float, step: float, write: Write = _SET_POINT) -> Row:
    entity = changed(row.entity, command=True, range=(least, most), step=step, state_class=None)
    return Row(entity=entity, write=write)


def _choice(row: Row, write: Write) -> Row:
    return replace(row, entity=changed(row.entity, command=True), write=write)


def _set_point(entity: str, name: str) -> Register:
    row = _setting(measured(name, "V", precision=2), 8.0, 69.6, 0.01)
    return Register(entity, row, 0.01, per_12_volts=(8.0, 17.4))


def _threshold(entity: str, name: str) -> Register:
    row = _setting(measured(name, "V", precision=2), 8.0, 69.6, 0.01)
    return Register(entity, row, 0.01, limits=(0x2211, 0x2212))


def _degrees(entity: str, name: str, *, diagnostic: bool = False, role: str | None = None) -> Register:
    row = measured(name, "°C", diagnostic=diagnostic, role=role)
    return Register(entity, row, 0.01, signed=True, within=(-60, 150), every=LIVE_S)


def _constant(entity: str, name: str, unit: str | None, factor: float = 1, *, precision: int = 0) -> Register:
    row = measured(name, unit, state_class="", precision=precision, step=0, diagnostic=True)
    return Register(entity, row, factor)


_CHARGE_CURRENT = Register(
    "charge_current_limit",
    _setting(measured("Charge current limit", "A", precision=1), 0, 250, 0.1),
    0.1,
    limits=(None, _LARGEST_CURRENT),
)
_BATTERY_TEMPERATURE = Register(
    "battery_temperature",
    measured("Battery temperature", "°C", role="battery"),
    0.01,
    _KELVIN,
    within=(-60, 125),
    every=LIVE_S,
)
# Of all that charge a battery.
_CHARGERS: dict[int, Register] = {
    0xEDEC: _BATTERY_TEMPERATURE,
    0xEDDB: _degrees("charger_temperature", "Charger temperature", diagnostic=True),
    DEVICE_MODE: Register("charger", _choice(flag("Charger"), _POSITION), words=_SWITCHED),
    _SYSTEM_VOLTAGE: _constant("system_voltage", "System voltage", "V"),
    _LARGEST_CURRENT: _constant("largest_charge_current", "Largest charge current", "A", 0.1, precision=1),
    0xEDF0: _CHARGE_CURRENT,
    0xEDF7: _set_point("absorption_voltage", "Absorption voltage"),
    0xEDF6: _set_point("float_voltage", "Float voltage"),
    0xEDF1: Register(
        "battery_type", status("Battery type", _BATTERY_TYPES.values(), diagnostic=True), words=_BATTERY_TYPES
    ),
}
_STORAGE = _set_point("storage_voltage", "Storage voltage")
_SUN: dict[int, Register] = _CHARGERS | {
    0xEDBD: Register(
        "solar_current", measured("Solar current", "A", role="solar"), 0.1, within=(0, 600), every=LIVE_S
    ),
    0xEDF4: _set_point("equalisation_voltage", "Equalisation voltage"),
    0xEDAB: Register(
        "load_mode", _choice(status("Load output mode", _LOAD_MODES.values()), _POSITION), words=_LOAD_MODES
    ),
}
_MONITORS: dict[int, Register] = {
    0x1000: _constant("battery_capacity", "Battery capacity", "Ah"),
    0x1001: _constant("charged_voltage", "Charged voltage", "V", 0.1, precision=1),
    0x1002: _constant("tail_current", "Tail current", "%", 0.1, precision=1),
    0x1003: _constant("charged_detection_time", "Charged detection time", "s", 60),
    0x1004: _constant("charge_efficiency", "Charge efficiency", "%"),
    0x1005: _constant("peukert_exponent", "Peukert exponent", None, 0.01, precision=2),
    0x1006: _constant("current_threshold", "Current threshold", "A", 0.01, precision=2),
    0x1008: _constant("discharge_floor", "Discharge floor", "%", 0.1, precision=1),
    0xEEFB: _constant("shunt_current", "Shunt for", "A"),
}
_INVERTERS: dict[int, Register] = {
    DEVICE_MODE: Register(
        "mode", _choice(status("Mode", INVERTER_MODES.values()), _POSITION), words=INVERTER_MODES
    ),
    0x0230: Register(
        "ac_voltage_set_point",
        _setting(measured("AC output voltage set point", "V", precision=0), 90, 260, 1),
        0.01,
        limits=(0x0231, 0x0232),
    ),
    0x0320: _threshold("low_voltage_alarm_below", "Low voltage alarm below"),
    0x0321: _threshold("low_voltage_alarm_until", "Low voltage alarm until"),
    0x2210: _threshold("shutdown_below", "Shutdown below"),
}


def _trackers() -> dict[int, Register]:
    found: dict[int, Register] = {}
    for count, first in enumerate((0xECC0, 0xECD0, 0xECE0, 0xECF0), start=1):
        for offset, what, unit, factor, most in (
            (0xB, "voltage", "V", 0.01, 600),
            (0xC, "power", "W", 0.01, 20_000),
            (0xD, "current", "A", 0.1, 600),
        ):
            row = measured(f"Solar {what} {count}", unit)
            found[first + offset] = Register(
                f"pv_{what}_{count}", row, factor, within=(0, most), every=LIVE_S
            )
    return found


_RS: dict[int, Register] = {
    **_trackers(),
    0x2204: Register(
        "ac_out_power", measured("AC output power", "W", role="load"), signed=True, every=LIVE_S
    ),
    0x2234: Register("ac_in_power", measured("AC input power", "W", role="grid"), signed=True, every=LIVE_S),
    0x2208: Register("ac_frequency", measured("AC output frequency", "Hz"), 0.01, every=LIVE_S),
    0xEDEC: _BATTERY_TEMPERATURE,
}
REGISTERS: Mapping[Family, Mapping[int, Register]] = {
    Family.MONITOR: _MONITORS,
    Family.SOLAR: _SUN,
    Family.INVERTER: _INVERTERS,
    Family.CHARGER: _CHARGERS | {0xEDF5: _STORAGE},
    Family.DC_DC: _CHARGERS | {0xEDF5: _STORAGE},
    Family.RS: _RS,
    # It may be anything: what it is asked for must not switch or set it.
    Family.OTHER: {0xEDEC: _BATTERY_TEMPERATURE, 0xEDDB: _CHARGERS[0xEDDB]},
}
# Registers that are asked for only because a setting's range is in them.
LIMITS: Mapping[Family, frozenset[int]] = {
    family: frozenset(
        one for register in table.values() for one in register.limits if one is not None and one not in table
    )
    for family, table in REGISTERS.items()
}
# All registers that a range is made of.
RANGES: Mapping[Family, frozenset[int]] = {
    family: LIMITS[family] | ({_SYSTEM_VOLTAGE, _LARGEST_CURRENT} & table.keys())
    for family, table in REGISTERS.items()
}


def hex_rows(family: Family, said: Rows) -> dict[str, Row]:
    """Return what registers add to the text's rows; a setting that the text shows takes its row's place."""
    return {
        register.entity: replace(register.row, optional=said[register.entity].optional)
        if register.entity in said
        else as_optional(register.row)
        for register in REGISTERS[family].values()
    }


@dataclass(frozen=True, slots=True)
class AsText:
    """What a register says as the text would: a label, and its number as that counts."""

    label: str
    factor: float = 1
    signed: bool = False
    words: Mapping[int, str] | None = None

    def read(self, data: bytes) -> str:
        """Return the label's text."""
        raw = number(data, signed=self.signed)
        if raw is None:
            return NOT_AVAILABLE
        return str(round(raw * self.factor)) if self.words is None else self.words.get(raw, NOT_AVAILABLE)


# Of devices that say no text. Labels count in mV and mA, registers in 0.01 V and 0.1 A.
_ALL: dict[int, AsText] = {0x0207: AsText("OR"), 0xED8D: AsText("V", 10, signed=True)}
_COMMON: dict[int, AsText] = _ALL | {
    0xED8F: AsText("I", 100, signed=True),
    # Finer than the one before, where the device has both.
    0xED8C: AsText("I", signed=True),
}
_CHARGING = {0x0201: AsText("CS"), 0xEDDA: AsText("ERR")}
AS_TEXT: Mapping[Family, Mapping[int, AsText]] = {
    Family.MONITOR: _COMMON
    | {
        0x031E: AsText("AR"),
        0x0FFF: AsText("SOC", 0.1),
        0x0FFE: AsText("TTG"),
        0xEEFF: AsText("CE", 100, signed=True),
    },
    Family.SOLAR: _COMMON
    | _CHARGING
    | {
        0xEDA8: AsText("LOAD", words={0: "OFF", 1: "ON"}),
        0xEDAD: AsText("IL", 100),
        0xEDB3: AsText("MPPT"),
        0xEDBB: AsText("VPV", 10),
        0xEDBC: AsText("PPV", 0.01),
        0xEDD3: AsText("H20"),
        0xEDDC: AsText("H19"),
    },
    Family.INVERTER: _ALL
    | {
        0x0201: AsText("CS"),
        DEVICE_MODE: AsText("MODE"),
        0x031E: AsText("AR"),
        0x031C: AsText("WARN"),
        0x2200: AsText("AC_OUT_V", signed=True),
        0x2201: AsText("AC_OUT_I", signed=True),
        0x2205: AsText("AC_OUT_S", signed=True),
    },
    Family.CHARGER: _COMMON | _CHARGING,
    Family.DC_DC: _COMMON
    | _CHARGING
    | {0xEDBB: AsText("DC_IN_V"), 0xEDBD: AsText("DC_IN_I"), 0xEDBC: AsText("DC_IN_P", 0.01)},
    Family.RS: _COMMON | _CHARGING | {DEVICE_MODE: AsText("MODE"), 0x0FFF: AsText("SOC", 0.1)},
    Family.OTHER: _COMMON | _CHARGING,
}
