"""What each verb may be asked, typed; times are RFC 3339 texts or integer ms since 1970 UTC."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from bus.requests import Ms

Moment = Annotated[str, Meta(max_length=40)] | Ms
Name = Annotated[str, Meta(min_length=3, max_length=200)]
# An entity's place in the request.
Index = Annotated[int, Meta(ge=0, le=500)]
Names = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=500)]
Zone = Annotated[str, Meta(min_length=1, max_length=64)]
Period = Literal["5minute", "hour", "day", "week", "month", "year", "lifetime"]
Number = Literal["mean", "min", "max", "state", "sum", "change", "sum_increase", "sum_decrease", "coverage"]
Type = Number | Literal["last_reset", "min_at", "max_at"]
Units = dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=32)]]


class Nothing(Struct, forbid_unknown_fields=True):
    """A verb without parameters."""


class DeadLetters(Struct, forbid_unknown_fields=True):
    """The newest `limit` messages that were set aside."""

    limit: Annotated[int, Meta(ge=0, le=1000)] = 100


class TakeAgain(Struct, forbid_unknown_fields=True):
    """The dead letter with this number."""

    letter: Annotated[int, Meta(ge=1, le=2**53)]


class Which(Struct, forbid_unknown_fields=True):
    """Entities of a device, one entity (`device.entity`), or all."""

    device: Annotated[str, Meta(max_length=100)] | None = None
    entity: Name | None = None


class MetadataOf(Struct, forbid_unknown_fields=True):
    """Entities that have statistics; `statistic_type` mean or sum leaves out the others."""

    entities: Names | None = None
    statistic_type: Literal["mean", "sum"] | None = None


class History(Struct, forbid_unknown_fields=True):
    """States of an entity, start <= ts < end; without a range the newest `limit`; `points` buckets."""

    entity: Name
    start: Moment | None = None
    end: Moment | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    points: Annotated[int, Meta(ge=1, le=5_000)] | None = None


class StatisticsOf(Struct, forbid_unknown_fields=True):
    """Rows of entities, by period; `units` maps a unit class to the unit wanted.

    With `order_by` the `limit` (10) greatest, or smallest, of each entity, and how many there are `above`.
    """

    entities: Names
    period: Period = "hour"
    start: Moment | None = None
    end: Moment | None = None
    types: Annotated[tuple[Type, ...], Meta(min_length=1)] | None = None
    units: Units | None = None
    time_zone: Zone | None = None
    order_by: Number | None = None
    descending: bool | None = None
    limit: Annotated[int, Meta(ge=0, le=1_000)] | None = None
    above: float | None = None


class FixedPeriod(Struct, forbid_unknown_fields=True):
    """From start, or ever, to end, or now."""

    start: Moment | None = None
    end: Moment | None = None


class CalendarPeriod(Struct, forbid_unknown_fields=True):
    """The running hour, day, week, month or year, or the one `offset` later."""

    period: Literal["hour", "day", "week", "month", "year"]
    offset: Annotated[int, Meta(ge=-100_000, le=100_000)] = 0


class RollingWindow(Struct, forbid_unknown_fields=True):
    """The last `duration` seconds, moved by `offset` seconds."""

    duration: Annotated[float, Meta(gt=0, le=315_360_000)]
    offset: Annotated[float, Meta(ge=-315_360_000, le=0)] = 0


class StatisticOf(Struct, forbid_unknown_fields=True):
    """One value for a whole range; exactly one of the three ranges."""

    entity: Name
    fixed_period: FixedPeriod | None = None
    calendar: CalendarPeriod | None = None
    rolling_window: RollingWindow | None = None
    types: (
        Annotated[
            tuple[Literal["mean", "min", "max", "change", "coverage", "min_at", "max_at"], ...],
            Meta(min_length=1),
        ]
        | None
    ) = None
    units: Units | None = None
    time_zone: Zone | None = None


class Outliers(Struct, forbid_unknown_fields=True):
    """States that lie `threshold` robust deviations or more from their neighbours; default the last day."""

    entity: Name
    start: Moment | None = None
    end: Moment | None = None
    threshold: Annotated[float, Meta(ge=1, le=1000)] = 6.0


class TakeBack(Struct, forbid_unknown_fields=True):
    """Take a fix back; `id` names the request, so the fix is `fix`."""

    fix: Annotated[int, Meta(ge=1, le=2**53)]
    dry_run: bool = False
