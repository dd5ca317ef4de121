"""The devices a collector owns: settings, kind and what has been learned of each."""

from dataclasses import dataclass, field

from bus.about import About
from collector.devices import registry
from collector.devices.description import Kind, Values
from collector.reporting import Cadence, Reporter
from config.mistakes import ConfigError, Mistake
from config.model import INTEGRAL, Device, Settings


@dataclass(slots=True)
class Owned:
    """One device of this process; `seen` are its optional entities that have had a value."""

    id: str
    settings: Device
    kind: Kind
    reporter: Reporter
    model: str | None = None
    seen: set[str] = field(default_factory=set)

    @property
    def key(self) -> bytes:
        """The encryption key; empty if the device has none."""
        return bytes.fromhex(self.settings.key or "")

    def learn(self, values: Values, model: str | None) -> bool:
        """Take note of what a frame revealed; True if the description changed."""
        optional = {
            e
            for e, v in values.items()
            if v is not None and e in self.kind.rows and self.kind.rows[e].optional
        }
        changed = bool(optional - self.seen) or (model is not None and model != self.model)
        self.seen |= optional
        self.model = model or self.model
        return changed

    def about(self) -> About:
        """The device as clients see it now."""
        rows = {e: row for e, row in self.kind.rows.items() if not row.optional or e in self.seen}
        return About(
            name=self.settings.name or self.id.replace("_", " ").capitalize(),
            manufacturer=self.kind.manufacturer,
            model=self.model,
            entities={entity: row.entity for entity, row in rows.items()},
        )


def owned_devices(settings: Settings, transport: str, now: float) -> list[Owned]:
    """The devices of a transport, which `check` has passed; `now` in monotonic seconds."""
    owned = []
    for name, device in settings.device.items():
        if device.kind == INTEGRAL:
            continue
        kind = registry.kind(device.kind)
        if kind.transport == transport:
            owned.append(Owned(name, device, kind, _reporter(settings, device, kind, now)))
    return owned


def _reporter(settings: Settings, device: Device, kind: Kind, now: float) -> Reporter:
    general = settings.publish
    heartbeat = device.heartbeat if device.heartbeat is not None else general.heartbeat
    least = device.min_interval if device.min_interval is not None else general.min_interval
    timeout = device.timeout if device.timeout is not None else general.timeout
    steps = {entity: row.step for entity, row in kind.rows.items()} | device.steps
    return Reporter(Cadence(least, heartbeat, timeout), steps, now)


def check(settings: Settings, where: str) -> None:
    """Raise ConfigError with every mistake in the device tables that only the kinds can know."""
    mistakes: list[Mistake] = []
    for name, device in settings.device.items():
        key = f"device.{name}"
        if device.kind == INTEGRAL:
            continue
        kind = registry.KINDS.get(device.kind)
        if kind is None:
            allowed = ", ".join(sorted(registry.KINDS))
            mistakes.append(Mistake(where, f"{key}.kind", f"there is no kind {device.kind!r}", allowed))
            continue
        if kind.transport == "ble":
            if device.address is None:
                mistakes.append(Mistake(where, f"{key}.address", "it is missing", "AA:BB:CC:DD:EE:FF"))
            if device.key is None:
                place = f"32 hexadecimal digits, here or in the secret file device__{name}__key"
                mistakes.append(Mistake(where, f"{key}.key", "it is missing", place))
        for entity in device.steps.keys() - kind.rows.keys():
            allowed = ", ".join(sorted(kind.rows))
            mistakes.append(Mistake(where, f"{key}.steps.{entity}", "there is no such entity", allowed))
    if mistakes:
        raise ConfigError(mistakes)
