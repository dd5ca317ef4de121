"""What is wrong with devices and [[import]] tables of boondock.toml that only their kinds can tell."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from bus.about import BINARY_SENSOR_CLASSES, MEASUREMENT
from bus.home_assistant import SENSORS
from bus.messages import RESERVED
from bus.schedule import BadCronError, check_cron
from collector import devices as kinds
from collector import references
from collector.devices.description import (
    BleKind,
    GattKind,
    I2cKind,
    Kind,
    PolledKind,
    Poller,
    SettingError,
    Wire,
)
from collector.devices.imported import (
    OF_NUMBERS,
    BadPathError,
    is_enumeration,
    is_number,
    is_switch,
    parse_path,
    row_of,
)
from collector.energy import with_energies
from collector.lines import baudrate
from config.addresses import ADDRESS_ALLOWED, BLE, NETWORK, ONE_WIRE_PATTERN, pin_name
from config.mistakes import Mistake
from config.model import INTEGRAL, Device, Import, ImportEntity, Relay, Settings

Wrong = tuple[str, str, str]

_DEFAULTS = Device(kind="")
# Settings that a device of any kind may have, and those of any kind that is asked.
_COMMON = ("kind", "name", "min_interval", "heartbeat", "timeout", "steps", "disabled", "role", "energy")
_ASKED = ("every", "cron", "jitter")
# Devices as their owners call them.
_CALLED = {
    "shunt": "victron_battery_monitor",
    "bmv": "victron_battery_monitor",
    "ve_direct": "vedirect",
    "epever": "epever_tracer",
    "tracer": "epever_tracer",
    "mppt": "victron_solar_charger",
    "smartsolar": "victron_solar_charger",
    "solar": "victron_solar_charger",
    "orion": "victron_dc_dc_converter",
    "rpi": "raspberry_pi",
    "one_wire": "ds18b20",
    "1_wire": "ds18b20",
    "sht3": "sht3x",
    "bme": "bme280",
    "bmp": "bme280",
    "lm75": "kernel_sensor",
    "overkill": "bms_jbd",
    "xiaoxiang": "bms_jbd",
    "liontron": "bms_jbd",
    "jikong": "bms_jk",
    "redodo": "bms_litime",
    "power_queen": "bms_litime",
    "ective": "bms_topband",
    "switch": "gpio_input",
    "gpio": "gpio_input",
    "route_b": "route_b_meter",
    "wisun": "route_b_meter",
    "dsmr": "p1_meter",
    "p1": "p1_meter",
    "iec62056": "iec62056_meter",
    "sml": "sml_meter",
    "energy": INTEGRAL,
}
# The devices of config/example.toml.
_OF_EXAMPLE = ("EE:EE:EE:EE:EE:01", "EE:EE:EE:EE:EE:02")
_TLS_PORT = 8883
_ADDRESS = re.compile(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
_SCHEMES = ("socket://", "rfc2217://", "hwgrep://", *NETWORK)


def find_mistakes(settings: Settings, where: str) -> list[Mistake]:
    """Every mistake that only the kinds can know; loads the kinds of all devices."""
    found: list[Mistake] = []
    devices = {name: device for name, device in settings.device.items() if device.kind != INTEGRAL}
    for name, device in devices.items():
        found += [Mistake(where, f"device.{name}.{k}", w, a) for k, w, a in mistakes(name, device)]
    if not found:
        found += [Mistake(where, f"device.{name}.{k}", w, a) for name, k, w, a in _crowded(devices)]
    found += [Mistake(where, *wrong) for wrong in on_bus_pins(settings)]
    found += [Mistake(where, *wrong) for wrong in references.mistakes(settings)]
    for name, table in settings.imports.items():
        found += [Mistake(where, f"import.{name}.{k}", w, a) for k, w, a in wrong_with_import(table)]
    return found


def find_doubts(settings: Settings, where: str) -> list[Mistake]:
    """Find what may be right and is likely not; no process refuses it."""
    found = [Mistake(where, *doubt) for doubt in references.doubts(settings)]
    if settings.broker.port == _TLS_PORT and settings.broker.tls_ca is None:
        allowed = "write tls_ca = the file of its certificate authority, too"
        found.append(Mistake(where, "broker.port", f"{_TLS_PORT} is the port for TLS", allowed))
    return found


def _crowded(devices: dict[str, Device]) -> Iterator[tuple[str, str, str, str]]:
    """Find what a device takes from one before it: device, field, what is wrong, what is allowed."""
    before: dict[str, Device] = {}
    for name, device in devices.items():
        for wrong in conflicts(name, device, before):
            yield name, *wrong
        before[name] = device


def mistakes(name: str, device: Device) -> Iterator[Wrong]:
    """Find the mistakes in a device's settings: field, what is wrong, what is allowed."""
    kind = kinds.KINDS.get(device.kind)
    if kind is None:
        yield "kind", f"there is no kind {device.kind!r}", _kind_meant(device.kind)
        return
    if device.address in _OF_EXAMPLE:
        wrong = "this is config/example.toml's address, which nobody has"
        yield "address", wrong, "write the address of your device, or remove its table"
    if kind.wire is Wire.BLE and re.fullmatch(ONE_WIRE_PATTERN, str(device.address).lower()):
        yield "address", "this is the id of a sensor on 1-Wire", f'{ADDRESS_ALLOWED}, or kind = "ds18b20"'
    yield from _missing(name, kind, device)
    yield from _superfluous(kind, device)
    if device.every is not None and device.cron is not None:
        yield "cron", "there is `every` already", "one of the two"
    if device.cron is not None:
        try:
            check_cron(device.cron)
        except BadCronError as error:
            yield "cron", str(error), 'five fields of crontab, such as "*/5 * * * *"'
    if device.port is not None:
        yield from _port(kind, device.port)
    yield from _entities(kind, device)


