"""How many entities are kept: how many of the house, how many of strangers, and what gives way."""

import logging
from collections.abc import Callable, Collection

from msgspec import structs

from bus.about import About, of_house
from bus.clock import Clock
from bus.health import Journal
from statistician.arithmetic.live import Entities, LiveEntity
from statistician.records import EntityRecord, StoreError
from statistician.store import Store

log = logging.getLogger(__name__)

# Entities of the house, of all strangers together, and of one device, whoever it is.
MOST_ENTITIES = 10_000
MOST_OF_STRANGERS = 5_000
MOST_OF_DEVICE = 1_000

# How long it is told that entities were refused, how long none is looked for that gives way after there was
# none, and how often one about is asked for, seconds.
_TOLD_FOR_S = 600.0
_PAUSE_S = 10.0
_ASK_EVERY_S = 600.0
_MOST_ASKED = 4_096
# So many give way at once: looking whether they were ever read costs about as much as for one.
_AT_ONCE = 64
_CURE = "what was never read gives way by itself; empty the about topic of devices that are gone"


class EntityLimits:
    """Adds entities while there is room: strangers take none from the house, what was never read gives way.

    `house` are the devices that the settings name; those whose about names a service of the house belong to
    it too. `ask` asks the broker for the about of a device.
    """

    def __init__(
        self,
        entities: Entities,
        store: Store,
        house: Collection[str] = (),
        *,
        clock: Clock,
        journal: Journal,
        ask: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._entities = entities
        self._store = store
        self._clock = clock
        self._journal = journal
        self._ask = ask
        # When each about was asked for, when an entity was refused last, and when none was found to give way.
        self._asked: dict[str, float] = {}
        self._refused_at = self._sought_at = float("-inf")
        self._settings = frozenset(house)
        self._services = {device for device, service in store.owners() if of_house(service)}
        # Entities in all, and those of strangers among them; counted again where others changed them.
        self._total, self._strangers = -1, 0
        # Removed, but not from the disk yet.
        self.forgotten: set[int] = set()

    def has(self, device: str) -> bool:
        """Whether a device is of the house."""
        return device in self._settings or device in self._services

    def describe(self, device: str, about: About, now: int) -> list[EntityRecord]:
        """Take what about says at `now` (ms); returns what changed. Without room nothing new."""
        if of_house(about.service) and device not in self._services:
            self._services.add(device)
            self._total = -1
        known = self._entities.of(device)
        if not self._make(device, len(about.entities.keys() - known.keys())):
            about = structs.replace(about, entities={k: e for k, e in about.entities.items() if k in known})
        before = len(self._entities)
        changed = self._entities.describe(device, about, now)
        self._came(device, len(self._entities) - before)
        return changed

    def lives(
        self, device: str, keys: Collection[str], first: int, changed: dict[int, EntityRecord]
    ) -> dict[str, LiveEntity]:
        """Return the entities of a reading, without those for which there is no room.

        New ones go into `changed`.
        """
        known = self._entities.of(device)
        if all(key in known for key in keys):
            return {key: known[key] for key in keys}
        lives: dict[str, LiveEntity] = {}
        for key in keys:
            live = self._entities.find(device, key)
            if live is None and self._make(device, 1):
                live = self._entities.add(device, key, first)
                changed[live.record.id] = live.record
                self._came(device, 1)
                self._ask_about(device)
            if live is not None:
                lives[key] = live
        return lives

    def committed(self) -> None:
        """Note a commit; stop telling that entities were refused once that is over."""
        self.forgotten = set()
        if self._clock.monotonic() - self._refused_at >= _TOLD_FOR_S:
            self._journal.solved("room")

    def _ask_about(self, device: str) -> None:
        """Ask for the about of a device whose entity a reading had to add: it may have given way."""
        now = self._clock.monotonic()
        if now - self._asked.get(device, -_ASK_EVERY_S) >= _ASK_EVERY_S:
            if len(self._asked) >= _MOST_ASKED:
                self._asked.clear()
            self._asked[device] = now
            self._ask(device)

    def _came(self, device: str, more: int) -> None:
        self._total += more
        self._strangers += 0 if self.has(device) else more

    def _make(self, device: str, more: int) -> bool:
        """Make room for so many more entities of a device; False, and told, if there is none."""
        problem = self._problem(device, more)
        if problem is None:
            return True
        self._journal.count("entities_refused", more)
        self._refused_at = self._clock.monotonic()
        if self._journal.problem("room", problem, self._clock.wall()):
            log.warning("%s", problem)
        return False

    def _problem(self, device: str, more: int) -> str | None:
        if more and len(self._entities.of(device)) + more > MOST_OF_DEVICE:
            return f"{device} has more than {MOST_OF_DEVICE} entities: let it be several devices"
        surplus = self._surplus(device, more)
        if surplus <= 0 or self._forget(device, surplus):
            return None
        whose, most = ("the house", MOST_ENTITIES) if self.has(device) else ("strangers", MOST_OF_STRANGERS)
        return f"there are {most} entities of {whose}, so not all of {device} are kept: {_CURE}"

    def _surplus(self, device: str, more: int) -> int:
        total = len(self._entities) + more
        if not more or device in self._settings or total <= MOST_OF_STRANGERS:
            return 0
        if self._total != len(self._entities):
            self._total = len(self._entities)
            self._strangers = sum(not self.has(live.record.device) for live in self._entities)
        if self.has(device):
            return total - self._strangers - MOST_ENTITIES
        return self._strangers + more - MOST_OF_STRANGERS

    def _forget(self, device: str, least: int) -> bool:
        """Forget the newest of its kind that were described but never read; False if there are too few."""
        now = self._clock.monotonic()
        if now - self._sought_at < _PAUSE_S:
            return False
        house, chosen = self.has(device), dict[int, LiveEntity]()
        for live in self._entities.newest_first():
            record = live.record
            stays = live.newest is not None or live.clock is not None or record.device in self._settings
            if not stays and record.device != device and self.has(record.device) is house:
                chosen[record.id] = live
            if len(chosen) >= max(least, _AT_ONCE):
                break
        try:
            never = self._store.never_read(chosen) if len(chosen) >= least else set()
        except StoreError as error:
            log.warning("nothing gives way: %s", error)
            never = set()
        if len(never) < least:
            self._sought_at = now
            return False
        for number in never:
            self._entities.remove(chosen[number])
        self._came(chosen[min(never)].record.device, -len(never))
        self.forgotten |= never
        self._journal.count("entities_forgotten", len(never))
        return True
