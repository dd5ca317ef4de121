"""What is wrong with a setting, in the words of who wrote it."""

import difflib
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin

from config.mistakes import SECRETS
from config.model import Settings, key_of

_PINS = ("pin", "feedback_pin")
# What pydantic asks for, as an owner calls it.
_WORDS = {
    "a valid integer": "a whole number, without a unit",
    "a valid number": "a number, without a unit and with a point, such as 1.5",
    "a valid boolean": "true or false, without quotes",
    "a valid string": "a text in quotes",
    "a valid tuple": 'a list in brackets, such as ["a", "b"]',
    "a finite number": "a number, no inf and no nan",
}
_NEEDED = {
    "kind": 'kind = "…", one of docs/devices.md',
    "pin": "pin = the BCM number of the output, 0 to 27",
}
NO_ID = "the table has no id"
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
NO_TABLE = ("dataclass_type", "dict_type")
# So many settings are no help in a sentence.
_MANY = 20
# How other programs call our settings.
_SYNONYMS = {
    **dict.fromkeys(("mac", "mac_address", "bluetooth_address", "addr"), "address"),
    **dict.fromkeys(("encryption_key", "bindkey", "advertisement_key", "encryptionkey"), "key"),
    **dict.fromkeys(("gpio", "bcm", "gpio_pin"), "pin"),
    **dict.fromkeys(("slave", "slave_id", "unit_id", "modbus_id", "slaveid"), "unit"),
    **dict.fromkeys(("interval", "poll", "period", "poll_interval", "scan_interval"), "every"),
    **dict.fromkeys(("baud", "speed", "baud_rate"), "baudrate"),
    **dict.fromkeys(("serial", "serial_port", "tty", "device", "path"), "port"),
    **dict.fromkeys(("server", "ip", "hostname", "broker", "address"), "host"),
    **dict.fromkeys(("user", "login", "user_name"), "username"),
    **dict.fromkeys(("pass", "pw", "passwd"), "password"),
    **dict.fromkeys(("topic", "prefix", "base_topic", "topic_prefix"), "base"),
    **dict.fromkeys(("type", "model", "class"), "kind"),
    **dict.fromkeys(("inverted", "invert", "active_high", "low_active"), "active_low"),
    **dict.fromkeys(("mqtt", "mosquitto"), "broker"),
    **dict.fromkeys(("bluetooth",), "ble"),
    **dict.fromkeys(("switch", "relays"), "relay"),
    **dict.fromkeys(("outputs", "forward", "sink", "export"), "output"),
    **dict.fromkeys(("notification", "notifications", "apprise"), "notify"),
    **dict.fromkeys(("guard",), "battery_guard"),
}
# Tables that the owner names, each with an id as an example.
NAMED = {"device": "smartshunt", "user": "phone", "relay": "pump", "alarm": "battery", "rule": "generator"}


def wrong(kind: str, value: object, location: list[str]) -> str:
    """Say what is wrong, from the kind of error that pydantic tells, and without a secret."""
    if kind == "missing":
        return "it is missing"
    if kind in _UNKNOWN:
        at_top = len(location) == 1 and not isinstance(value, dict | list)
        return "it stands before the first [table]" if at_top else "there is no such setting"
    if kind in NO_TABLE:
        # The value may hold secrets.
        return NO_ID if _has_no_id(location) else "this is no table"
    if location and location[-1] in SECRETS:
        return "this is not allowed"
    return f"{str(value).lower() if isinstance(value, bool) else repr(value)} is not allowed"


def _has_no_id(location: list[str]) -> bool:
    """Whether it is a setting that stands in [device], where [device.<id>] was meant."""
    # A shunt is also what many call their device.
    if len(location) != 2 or location[0] not in NAMED or location[1] == "shunt":
        return False
    return location[1] in known([location[0], "x"])


def allowed(kind: str, value: object, message: str, location: list[str]) -> str:
    """Say what is allowed, or what to do."""
    if kind in _UNKNOWN:
        return _meant(location, value)
    if kind == "missing":
        return _NEEDED.get(location[-1], f"a value for {location[-1]}")
    if kind in NO_TABLE:
        if location[0] in NAMED and (len(location) == 1 or _has_no_id(location)):
            return f"write [{location[0]}.{NAMED[location[0]]}], with an id of your own"
        return f"a table, such as [{'.'.join(location)}]"
    if location[-1] in _PINS or "levels" in location[:-1]:
        return "a BCM number, 0 to 27; the numbers of the header are others"
    text = message.split(", unable", maxsplit=1)[0].split(", got", maxsplit=1)[0]
    for start in ("Input should be ", "Value should be "):
        text = text.removeprefix(start)
    return _WORDS.get(text, text[0].lower() + text[1:])


def _meant(location: list[str], value: object) -> str:
    """Guess what a name that no setting has should be."""
    *above, word = location
    if above:
        table = _SYNONYMS.get(word.lower(), word)
        if isinstance(value, dict | list) and table in known([]):
            header = f"{table}.{NAMED[table]}" if table in NAMED else table
            return f"write [{header}], a table of its own"
        return nearest(word, known(above))
    if not isinstance(value, dict | list):
        tables = [t for t in known([]) if word in (known([t, "x"]) if t in NAMED else known([t]))]
        below = " or ".join(f"[{t}.<id>]" if t in NAMED else f"[{t}]" for t in tables)
        return f"put it below {below}" if below else "put it below its [table]"
    close = difflib.get_close_matches(word.lower(), known([]), n=1)
    if isinstance(value, dict) and close and close[0] in NAMED:
        first = next(iter(value), "<id>")
        return f"did you mean [{close[0]}.{first}]?"
    if isinstance(value, dict) and set(value) & {"kind", "pin"}:
        return f"did you mean [{'device' if 'kind' in value else 'relay'}.{word}]?"
    return nearest(word, known([]))


def nearest(word: str, among: list[str]) -> str:
    """Guess what a word is meant for, else list what there is."""
    meant = _SYNONYMS.get(word.lower().replace("-", "_"))
    close = [meant] if meant in among else difflib.get_close_matches(word.lower(), among, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return ", ".join(among) if len(among) < _MANY else "docs/devices.md lists the settings of each kind"


def known(location: list[str]) -> list[str]:
    """List the keys of the table at a location."""
    table = _kind(location)
    return [key_of(f.name) for f in fields(table)] if is_dataclass(table) else []


def container(location: list[str]) -> type | None:
    """Tell what JSON has for the setting at a location: a list, a dict, or None if it is neither."""
    kind = _kind(location)
    if get_origin(kind) is tuple:
        return list
    return dict if is_dataclass(kind) or get_origin(kind) is dict else None


def _kind(location: list[str]) -> Any:  # noqa: ANN401 — an annotation
    """Find the annotation of the setting at a location; of one that may be absent that of its value."""
    kind: Any = Settings
    for part in location:
        found = {key_of(f.name): f.type for f in fields(kind)} if is_dataclass(kind) else {}
        kind = found.get(part, next(reversed(get_args(kind)), None))
        if isinstance(kind, UnionType):
            kind = next((one for one in get_args(kind) if is_dataclass(one) or get_origin(one)), kind)
    return kind