def _port(kind: Kind, port: str) -> Iterator[Wrong]:
    schemes = (*_SCHEMES, BLE) if kind.wire is Wire.MODBUS else _SCHEMES
    allowed = f"a path such as /dev/ttyUSB0, or {', '.join(schemes)}"
    if port.startswith(BLE) and BLE in schemes:
        if not _ADDRESS.fullmatch(port.removeprefix(BLE)):
            yield "port", f"{port!r} has no Bluetooth address", f'"{BLE}AA:BB:CC:DD:EE:FF"'
    elif "://" in port and not port.startswith(schemes):
        # pyserial knows more, such as one that writes whatever it hears into a file.
        yield "port", f"{port.partition('://')[0]}:// is none", allowed
    elif port != port.strip() or " " in port:
        yield "port", f"{port!r} has a space", "write it without spaces"
    elif re.fullmatch(r"COM\d+:?", port, re.IGNORECASE):
        yield (
            "port",
            f"{port} is a port of Windows",
            "write its path, such as /dev/ttyUSB0: ls /dev/serial/by-id",
        )
    elif re.fullmatch(r"[\w.-]+(:\d+)?", port) and kind.wire is Wire.MODBUS and re.search(r"[.:]", port):
        yield "port", f"{port!r} is no path", f'did you mean "tcp://{port}"?'
    elif re.fullmatch(r"(dev/)?(tty\w+|serial\d|serial/.*)", port):
        yield "port", f"{port!r} is no path", f'did you mean "/dev/{port.removeprefix("dev/")}"?'


def _kind_meant(name: str) -> str:
    known = sorted((*kinds.KINDS, INTEGRAL))
    word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    meant = [kind for part, kind in _CALLED.items() if part in word]
    close = [word] if word in known else meant or difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}? docs/devices.md lists all kinds" if close else ", ".join(known)


def _missing(name: str, kind: Kind, device: Device) -> Iterator[Wrong]:
    for key in kind.needs:
        if getattr(device, key) in (None, (), {}):
            hint = _HINTS.get(key, "{key} = …")
            yield key, "it is missing", hint.format(name=name, key=key)


