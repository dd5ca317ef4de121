"""What every fix stands on: names and times as users write them, and what a fix leaves to be done."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bus.messages import from_iso
from bus.requests import LATEST_MS
from bus.topics import ID
from statistician.arithmetic.algorithm import LARGEST
from statistician.arithmetic.live import Entities, LiveEntity
from statistician.arithmetic.periods import horizon
from statistician.compile import Compiler
from statistician.fixes_params import Summary
from statistician.records import EntityRecord, Span
from statistician.store import Store
from statistician.store_fixes import Undo

Code = Literal["invalid", "not_found", "limit"]


class FixError(Exception):
    """A fix is refused; the text names the field and what is allowed."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Ground:
    """The statistician as a fix sees it; `now` is ms."""

    store: Store
    entities: Entities
    compiler: Compiler
    now: int
    keep_days: int
    # Those that the fix has changed, before they are committed and known to all.
    records: dict[int, EntityRecord] = field(default_factory=dict)

    def record(self, number: int) -> EntityRecord:
        """An entity as the fix has left it so far."""
        return self.records.get(number) or self.entities[number].record

    @property
    def open(self) -> int:
        """Start of the first period not compiled yet."""
        return 0 if self.compiler.open is None else self.compiler.open

    @property
    def horizon(self) -> int:
        """From when on states are kept."""
        return horizon(self.now, self.keep_days)

    def find(self, name: str, where: str = "entity") -> LiveEntity:
        """The entity called `device.entity`, or with a slash. Raises FixError(not_found)."""
        device, key = parts(name, where)
        live = self.entities.find(device, key)
        if live is None:
            raise FixError("not_found", f"{where}: there is no entity {name!r}; the verb entities lists all")
        return live


def parts(name: str, where: str) -> tuple[str, str]:
    """Device and entity of a name. Raises FixError(invalid)."""
    device, _, key = name.replace("/", ".").partition(".")
    if not ID.match(device) or not ID.match(key):
        raise FixError("invalid", f"{where}: {name!r} is no name; allowed is device.entity")
    return device, key


def full_name(record: EntityRecord) -> str:
    """`device.entity`."""
    return f"{record.device}.{record.entity}"


def names(numbers: Iterable[int], entities: Entities) -> list[str]:
    """Entities by name, each once; one that was merged into another goes by that one's."""
    found: dict[str, None] = {}
    for number in numbers:
        record = entities[number].record
        while (into := record.merged_into) is not None:
            record = entities[into].record
        found[full_name(record)] = None
    return list(found)


def moment(value: str | int, where: str) -> int:
    """A time as ms. Raises FixError(invalid)."""
    try:
        found = value if isinstance(value, int) else from_iso(value)
    except (ValueError, OverflowError) as error:
        raise FixError("invalid", f"{where}: {error}") from error
    if not 0 <= found <= LATEST_MS:
        raise FixError("invalid", f"{where}: allowed are times from 1970 on")
    return found


def finite(value: float, where: str) -> float:
    """A number that sums can take. Raises FixError(invalid)."""
    if not -LARGEST <= value <= LARGEST:
        raise FixError("invalid", f"{where}: {value}: allowed are numbers from -{LARGEST:g} to {LARGEST:g}")
    return value


@dataclass(slots=True)
class Change:
    """What a fix did in the database, and what it leaves to be done once that is committed."""

    summary: Summary
    entities: set[int]
    undo: Undo | None = None
    records: list[EntityRecord] = field(default_factory=list)
    # Periods whose rows must be made again.
    spans: dict[int, Span] = field(default_factory=dict)
    # Whether rows of the newest period or hour may have changed at once.
    rows: bool = False
    # Whether states changed.
    states: bool = False
    # Entities whose states went to another: what awaits correction there awaits it here.
    given: dict[int, int] = field(default_factory=dict)
    # Devices whose retained topics are to be said again, or emptied.
    devices: set[str] = field(default_factory=set)
    # For the tables that name the fix: called with its id.
    adjusted: list[tuple[int, int, float]] = field(default_factory=list)
    imported: dict[int, list[int]] = field(default_factory=dict)
    renewed: list[tuple[int, int]] = field(default_factory=list)
    # Entities whose counters begin anew.
    counters: list[int] = field(default_factory=list)
    # The fix with which it is taken back.
    piece_of: int | None = None


def whole_of(changes: Sequence[Change]) -> Change:
    """Several fixes of one kind as one; the counts are those of all."""
    if len(changes) == 1:
        return changes[0]
    told = [change.summary for change in changes]
    summary = Summary(
        entities=tuple(dict.fromkeys(name for one in told for name in one.entities)),
        five_minute_rows=sum(one.five_minute_rows for one in told),
        hourly_rows=sum(one.hourly_rows for one in told),
    )
    records = {record.id: record for change in changes for record in change.records}
    return Change(
        summary,
        {number for change in changes for number in change.entities},
        records=list(records.values()),
        rows=any(change.rows for change in changes),
    )
