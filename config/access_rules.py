"""Rules of [lan] and [user.<name>]: who may reach the broker, from where, and what for."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address

from config.addresses import id_allowed
from config.hosts import wrong_host
from config.model import RELAY_DEVICE, Settings, User

_ID = re.compile(r"[a-z0-9_]+\Z")
_INTERFACE = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_.-]{1,15}\Z")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")
_LEVEL = re.compile(r"\+|[^\s+#/\x00-\x1f\x7f]+")
# Users that there are anyway, and how those of the processes begin.
ROLES = ("viewer", "operator", "admin")
OURS = "boondock_"
# Devices of the controller, and the words of the contract that are none.
RESERVED = (RELAY_DEVICE, "alarm", "rule")
_LONGEST_ID = 64

Wrong = Iterator[tuple[str, str, str]]


def check(settings: Settings) -> Wrong:
    """Key, what is wrong and what is allowed."""
    yield from _lan(settings)
    taken = dict.fromkeys(RESERVED, "no stranger's")
    taken |= {device: f"device.{device}" for device in settings.device}
    taken |= dict.fromkeys(settings.imports, "of an [[import]]")
    for name, user in settings.user.items():
        if not _ID.match(name):
            yield f"user.{name}", "this is no id", id_allowed(name)
        if name in ROLES or name.startswith(OURS):
            yield f"user.{name}", "this user is there anyway", "any other name"
        if user.role is None and not user.topics:
            yield f"user.{name}.role", "it may do nothing", "viewer, operator, admin or publisher, or topics"
        yield from _publisher(f"user.{name}", user, taken)
        taken.update(dict.fromkeys(user.devices, f"user.{name}"))
        for topic in user.topics:
            if not _is_filter(topic):
                yield (
                    f"user.{name}.topics",
                    f"{topic!r} is no filter of one tree",
                    "such as zigbee2mqtt/# or tele/+/SENSOR",
                )
            elif _meets(topic, settings.broker.base):
                yield (
                    f"user.{name}.topics",
                    f"{topic!r} reaches into {settings.broker.base}",
                    "topics of others; role says what it may of ours",
                )


def _publisher(place: str, user: User, taken: Mapping[str, str]) -> Wrong:
    """What is wrong with the devices that a user speaks for; `taken` says whose the others are."""
    if user.role != "publisher":
        for key in ("devices", "commands"):
            if getattr(user, key):
                yield f"{place}.{key}", "only a publisher speaks for devices", 'role = "publisher"'
        return
    if not user.devices:
        yield f"{place}.devices", "it speaks for none", 'ids of its devices, such as ["fridge"]'
    for device in user.devices:
        if not _ID.match(device) or len(device) > _LONGEST_ID:
            yield f"{place}.devices", f"{device!r} is no id", "at most 64 of a-z, 0-9 and _"
        elif device in taken:
            yield f"{place}.devices", f"{device} is {taken[device]}", "devices of its own"
    for command in user.commands:
        device, _, entity = command.partition(".")
        if device not in user.devices or not _ID.match(entity) or len(entity) > _LONGEST_ID:
            yield f"{place}.commands", f"{command!r} is none of its", "device.entity, of its own devices"


def _lan(settings: Settings) -> Wrong:
    lan = settings.lan
    if not lan.listen and (lan.names or lan.websockets is not None or lan.certificate is not None):
        yield "lan.listen", "it is missing", 'addresses or interfaces, such as ["192.168.1.10"]'
    for place in lan.listen:
        if not (is_address(place) or _INTERFACE.match(place)):
            allowed = "IPv4 addresses and interfaces such as wlan0"
            yield "lan.listen", f"{place!r} is neither", _alone(place, allowed)
    for name in lan.names:
        if not _NAME.match(name):
            allowed = "names such as van.local, and IPv4 addresses"
            yield "lan.names", f"{name!r} is no name", _alone(name, allowed)
    yield from _files(lan.certificate, lan.private_key)
    if lan.websockets == lan.port:
        yield "lan.websockets", f"{lan.port} is lan.port already", "one use a port"
    if lan.listen and settings.broker.port in (lan.port, lan.websockets):
        yield "lan.port", f"{settings.broker.port} is broker.port already", "one use a port"


def _alone(text: str, otherwise: str) -> str:
    """The name alone, of one with a scheme or a port; else what is allowed."""
    host = wrong_host(text)
    return f'did you mean "{host.bare}"?' if host is not None and host.bare else otherwise


def _files(certificate: str | None, private_key: str | None) -> Wrong:
    for key, path, other in (
        ("certificate", certificate, private_key),
        ("private_key", private_key, certificate),
    ):
        if path is None and other is not None:
            yield f"lan.{key}", "it is missing", "both files: certificate and private_key"
        elif path is not None and not path.startswith("/"):
            yield f"lan.{key}", f"{path!r} does not begin with /", "the whole path of a file in PEM"


def is_address(text: str) -> bool:
    """Whether it is an IPv4 address."""
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def _is_filter(topic: str) -> bool:
    levels = topic.removesuffix("/#").split("/")
    return levels[0] != "+" and not topic.startswith("$") and all(_LEVEL.fullmatch(one) for one in levels)


def _meets(topic: str, base: str) -> bool:
    """Whether a filter reaches the base topic or anything below it."""
    levels = topic.split("/")
    for place, ours in enumerate(base.split("/")):
        if place >= len(levels):
            return False
        if levels[place] == "#":
            return True
        if levels[place] not in ("+", ours):
            return False
    return True
