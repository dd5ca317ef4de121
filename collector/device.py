"""One device of a collector: settings, kind, what has been learned of it, and which collector reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bus.about import About
from collector import devices as kinds
from collector.devices.description import (
    Decoded,
    Kind,
    PolledKind,
    Poller,
    Row,
    Values,
)
from collector.reporting import Cadence, Reporter
from collector.schedule import longest_interval
from config.model import INTEGRAL, Device, Settings

MQTT = "mqtt"
"""The transport of [[import]] tables: what others publish."""
TRANSPORTS = ("ble", "serial", "tcp", "i2c", "gpio", "host", MQTT)
TCP = "tcp://"
"""How the `port` of a Modbus TCP device begins; all other ports are pyserial's."""

# Modbus over Serial Line V1.02, 3.2: 9600 must be supported by all.
_BAUDRATE = 9600
# One lost answer must not make a device offline.
_POLLS_TO_SILENCE = 2.5
# So many silent time-outs after a reading nobody is left who would have said that the device is offline.
_LOST = 2


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
    manufacturer: str | None = None
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
        for entity, value in decoded.values.items():
            row = self.rows.get(entity)
            if value is not None and row is not None and row.optional and entity not in self.seen:
                self.seen.add(entity)
                changed = True
        changed = changed or decoded.model not in (None, self.model)
        changed = changed or decoded.manufacturer not in (None, self.manufacturer)
        self.model = decoded.model or self.model
        self.manufacturer = decoded.manufacturer or self.manufacturer
        return changed

    def about(self) -> About:
        """The device as clients see it now."""
        shown = {e: row for e, row in self.rows.items() if not row.optional or e in self.seen}
        return About(
            name=self.settings.name or self.id.replace("_", " ").capitalize(),
            manufacturer=self.manufacturer or self.kind.manufacturer or None,
            model=self.model,
            expire_after=_LOST * max(self.reporter.cadence.timeout, self.reporter.cadence.heartbeat),
            entities={e: row.entity for e, row in shown.items() if e not in self.settings.disabled},
        )


def transport(device: Device) -> str:
    """Which collector reads the device, whose kind exists."""
    (collector, *_) = kinds.wire_of(device.kind).collectors
    return "tcp" if collector == "serial" and (device.port or "").startswith(TCP) else collector


def owned_devices(settings: Settings, which: str, now: float) -> list[Owned]:
    """The devices of a transport, which `check` has passed; `now` in monotonic seconds."""
    return [
        own(settings, name, device, now)
        for name, device in settings.device.items()
        if device.kind != INTEGRAL and transport(device) == which
    ]


def own(settings: Settings, name: str, device: Device, now: float) -> Owned:
    """One device, whose settings `mistakes` has passed."""
    kind = kinds.find_kind(device.kind)
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


def baudrate(device: Device, poller: Poller[Any] | None) -> int:
    """The speed of a Modbus device on a serial port: as set, else its kind's, else the standard's."""
    return device.baudrate or int(getattr(poller, "baudrate", _BAUDRATE))
