"""The devices of a collector: settings, kind and line of each, what was learned of it, its readings."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bus.about import LONGEST_WORD, About
from bus.clock import BUILD_DATE_MS
from collector import devices as kinds
from collector.day_book import DayBook
from collector.devices.description import (
    BleKind,
    Days,
    Decoded,
    Decoder,
    Earlier,
    Kind,
    PolledKind,
    Poller,
    Row,
    Value,
    Values,
)
from collector.devices.rows import IDENTITY, with_role, writable
from collector.energy import Energies, outflow_without_role, with_energies
from collector.schedule import Cadence, Coalescer, Report, Reporter, longest_interval
from config.addresses import BLE, NETWORK
from config.model import INTEGRAL, Device, Settings

if TYPE_CHECKING:
    from bus.clock import Clock
    from bus.health import Journal
    from bus.publisher import Publisher

log = logging.getLogger(__name__)

MQTT = "mqtt"
"""The transport of [[import]] tables: what others publish."""
TRANSPORTS = ("ble", "serial", "tcp", "i2c", "gpio", "host", MQTT)

# One lost answer must not make a device offline.
_POLLS_TO_SILENCE = 2.5
# So many silent time-outs after a reading nobody is left who would have said that the device is offline.
_LOST = 2
# So far a device's own clock may be ahead of ours.
_AHEAD_MS = 60_000
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
    # Of one that advertises.
    decoder: Decoder | None = None
    # What it said of itself: values of _IDENTITY.
    identity: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def enabled(self, values: Values) -> Values:
        """Leave out the values of entities that the owner switched off."""
        disabled = self.settings.disabled
        return {e: v for e, v in values.items() if e not in disabled} if disabled else values

    def learn(self, decoded: Decoded) -> bool:
        """Take note of what a frame revealed; True if the description changed."""
        rows = None if decoded.rows is None else _wished(decoded.rows, self.settings)
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
        entities = with_role(
            {e: row.entity for e, row in shown.items() if e not in self.settings.disabled},
            self.settings.role,
        )
        return About(
            name=self.settings.name or self.id.replace("_", " ").capitalize(),
            expire_after=_LOST * max(self.reporter.cadence.timeout, self.reporter.cadence.heartbeat),
            entities=outflow_without_role(entities) if self.settings.energy else entities,
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
    if collector != "serial":
        return collector
    port = device.port or ""
    return "tcp" if port.startswith(tuple(NETWORK)) else "ble" if port.startswith(BLE) else collector


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
    decoder = kind.make(device) if isinstance(kind, BleKind) else None
    made = poller or decoder
    rows = _wished(kind.rows if made is None else made.rows, device)
    judge = Coalescer if kind.piecewise else Reporter
    reporter = judge(cadence(settings, device, kind), _steps(rows, device), now)
    return Owned(name, device, kind, reporter, rows, poller, decoder)


def _wished(rows: Mapping[str, Row], device: Device) -> Mapping[str, Row]:
    """Return a kind's rows as the owner wants them."""
    allowed = writable(rows, allowed=device.allow_write)
    return with_energies(allowed) if device.energy else allowed


def _steps(rows: Mapping[str, Row], device: Device) -> dict[str, float]:
    return {entity: row.step for entity, row in rows.items()} | device.steps


def cadence(settings: Settings, device: Device, kind: Kind) -> Cadence:
    """Return how often a device is published: as its own settings say, else as those of all devices."""
    general = settings.publish
    heartbeat = device.heartbeat if device.heartbeat is not None else general.heartbeat
    least = device.min_interval if device.min_interval is not None else general.min_interval
    timeout = max(general.timeout, kind.silence)
    if isinstance(kind, PolledKind):
        timeout = max(timeout, _POLLS_TO_SILENCE * longest_interval(device, kind.every))
    return Cadence(least, heartbeat, device.timeout if device.timeout is not None else timeout)


# A device that says something else each time must not fill health.
_MOST_UNREAD = 16


def tell_unread(journal: "Journal", device: str, what: str) -> None:
    """Count what a device says that stands in no table, and tell the owner of each such thing once."""
    journal.count(f"unread.{device}")
    told = list(filter(None, journal.facts.get(f"unread.{device}", "").split(", ")))
    if what not in told and len(told) < _MOST_UNREAD:
        journal.fact(f"unread.{device}", ", ".join([*told, what]))
        log.info("%s says what nobody reads: %s (told once)", device, what)


