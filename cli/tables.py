"""`boondock history` and `boondock stats`: what the statistician keeps, for a range as people write it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from bus.messages import Value, from_iso, machine_zone, to_iso
from cli import times
from cli.asking import Asker
from cli.errors import CommandError
from config.model import Broker

Period = Literal["5minute", "hour", "day", "week", "month", "year"]
_FORMS: dict[str, str] = {"day": "%a %Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}
# What is shown of each entity, if it has it.
COLUMNS = ("mean", "min", "max", "change")


@dataclass(frozen=True, slots=True)
class Range:
    """From when to when, RFC 3339, and the zone that people live in; `zone_name` is what they asked for."""

    start: str
    end: str
    zone: tzinfo
    zone_name: str | None


class History(msgspec.Struct):
    """States of an entity, or of a chart a bucket each."""

    entity: str
    unit: str | None
    columns: list[str]
    rows: list[list[Value]]


class Statistics(msgspec.Struct):
    """Rows by entity."""

    units: dict[str, str | None]
    rows: dict[str, list[dict[str, Value]]]


def range_of(start: str, end: str, zone_name: str | None, now: datetime) -> Range:
    """The range that two texts mean; a day as end is meant with all of it. Raises CommandError."""
    zone = zone_of(zone_name)
    begin = times.span(start, now, zone)[0]
    over = times.span(end, now, zone)[1]
    if over <= begin:
        raise CommandError(f"--from {start} is not before --to {end}; next: exchange them")
    return Range(iso(begin), iso(over), zone, zone_name)


def zone_of(name: str | None) -> tzinfo:
    """A time zone by its name, this machine's for None. Raises CommandError."""
    if name is None:
        return machine_zone()
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise CommandError(f"there is no time zone {name!r}; allowed is such as Europe/Berlin") from error


def iso(moment: datetime) -> str:
    """A moment as requests take it. Raises CommandError."""
    try:
        return to_iso(int(moment.astimezone(UTC).timestamp() * 1000))
    except (ValueError, OverflowError) as error:
        raise CommandError(f"{moment} is out of range") from error


def history(broker: Broker, entity: str, asked: Range, *, limit: int, points: int | None) -> History:
    """The newest `limit` states of the range, oldest first, or `points` buckets. Raises AskError."""
    name = entity.replace("/", ".")
    params: dict[str, object] = {"entity": name, "start": asked.start, "end": asked.end}
    if points is not None:
        params["points"] = points
    with Asker(broker) as asker:
        pages = list(asker.pages("history", params, History))
    rows = [row for page in pages for row in page.rows]
    return History(name, pages[0].unit, pages[0].columns, rows if points is not None else rows[-limit:])


def statistics(broker: Broker, entities: Sequence[str], period: Period, asked: Range) -> Statistics:
    """Rows of the range. Raises AskError."""
    names = [name.replace("/", ".") for name in dict.fromkeys(entities)]
    params: dict[str, object] = {
        "entities": names,
        "period": period,
        "start": asked.start,
        "end": asked.end,
        "types": [*COLUMNS, "coverage"],
    }
    if asked.zone_name is not None:
        params["time_zone"] = asked.zone_name
    found = Statistics({}, {name: [] for name in names})
    with Asker(broker) as asker:
        for page in asker.pages("statistics", params, Statistics):
            found.units |= page.units
            for name, rows in page.rows.items():
                found.rows[name] += rows
    return found


def local(text: object, zone: tzinfo, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time of an answer as people of the zone write it."""
    return datetime.fromtimestamp(from_iso(str(text)) / 1000, zone).strftime(form)


def form_of(period: str) -> str:
    """How the start of a period is written."""
    return _FORMS.get(period, "%Y-%m-%d %H:%M")


def number(value: Value) -> str:
    """A number in few digits, `-` for none."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float | int) else value
