"""The devices of a collector: settings, kind and line of each, what was learned of it, its readings."""

# ruff: noqa: PLC0415 — in line_of and _pins: a process carries only the libraries of its own lines

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus.about import LONGEST_WORD, About
from collector import devices as kinds
from collector.devices.description import (
    Decoded,
    Kind,
    Line,
    MeterPlace,
    PolledKind,
    Poller,
    Row,
    Value,
    Values,
    Wire,
)
from collector.devices.rows import IDENTITY, with_role, writable
from collector.schedule import Cadence, Report, Reporter, longest_interval
from config.model import INTEGRAL, Controller, Device, Settings

if TYPE_CHECKING:
    from bus.clock import Clock
    from bus.health import Journal
    from bus.publisher import Publisher

log = logging.getLogger(__name__)

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
# Keys of about that a device may tell of itself.
_IDENTITY = ("manufacturer", "model", "model_id", "serial_number", "sw_version")


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
    # What it said of itself: values of _IDENTITY.
    identity: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    @property
    def key(self) -> bytes:
        """The encryption key; empty if the device has none."""
        return bytes.fromhex(self.settings.key or "")

    def enabled(self, values: Values) -> Values:
        """Leave out the values of entities that the owner switched off."""
        disabled = self.settings.disabled
        return {e: v for e, v in values.items() if e not in disabled} if disabled else values

    def learn(self, decoded: Decoded) -> bool:
        """Take note of what a frame revealed; True if the description changed."""
        rows = None if decoded.rows is None else _allowed(decoded.rows, self.settings)
        changed = rows is not None and rows != self.rows
        if rows is not None:
            self.rows = rows
            self.reporter.steps = _steps(self.rows, self.settings)
        for entity, value in decoded.values.items():
            row = self.rows.get(entity)
            if value is not None and row is not None and row.optional and entity not in self.seen:
                self.seen.add(entity)
                changed = True
        told = self._told(decoded)
        changed = changed or not told.items() <= self.identity.items()
        self.identity |= told
        return changed

    def _told(self, decoded: Decoded) -> dict[str, str]:
        """Return what a frame says of the device itself, by the key of about."""
        said: dict[str, Value] = {key: getattr(decoded, key) for key in _IDENTITY}
        for entity, key in IDENTITY.items():
            if entity not in self.settings.disabled:
                said[key] = said[key] or decoded.values.get(entity)
        return {key: str(one)[:LONGEST_WORD] for key, one in said.items() if one}

    def about(self) -> About:
        """Describe the device as clients see it now."""
        shown = {e: row for e, row in self.rows.items() if not row.optional or e in self.seen}
        return About(
            name=self.settings.name or self.id.replace("_", " ").capitalize(),
            expire_after=_LOST * max(self.reporter.cadence.timeout, self.reporter.cadence.heartbeat),
            entities=with_role(
                {e: row.entity for e, row in shown.items() if e not in self.settings.disabled},
                self.settings.role,
            ),
            manufacturer=self.identity.get("manufacturer", self.kind.manufacturer) or None,
            model=self.identity.get("model", self.kind.model) or None,
            model_id=self.identity.get("model_id"),
            serial_number=self.identity.get("serial_number"),
            sw_version=self.identity.get("sw_version"),
        )


def service_name(transport: str) -> str:
    """Return the service that reads a transport."""
    return f"collector_{transport}"


def transport(device: Device) -> str:
    """Which collector reads the device, whose kind exists."""
    (collector, *_) = kinds.wire_of(device.kind).collectors
    return "tcp" if collector == "serial" and (device.port or "").startswith(TCP) else collector


def owned_devices(settings: Settings, which: str, now: float) -> list[Owned]:
    """Make the devices of a transport, whose settings are checked; `now` in monotonic seconds."""
    return [
        own(settings, name, device, now)
        for name, device in settings.device.items()
        if device.kind != INTEGRAL and transport(device) == which
    ]


def own(settings: Settings, name: str, device: Device, now: float) -> Owned:
    """One device, whose settings `mistakes` has passed."""
    kind = kinds.find_kind(device.kind)
    poller = kind.make(device) if isinstance(kind, PolledKind) else None
    rows = _allowed(kind.rows if poller is None else poller.rows, device)
    reporter = Reporter(cadence(settings, device, kind), _steps(rows, device), now)
    return Owned(name, device, kind, reporter, rows, poller)