class Readings:
    """Publishes the devices it was given, as their cadence allows; complaints go to the journal.

    Whoever works on devices finds the clock, the journal and the publisher of the process here.
    """

    def __init__(
        self,
        publisher: "Publisher",
        *,
        clock: "Clock",
        journal: "Journal",
        energies: Energies | None = None,
        book: DayBook | None = None,
    ) -> None:
        self.publisher = publisher
        self._book = book or DayBook()
        # New days that wait until the clock is right.
        self._days: dict[str, Days] = {}
        self.clock = clock
        self.journal = journal
        self._energies = energies or Energies()
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
        self._days.pop(device_id, None)
        self.journal.solved(f"device.{device_id}")
        self.journal.facts.pop(f"unread.{device_id}", None)

    def said(
        self, device: Owned, decoded: Decoded, at: float, *, at_once: bool = False, ts: int | None = None
    ) -> None:
        """Take what the device said at monotonic second `at`; `at_once` does not wait for the cadence.

        `ts` is when it was measured if the device said so, ms since 1970 UTC.
        """
        if self.journal.solved(f"device.{device.id}"):
            log.info("%s is well again", device.id)
        if device.settings.energy:
            more = self._energies.feed(
                device.id, device.rows, decoded.values, at, timeout=device.reporter.cadence.timeout
            )
            decoded = replace(decoded, values={**decoded.values, **more})
        if device.learn(decoded):
            self.publisher.about(device.id, device.about())
        self._explain(device, decoded)
        for earlier in (*decoded.earlier, *self._days_of(device, decoded)):
            if not self._believed(earlier.ts):
                self.journal.count(f"refused_times.{device.id}")
                continue
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

    def _believed(self, ts: int) -> bool:
        """Whether what a device remembers may be of then: its own clock may never have been set."""
        latest = self.clock.wall() + _AHEAD_MS if self.clock.quality() == "ok" else math.inf
        return BUILD_DATE_MS <= ts <= latest

    def _days_of(self, device: Owned, decoded: Decoded) -> tuple[Earlier, ...]:
        """Return the days that a device without a clock remembers, once this clock is right."""
        if decoded.days is not None:
            self._days[device.id] = decoded.days
        if device.id not in self._days or self.clock.quality() != "ok":
            return ()
        today = datetime.fromtimestamp(self.clock.wall() / 1000, UTC).astimezone().date()
        return self._book.take(device.id, self._days.pop(device.id), today)

    def _explain(self, device: Owned, decoded: Decoded) -> None:
        for entity in decoded.unknown:
            self.journal.count(f"unknown_codes.{device.id}.{entity}")
        for what in decoded.unread:
            tell_unread(self.journal, device.id, what)
        if not decoded.reasons and not self.journal.problems:
            return
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

    def tick(self, now: float, *, silence: Callable[[Owned], str]) -> float:
        """Publish what is due, find who fell silent; return the seconds until something else is due.

        `silence` says what the owner of a silent device can do.
        """
        for device in self._devices.values():
            self.report(device, now)
            self._check_silence(device, now, silence)
        self._energies.tick(now)
        problem = self._energies.problem
        if problem is None:
            self.journal.solved("energy")
        elif self.journal.problem("energy", problem, self.clock.wall()):
            log.warning("%s", problem)
        return min((device.reporter.wait(now) for device in self._devices.values()), default=math.inf)

    def close(self) -> None:
        """Write to disk what waits."""
        self._energies.save()
        self.publisher.close()

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

    def _check_silence(self, device: Owned, now: float, silence: Callable[[Owned], str]) -> None:
        silent = device.reporter.silent(now)
        if silent is None:
            return
        log.warning("%s has been silent for %g s: offline", device.id, device.reporter.cadence.timeout)
        if f"device.{device.id}" not in self.journal.problems:
            self.complain(device, silence(device))
        self._offline(device, silent)

    def gone(self, device: Owned, why: str) -> None:
        """Say that the device is known to be away: offline now."""
        if device.reporter.online is False:
            return
        self.complain(device, why)
        self._offline(device, device.reporter.gone())

    def _offline(self, device: Owned, silent: list[str]) -> None:
        if device.settings.energy:
            now, timeout = self.clock.monotonic(), device.reporter.cadence.timeout
            self._energies.silent(device.id, device.rows, now, timeout=timeout)
        if silent:
            self.publisher.reading(device.id, dict.fromkeys(silent), ts=self.clock.wall())
        self.publisher.availability(device.id, online=False)
