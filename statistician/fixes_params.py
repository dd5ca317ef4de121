"""What each fix may be asked, typed, and what it answers; times are RFC 3339 texts or ms since 1970."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from bus.requests import Ms

Moment = Annotated[str, Meta(max_length=40)] | Ms
Name = Annotated[str, Meta(min_length=3, max_length=200)]
Device = Annotated[str, Meta(min_length=1, max_length=64)]
Names = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=500)]
Unit = Annotated[str, Meta(max_length=32)]
Text = Annotated[str, Meta(max_length=200)]
StateClass = Literal["measurement", "measurement_angle", "total", "total_increasing"]
Days = Annotated[int, Meta(ge=1, le=36_500)]
Id = Annotated[int, Meta(ge=1, le=2**53)]


class SetMetadata(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a user knows better than about; null gives a field back to about. Rows are not converted."""

    entity: Name
    name: Text | UnsetType | None = UNSET
    unit: Unit | UnsetType | None = UNSET
    device_class: Text | UnsetType | None = UNSET
    state_class: StateClass | UnsetType | None = UNSET
    retention_days: Days | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    dry_run: bool = False


class ChangeUnit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Convert all rows to `unit`; later ones are made in it. `old_unit` guards against a mistake."""

    entity: Name
    unit: Unit
    old_unit: Unit | None = None
    dry_run: bool = False


class AdjustSum(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Add `adjustment` (in `unit`, else the rows' own) to the sums from the period `start` on."""

    entity: Name
    start: Moment
    adjustment: float
    unit: Unit | None = None
    dry_run: bool = False


class Clear(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Remove all rows of entities; the next period starts afresh. States stay."""

    entities: Names
    dry_run: bool = False


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


class ImportStatistics(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
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
    dry_run: bool = False


class DeviceRename(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that is kept of `device` is that of `to` from now on."""

    device: Device
    to: Device
    dry_run: bool = False


class DeviceReplaced(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From `at` (now) on another one is `device`: the next number of each of its counters adds nothing."""

    device: Device
    at: Moment | None = None
    dry_run: bool = False


class EntityRename(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that is kept of `entity` is that of `to` from now on."""

    entity: Name
    to: Name
    dry_run: bool = False


class DeleteStates(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Remove states with start <= ts < end, or the one at `ts`; what was made of them is made again."""

    entity: Name
    ts: Moment | None = None
    start: Moment | None = None
    end: Moment | None = None
    dry_run: bool = False


class AcceptReading(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Let the reading at `ts` count, which was held or left out as a glitch; its rows are made again."""

    entity: Name
    ts: Moment
    dry_run: bool = False


class Recompile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Make rows from start to end (now) again from the stored states; of all entities if none is named."""

    start: Moment
    end: Moment | None = None
    entities: Names | None = None
    dry_run: bool = False


class UndoFix(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Take a fix back, the newest of its entities first."""

    id: Id
    dry_run: bool = False


class ListFixes(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The journal, newest first."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Summary(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a fix changed, or would: rows at once, periods that will be made again from states by and by.

    `id` is what undo takes; None on a dry run, and where there is nothing to take back. `more_entities`
    counts those not named.
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


class Journalled(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A fix that was made; of long params the lists are lengths, `more_entities` counts those not named."""

    id: int
    ts: str
    verb: str
    entities: tuple[str, ...]
    more_entities: int = 0
    params: Raw
    undone: str | None = None
