"""What each fix is asked, what it answers, and what it leaves to be done once it is committed."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from bus.commands import Code, Refused
from bus.integral import LARGEST
from statistician.api import Moment, Name, Names, full_name
from statistician.entities import Entities
from statistician.records import EntityRecord, Span
from statistician.store.fixes import Undo

Device = Annotated[str, Meta(min_length=1, max_length=64)]
Unit = Annotated[str, Meta(max_length=32)]
Text = Annotated[str, Meta(max_length=200)]
StateClass = Literal["measurement", "measurement_angle", "total", "total_increasing"]
Days = Annotated[int, Meta(ge=1, le=36_500)]
Id = Annotated[int, Meta(ge=1, le=2**53)]


class FixParams(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every fix may be asked: `dry_run` only says what it would change."""

    dry_run: bool = False


class SetMetadata(FixParams, frozen=True, kw_only=True):
    """What a user knows better than about; null gives a field back to about. Rows are not converted."""

    entity: Name
    name: Text | UnsetType | None = UNSET
    unit: Unit | UnsetType | None = UNSET
    device_class: Text | UnsetType | None = UNSET
    state_class: StateClass | UnsetType | None = UNSET
    retention_days: Days | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class ChangeUnit(FixParams, frozen=True, kw_only=True):
    """Convert all rows to `unit`; later ones are made in it. `old_unit` guards against a mistake."""

    entity: Name
    unit: Unit
    old_unit: Unit | None = None


class AdjustSum(FixParams, frozen=True, kw_only=True):
    """Add `adjustment` (in `unit`, else the rows' own) to the sums from the period `start` on."""

    entity: Name
    start: Moment
    adjustment: float
    unit: Unit | None = None


class Clear(FixParams, frozen=True, kw_only=True):
    """Remove all rows of entities; the next period starts afresh. States stay."""

    entities: Names


class ImportedRow(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An hour's row; what is left out becomes null."""

    start: Moment
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    state: float | None = None
    sum: float | None = None
    sum_increase: float | None = None
    sum_decrease: float | None = None
    last_reset: Moment | None = None
    coverage: Annotated[float, Meta(ge=0, le=1)] | None = None


class ImportStatistics(FixParams, frozen=True, kw_only=True):
    """Hourly rows from elsewhere; they replace whole rows. An entity not known yet is made.

    `import` is the id of the import that these rows go on with: one undo takes all of it back. `more` says
    that more rows of the entity follow: its sums are joined with the last of them.
    """

    entity: Name
    rows: Annotated[tuple[ImportedRow, ...], Meta(min_length=1)]
    unit: Unit | None = None
    name: Text | None = None
    state_class: StateClass | None = None
    part_of: Id | None = field(default=None, name="import")
    more: bool = False


class DeviceRename(FixParams, frozen=True, kw_only=True):
    """Everything that is kept of `device` is that of `to` from now on."""

    device: Device
    to: Device


class DeviceReplaced(FixParams, frozen=True, kw_only=True):
    """From `at` (now) on another one is `device`: the next number of each of its counters adds nothing."""

    device: Device
    at: Moment | None = None


class EntityRename(FixParams, frozen=True, kw_only=True):
    """Everything that is kept of `entity` is that of `to` from now on."""

    entity: Name
    to: Name


class DeleteStates(FixParams, frozen=True, kw_only=True):
    """Remove states with start <= ts < end, or the one at `ts`; what was made of them is made again."""

    entity: Name
    ts: Moment | None = None
    start: Moment | None = None
    end: Moment | None = None


class AcceptReading(FixParams, frozen=True, kw_only=True):
    """Let the reading at `ts` count, which was held or left out as a glitch; its rows are made again."""

    entity: Name
    ts: Moment


class Recompile(FixParams, frozen=True, kw_only=True):
    """Make rows from start to end (now) again from the stored states; of all entities if none is named."""

    start: Moment
    end: Moment | None = None
    entities: Names | None = None


class UndoFix(FixParams, frozen=True, kw_only=True):
    """Take a fix back, the newest of its entities first."""

    id: Id


class ListFixes(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The journal, newest first."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Summary(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a fix changed, or would: rows at once, periods that will be made again from states by and by.

    `id` is what undo takes; None on a dry run, and where there is nothing to take back. `more_entities`
    counts those not named. `brought_back` are states with their times: only a dry run of undo tells them.
    """

    entities: tuple[str, ...]
    more_entities: int = 0
    dry_run: bool = False
    id: int | None = None
    undone: int | None = None
    five_minute_rows: int = 0
    hourly_rows: int = 0
    states: int = 0
    periods: int = 0
    fields: dict[str, str | int | bool | None] = {}
    brought_back: tuple[tuple[str, float | str | None], ...] = ()


class Journalled(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A fix that was made; of long params the lists are lengths, `more_entities` counts those not named."""

    id: int
    ts: str
    verb: str
    entities: tuple[str, ...]
    more_entities: int = 0
    params: Raw
    undone: str | None = None


def names(numbers: Iterable[int], entities: Entities) -> list[str]:
    """Entities by name, each once; one that was merged into another goes by that one's."""
    found: dict[str, None] = {}
    for number in numbers:
        record = entities[number].record
        while (into := record.merged_into) is not None:
            record = entities[into].record
        found[full_name(record)] = None
    return list(found)


def finite(value: float, where: str) -> float:
    """Return a number that sums can take. Raises Refused(invalid)."""
    if not -LARGEST <= value <= LARGEST:
        raise Refused(Code.INVALID, f"{where}: {value}: allowed are numbers from -{LARGEST:g} to {LARGEST:g}")
    return value


@dataclass(slots=True)
class Change:
    """What a fix did in the database, and what it leaves to be done once that is committed."""

    summary: Summary
    entities: set[int]
    undo: Undo | None = None
    records: list[EntityRecord] = dataclasses.field(default_factory=list)
    # Periods whose rows must be made again.
    spans: dict[int, Span] = dataclasses.field(default_factory=dict)
    # Whether rows of the newest period or hour may have changed at once.
    rows: bool = False
    # Whether states changed.
    states: bool = False
    # Entities whose states went to another: what awaits correction there awaits it here.
    given: dict[int, int] = dataclasses.field(default_factory=dict)
    # Devices whose retained topics are to be said again, or emptied.
    devices: set[str] = dataclasses.field(default_factory=set)
    # For the tables that name the fix: called with its id.
    adjusted: list[tuple[int, int, float]] = dataclasses.field(default_factory=list)
    imported: dict[int, list[int]] = dataclasses.field(default_factory=dict)
    renewed: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    # Entities whose counters begin anew.
    counters: list[int] = dataclasses.field(default_factory=list)
    # The fix with which it is taken back.
    piece_of: int | None = None

    @classmethod
    def of(
        cls,
        records: Sequence[EntityRecord],
        undo: Undo | None = None,
        *,
        rows: bool = True,
        **told: Any,  # noqa: ANN401 — the fields of Summary
    ) -> "Change":
        """Make a change of these records, and what its summary tells beside their names."""
        summary = Summary(entities=tuple(map(full_name, records)), **told)
        return cls(summary, {record.id for record in records}, undo, records=list(records), rows=rows)


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