def _allowed(rows: Mapping[str, Row], device: Device) -> Mapping[str, Row]:
    return writable(rows, allowed=device.allow_write)


def _steps(rows: Mapping[str, Row], device: Device) -> dict[str, float]:
    return {entity: row.step for entity, row in rows.items()} | device.steps


def cadence(settings: Settings, device: Device, kind: Kind) -> Cadence:
    """Return how often a device is published: as its own settings say, else as those of all devices."""
    general = settings.publish
    heartbeat = device.heartbeat if device.heartbeat is not None else general.heartbeat
    least = device.min_interval if device.min_interval is not None else general.min_interval
    timeout = general.timeout
    if isinstance(kind, PolledKind):
        timeout = max(timeout, _POLLS_TO_SILENCE * longest_interval(device, kind.every))
    return Cadence(least, heartbeat, device.timeout if device.timeout is not None else timeout)


def baudrate(device: Device, poller: Poller[Any] | None) -> int:
    """Return a Modbus device's speed on a serial port: as set, else its kind's, else the standard's."""
    return device.baudrate or int(getattr(poller, "baudrate", _BAUDRATE))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a line may know of its process: folders of data and of what a boot forgets, how the broker is.

    `controller` says how the board's pins are reached; what they turn out to be is told to `tell_pins`. Steps
    that take long are told to `tell`; a smart meter at a known `meter_place` is not searched for. With
    `detail` each word on the line is logged, where its library can.
    """

    state: Path = Path("/")
    runtime: Path | None = None
    broker_up: Callable[[], bool | None] | None = None
    controller: Controller = field(default_factory=Controller)
    tell_pins: Callable[[str], None] = log.debug
    tell: Callable[[str], None] = log.debug
    meter_place: MeterPlace | None = None
    detail: bool = False


Named = tuple[str, Callable[[], Line]]
_NOWHERE = Surroundings()


def line_of(device: Owned, around: Surroundings = _NOWHERE) -> Named:
    """Return the name of the device's line, and what makes the line.

    The name holds all that the line is made of: with other settings it is another line.
    """
    settings, port = device.settings, device.settings.port or ""
    named: Named
    match device.kind.wire:
        case Wire.I2C:
            from collector.transports.board import I2cBus

            bus = 1 if settings.bus is None else settings.bus
            named = f"i2c-{bus}", lambda: I2cBus(bus)
        case Wire.GPIO:
            named = (
                f"gpio {settings.chip}" if settings.chip else "gpio",
                partial(_pins, around, settings.chip),
            )
        case Wire.HOST:
            from collector.transports.board import Host

            state, runtime, up = around.state, around.runtime, around.broker_up
            named = "host", lambda: Host(state=state, runtime=runtime, broker_up=up)
        case Wire.KERNEL:
            from collector.transports.kernel import KernelFiles

            # A conversion on 1-Wire takes most of a second, which nobody else need wait for.
            named = f"kernel files of {device.kind.name}", KernelFiles
        case Wire.MODBUS if port.startswith(TCP):
            from collector.devices.modbus import tcp_address
            from collector.transports.modbus_tcp import ModbusTcp

            host, number = tcp_address(port)
            named = f"{host}:{number}", lambda: ModbusTcp(host, number)
        case Wire.MODBUS:
            from collector.transports.modbus_rtu import ModbusRtu

            speed = baudrate(settings, device.poller)
            named = f"{port} at {speed} baud", lambda: ModbusRtu(port, speed)
        case Wire.VE_DIRECT:
            from collector.transports.vedirect import VeDirectCable

            named = f"VE.Direct at {port}", lambda: VeDirectCable(port)
        case _:
            from collector.transports.route_b import BAUDRATE, RouteB

            who = (settings.route_b_id or "", settings.route_b_password or "")
            make = partial(RouteB, place=around.meter_place, tell=around.tell, detail=around.detail)
            speed = settings.baudrate or BAUDRATE
            # Hashes of texts are salted anew by each process: this one tells nothing of the secrets.
            session = hash((*who, speed))
            named = f"route B at {port}, session {session:x}", lambda: make(port, *who, baudrate=speed)
    return named


def _pins(around: Surroundings, chip: str | None) -> Line:
    from bus.pins import make_inputs
    from collector.transports.board import Gpio
    from collector.transports.counts import CountFiles

    pins = make_inputs(around.controller, "boondock collector_gpio").on(chip)
    counts = None if around.runtime is None else CountFiles(around.runtime, around.state, chip)
    return Gpio(pins, around.tell_pins, counts)


class Readings:
    """Publishes the devices it was given, as their cadence allows; complaints go to the journal.

    Whoever works on devices finds the clock, the journal and the publisher of the process here.
    """

    def __init__(self, publisher: "Publisher", *, clock: "Clock", journal: "Journal") -> None:
        self.publisher = publisher
        self.clock = clock
        self.journal = journal
        self._devices: dict[str, Owned] = {}

    def __iter__(self) -> Iterator[Owned]:
        return iter(list(self._devices.values()))

    def get(self, device_id: str) -> Owned | None:
        """Return the device of that id, None if it is not ours (any more)."""
        return self._devices.get(device_id)

    def add(self, device: Owned) -> None:
        """Describe a device and wait for its first words."""
        self._devices[device.id] = device
        self.publisher.about(device.id, device.about())

    def remove(self, device_id: str) -> None:
        """Say no more of a device."""
        del self._devices[device_id]
        self.journal.solved(f"device.{device_id}")

    def said(
        self, device: Owned, decoded: Decoded, at: float, *, at_once: bool = False, ts: int | None = None
    ) -> None:
        """Take what the device said at monotonic second `at`; `at_once` does not wait for the cadence.

        `ts` is when it was measured if the device said so, ms since 1970 UTC.
        """
        if self.journal.solved(f"device.{device.id}"):
            log.info("%s is well again", device.id)
        if device.learn(decoded):
            self.publisher.about(device.id, device.about())
        for entity in decoded.unknown:
            self.journal.count(f"unknown_codes.{device.id}.{entity}")
        if decoded.reasons or self.journal.problems:
            self._explain(device, decoded)
        for earlier in decoded.earlier:
            self.publisher.reading(
                device.id, device.enabled(earlier.values), ts=earlier.ts, late=True, dated=True
            )
        if not decoded.values:
            return
        values = device.enabled(decoded.values)
        if at_once:
            self._publish(device, device.reporter.at_once(values, ts, at, decoded.last_reset))
            return
        device.reporter.offer(values, ts, at, decoded.last_reset)
        self.report(device, self.clock.monotonic())

    def _explain(self, device: Owned, decoded: Decoded) -> None:
        for entity in device.rows:
            subject = f"entity.{device.id}.{entity}"
            reason = decoded.reasons.get(entity)
            if reason is not None:
                self.journal.problem(subject, reason, self.clock.wall())
            elif entity in decoded.values:
                self.journal.solved(subject)

    def complain(self, device: Owned, text: str) -> None:
        """Tell the owner what is wrong with a device, once."""
        if self.journal.problem(f"device.{device.id}", text, self.clock.wall()):
            log.error("%s: %s", device.id, text)

    def tick(self, now: float, *, silence: str) -> None:
        """Publish what is due, find who fell silent; `silence` says what its owner can do."""
        for device in self._devices.values():
            self.report(device, now)
            self._check_silence(device, now, silence)

    def report(self, device: Owned, now: float) -> None:
        """Publish the device's newest values if it is time."""
        report = device.reporter.due(now)
        if report is not None:
            self._publish(device, report)

    def _publish(self, device: Owned, report: Report) -> None:
        dated = report.ts is not None
        ts = report.ts if report.ts is not None else round(report.at * 1000) + self.clock.offset()
        self.publisher.reading(device.id, report.values, ts=ts, last_reset=report.last_reset, dated=dated)
        self.publisher.availability(device.id, online=True)

    def _check_silence(self, device: Owned, now: float, silence: str) -> None:
        silent = device.reporter.silent(now)
        if silent is None:
            return
        log.warning("%s has been silent for %g s: offline", device.id, device.reporter.cadence.timeout)
        if f"device.{device.id}" not in self.journal.problems:
            self.complain(device, silence)
        self._offline(device, silent)

    def gone(self, device: Owned, why: str) -> None:
        """Say that the device is known to be away: offline now."""
        if device.reporter.online is False:
            return
        self.complain(device, why)
        self._offline(device, device.reporter.gone())

    def _offline(self, device: Owned, silent: list[str]) -> None:
        if silent:
            self.publisher.reading(device.id, dict.fromkeys(silent), ts=self.clock.wall())
        self.publisher.availability(device.id, online=False)
