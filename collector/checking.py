"""What is wrong with the devices of boondock.toml that only their kinds can tell."""

from collections.abc import Iterator
from dataclasses import MISSING, fields

from collector.conflicts import conflicts
from collector.devices import registry
from collector.devices.description import Kind, PolledKind, SettingError
from collector.import_checks import wrong_with
from collector.schedule import BadCronError, check_cron
from config.mistakes import ConfigError, Mistake
from config.model import INTEGRAL, Device, Settings

# Settings that a device of any kind may have, and those of any kind that is asked.
_COMMON = ("kind", "name", "min_interval", "heartbeat", "timeout", "steps", "disabled")
_ASKED = ("every", "cron", "jitter")
_SCHEMES = ("socket://", "rfc2217://", "hwgrep://", "tcp://")


def check(settings: Settings, where: str) -> None:
    """Raise ConfigError with every mistake that only the kinds can know."""
    if found := find_mistakes(settings, where):
        raise ConfigError(found)


def find_mistakes(settings: Settings, where: str) -> list[Mistake]:
    """Every mistake that only the kinds can know; loads the kinds of all devices."""
    found: list[Mistake] = []
    devices = {name: device for name, device in settings.device.items() if device.kind != INTEGRAL}
    for name, device in devices.items():
        found += [Mistake(where, f"device.{name}.{k}", w, a) for k, w, a in mistakes(name, device)]
    if not found:
        found += [Mistake(where, f"device.{name}.{k}", w, a) for name, k, w, a in _crowded(devices)]
    for name, table in settings.imports.items():
        found += [Mistake(where, f"import.{name}.{k}", w, a) for k, w, a in wrong_with(table)]
    return found


def _crowded(devices: dict[str, Device]) -> Iterator[tuple[str, str, str, str]]:
    """What a device takes from one that stands before it: device, field, what is wrong, what is allowed."""
    before: dict[str, Device] = {}
    for name, device in devices.items():
        for wrong in conflicts(name, device, before):
            yield name, *wrong
        before[name] = device


def mistakes(name: str, device: Device) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a device's settings: field, what is wrong, what is allowed."""
    kind = registry.KINDS.get(device.kind)
    if kind is None:
        yield "kind", f"there is no kind {device.kind!r}", ", ".join(sorted((*registry.KINDS, INTEGRAL)))
        return
    yield from _missing(name, kind, device)
    yield from _superfluous(kind, device)
    if device.every is not None and device.cron is not None:
        yield "cron", "there is `every` already", "one of the two"
    if device.cron is not None:
        try:
            check_cron(device.cron)
        except BadCronError as error:
            yield "cron", str(error), 'five fields of crontab, such as "*/5 * * * *"'
    if device.port is not None and "://" in device.port and not device.port.startswith(_SCHEMES):
        # pyserial knows more, such as one that writes whatever it hears into a file.
        yield "port", f"{device.port.split('://')[0]}:// is none", f"a path, or {', '.join(_SCHEMES)}"
    yield from _entities(kind, device)


def _missing(name: str, kind: Kind, device: Device) -> Iterator[tuple[str, str, str]]:
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


def _superfluous(kind: Kind, device: Device) -> Iterator[tuple[str, str, str]]:
    known = (*_COMMON, *kind.needs, *kind.takes, *(_ASKED if isinstance(kind, PolledKind) else ()))
    for one in fields(Device):
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        if one.name not in known and getattr(device, one.name) != default:
            allowed = ", ".join(sorted({*kind.needs, *kind.takes})) or "none of its own"
            yield one.name, f"a device of kind {kind.name} has no such setting", allowed


def _entities(kind: Kind, device: Device) -> Iterator[tuple[str, str, str]]:
    rows = kind.rows
    if isinstance(kind, PolledKind) and all(getattr(device, key) not in (None, (), {}) for key in kind.needs):
        try:
            rows = kind.make(device).rows
        except SettingError as error:
            yield error.field, error.wrong, error.allowed
            return
    if kind.discovers:
        return
    for key in ("steps", "disabled"):
        for entity in sorted(set(getattr(device, key)) - rows.keys()):
            yield f"{key}.{entity}", "there is no such entity", ", ".join(sorted(rows))
