"""How the texts of VE.Direct's fields become values in the units of the house.

Codes and formats: Victron Energy, VE.Direct Protocol, the descriptions of its fields.
"""

import re
from collections.abc import Callable, Mapping

from collector.devices import victron_codes

NOT_AVAILABLE = "---"
# The protocol's numbers have 32 bits; what is much longer is none.
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}|0[xX][0-9A-Fa-f]{1,8}")

TRACKER_STATES = {0: "off", 1: "limited", 2: "active"}
MODES = {1: "charger", 2: "inverter", 4: "off", 5: "eco", 253: "hibernate"}
# What a SmartShunt is set to measure; the words are those of a DC energy meter over Bluetooth.
METER_TYPES = {
    -9: "solar_charger",
    -8: "wind_charger",
    -7: "shaft_generator",
    -6: "alternator",
    -5: "fuel_cell",
    -4: "water_generator",
    -3: "dc_dc_charger",
    -2: "ac_charger",
    -1: "generic_source",
    0: "battery_monitor",
    1: "generic_load",
    2: "electric_drive",
    3: "fridge",
    4: "water_pump",
    5: "bilge_pump",
    6: "dc_system",
    7: "inverter",
    8: "water_heater",
}
CHARGER_ERRORS = victron_codes.CHARGER_ERRORS | {19: "current_reversed"}


def number(text: str) -> int:
    """A decimal number, or a hexadecimal one with 0x. Raises ValueError."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no number")
    return int(text, 16) if text[:2] in ("0x", "0X") else int(text)


def scaled(factor: float, digits: int) -> Callable[[str], float]:
    """Reads a number and multiplies it, rounded to `digits` decimals."""
    return lambda text: round(number(text) * factor, digits)


def minutes(text: str) -> float | None:
    """TTG: minutes as seconds, None if there is no end. Raises ValueError."""
    return None if number(text) < 0 else number(text) * 60


def switch(text: str) -> str:
    """ON or OFF in any case. Raises ValueError."""
    if text.upper() not in ("ON", "OFF"):
        raise ValueError(f"{text!r} is neither ON nor OFF")
    return text.upper()


def word(words: Mapping[int, str]) -> Callable[[str], str]:
    """Reads a code as its word."""

    def read(text: str) -> str:
        code = number(text)
        if code not in words:
            raise ValueError(f"{code} is no code that anybody described")
        return words[code]

    return read


def drawn(text: str) -> float:
    """H6: mAh that count down from 0, as Ah that count up. Raises ValueError."""
    return abs(round(number(text) * 0.001, 3))


def firmware(text: str) -> str:
    """FW: 0419 is 4.19, C208 the release candidate C of 2.08. Raises ValueError."""
    candidate, digits = (text[0], text[1:]) if text[:1].isalpha() else ("", text)
    version = f"{int(digits[:-2])}.{int(digits[-2:]):02}"
    return f"{version}-rc-{candidate}" if candidate else version


def long_firmware(text: str) -> str:
    """FWE: 0419FF is 4.19, 041902 its second beta. Raises ValueError."""
    version = firmware(text[:-2])
    return version if text[-2:].upper() == "FF" else f"{version}-beta-{int(text[-2:], 16):02}"


milli = scaled(0.001, 3)
one = scaled(1, 0)
# From hundredths of kWh.
energy = scaled(10, 0)
