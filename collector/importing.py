"""The devices of [[import]] tables: what others publish becomes values, commands become their payloads."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from bus.clock import BUILD_DATE_MS
from bus.commands import Switch, Wanted
from bus.events import Message, Publishes, Sent, Subscription
from bus.messages import OFF, ON, Value, Values
from collector.device import Owned, Readings
from collector.devices.description import Decoded, Earlier, Kind, NoAnswerError, Wire
from collector.devices.imported import BadPayloadError, Imported, Payload, is_online, payload_of
from collector.polling import Switched
from collector.schedule import Cadence, Coalescer
from config.model import Device, Import, Settings

log = logging.getLogger(__name__)

# So long a device may take to obey.
_PATIENCE_S = 5.0
# A state said so shortly before its publisher called the device online counts.
_HOLD_S = 10.0
# So far a device's own clock may be ahead of ours.
_AHEAD_MS = 5_000
_AWAY = "its publisher says that it is offline"


@dataclass(frozen=True, slots=True)
class _Pending:
    """A command that was passed on; `by` is the monotonic second until which it must be obeyed."""

    wanted: float | str
    # So far a number may differ: a device rounds to its own steps.
    slack: float
    by: float
    ticket: object

    def obeyed_by(self, value: Value) -> bool:
        """Whether a value is the one that was asked for."""
        if isinstance(value, int | float) and isinstance(self.wanted, int | float):
            return math.isclose(value, self.wanted, rel_tol=1e-6, abs_tol=max(self.slack, 1e-9))
        return value == self.wanted


@dataclass(slots=True)
class _Device:
    """What is known of one device now."""

    imported: Imported
    away: bool = False
    # What it said while it was away, by topic: payload and monotonic second.
    held: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    heard: set[str] = field(default_factory=set)
    known: Values = field(default_factory=dict)
    newest: int = 0
    pending: dict[str, _Pending] = field(default_factory=dict)


class ImportingSource:
    """The devices of the [[import]] tables: foreign messages become values."""

    def __init__(self, readings: Readings, bus: Publishes, *, emit: Callable[[object], None]) -> None:
        self._readings = readings
        self._bus = bus
        self._emit = emit
        self._devices: dict[str, _Device] = {}
        # When each was published last, monotonic seconds: several devices may share one.
        self._asked: dict[str, float] = {}

    def silence(self, _device: Owned) -> str:
        """Say what the owner of a silent device should look after."""
        return "nothing heard on its topics: is it switched on, are the topics right?"

    def add(self, device: Owned) -> None:
        """Listen for this device."""
        assert isinstance(device.kind, ImportKind)  # noqa: S101 — owned_imports made it
        self._devices[device.id] = _Device(device.kind.imported)

    def change(self, device: Owned) -> None:
        """Listen as its new settings say."""
        self.add(device)

    def remove(self, device_id: str) -> None:
        """Stop decoding this device's topics."""
        del self._devices[device_id]

    def handle(self, event: object) -> None:
        """Take a message from another publisher."""
        if not isinstance(event, Message):
            return
        now = self._readings.clock.monotonic()
        self._readings.journal.count("messages")
        for device_id, device in self._devices.items():
            owned = self._readings.get(device_id)
            said = device.imported.table.availability
            if owned is None:
                continue
            if said is not None and event.topic == said.topic:
                self._availability(owned, device, is_online(said, event.payload))
            # The age of a retained value is unknown; an empty payload only clears it.
            old = event.retain and not device.imported.table.retained
            if event.payload and not old and device.imported.of(event.topic):
                self._state(owned, device, event.topic, event.payload, now)

    def _availability(self, owned: Owned, device: _Device, online: bool | None) -> None:  # noqa: FBT001 — the payload's meaning
        if online is None:
            self._readings.journal.count(f"refused_availability.{owned.id}")
            return
        was, device.away = device.away, not online
        if was and online:
            # It is not well before it has said something, but no longer known to be away.
            self._readings.journal.solved(f"device.{owned.id}")
        if device.away:
            device.known = {}
            self._readings.gone(owned, _AWAY)
            return
        held, device.held = device.held, {}
        for topic, (payload, at) in held.items():
            if self._readings.clock.monotonic() - at <= _HOLD_S:
                self._state(owned, device, topic, payload, at)

    def _state(self, owned: Owned, device: _Device, topic: str, payload: bytes, at: float) -> None:
        if device.away:
            # A bridge may say again what it remembers of a device that is gone.
            device.held[topic] = (payload, at)
            self._readings.journal.count(f"delayed_messages.{owned.id}")
            return
        try:
            heard = device.imported.read(topic, payload)
        except BadPayloadError as error:
            self._readings.journal.count(f"refused_payloads.{owned.id}")
            self._explain(owned, device, dict.fromkeys(device.imported.of(topic), f"{topic}: {error}"))
            return
        for entity in heard.refused:
            self._readings.journal.count(f"refused_values.{owned.id}.{entity}")
        device.heard |= heard.values.keys()
        self._explain(owned, device, {**heard.missing, **heard.refused})
        if heard.values:
            device.known |= heard.values
            self._say(owned, device, heard, at)

    def _explain(self, owned: Owned, device: _Device, reasons: dict[str, str]) -> None:
        """Tell why entities have no value, of those that never had one: the table may be wrong."""
        for entity in reasons.keys() - device.heard:
            subject = f"entity.{owned.id}.{entity}"
            if subject not in self._readings.journal.problems:
                self._readings.journal.problem(subject, reasons[entity], self._readings.clock.wall())

    def _say(self, owned: Owned, device: _Device, heard: Payload, at: float) -> None:
        values = dict(heard.values)
        obeyed = [e for e, pending in device.pending.items() if pending.obeyed_by(values.get(e))]
        for entity in obeyed:
            # The rest of the message goes with the first.
            self._emit(Switched(owned.id, device.pending.pop(entity).ticket, values, None))
        if obeyed:
            return
        ts = self._time(owned, heard)
        if ts is not None and ts < device.newest:
            self._readings.said(owned, Decoded({}, earlier=(Earlier(ts, values),)), at)
            return
        device.newest = ts or device.newest
        self._readings.said(owned, Decoded(values), at, ts=ts)

    def _time(self, owned: Owned, heard: Payload) -> int | None:
        """Return the device's own time of a reading, None if its arrival counts."""
        ts = heard.ts
        if heard.bad_time or (
            ts is not None and not BUILD_DATE_MS <= ts <= self._readings.clock.wall() + _AHEAD_MS
        ):
            self._readings.journal.count(f"refused_times.{owned.id}")
            return None
        return ts

    def switch(self, owned: Owned, entity: str, wanted: Wanted, ticket: object) -> None:
        """Pass a command on; a Switched event tells how it went."""
        device = self._devices[owned.id]
        table = device.imported.table.entities[entity]
        value = self._wanted(owned, device, entity, wanted)
        if device.away or value is None:
            why = _AWAY if device.away else "its state is not known: send ON or OFF"
            self._fail(owned.id, ticket, why)
            return
        before = device.pending.pop(entity, None)
        if before is not None:
            self._fail(owned.id, before.ticket, "another command came before it had obeyed")
        # A command without its topic is no command: row_of.
        topic = cast("str", table.command_topic)
        if self._bus.publish(topic, payload_of(table, value).encode()) is not Sent.YES:
            self._fail(owned.id, ticket, f"the broker did not take {topic}")
            return
        self._readings.journal.count("forwarded_commands")
        device.pending[entity] = _Pending(
            value, (table.command_step or 0.0) / 2, self._readings.clock.monotonic() + _PATIENCE_S, ticket
        )

    def _wanted(self, owned: Owned, device: _Device, entity: str, wanted: Wanted) -> float | str | None:
        if wanted is not Switch.TOGGLE:
            return wanted.value if isinstance(wanted, Switch) else wanted
        known = device.known.get(entity) if owned.reporter.online else None
        return None if known is None else OFF if known == ON else ON

    def _fail(self, device_id: str, ticket: object, why: str) -> None:
        self._emit(Switched(device_id, ticket, {}, NoAnswerError(why)))

    def tick(self, now: float) -> float:
        """Answer commands that were not obeyed in time; keep publishers talking that want it."""
        self._keep_alive(now)
        wait = math.inf
        for device_id, device in self._devices.items():
            for entity, pending in list(device.pending.items()):
                if now >= pending.by:
                    del device.pending[entity]
                    self._overdue(device_id, device, entity, pending)
                else:
                    wait = min(wait, pending.by - now)
        return wait

    def _keep_alive(self, now: float) -> None:
        for device in self._devices.values():
            alive = device.imported.table.keep_alive
            if alive is None or now < self._asked.get(alive.topic, -math.inf) + alive.every:
                continue
            if self._bus.publish(alive.topic, alive.payload.encode()) is Sent.YES:
                self._asked[alive.topic] = now
                self._readings.journal.count("keep_alives")

    def _overdue(self, device_id: str, device: _Device, entity: str, pending: _Pending) -> None:
        if pending.obeyed_by(device.known.get(entity)):
            # It was so before, and not every device says again what did not change.
            self._emit(Switched(device_id, pending.ticket, {entity: pending.wanted}, None))
            return
        known = device.known.get(entity)
        state = "it said nothing of it" if known is None else f"it is still {known}"
        self._fail(device_id, pending.ticket, f"not obeyed within {_PATIENCE_S:g} s: {state}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportKind(Kind):
    """What is known of a device from its [[import]] table alone."""

    wire: Wire = Wire.MQTT
    imported: Imported


def owned_imports(settings: Settings, now: float) -> list[Owned]:
    """Make the devices of all [[import]] tables, which are checked; `now` in monotonic seconds."""
    return [_own(settings, name, table, now) for name, table in settings.imports.items()]


def _own(settings: Settings, name: str, table: Import, now: float) -> Owned:
    imported = Imported(table)
    kind = ImportKind(
        name="import",
        title="Device that publishes in its own words",
        manufacturer=table.manufacturer or "",
        model=table.model or "",
        rows=imported.rows,
        source="its [[import]] table",
        imported=imported,
    )
    general = settings.publish
    cadence = Cadence(general.min_interval, general.heartbeat, table.timeout)
    steps = {entity: row.step for entity, row in imported.rows.items()}
    device = Device(kind=kind.name, name=table.name, timeout=table.timeout)
    return Owned(name, device, kind, Coalescer(cadence, steps, now), imported.rows)


def subscriptions(settings: Settings) -> list[Subscription]:
    """All topics that the [[import]] tables name, once each."""
    retained: dict[str, bool] = {}
    for table in settings.imports.values():
        for topic in Imported(table).topics:
            retained[topic] = retained.get(topic, False) or table.retained
        if table.availability is not None:
            retained[table.availability.topic] = True
    return [
        Subscription(filter=topic, retained=wanted, as_published=False) for topic, wanted in retained.items()
    ]
