"""The verb `kinds`: what a form has to ask for each kind of device, as JSON Schema."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from bus.commands import Code, Refused
from bus.requests import Listing, Part, Place
from collector.checking import FIRST_BUS, settings_of
from collector.device import cadence
from collector.device_store import SECRETS, DeviceSettings
from collector.devices import KINDS, find_kind, wire_of
from collector.devices.description import I2cKind, Kind, PolledKind, Wire
from config.addresses import ADDRESS_PATTERN, BLE, KEY_PATTERN, NETWORK, TCP, spelt
from config.model import Device, Settings

Schema = dict[str, Any]


class Meaning(NamedTuple):
    """A setting in words, its unit, and its title where the name does not say it."""

    text: str
    unit: str | None = None
    title: str | None = None


MEANINGS: Mapping[str, Meaning] = {
    "active_low": Meaning("true: a low level means ON"),
    "address": Meaning("Bluetooth address, the chip's address on the bus, or the id of a sensor on 1-Wire"),
    "baudrate": Meaning("of the serial port, bit/s", "bit/s"),
    "bus": Meaning("number of the I2C bus"),
    "calibration": Meaning("table of [raw, %], rising or falling in both"),
    "capacity": Meaning("litres when full", "L"),
    "allow_write": Meaning("true: commands may change its settings; false: they are only read"),
    "channel": Meaning("input of the chip: 0 to 3 of an ADS1115, 1 to 3 of an INA3221"),
    "chip": Meaning("the kernel's name of the chip, such as sht3x; of pins, such as mcp23017"),
    "correction": Meaning("true current divided by measured current"),
    "counts": Meaning("what the pulses count: `water`, or `energy`"),
    "cron": Meaning("a crontab line instead, in the machine's time zone"),
    "debounce": Meaning("a change counts after so many seconds", "s"),
    "device_class": Meaning("Home Assistant's word for what ON means, such as plug or power"),
    "disabled": Meaning("entities that are not published"),
    "divider": Meaning("volts at the source divided by volts at the chip"),
    "energy": Meaning("true: each of its powers in W is added up to an energy in Wh, in both directions"),
    "every": Meaning("seconds between two polls; each kind has its own default", "s"),
    "gain": Meaning("the largest voltage that the chip measures, V", "V"),
    "heartbeat": Meaning("longest time between two readings, if nothing changes, seconds", "s"),
    "jitter": Meaning("asks up to so many seconds later, so that not all are asked at once", "s"),
    "key": Meaning("encryption key, 32 hexadecimal digits; best in a secret file"),
    "kind": Meaning("what it is"),
    "levels": Meaning("% = BCM number of the pin of the switch at that level"),
    "logger": Meaning("serial number of the data logger at solarman://, on its label; else it is asked"),
    "max_current": Meaning("the largest current that you expect, A", "A"),
    "max_gap": Meaning("of an `integral`: a longer silence adds nothing, seconds", "s"),
    "medium": Meaning("what the echo of a tank sensor passes through; without it as its model is made for"),
    "min_interval": Meaning("shortest time between two readings, seconds", "s"),
    "name": Meaning("for people"),
    "pause": Meaning("seconds that a Modbus gateway rests between an answer and the next question", "s"),
    "pin": Meaning("BCM number"),
    "port": Meaning(
        "a path such as /dev/serial/by-id/…, socket:// or rfc2217:// for one of another machine, "
        "tcp://host:502 for Modbus TCP, solarman://host:8899 for a Solarman data logger, or "
        "ble://AA:BB:CC:DD:EE:FF for a Renogy BT-1 or BT-2"
    ),
    "profile": Meaning("name of a profile of Boondock, or the path of your own"),
    "pulses_per_unit": Meaning("pulses for a litre of water, or for a kWh of energy"),
    "pull": Meaning("up, down or off"),
    "pull_up": Meaning("ohms between the sender and the supply; without it `calibration` is in volts", "Ω"),
    "push": Meaning("true: the meter sends by itself; false: it is asked"),
    "role": Meaning("what it is in the house, in place of what its kind says; `none`: nothing"),
    "route_b_id": Meaning(
        "32 characters from the electricity company; best in a secret file", title="Route B ID"
    ),
    "route_b_password": Meaning(
        "12 characters from the electricity company; best in a secret file", title="Route B password"
    ),
    "shunt": Meaning("ohms", "Ω"),
    "sign": Meaning("of an `integral`: which watts count"),
    "source": Meaning("of an `integral`: device.entity in W"),
    "steps": Meaning("by entity, how much a value must change for a new reading"),
    "supply": Meaning("volts at the pull-up", "V"),
    "timeout": Meaning("after so many seconds of silence it is offline and its values are unknown", "s"),
    "unit": Meaning("Modbus unit id, 1 to 247; over tcp:// also 0 and 255, over ble:// 255"),
}
"""Every setting of `[device.<id>]`."""

OF_SCANS: Mapping[str, Meaning] = {
    **{name: MEANINGS[name] for name in ("port", "bus")},
    "baudrates": Meaning("speeds to try, one after the other; the usual ones if it is left out", "bit/s"),
    "seconds": Meaning("how long to listen", "s"),
    "units": Meaning("Modbus units to ask, such as 1-10,126; those that makers use if it is left out"),
}
"""Every parameter of device_scan."""

# What finds devices of a kind is a scan of all that hangs on its wire.
_SCANNED = (Wire.BLE, Wire.BLE_GATT, Wire.MODBUS, Wire.I2C, Wire.KERNEL)
_PORTS = Path("/dev/serial/by-id")


class KindEntry(Struct, frozen=True):
    """A kind; `scan` is the schema of the parameters of device_scan, None if no scan finds such a device."""

    kind: str
    title: str
    manufacturer: str
    wire: str
    scan: Schema | None
    settings: Schema


class Forms:
    """The kinds of the collector `which`; `scan` are the parameters of its device_scan."""

    def __init__(self, which: str, settings: Settings, scan: type[Struct] | None) -> None:
        self._which = which
        self._settings = settings
        self._scan = None if scan is None else _of_struct(scan, OF_SCANS, which)
        self._whole: Mapping[str, Schema] = _of_struct(DeviceSettings, MEANINGS, which)["properties"]

    def listing(self, wanted: str | None, place: Place) -> Listing:
        """List the kinds that this collector reads, by name, or the one `wanted`. Raises Refused."""
        names = sorted(name for name in KINDS if self._which in wire_of(name).collectors)
        if wanted is not None:
            if wanted not in names:
                allowed = ", ".join(names) or "none"
                raise Refused(Code.NOT_FOUND, f"kind: {wanted!r} is not read here; allowed are {allowed}")
            names = [wanted]
        after = "" if place.after is None else str(place.after[0])
        parts = (Part((name,), self.entry(name)) for name in names if name > after)
        return Listing(parts, lambda found: [part.value for part in found])

    def entry(self, name: str) -> KindEntry:
        """Describe one kind. Raises ValueError."""
        kind = find_kind(name)
        return KindEntry(
            kind=name,
            title=kind.title,
            manufacturer=kind.manufacturer,
            wire=kind.wire.title,
            scan=self._scan if kind.wire in _SCANNED else None,
            settings=_object(dict(self._settings_of(kind)), kind.needs),
        )

    def _settings_of(self, kind: Kind) -> Iterator[tuple[str, Schema]]:
        defaults = defaults_of(kind, self._settings)
        for key in settings_of(kind):
            if key == "kind":
                continue
            its = _of_kind(kind, key)
            general = {k: v for k, v in self._whole[key].items() if k != "anyOf" or "type" not in its}
            secret = {"writeOnly": True} if key in SECRETS else {}
            default = {"default": defaults[key]} if key in defaults else {}
            yield key, {**general, **its, **secret, **default}


def _object(properties: Schema, required: Iterable[str]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _of_struct(struct: type[Struct], meanings: Mapping[str, Meaning], which: str) -> Schema:
    """Write the fields of a struct that have a meaning, without the null that says that one is left out."""
    whole = msgspec.json.schema(struct)["$defs"][struct.__name__]
    properties = {
        key: {**_described(key, meanings[key]), **_plain(one), **_at_hand(key, which)}
        for key, one in whole["properties"].items()
        if key in meanings
    }
    return _object(properties, [key for key in whole.get("required", ()) if key in meanings])


def _described(key: str, meaning: Meaning) -> Schema:
    title = meaning.title or key.replace("_", " ").capitalize()
    unit = {} if meaning.unit is None else {"unit": meaning.unit}
    return {"title": title, "description": meaning.text, **unit}


def _plain(one: Schema) -> Schema:
    rest = {key: value for key, value in one.items() if key != "anyOf" and (key, value) != ("default", None)}
    options = [option for option in one.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) > 1 and all(option.keys() == {"enum"} for option in options):
        options = [{"enum": [word for option in options for word in option["enum"]]}]
    whole = {**rest, **(options[0] if len(options) == 1 else {"anyOf": options} if options else {})}
    return {"type": "string", **whole} if "enum" in whole else whole


def _at_hand(key: str, which: str) -> Schema:
    """Say what a port or a profile may be here; as `examples`, for a text that is not listed may be right."""
    if key == "port":
        if which == "tcp":
            return {"pattern": f"^({'|'.join(NETWORK)})", "examples": [f"{TCP}192.168.1.40:502"]}
        if which == "ble":
            return {"pattern": f"^{BLE}", "examples": [f"{BLE}AA:BB:CC:DD:EE:FF"]}
        others = "|".join((*NETWORK, BLE))
        return {"pattern": f"^(?!{others})", "examples": sorted(map(str, _PORTS.glob("*")))}
    if key == "profile" and which in Wire.MODBUS.collectors:
        from collector.devices.modbus.models import shipped  # noqa: PLC0415 — all profiles are read for it

        return {"examples": [one.name for one in shipped() if one.about.kind == "modbus"]}
    return {}


def _of_kind(kind: Kind, key: str) -> Schema:
    """Say what this kind allows beyond the type of the setting."""
    allowed = kind.allowed.get(key)
    if key == "address" and not isinstance(allowed, re.Pattern):
        bus = isinstance(kind, I2cKind) and [spelt(one) for one in kind.addresses]
        return {"type": "string", **({"enum": bus} if bus else {"pattern": ADDRESS_PATTERN})}
    if key == "key":
        return {"pattern": KEY_PATTERN}
    if key == "steps":
        return {"properties": dict(_steps(kind))}
    if isinstance(allowed, re.Pattern):
        return {"pattern": f"^{allowed.pattern}$"}
    return {} if allowed is None else {"enum": list(allowed)}


def _steps(kind: Kind) -> Iterator[tuple[str, Schema]]:
    for name, row in kind.rows.items():
        unit = {} if row.entity.unit is None else {"unit": row.entity.unit}
        # One that tells of no change has no number to show.
        default = {"default": row.step} if math.isfinite(row.step) else {}
        yield name, {"title": row.entity.name, **unit, "type": "number", "minimum": 0, **default}


def defaults_of(kind: Kind, settings: Settings) -> Mapping[str, float | str]:
    """Return what counts for the settings of a kind that are left out, as far as that is one value."""
    its = cadence(settings, Device(kind=kind.name), kind)
    found = {"min_interval": its.min_interval, "heartbeat": its.heartbeat, "timeout": its.timeout}
    asked = {"every": kind.every, "jitter": 0} if isinstance(kind, PolledKind) else {}
    on_bus: dict[str, float | str] = {}
    if isinstance(kind, I2cKind):
        on_bus = {"bus": FIRST_BUS, "address": spelt(kind.addresses[0])}
    return {**found, **asked, **on_bus, **kind.defaults}