_FROM_COMPANY = "from the electricity company, best in the secret file device__{name}__{key}"
_HINTS = {
    "address": "AA:BB:CC:DD:EE:FF",
    "key": "32 hexadecimal digits, here or in the secret file device__{name}__key",
    "port": "/dev/serial/by-id/…, or a URL such as socket://van.local:2323",
    "route_b_id": f"32 characters {_FROM_COMPANY}",
    "route_b_password": f"12 characters {_FROM_COMPANY}",
}


def settings_of(kind: Kind) -> tuple[str, ...]:
    """List the settings that a device of this kind may have."""
    return (*kind.needs, *kind.takes, *_COMMON, *(_ASKED if isinstance(kind, PolledKind) else ()))


def _superfluous(kind: Kind, device: Device) -> Iterator[Wrong]:
    for one in fields(Device):
        if one.name not in settings_of(kind) and getattr(device, one.name) != getattr(_DEFAULTS, one.name):
            allowed = ", ".join(sorted({*kind.needs, *kind.takes})) or "none of its own"
            yield one.name, f"a device of kind {kind.name} has no such setting", allowed


def _entities(kind: Kind, device: Device) -> Iterator[Wrong]:
    rows = kind.rows
    whole = all(getattr(device, key) not in (None, (), {}) for key in kind.needs)
    if isinstance(kind, PolledKind | BleKind) and whole:
        try:
            rows = kind.make(device).rows
        except SettingError as error:
            yield error.field, error.wrong, error.allowed
            return
    if kind.discovers:
        return
    rows = with_energies(rows) if device.energy else rows
    for key in ("steps", "disabled"):
        for entity in sorted(set(getattr(device, key)) - rows.keys()):
            yield f"{key}.{entity}", "there is no such entity", ", ".join(sorted(rows))


_OF_SWITCHES = ("payload_on", "payload_off")
_NO_LINE = "no such line here"


def wrong_with_import(table: Import) -> Iterator[Wrong]:
    """Field, what is wrong, what is allowed; the table has passed config's own rules."""
    if table.time is not None:
        yield from _path("time", table.time)
    if table.availability is not None and table.availability.path is not None:
        yield from _path("availability.path", table.availability.path)
    for name, one in table.entities.items():
        key = f"entities.{name}"
        if name in RESERVED:
            yield key, "a reading uses this word for itself", "any other id"
        if one.path is not None:
            yield from _path(f"{key}.path", one.path)
        yield from _form(key, one)


def _path(key: str, text: str) -> Iterator[Wrong]:
    try:
        parse_path(text)
    except BadPathError as error:
        yield key, f"{text!r} is no path", str(error)


def _form(key: str, one: ImportEntity) -> Iterator[Wrong]:
    if is_switch(one):
        yield from _strange(key, one, (*OF_NUMBERS, "range", "options", "map"), "its values are ON and OFF")
        if set(map(str, one.on)) & set(map(str, one.off)):
            yield f"{key}.off", "a payload cannot mean ON and OFF", "other payloads than in `on`"
        if one.device_class is not None and one.device_class not in BINARY_SENSOR_CLASSES:
            yield _no_class(key, one.device_class, "binary sensor", BINARY_SENSOR_CLASSES)
    elif is_enumeration(one):
        yield from _strange(
            key, one, (*OF_NUMBERS, "range", "device_class", *_OF_SWITCHES), "its values are words"
        )
        for said, word in one.map.items():
            if one.options and word not in one.options:
                yield f"{key}.map.{said}", f"{word!r} is none of its options", ", ".join(one.options)
    elif is_number(one):
        yield from _strange(key, one, _OF_SWITCHES, "its values are numbers")
        yield from _classes(key, one)


def _strange(key: str, one: ImportEntity, names: tuple[str, ...], why: str) -> Iterator[Wrong]:
    for name in names:
        if getattr(one, name) not in (None, (), {}):
            yield f"{key}.{name}", why, _NO_LINE


