"""A reader of the change feed: it asks in pages, and keeps what the changes say; what the database holds."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from bus.messages import from_iso, to_iso
from bus.requests import Part, Place
from statistician.api import VERBS
from statistician.arithmetic import HOUR, MINUTES_5
from statistician.upkeep import Purge
from tests.statistician.rig import MINUTE, AskingRig, Json

KINDS = ("reading", "5minute", "hour")
Key = tuple[str, str, int]
_TABLES = {"5minute": "statistics_5minute", "hour": "statistics_hour"}
_NUMBERS = ("mean", "min", "max", "state", "sum", "sum_increase", "sum_decrease", "coverage")


@dataclass(eq=False)
class Reader:
    """`held` is what it has, by kind, name and time; `gaps` what it was told is gone."""

    filter: dict[str, Json] = field(default_factory=dict)
    start: int | None = 0
    after: str | None = None
    held: dict[Key, Any] = field(default_factory=dict)
    gaps: list[Json] = field(default_factory=list)
    changes: list[Json] = field(default_factory=list)
    more: bool = True
    _making: Iterator[Any] | None = None

    def begin(self, rig: AskingRig, **more: Json) -> None:
        """Ask for a page; `go_on` makes it."""
        asked = self.filter | more
        if self.after is not None:
            asked["after"] = self.after
        elif self.start is not None:
            asked["start"] = self.start
        action = VERBS["changes"].on(rig.service.context)
        self._making = action.start(msgspec.json.encode(asked), Place(rig.now)).parts

    def go_on(self, slices: int = 10**6) -> bool:
        """Make the page; whether it is there."""
        while self._making is not None and slices:
            slices -= 1
            part = next(self._making)
            if isinstance(part, Part):
                self._making = None
                self._take(msgspec.json.decode(msgspec.json.encode(part.value)))
        return self._making is None

    def forget_page(self) -> None:
        """The process that made the page has ended."""
        self._making = None

    def read(self, rig: AskingRig, **more: Json) -> list[Json]:
        """Ask for a page and take it; returns its changes."""
        self.begin(rig, **more)
        self.go_on()
        return self.changes

    def read_all(self, rig: AskingRig, **more: Json) -> list[Json]:
        """Ask until there is no more; returns all changes."""
        found: list[Json] = []
        for _ in range(20_000):
            found += self.read(rig, **more)
            if not self.more:
                return found
        raise AssertionError("it never ends")

    def _take(self, data: Json) -> None:
        self.after, self.more, self.changes = data["after"], data["more"], data["changes"]
        for change in self.changes:
            self._apply(change)

    def _apply(self, change: Json) -> None:
        assert "#" not in change.get("entity", "")
        if "gap" in change:
            self.gaps.append(change)
        elif "removed" in change:
            start, end = from_iso(change["start"]), from_iso(change["end"])
            for key in [k for k in self.held if k[:2] == (change["removed"], change["entity"])]:
                if start <= key[2] < end:
                    del self.held[key]
        elif "period" in change:
            self.held[change["period"], change["entity"], from_iso(change["start"])] = {
                name: change.get(name) for name in (*_NUMBERS, "last_reset", "rev")
            }
        else:
            self.held["reading", change["entity"], from_iso(change["ts"])] = [
                change["value"],
                change.get("last_reset"),
            ]

    def wants(self, kind: str, name: str) -> bool:
        """Whether it asked for that."""
        if kind not in self.filter.get("kinds", KINDS):
            return False
        patterns = [*self.filter.get("entities", ()), *(f"{d}.*" for d in self.filter.get("devices", ()))]
        return not patterns or any(fnmatchcase(name, one.replace("/", ".")) for one in patterns)


def stored(rig: AskingRig) -> dict[Key, Any]:
    """All readings and rows of the database, by kind, name and time."""
    names = {one.id: f"{one.device}.{one.entity}" for one in rig.store.entities()}
    every = rig.store.engine.all
    found: dict[Key, Any] = {}
    for number, ts, value, reset in every(
        "SELECT entity, ts, value, last_reset FROM states WHERE entity > 0"
    ):
        assert isinstance(number, int)
        assert isinstance(ts, int)
        found["reading", names[number], ts] = [value, _iso(reset)]
    for kind, table in _TABLES.items():
        columns = f"entity, start, {', '.join(_NUMBERS)}, last_reset, rev"
        for number, start, *numbers, reset, rev in every(f"SELECT {columns} FROM {table}"):  # noqa: S608 — ours
            assert isinstance(number, int)
            assert isinstance(start, int)
            row = dict(zip(_NUMBERS, numbers, strict=True))
            found[kind, names[number], start] = row | {"last_reset": _iso(reset), "rev": rev}
    # What was merged into another has no name; what a merge has left behind is nobody's.
    return {key: value for key, value in found.items() if not key[1].startswith("#")}


def _iso(ts: object) -> str | None:
    return to_iso(ts) if isinstance(ts, int) else None


def measure(rig: AskingRig, minutes: int) -> None:
    """A reading a minute, all in order."""
    for _ in range(minutes):
        rig.now += MINUTE
        rig.reading("van", {"volt": rig.now / MINUTE % 7, "total": rig.now / HOUR})
        rig.settle()


def entries(rig: AskingRig) -> list[tuple[str, int, str, int]]:
    """What was noted: name, entity, kind and whether removed."""
    return rig.store.engine.all("SELECT name, entity, what, removed FROM changed ORDER BY seq")  # type: ignore[return-value]  # as asked


def due(change: Json) -> int:
    """When a change was known first, ms."""
    length = {"5minute": MINUTES_5, "hour": HOUR}
    return from_iso(change["ts"]) if "ts" in change else from_iso(change["start"]) + length[change["period"]]


def check(rig: AskingRig, *readers: Reader) -> None:
    """Readers have what the database holds."""
    for reader in readers:
        reader.read_all(rig, limit=40)
        before = {str(what): one.before for what, one in rig.store.changes.horizons().items()}
        wanted = {k: v for k, v in stored(rig).items() if reader.wants(k[0], k[1])}
        assert {k: v for k, v in reader.held.items() if k[2] < before[k[0]]} == {
            k: v for k, v in wanted.items() if k[2] < before[k[0]]
        }
        # What was dated anew may lie ahead of that.
        assert reader.held.items() <= wanted.items()


def away(rig: AskingRig, days: int) -> None:
    """The van goes on for days of which only some hours are measured, and the purges of their nights."""
    for _ in range(days):
        rig.run_until(rig.now + 2 * HOUR)
        rig.close()
        rig.now += 22 * HOUR
        rig.start()
        measure(rig, 10)
        rig.service.handle(Purge())
        rig.commit()
