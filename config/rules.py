"""What a type cannot say of the settings: ids, addresses, keys, pins used twice."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields

from config import access_rules, import_rules, relay_rules
from config.addresses import ID_ALLOWED, id_allowed, normal, wrong_address, wrong_key
from config.hosts import wrong_host
from config.mistakes import Mistake
from config.model import INTEGRAL, RELAY_DEVICE, Device, Settings

_ID = re.compile(r"[a-z0-9_]+\Z")
_BASE = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\Z")
_CHIP = re.compile(r"0x[0-9a-f]{1,2}\Z|[0-9]{1,3}\Z", re.IGNORECASE)
_AT = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z")
_SOURCE = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+\Z")
# What only an integral can have, and all it can have.
_DERIVED = ("source", "max_gap", "sign")
_INTEGRAL = ("kind", "name", *_DERIVED)
_LARGEST_CHIP = 255


def check(settings: Settings, where: str) -> list[Mistake]:
    """All mistakes that need more than one look; `where` names the file."""
    found = [
        *_general(settings),
        *_devices(settings),
        *_integrals(settings),
        *import_rules.imports(settings),
        *relay_rules.relays(settings),
        *_pins(settings),
        *access_rules.check(settings),
    ]
    return [Mistake(where, key, wrong, allowed) for key, wrong, allowed in found]


def _general(settings: Settings) -> Iterator[tuple[str, str, str]]:
    if (host := wrong_host(settings.broker.host)) is not None:
        yield "broker.host", host.wrong, host.allowed
    if not _BASE.match(settings.broker.base):
        yield (
            "broker.base",
            f"{settings.broker.base!r} is no base topic",
            _base_meant(settings.broker.base),
        )
    if settings.broker.password is not None and settings.broker.username is None:
        yield "broker.username", "there is a password but no user", "the user the password belongs to"
    if not settings.backup.to.startswith("/"):
        yield "backup.to", f"{settings.backup.to!r} is no whole path", "a folder, such as /media/usb"
    if not _AT.match(settings.backup.at):
        yield "backup.at", f"{settings.backup.at!r} is no time of day", "hours and minutes, such as 03:30"


def _base_meant(base: str) -> str:
    bare = base.strip("/# ")
    return f'did you mean "{bare}"?' if _BASE.match(bare) else "levels of A-Z a-z 0-9 _ - joined by /"


def _devices(settings: Settings) -> Iterator[tuple[str, str, str]]:
    owners: dict[str, str] = {}
    for name, device in settings.device.items():
        if not _ID.match(name):
            yield f"device.{name}", "this is no id", id_allowed(name)
        if name == RELAY_DEVICE:
            yield f"device.{name}", "this id belongs to the controller", "any other id"
        # A chip's is a number, which its kind looks at; several devices may share it.
        if isinstance(device.address, int) and device.address > _LARGEST_CHIP:
            yield f"device.{name}.address", "it has no quotes", 'write it as "AA:BB:CC:DD:EE:FF"'
        if isinstance(device.address, str) and not _CHIP.match(device.address):
            address = normal(device.address)
            if (wrong := wrong_address(device.address)) is not None:
                yield f"device.{name}.address", *wrong
            elif address in owners:
                yield (
                    f"device.{name}.address",
                    f"device.{owners[address]} has it already",
                    "one device an address",
                )
            owners.setdefault(address, name)
        if device.key is not None and (wrong := wrong_key(device.key)) is not None:
            yield f"device.{name}.key", *wrong


def _integrals(settings: Settings) -> Iterator[tuple[str, str, str]]:
    for name, device in settings.device.items():
        if device.kind != INTEGRAL:
            yield from _strange(name, device, _DERIVED, f"only a device of kind {INTEGRAL} has it")
            continue
        others = [f.name for f in fields(Device) if f.name not in _INTEGRAL]
        yield from _strange(name, device, others, f"a device of kind {INTEGRAL} has none")
        if device.source is None:
            yield f"device.{name}.source", "it is missing", "device.entity, such as mppt.power"
        elif not _SOURCE.match(device.source):
            yield (
                f"device.{name}.source",
                f"{device.source!r} is not device.entity",
                f"two ids of {ID_ALLOWED} joined by a dot",
            )
        elif (of := settings.device.get(device.source.split(".")[0])) is not None and of.kind == INTEGRAL:
            yield f"device.{name}.source", f"{device.source} is energy already", "an entity in W"


def _strange(name: str, device: Device, keys: Iterable[str], wrong: str) -> Iterator[tuple[str, str, str]]:
    for key in keys:
        if getattr(device, key) not in (None, (), {}):
            yield f"device.{name}.{key}", wrong, "no such line here"


def _pins(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """An input on a relay's own pin would make the relay drop, so feedback comes on another one."""
    owners: dict[int, str] = {}
    for key, pin in _uses(settings):
        if pin in owners:
            yield key, f"{owners[pin]} uses pin {pin} already", "one use a pin"
        owners.setdefault(pin, key.removesuffix(".pin"))


def _uses(settings: Settings) -> Iterator[tuple[str, int]]:
    for name, relay in settings.relay.items():
        yield f"relay.{name}.pin", relay.pin
        if relay.feedback_pin is not None:
            yield f"relay.{name}.feedback_pin", relay.feedback_pin
    for name, device in settings.device.items():
        if device.pin is not None:
            yield f"device.{name}.pin", device.pin
        for level, pin in device.levels.items():
            yield f"device.{name}.levels.{level}", pin