def _no_class(key: str, name: str, what: str, known: Iterable[str]) -> Wrong:
    return f"{key}.device_class", f"Home Assistant has no {what} of class {name!r}", ", ".join(sorted(known))


def _classes(key: str, one: ImportEntity) -> Iterator[Wrong]:
    entity = row_of(key, one).entity
    if entity.device_class is None:
        return
    if entity.device_class not in SENSORS:
        yield _no_class(key, entity.device_class, "sensor", SENSORS)
        return
    units, state_classes = SENSORS[entity.device_class]
    if entity.unit not in units:
        allowed = ", ".join(unit or "no unit" for unit in units)
        yield f"{key}.unit", f"{one.unit or 'no unit'} does not go with {entity.device_class}", allowed
    elif entity.state_class not in (None, *state_classes):
        wrong = f"{entity.state_class} does not go with {entity.device_class}"
        # Without a line of its own a unit means measurement.
        field = "state_class" if one.state_class or entity.state_class != MEASUREMENT else "device_class"
        yield f"{key}.{field}", wrong, f"state_class = {' or '.join(state_classes)}"


FIRST_BUS = 1
# BCM numbers that a bus takes: I2C 0 and 1, and the board's own serial port under all its names.
_I2C_PINS = {0: {0: "SDA", 1: "SCL"}, 1: {2: "SDA", 3: "SCL"}}
_SERIAL_PINS = {14: "TXD", 15: "RXD"}
_SERIAL_PORTS = ("/dev/serial0", "/dev/ttyAMA0", "/dev/ttyS0")


def conflicts(name: str, device: Device, others: Mapping[str, Device]) -> Iterator[Wrong]:
    """Where a device needs what another one has: field, what is wrong, what is allowed.

    All of them have passed `mistakes`.
    """
    chip = _chip(device)
    for other, its in others.items():
        if other == name:
            continue
        for pin in sorted(_pins(device) & _pins(its), key=str):
            yield "levels" if device.pin is None else "pin", f"{other} has pin {pin} already", "one use a pin"
        if device.port is not None and _place(device.port) == _place(its.port):
            yield from _port_shared(device, other, its)
        if not _may_share_connection(device, its):
            yield "address", f"{other} has the connection to it already", "one device a battery"
        if chip is not None and chip == _chip(its) and not _beside(device, its):
            yield "address", f"{other} is the chip at {chip[1]:#04x} already", "one device a chip, or channel"
        if _radio_address(device) is not None and _radio_address(device) == _radio_address(its):
            yield "address", f"{other} is at this address already", "one device an address"


def bus_pins(devices: Mapping[str, Device]) -> dict[int, str]:
    """Return the pins that buses of these devices take, each with what it is and for whom."""
    found: dict[int, str] = {}
    for name, device in devices.items():
        if isinstance(kinds.KINDS.get(device.kind), I2cKind):
            bus = FIRST_BUS if device.bus is None else device.bus
            for pin, line in _I2C_PINS.get(bus, {}).items():
                found.setdefault(pin, f"{line} of I2C bus {bus}, which {name} uses")
        if device.port in _SERIAL_PORTS:
            for pin, line in _SERIAL_PINS.items():
                found.setdefault(pin, f"{line} of {device.port}, which {name} uses")
    return found


def on_bus_pins(settings: Settings) -> Iterator[Wrong]:
    """Relays and inputs on a pin that a bus takes: key, what is wrong, what is allowed."""
    taken = bus_pins(settings.device)
    uses = [(f"relay.{name}.pin", relay.pin) for name, relay in settings.relay.items() if relay.chip is None]
    uses += [
        (f"relay.{name}.feedback_pin", relay.feedback_pin)
        for name, relay in settings.relay.items()
        if relay.feedback_pin is not None and relay.chip is None
    ]
    for name, device in settings.device.items():
        if device.chip is not None:
            continue
        uses += [(f"device.{name}.pin", device.pin)] if device.pin is not None else []
        uses += [(f"device.{name}.levels.{level}", pin) for level, pin in device.levels.items()]
    for key, pin in uses:
        if pin in taken:
            yield key, f"pin {pin} is {taken[pin]}", "another pin"


