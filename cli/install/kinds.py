"""What is asked about each kind of device and relay: a row a setting. A test holds it against the kinds."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Value = str | int | float | bool | list[str] | list[list[float]] | dict[str, int]


class AnswerError(ValueError):
    """Why an answer cannot be, and what is allowed."""


@dataclass(frozen=True)
class Question:
    """A setting, the question, its default (None: an answer is needed), how text becomes it."""

    key: str
    text: str
    default: str | None
    take: Callable[[str], Value]
    secret: bool = False
    wire: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of device; `wire` says how it is reached, `name` is the proposal for its id."""

    kind: str
    title: str
    wire: str
    name: str
    questions: tuple[Question, ...]
    fixed: Mapping[str, Value] | None = None


def whole(least: int, most: int) -> Callable[[str], int]:
    """Read whole numbers, decimal or 0x…, from `least` to `most`."""

    def take(value: str) -> int:
        try:
            number = int(value, 0)
        except ValueError:
            raise AnswerError(f"a whole number of {least} to {most}, please") from None
        if not least <= number <= most:
            raise AnswerError(f"{number} is out of range: {least} to {most}")
        return number

    return take


def number(value: str) -> float:
    """Read a number above 0; a comma is taken for a point."""
    try:
        found = float(value.replace(",", "."))
    except ValueError:
        raise AnswerError("a number such as 0.1, please") from None
    if not 0 < found < 1e9:
        raise AnswerError("it must be above 0")
    return found


def mac(value: str) -> str:
    """Read a Bluetooth address, with colons, dashes or nothing between."""
    digits = re.sub(r"[:\-\s.]", "", value).upper()
    if not re.fullmatch(r"[0-9A-F]{12}", digits):
        raise AnswerError("an address such as C0:11:22:33:44:55, please: VictronConnect shows it")
    return ":".join(digits[place : place + 2] for place in range(0, 12, 2))


def key(value: str) -> str:
    """Read an encryption key."""
    digits = re.sub(r"[:\-\s]", "", value).lower()
    if not re.fullmatch(r"[0-9a-f]{32}", digits):
        wrong = "".join(dict.fromkeys(re.sub(r"[0-9a-f]", "", digits)))
        which = f"{wrong[:4]!r} is no hexadecimal digit" if wrong else f"it has {len(digits)}"
        raise AnswerError(f"32 hexadecimal digits (0-9, a-f), please: {which}")
    return digits


def calibration(value: str) -> list[list[float]]:
    """Pairs of raw value and percent: 240=0, 33=100."""
    pairs = [one.partition("=") for one in value.split(",") if one.strip()]
    try:
        table = [[float(raw), float(percent)] for raw, _, percent in pairs]
    except ValueError:
        raise AnswerError("pairs of ohms (or volts) and percent, please: 240=0, 103=50, 33=100") from None
    if len(table) < 2:
        raise AnswerError("at least two pairs, please: empty and full")
    return table


def levels(value: str) -> dict[str, int]:
    """Pairs of percent and pin: 25=5, 50=6."""
    pairs = [one.partition("=") for one in value.split(",") if one.strip()]
    if not pairs:
        raise AnswerError("pairs of percent and BCM pin, please: 25=5, 50=6")
    return {str(whole(0, 100)(percent)): whole(0, 27)(pin.strip()) for percent, _, pin in pairs}


def yes(value: str) -> bool:
    """Yes or no."""
    if value.lower() in ("y", "yes", "true", "on", "1"):
        return True
    if value.lower() in ("n", "no", "false", "off", "0"):
        return False
    raise AnswerError("y or n, please")


BLE, SERIAL, TCP, I2C, PINS = "Bluetooth", "serial port", "local network", "I2C", "pins"

_PORT = Question("port", "Which port", None, str)
_UNIT = Question("unit", "Modbus unit", "1", whole(1, 247))
_BUS = Question("address", "Address on the bus, such as 0x40", None, whole(0x03, 0x77))
_PIN = Question("pin", "BCM number of the pin", None, whole(0, 27))
_ADDRESS = (Question("address", "Bluetooth address", None, mac),)
_VICTRON = (
    *_ADDRESS,
    Question("key", "Encryption key", None, key, secret=True),
)
_TCP = Question("port", "Address, such as tcp://192.168.1.40", None, str, wire=TCP)

