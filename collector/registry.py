"""The devices of a collector as clients see and change them: boondock.toml's, read-only, and its store's."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

from msgspec import Meta, Struct

from bus.access_log import AccessLog
from bus.commands import Code, Refused
from bus.events import Publishes
from bus.request_server import RequestServer
from bus.requests import Action, Listing, Part, Parts, Place, action
from bus.topics import ID, Topics
from collector import devices as kinds
from collector.device import Owned, Readings, own, service_name, transport
from collector.device_store import (
    SECRETS,
    DeviceSettings,
    DeviceStore,
    Renamed,
    Which,
    Whose,
    changed,
    masked,
    shown,
    wrong_with,
)
from collector.scan import Refusing
from collector.service import Collector, LiveVerb
from config.model import Device, Settings

log = logging.getLogger(__name__)

FILE = "boondock.toml"
MOST = 200
# What may change while the device stays the one it was: its values need not be cleared.
_COSMETIC = (
    *("name", "min_interval", "heartbeat", "timeout", "steps", "disabled", "role"),
    *("every", "cron", "jitter", "pause"),
)


class Entry(Struct, frozen=True):
    """A device as `devices` lists it; `settings` are without secrets, `entities` say which are published."""

    device: str
    name: str
    kind: str
    where: str
    online: bool
    settings: dict[str, object]
    entities: dict[str, bool]
    problem: str | None


class Registry:
    """Adds, changes and removes devices of the collector `which` while it runs. All methods raise Refused."""

    def __init__(
        self, which: str, settings: Settings, store: DeviceStore, service: Collector, readings: Readings
    ) -> None:
        self.which = which
        self.settings = settings
        self.readings = readings
        self.service = service
        self._store = store

    def start(self) -> None:
        """Read the devices of the store, as far as they can be; health says why others cannot."""
        if self._store.problem is not None:
            self._problem("registry", self._store.problem)
        for name in self._store.unread:
            self._problem(f"registry.{name}", "its entry cannot be read: remove it and add it again")
        good: dict[str, Device] = {}
        for name, device in self._store.devices.items():
            text = self._unfit(name, device, good)
            if text is None:
                good[name] = device
                self.service.add(own(self.settings, name, device, self.readings.clock.monotonic()))
            else:
                self._problem(f"registry.{name}", text)

    def _unfit(self, name: str, device: Device, others: dict[str, Device]) -> str | None:
        if name in self.settings.device:
            return f"{FILE} has {name} now, and that one counts: remove this one, or give that another id"
        return "; ".join(wrong_with(self.settings, others, name, device)) or None

    def _problem(self, subject: str, text: str) -> None:
        if self.readings.journal.problem(subject, text, self.readings.clock.wall()):
            log.error("%s: %s", subject, text)

    # What there is.

    def entries(self) -> Iterator[Entry]:
        """Every device of this collector by id, those that cannot be read too."""
        running = {device.id: device for device in self.readings}
        for name in sorted({*running, *self._store.devices, *self._store.unread}):
            yield self.entry(name)

    def entry(self, name: str) -> Entry:
        """One device."""
        owned = self.readings.get(name)
        device = self._store.devices.get(name, Device(kind="")) if owned is None else owned.settings
        problems = self.readings.journal.problems
        return Entry(
            device=name,
            name=device.name or name if owned is None else owned.about().name,
            kind=device.kind,
            where=FILE if self._is_in_file(name) else "mqtt",
            online=owned is not None and owned.reporter.online is True,
            settings={k: v for k, v in shown(device).items() if k not in ("kind", "name", "disabled")},
            entities={} if owned is None else _entities(owned),
            problem=problems.get(f"registry.{name}") or problems.get(f"device.{name}"),
        )

    # What may be changed.

    def add(self, asked: Which) -> Entry:
        """Read one more device, now and after the next start."""
        name = asked.device
        if name in self.settings.device:
            raise _in_file(name)
        if name in self._store.devices or name in self._store.unread:
            raise Refused(Code.INVALID, f"device: there is a {name} already; device_update changes it")
        if len(self._store.devices) >= MOST:
            raise Refused(Code.LIMIT, f"{MOST} devices were added already")
        device = changed(asked, Device(kind=""))
        if not device.kind:
            listed = ", ".join(sorted(kinds.KINDS))
            raise Refused(Code.INVALID, f"kind: this field is needed; allowed are {listed}")
        owned = self._fit(name, device)
        self._keep(name, device)
        self.service.add(owned)
        log.info("%s (%s) was added over MQTT", name, device.kind)
        return self.entry(name)

    def update(self, asked: Which) -> Entry:
        """Change settings of a device that was added; what is not named stays."""
        before = self._added(asked.device)
        return self._change(asked.device, before, changed(asked, before))

    def enable(self, name: str, entity: str, *, enabled: bool) -> Entry:
        """Publish an entity, or no longer."""
        before = self._added(name)
        owned = self.readings.get(name)
        known = () if owned is None else owned.rows
        if entity not in known and entity not in before.disabled:
            listed = ", ".join(sorted(known)) or "none while it is not read"
            raise Refused(Code.NOT_FOUND, f"entity: {name} has no entity {entity[:64]!r}; it has {listed}")
        disabled = tuple(e for e in before.disabled if e != entity)
        return self._change(
            name, before, replace(before, disabled=disabled if enabled else (*disabled, entity))
        )

    def rename(self, name: str, to: str) -> Entry:
        """Go on with a device under another name; what the broker retains of the old one is cleared."""
        device = self._added(name)
        if to in self._store.devices or to in self._store.unread or self._is_in_file(to):
            raise Refused(Code.INVALID, f"to: there is a {to} already")
        others = {n: d for n, d in self._store.devices.items() if n != name}
        fresh = self._fit(to, device, others)
        owned = self._idle(name)
        self._write(name, lambda: self._store.rename(name, to))
        self._let_go(owned)
        self.readings.publisher.forget(name)
        self.service.add(fresh)
        log.info("%s is called %s now, as was asked over MQTT", name, to)
        return self.entry(to)

    def remove(self, name: str) -> None:
        """Read it no more, and clear what the broker retains of it."""
        if name in self.settings.device and name in self._store.devices:
            # The file's has taken its place: that one stays.
            self._keep(name, None)
            return
        if name not in self._store.unread:
            self._added(name)
        owned = self._idle(name)
        self._keep(name, None)
        self._let_go(owned)
        if ID.match(name):
            # Also of one that could not be read: an earlier run may have published it.
            self.readings.publisher.forget(name)
        log.info("%s was removed over MQTT", name)

    def _change(self, name: str, before: Device, device: Device) -> Entry:
        if device == before:
            return self.entry(name)
        fresh = self._fit(name, device)
        owned = self._idle(name)
        self._keep(name, device)
        if owned is None:
            self.service.add(fresh)
        else:
            self._solve(owned)
            if _is_same(before, device):
                _take_over(fresh, owned)
            else:
                self.readings.publisher.forget(name)
            self.service.change(fresh)
        self.readings.publisher.forget_entities(name, device.disabled)
        log.info("%s was changed over MQTT", name)
        return self.entry(name)

    def _is_in_file(self, name: str) -> bool:
        return name in self.settings.device or name in self.settings.imports

    def _added(self, name: str) -> Device:
        if self._is_in_file(name):
            raise _in_file(name)
        found = self._store.devices.get(name)
        if found is None:
            listed = ", ".join(sorted(self._store.devices)) or "none"
            raise Refused(Code.NOT_FOUND, f"device: there is no {name[:64]!r}; added over MQTT: {listed}")
        return found

    def _fit(self, name: str, device: Device, others: Mapping[str, Device] | None = None) -> Owned:
        beside = self._store.devices if others is None else others
        if mistakes := wrong_with(self.settings, beside, name, device):
            raise Refused(Code.INVALID, "; ".join(mistakes))
        where = transport(device)
        if where != self.which:
            raise Refused(
                Code.INVALID, f"kind: such a {device.kind} is read by {service_name(where)}: ask that service"
            )
        return own(self.settings, name, device, self.readings.clock.monotonic())

    def _idle(self, name: str) -> Owned | None:
        reason = self.service.busy(name)
        if reason is not None:
            raise Refused(Code.DENIED, reason)
        return self.readings.get(name)

    def _keep(self, name: str, device: Device | None) -> None:
        self._write(name, lambda: self._store.put(name, device))

    def _write(self, name: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            text = error.strerror or str(error)
            raise Refused(Code.INTERNAL, f"{self._store.path}: {text}; nothing was changed") from error
        self.readings.journal.solved(f"registry.{name}")

    def _let_go(self, owned: Owned | None) -> None:
        if owned is not None:
            self.service.remove(owned.id)
            self._solve(owned)

    def _solve(self, owned: Owned) -> None:
        for entity in owned.rows:
            self.readings.journal.solved(f"entity.{owned.id}.{entity}")


def _in_file(name: str) -> Refused:
    return Refused(Code.DENIED, f"{name} stands in {FILE}: change it there")


def _entities(owned: Owned) -> dict[str, bool]:
    disabled = owned.settings.disabled
    shown_now = (e for e, row in owned.rows.items() if not row.optional or e in owned.seen or e in disabled)
    return {entity: entity not in disabled for entity in shown_now}


def _is_same(before: Device, after: Device) -> bool:
    """Whether what was known of the device holds with its new settings."""
    kept = {name: getattr(before, name) for name in (*_COSMETIC, *SECRETS)}
    return replace(after, **kept) == before


def _take_over(fresh: Owned, before: Owned) -> None:
    """Go on with what the device has told."""
    fresh.seen, fresh.identity = before.seen, before.identity
    if fresh.kind.discovers:
        fresh.rows = before.rows
        fresh.reporter.steps = {**before.reporter.steps, **fresh.settings.steps}
    before.reporter.cadence, before.reporter.steps = fresh.reporter.cadence, fresh.reporter.steps
    fresh.reporter = before.reporter


def published(devices: Iterable[Owned]) -> dict[str, set[str] | None]:
    """All that the devices may ever report, by id; None: only the device itself knows."""
    return {d.id: None if d.kind.discovers else set(d.rows) - set(d.settings.disabled) for d in devices}


P = TypeVar("P", bound=Struct)


class NoParameters(Struct, forbid_unknown_fields=True):
    """No parameters."""


class AskKinds(Struct, forbid_unknown_fields=True):
    """One kind, or all."""

    kind: Annotated[str, Meta(max_length=64)] | None = None


def verbs(registry: Registry, scan: type[Struct] | None = None) -> Mapping[str, Action]:
    """Return the verbs of every collector; `scan` are the parameters of its device_scan, if it has one."""

    def removed(asked: Which) -> object:
        registry.remove(asked.device)
        return {"removed": asked.device}

    return {
        "devices": action(NoParameters, _devices(registry), key=tuple[str]),
        "kinds": action(AskKinds, _kinds(registry, scan), key=tuple[str]),
        "device_add": _once(DeviceSettings, registry.add),
        "device_update": _once(DeviceSettings, registry.update),
        "device_rename": _once(Renamed, lambda a: registry.rename(a.device, a.to)),
        "device_remove": _once(Which, removed),
        "entity_enable": _once(Whose, lambda a: registry.enable(a.device, a.entity, enabled=True)),
        "entity_disable": _once(Whose, lambda a: registry.enable(a.device, a.entity, enabled=False)),
    }


def _devices(registry: Registry) -> Callable[[NoParameters, Place], Listing]:
    def run(_asked: NoParameters, place: Place) -> Listing:
        after = "" if place.after is None else str(place.after[0])
        parts = (Part((entry.device,), entry) for entry in registry.entries() if entry.device > after)
        return Listing(parts, lambda found: [part.value for part in found])

    return run


def _kinds(registry: Registry, scan: type[Struct] | None) -> Callable[[AskKinds, Place], Listing]:
    def run(asked: AskKinds, place: Place) -> Listing:
        # All kinds of this collector are loaded for it, with their words: only when someone asks.
        from collector.form import Forms  # noqa: PLC0415 — see above

        return Forms(registry.which, registry.settings, scan).listing(asked.kind, place)

    return run


def _once(params: type[P], run: Callable[[P], object]) -> Action:
    """Make an action whose refusals never show a secret that the request held."""

    def parts(asked: P) -> Parts:
        try:
            yield Part((), run(asked))
        except Refused as refusal:
            raise Refused(refusal.code, masked(str(refusal), asked)) from refusal

    found = action(params, lambda asked, _place: Listing.whole(parts(asked)))

    def start(raw: bytes, place: Place) -> Listing:
        try:
            return found.start(raw, place)
        except Refused as refusal:
            raise Refused(refusal.code, masked(str(refusal))) from refusal

    return Action(start, found.key, found.largest, found.params, changes=True)


def open_to_clients(
    registry: Registry, scan: LiveVerb, reader: LiveVerb, *, bus: Publishes, topics: Topics
) -> None:
    """Read the devices that were added over MQTT too, and answer requests from now on."""
    registry.start()
    name, readings = service_name(registry.which), registry.readings
    clock, journal = readings.clock, readings.journal
    path = Path(registry.settings.storage.state) / f"{name}-access.log"
    access = AccessLog(path, clock=clock, journal=journal)
    requests = RequestServer(
        name,
        {
            **verbs(registry, None if isinstance(scan, Refusing) else scan.action().params),
            "device_scan": scan.action(),
            "read": reader.action(),
        },
        bus=bus,
        topics=topics,
        journal=journal,
        wall=clock.wall,
        access=access,
    )
    registry.service.open(requests, (scan, reader), published(readings), access)
