"""The devices a collector owns: settings, kind and what has been learned of each."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from bus.about import About
from collector.devices import registry
from collector.devices.description import (
    BleKind,
    Decoded,
    GpioKind,
    HostKind,
    I2cKind,
    Kind,
    PolledKind,
    Poller,
    Row,
    SettingError,
    Values,
)
from collector.reporting import Cadence, Reporter
from collector.schedule import BadCronError, check_cron, longest_interval
from config.mistakes import ConfigError, Mistake
from config.model import INTEGRAL, Device, Settings

TRANSPORTS = ("ble", "serial", "tcp", "i2c", "gpio", "host")
TCP = "tcp://"
"""How the `port` of a Modbus TCP device begins; all other ports are pyserial's."""

# Settings that a device of any kind may have, and those of any kind that is asked.
_COMMON = ("kind", "name", "min_interval", "heartbeat", "timeout", "steps", "disabled")
_ASKED = ("every", "cron", "jitter")
# One lost answer must not make a device offline.
_POLLS_TO_SILENCE = 2.5


@dataclass(slots=True)
class Owned:
    """One device of this process; `seen` are its optional entities that have had a value."""

    id: str
    settings: Device
    kind: Kind
    reporter: Reporter
    rows: Mapping[str, Row]
    # Its kind says which line it takes.
    poller: Poller[Any] | None = None
    model: str | None = None
    seen: set[str] = field(default_factory=set)

    @property
    def key(self) -> bytes:
        """The encryption key; empty if the device has none."""
        return bytes.fromhex(self.settings.key or "")

    def enabled(self, values: Values) -> Values:
        """The values without those of entities the owner switched off."""
        disabled = self.settings.disabled
        return {e: v for e, v in values.items() if e not in disabled} if disabled else values

    def learn(self, decoded: Decoded) -> bool:
        """Take note of what a frame revealed; True if the description changed."""
        changed = decoded.rows is not None and decoded.rows != self.rows
        if decoded.rows is not None:
            self.rows = decoded.rows
            self.reporter.steps = _steps(self.rows, self.settings)
        values = decoded.values.items()
        optional = {e for e, v in values if v is not None and e in self.rows and self.rows[e].optional}
        changed = changed or bool(optional - self.seen)
        changed = changed or (decoded.model is not None and decoded.model != self.model)
        self.seen |= optional
        self.model = decoded.model or self.model
        return changed

    def about(self) -> About:
        """The device as clients see it now."""
        shown = {e: row for e, row in self.rows.items() if not row.optional or e in self.seen}
        return About(
            name=self.settings.name or self.id.replace("_", " ").capitalize(),
            manufacturer=self.kind.manufacturer,
            model=self.model,
            entities={e: row.entity for e, row in shown.items() if e not in self.settings.disabled},
        )


def transport(kind: Kind, device: Device) -> str:
    """Which collector reads the device."""
    match kind:
        case BleKind():
            return "ble"
        case I2cKind():
            return "i2c"
        case GpioKind():
            return "gpio"
        case HostKind():
            return "host"
    return "tcp" if (device.port or "").startswith(TCP) else "serial"


def owned_devices(settings: Settings, which: str, now: float) -> list[Owned]:
    """The devices of a transport, which `check` has passed; `now` in monotonic seconds."""
    return [
        own(settings, name, device, now)
        for name, device in settings.device.items()
        if device.kind != INTEGRAL and transport(registry.kind(device.kind), device) == which
    ]


def own(settings: Settings, name: str, device: Device, now: float) -> Owned:
    """One device, whose settings `mistakes` has passed."""
    kind = registry.kind(device.kind)
    poller = kind.make(device) if isinstance(kind, PolledKind) else None
    rows = kind.rows if poller is None else poller.rows
    reporter = Reporter(_cadence(settings, device, kind), _steps(rows, device), now)
    return Owned(name, device, kind, reporter, rows, poller)


def _steps(rows: Mapping[str, Row], device: Device) -> dict[str, float]:
    return {entity: row.step for entity, row in rows.items()} | device.steps


def _cadence(settings: Settings, device: Device, kind: Kind) -> Cadence:
    general = settings.publish
    heartbeat = device.heartbeat if device.heartbeat is not None else general.heartbeat
    least = device.min_interval if device.min_interval is not None else general.min_interval
    timeout = general.timeout
    if isinstance(kind, PolledKind):
        timeout = max(timeout, _POLLS_TO_SILENCE * longest_interval(device, kind.every))
    return Cadence(least, heartbeat, device.timeout if device.timeout is not None else timeout)


def check(settings: Settings, where: str) -> None:
    """Raise ConfigError with every mistake in the device tables that only the kinds can know."""
    found: list[Mistake] = []
    for name, device in settings.device.items():
        if device.kind != INTEGRAL:
            found += [Mistake(where, f"device.{name}.{k}", w, a) for k, w, a in mistakes(name, device)]
    if found:
        raise ConfigError(found)


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
