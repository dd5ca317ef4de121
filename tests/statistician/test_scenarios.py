"""What Home Assistant's own recorder made of these states, through the whole service."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.model import Statistician as Settings
from statistician.records import Table
from statistician.schedule import Purge
from tests.statistician.rig import SECOND, Rig

HERE = Path(__file__).parent / "scenarios"
NAMES = sorted(path.stem for path in (HERE / "input").glob("*.json"))
# The scenarios are older than the software; whole days keep every boundary where it was.
SHIFT = timedelta(days=1048)
COLUMNS = ("mean", "min", "max", "state", "sum", "last_reset")


class Event(msgspec.Struct):
    """A state; what is not said stays as it was."""

    t: str
    state: str | None = None
    unit: str | msgspec.UnsetType | None = msgspec.UNSET
    state_class: str | msgspec.UnsetType | None = msgspec.UNSET
    last_reset: str | msgspec.UnsetType | None = msgspec.UNSET


class Source(msgspec.Struct):
    """An entity and its states."""

    entity: str
    state_class: str | None
    events: list[Event]


class Restart(msgspec.Struct):
    """The recorder was away."""

    down: str
    up: str


class Op(msgspec.Struct):
    """Something done to the recorder."""

    t: str
    op: str
    keep_days: int = 10


class Scenario(msgspec.Struct):
    """One input file."""

    start: str
    end: str
    entities: list[Source]
    restarts: list[Restart] = []
    ops: list[Op] = []


class Expected(msgspec.Struct):
    """One file of rows."""

    rows: list[dict[str, Any]]  # read only below, column by column


@dataclass
class Driver:
    """Plays a scenario's events to a rig."""

    rig: Rig
    scenario: Scenario

    def __post_init__(self) -> None:
        self.classes = {source.entity: source.state_class for source in self.scenario.entities}
        self.resets: dict[str, int | None] = {}

    def describe(self) -> None:
        """Say which state class each entity has now."""
        known = {name.split(".")[1]: kind for name, kind in self.classes.items()}
        self.rig.about("sensor", **known)

    def state(self, source: Source, event: Event) -> None:
        """Send a reading for an event."""
        name = source.entity
        if event.state_class is not msgspec.UNSET:
            self.classes[name] = event.state_class
            self.describe()
        if event.last_reset is not msgspec.UNSET:
            self.resets[name] = instant(event.last_reset)
        reset = self.resets.get(name)
        key = name.split(".")[1]
        value = number(event.state)
        resets = {} if reset is None or value is None else {key: reset}
        self.rig.reading("sensor", {key: value}, last_reset=resets)

    def play(self) -> None:
        """From the first event to the compilation of the last period."""
        self.describe()
        moments: list[tuple[int, int, Source | Restart | Op, Event | bool | None]] = []
        for source in self.scenario.entities:
            moments += [(ms(event.t), 2, source, event) for event in source.events]
        for restart in self.scenario.restarts:
            moments += [(ms(restart.down), 0, restart, False), (ms(restart.up), 1, restart, True)]
        moments += [(ms(op.t), 3, op, None) for op in self.scenario.ops]
        down = False
        for at, _, what, event in sorted(moments, key=lambda moment: moment[:2]):
            if not down:
                self.rig.run_until(at)
            self.rig.now = max(at, self.rig.now)
            if isinstance(what, Restart):
                down = not event
                self.rig.close() if down else self.rig.start()
            elif isinstance(what, Op):
                assert what.op == "purge"
                self.rig.service.handle(Purge())
            elif isinstance(event, Event):
                self.state(what, event)
        self.rig.run_until(ms(self.scenario.end) + 11 * SECOND)


def ms(text: str) -> int:
    """A scenario's time, shifted; microseconds are cut."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment + SHIFT - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def instant(text: str | None) -> int | None:
    """A last_reset; what is no time is none."""
    try:
        return None if text is None else ms(text)
    except ValueError:
        return None


def number(state: str | None) -> float | None:
    """What our wire carries for a state: unknown, unavailable and texts are null."""
    try:
        value = float(state or "")
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def load(name: str) -> tuple[Scenario, Expected]:
    """A scenario and the recorder's rows."""
    return (
        msgspec.json.decode((HERE / "input" / f"{name}.json").read_bytes(), type=Scenario),
        msgspec.json.decode((HERE / "expected" / f"{name}.json").read_bytes(), type=Expected),
    )


def slack(scenario: Scenario) -> float:
    """What cutting microseconds may move a mean by, as a share of a value's jump."""
    fine = any(
        len(event.t) > len("2024-01-10T12:00:00.000Z") for s in scenario.entities for event in s.events
    )
    return 0.002 / 300 if fine else 0.0


def alike(got: tuple[float | None, ...], wanted: tuple[float | None, ...], loose: float) -> bool:
    """Whether two rows agree, nulls included."""
    return all(
        a == b or (a is not None and b is not None and a == pytest.approx(b, rel=1e-9, abs=loose or 1e-12))
        for a, b in zip(got, wanted, strict=True)
    )


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_the_recorders(name: str, tmp_path: Path) -> None:
    scenario, expected = load(name)
    keep_days = min((op.keep_days for op in scenario.ops), default=10)
    start = ms(scenario.start)
    first = min(ms(event.t) for source in scenario.entities for event in source.events)
    rig = Rig(tmp_path / "s.db", now=min(start, first), settings=Settings(keep_days=keep_days))
    Driver(rig, scenario).play()
    loose = slack(scenario)
    for source in scenario.entities:
        values = [number(event.state) or 0.0 for event in source.events]
        jump = (max(values) - min(values)) * loose
        for period, table in (("5minute", Table.FIVE_MINUTES), ("hour", Table.HOUR)):
            wanted = {
                ms(row["start"]): tuple(
                    ms(row[c]) if c == "last_reset" and row[c] else row[c] for c in COLUMNS
                )
                for row in expected.rows
                if (row["entity"], row["period"]) == (source.entity, period)
            }
            rows = rig.rows(source.entity.split(".")[1], table, "sensor")
            got = {r.start: tuple(getattr(r.row, c) for c in COLUMNS) for r in rows if r.start >= start}
            assert got.keys() == wanted.keys(), (source.entity, period)
            for at, row in wanted.items():
                assert alike(got[at], row, jump), (source.entity, period, at, got[at], row)
