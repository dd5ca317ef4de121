"""What clients may ask a collector: a verb, its parameters, its answer."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec import Struct

from bus.access_log import AccessLog
from bus.clock import Clock
from bus.commands import Refused
from bus.events import Publishes
from bus.health import Journal
from bus.request_server import RequestServer
from bus.requests import Action, Listing, Part, Parts, Place, action
from bus.topics import Topics
from collector.registry import Registry
from collector.roster_params import Renamed, Settings, Which, Whose, masked

P = TypeVar("P", bound=Struct)


class Nothing(Struct, forbid_unknown_fields=True):
    """No parameters."""


def verbs(registry: Registry) -> Mapping[str, Action]:
    """The verbs of every collector."""

    def removed(asked: Which) -> object:
        registry.remove(asked.device)
        return {"removed": asked.device}

    return {
        "devices": action(Nothing, _devices(registry), key=tuple[str]),
        "device_add": _once(Settings, registry.add),
        "device_update": _once(Settings, registry.update),
        "device_rename": _once(Renamed, lambda a: registry.rename(a.device, a.to)),
        "device_remove": _once(Which, removed),
        "entity_enable": _once(Whose, lambda a: registry.enable(a.device, a.entity, enabled=True)),
        "entity_disable": _once(Whose, lambda a: registry.enable(a.device, a.entity, enabled=False)),
    }


def _devices(registry: Registry) -> Callable[[Nothing, Place], Listing]:
    def run(_asked: Nothing, place: Place) -> Listing:
        after = "" if place.after is None else str(place.after[0])
        parts = (Part((entry.device,), entry) for entry in registry.entries() if entry.device > after)
        return Listing(parts, lambda found: [part.value for part in found])

    return run


def _once(params: type[P], run: Callable[[P], object]) -> Action:
    """An action whose refusals never show a secret that the request held."""

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


def open_desk(
    service: str,
    registry: Registry,
    more: Mapping[str, Action],
    *,
    bus: Publishes,
    topics: Topics,
    clock: Clock,
    journal: Journal,
    access: AccessLog,
) -> RequestServer:
    """The desk at which a collector's requests are answered; `more` are the verbs of its transport."""
    return RequestServer(
        service,
        {**verbs(registry), **more},
        bus=bus,
        topics=topics,
        journal=journal,
        wall=clock.wall,
        access=access,
    )
