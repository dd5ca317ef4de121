"""Home Assistant's scenarios: their files, and a driver that plays one to the whole service."""

import gzip
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from bus.about import Entity
from config.model import Statistician as Settings
from statistician.fixes.params import AdjustSum, ChangeUnit, Clear, ImportedRow, ImportStatistics
from statistician.records import Table
from statistician.upkeep import Purge
from tests.statistician.rig import SECOND, Rig

HERE = Path(__file__).parent / "scenarios"
NAMES = sorted(path.name.split(".")[0] for path in (HERE / "input").iterdir())
# The scenarios are older than the software; whole days keep every boundary where it was.
SHIFT = timedelta(days=1048)
COLUMNS = ("mean", "min", "max", "state", "sum", "last_reset")
PERIODS = (("5minute", Table.FIVE_MINUTES), ("hour", Table.HOUR))

Cells = tuple[float | None, ...]
Rows = dict[tuple[str, str, int], Cells]


class Event(msgspec.Struct):
    """A state; what is not said stays as it was."""

    t: str
    state: str | None = None
    unit: str | msgspec.UnsetType | None = msgspec.UNSET
    state_class: str | msgspec.UnsetType | None = msgspec.UNSET
    device_class: str | msgspec.UnsetType | None = msgspec.UNSET
    last_reset: str | msgspec.UnsetType | None = msgspec.UNSET
    remove: bool = False


class Source(msgspec.Struct):
    """An entity and its states."""

    entity: str
    state_class: str | None
    events: list[Event]
    unit: str | None = None
    device_class: str | None = None


class Restart(msgspec.Struct):
    """The recorder was away."""

    down: str
    up: str


class Metadata(msgspec.Struct):
    """What an import says of its rows."""

    statistic_id: str
    unit_of_measurement: str | None
    has_sum: bool
    name: str | None = None


class Imported(msgspec.Struct):
    """An hour of an import."""

    start: str
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    state: float | None = None
    sum: float | None = None


class Op(msgspec.Struct):
    """Something done to the recorder."""

    t: str
    op: str
    keep_days: int = 10
    entity: str = ""
    entities: tuple[str, ...] = ()
    start: str = ""
    adjustment: float = 0.0
    unit: str | None = None
    old: str | None = None
    new: str = ""
    metadata: Metadata | None = None
    stats: tuple[Imported, ...] = ()


class Scenario(msgspec.Struct):
    """One input file."""

    start: str
    end: str
    entities: list[Source]
    restarts: list[Restart] = []
    ops: list[Op] = []


class ExpectedRow(msgspec.Struct):
    """A row of the recorder."""

    entity: str
    period: str
    start: str
    mean: float | None
    min: float | None
    max: float | None
    state: float | None
    sum: float | None
    last_reset: str | None


class Expected(msgspec.Struct):
    """One file of rows."""

    rows: list[ExpectedRow]


@dataclass
class Driver:
    """Plays a scenario's events to a rig."""

    rig: Rig
    scenario: Scenario

    def __post_init__(self) -> None:
        self.known = {
            source.entity: Entity(
                name=source.entity,
                unit=source.unit,
                device_class=source.device_class,
                state_class=source.state_class,
            )
            for source in self.scenario.entities
        }
        self.resets: dict[str, int | None] = {}

    def describe(self) -> None:
        """Say what each entity is now."""
        self.rig.describe("sensor", {name.split(".")[1]: entity for name, entity in self.known.items()})

    def state(self, source: Source, event: Event) -> None:
        """Send a reading for an event."""
        name = source.entity
        if event.remove:
            del self.known[name]
            self.describe()
            return
        said = {
            field: word
            for field in ("unit", "state_class", "device_class")
            if (word := getattr(event, field)) is not msgspec.UNSET
        }
        if said:
            self.known[name] = msgspec.structs.replace(self.known[name], **said)
            self.describe()
        if event.last_reset is not msgspec.UNSET:
            self.resets[name] = instant(event.last_reset)
        reset = self.resets.get(name)
        key = name.split(".")[1]
        value = number(event.state)
        resets = {} if reset is None or value is None else {key: reset}
        self.rig.reading("sensor", {key: value}, last_reset=resets)

    def operate(self, op: Op) -> None:
        """Do something to the statistics."""
        if op.op == "purge":
            self.rig.service.handle(Purge())
        elif op.op == "adjust_sum":
            self.rig.fix(
                AdjustSum(entity=op.entity, start=ms(op.start), adjustment=op.adjustment, unit=op.unit)
            )
        elif op.op == "change_unit":
            self.rig.fix(ChangeUnit(entity=op.entity, unit=op.new, old_unit=op.old))
        elif op.op == "clear":
            self.rig.fix(Clear(entities=op.entities))
        else:
            assert op.op == "import"
            assert op.metadata is not None
            self.rig.fix(
                ImportStatistics(
                    entity=op.metadata.statistic_id.replace(":", "."),
                    unit=op.metadata.unit_of_measurement,
                    name=op.metadata.name,
                    state_class="total" if op.metadata.has_sum else "measurement",
                    rows=tuple(_imported(row) for row in op.stats),
                )
            )

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
                self.operate(what)
            elif isinstance(event, Event):
                self.state(what, event)
        self.rig.run_until(ms(self.scenario.end) + 11 * SECOND)


def _imported(row: Imported) -> ImportedRow:
    return ImportedRow(
        start=ms(row.start), mean=row.mean, min=row.min, max=row.max, state=row.state, sum=row.sum
    )


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


def _read(folder: str, name: str) -> object:
    # The recorder's rows may hold Infinity, which only this decoder takes.
    path = HERE / folder / f"{name}.json"
    return json.loads(
        path.read_bytes() if path.exists() else gzip.decompress(Path(f"{path}.gz").read_bytes())
    )


def load(name: str) -> Scenario:
    """A scenario's input."""
    return msgspec.convert(_read("input", name), Scenario)


def expected(name: str) -> list[ExpectedRow]:
    """The recorder's rows as the file has them."""
    return msgspec.convert(_read("expected", name), Expected).rows


def recorded(name: str) -> Rows:
    """The recorder's rows, shifted."""
    return {
        # An id that is no entity's is a device and an entity with us.
        (row.entity.replace(":", "."), row.period, ms(row.start)): (
            *(getattr(row, column) for column in COLUMNS[:-1]),
            None if row.last_reset is None else ms(row.last_reset),
        )
        for row in expected(name)
    }


def play(name: str, path: Path) -> Rig:
    """A statistician that has lived through a scenario."""
    scenario = load(name)
    keep_days = min((op.keep_days for op in scenario.ops if op.op == "purge"), default=10)
    start = ms(scenario.start)
    first = min(ms(event.t) for source in scenario.entities for event in source.events)
    rig = Rig(path, now=min(start, first), settings=Settings(keep_days=keep_days))
    Driver(rig, scenario).play()
    return rig


def ours(name: str, rig: Rig) -> Rows:
    """Our rows from the recorder's first on."""
    start = min((at for _, _, at in recorded(name)), default=ms(load(name).start))
    found: Rows = {}
    for record in rig.store.entities():
        for period, table in PERIODS:
            for row in rig.rows(record.entity, table, record.device):
                if row.start >= start:
                    cells = tuple(getattr(row.row, column) for column in COLUMNS)
                    found[f"{record.device}.{record.entity}", period, row.start] = cells
    return found