def taken_by_relays(device: Device, relays: Mapping[str, Relay]) -> Iterator[Wrong]:
    """Pins that the controller switches or watches, also those that this device's bus takes."""
    taken = bus_pins({"it": device})
    for relay, its in relays.items():
        theirs = {pin_name(pin, its.chip) for pin in (its.pin, its.feedback_pin) if pin is not None}
        for pin in sorted(_pins(device) & theirs, key=str):
            yield "levels" if device.pin is None else "pin", f"relay.{relay} has pin {pin}", "other pins"
        for pin in sorted(taken.keys() & theirs, key=str):
            field = "port" if device.port in _SERIAL_PORTS else "bus"
            yield (
                field,
                f"relay.{relay} has pin {pin}, which the bus needs",
                "another bus, or another relay pin",
            )


def _pins(device: Device) -> set[int | str]:
    pins = (*device.levels.values(), *(() if device.pin is None else (device.pin,)))
    return {pin_name(pin, device.chip) for pin in pins}


def _port_shared(device: Device, other: str, its: Device) -> Iterator[Wrong]:
    # Modbus is a bus: all on it listen, at one speed. Everything else on a port is alone there.
    if not all(kinds.wire_of(one.kind) is Wire.MODBUS for one in (device, its)):
        yield "port", f"{other} has {device.port} for itself", "a port of its own"
        return
    has_speed = not str(device.port).startswith((*NETWORK, BLE))
    if has_speed and (speed := _speed(its)) != _speed(device):
        yield "baudrate", f"{other} is on {device.port} with {speed}", f"{speed} on that port"
    if device.logger != its.logger:
        yield "logger", f"{other} has {its.logger or 'none'} on {device.port}", "the same for both"
    if (unit := _unit(device)) is not None and unit == _unit(its):
        yield "unit", f"{other} is unit {unit} on {device.port} already", "one device a unit"


def _place(port: str | None) -> str | None:
    """Spell a port in one way: on the network with the number that is meant if none is said."""
    scheme = next((one for one in NETWORK if (port or "").startswith(one)), None)
    if port is None or scheme is None:
        return port.upper() if port is not None and port.startswith(BLE) else port
    host = port.removeprefix(scheme).rstrip("/").lower()
    return f"{scheme}{host}" if ":" in host else f"{scheme}{host}:{NETWORK[scheme]}"


def _may_share_connection(device: Device, its: Device) -> bool:
    """Whether nothing is against a connection for both: others, or batteries with units of their own."""
    gatt = isinstance(kinds.KINDS.get(device.kind), GattKind)
    if not gatt or str(device.address).upper() != str(its.address).upper():
        return True
    return device.kind == its.kind and device.unit != its.unit


def _unit(device: Device) -> int | None:
    return getattr(_made(device), "unit", None) if device.unit is None else device.unit


def _speed(device: Device) -> int:
    return baudrate(device, _made(device))


def _made(device: Device) -> Poller[Any] | None:
    """Make the device; None if it cannot be made, such as one that an earlier version took."""
    kind = kinds.KINDS.get(device.kind)
    try:
        return kind.make(device) if isinstance(kind, PolledKind) else None
    except SettingError:
        return None


def _chip(device: Device) -> tuple[int, int] | None:
    if not isinstance(kinds.KINDS.get(device.kind), I2cKind):
        return None
    # As the kind has it: most owners leave it out.
    address = getattr(_made(device), "address", None)
    return None if address is None else (FIRST_BUS if device.bus is None else device.bus, address)


def _radio_address(device: Device) -> str | None:
    heard = device.address is not None and kinds.wire_of(device.kind) is Wire.BLE
    return str(device.address).upper() if heard else None


def _beside(device: Device, its: Device) -> bool:
    """Whether they are two channels of one chip, such as a tank's sender beside a battery's voltage."""
    channels = (device.channel, its.channel)
    return None not in channels and device.channel != its.channel