KINDS: tuple[Kind, ...] = (
    Kind("victron", "a Victron device with Instant Readout", BLE, "victron", _VICTRON),
    Kind(
        "vedirect",
        "a Victron device on a VE.Direct cable (SmartShunt, MPPT, inverter, charger)",
        SERIAL,
        "victron_cable",
        (_PORT,),
    ),
    Kind(
        "epever_tracer",
        "an Epever Tracer on RS485",
        SERIAL,
        "epever",
        (_PORT, Question("baudrate", "Speed, bit/s", "115200", whole(300, 4_000_000)), _UNIT),
    ),
    Kind(
        "modbus",
        "an inverter or a meter on Modbus RTU",
        SERIAL,
        "meter",
        (_PORT, Question("profile", "Profile (docs/devices.md lists them)", None, str), _UNIT),
    ),
    Kind(
        "route_b_meter",
        "a Japanese smart meter through a Wi-SUN stick",
        SERIAL,
        "grid",
        (
            _PORT,
            Question("route_b_id", "Route B id, 32 characters", None, str, secret=True),
            Question("route_b_password", "Route B password, 12 characters", None, str, secret=True),
        ),
    ),
    Kind("p1_meter", "a smart meter with a P1 port", SERIAL, "house_meter", (_PORT,)),
    Kind(
        "sml_meter", "an electricity meter that sends SML, by a reading head", SERIAL, "house_meter", (_PORT,)
    ),
    Kind(
        "modbus",
        "an inverter or a meter on Modbus TCP",
        TCP,
        "inverter",
        (_TCP, Question("profile", "Profile (docs/devices.md lists them)", None, str), _UNIT),
    ),
    Kind("sunspec", "a SunSpec inverter", TCP, "roof", (_TCP,)),
    Kind(
        "ina219",
        "an INA219: current of an appliance",
        I2C,
        "fridge",
        (
            _BUS,
            Question("shunt", "Shunt, ohms", "0.1", number),
            Question("max_current", "The largest current to expect, A", "3.2", number),
        ),
    ),
    Kind(
        "ads1115_voltage",
        "an ADS1115 that measures a voltage",
        I2C,
        "starter",
        (
            _BUS,
            Question("channel", "Input, 0 to 3", "0", whole(0, 3)),
            Question("gain", "Full scale of the chip, V", "4.096", number),
            Question("divider", "Volts at the source per volt at the chip", "1", number),
        ),
    ),
    Kind(
        "tank_sender",
        "a resistive tank sender on an ADS1115",
        I2C,
        "fresh_water",
        (
            _BUS,
            Question("channel", "Input, 0 to 3", "0", whole(0, 3)),
            Question("pull_up", "Ohms between sender and supply", "220", number),
            Question("supply", "Volts of that supply", "3.3", number),
            Question("calibration", "Ohms and percent (240=0, 33=100)", "240=0, 103=50, 33=100", calibration),
            Question("capacity", "Litres when full", "100", number),
        ),
    ),
    Kind(
        "gpio_input",
        "a contact (door, shore power)",
        PINS,
        "contact",
        (_PIN, Question("active_low", "Does it connect the pin to ground (y/n)", "y", yes)),
    ),
    Kind(
        "tank_switches",
        "a tank with level switches",
        PINS,
        "waste_water",
        (
            Question("levels", "Percent and BCM pin of each switch (25=5, 50=6)", None, levels),
            Question("capacity", "Litres when full", "100", number),
        ),
    ),
    *(
        Kind(f"bms_{maker}", f"a lithium battery with a BMS of {brands}", BLE, "battery", _ADDRESS)
        for maker, brands in (
            ("jbd", "JBD (Overkill, Xiaoxiang, many others)"),
            ("daly", "Daly"),
            ("jk", "JK"),
            ("litime", "LiTime, Redodo or Power Queen"),
            ("renogy", "Renogy"),
            ("topband", "Ective, Starcraft or KiloVault"),
        )
    ),
    Kind(
        "mopeka",
        "a Mopeka sensor below a gas bottle or a tank",
        BLE,
        "gas_bottle",
        (
            *_ADDRESS,
            Question("calibration", "Height in mm and percent (25=0, 254=100)", "25=0, 254=100", calibration),
            Question("capacity", "Litres when full", "21", number),
        ),
    ),
    Kind("ruuvi", "a RuuviTag or Ruuvi Air", BLE, "outside", _ADDRESS),
    Kind("bthome", "a BTHome sensor (Shelly BLU, Xiaomi, ESPHome) without key", BLE, "sensor", _ADDRESS),
)
RELAY: tuple[Question, ...] = (
    _PIN,
    Question("active_low", "Does the relay switch on when the pin is low? Most boards do (y/n)", "y", yes),
)


def toml_value(value: Value | list[float]) -> str:
    """Write a value as TOML does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {toml_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)


def shown(value: Value) -> str:
    """Write a value as a person would answer it."""
    if isinstance(value, bool):
        return "y" if value else "n"
    pairs = list(value.items()) if isinstance(value, dict) else value
    if isinstance(pairs, list):
        return ", ".join(
            one if isinstance(one, str) else "=".join(f"{part}" for part in one) for one in pairs
        )
    return str(value)


def id_for(name: str, taken: set[str]) -> str:
    """Make an id of what somebody calls it, which is not `taken`, and take it."""
    wanted = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:50] or "device"
    made, number = wanted, 1
    while made in taken:
        number += 1
        made = f"{wanted}_{number}"
    taken.add(made)
    return made
