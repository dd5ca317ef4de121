"""`boondock history` and `boondock stats`: what the statistician keeps, for a range as people write it."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from typer import Argument, Option

from bus.access_log import Entry
from bus.messages import Value, from_iso, machine_zone, to_iso
from bus.topics import STATISTICIAN
from cli import terminal
from cli.asking import Asker
from cli.broker.rights import COLLECTORS, CONTROLLER
from cli.house import House, Json, talks
from cli.terminal import CommandError, shown
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
    """Read the range that two texts mean; a day as end is meant with all of it. Raises CommandError."""
    zone = zone_of(zone_name)
    begin = terminal.span(start, now, zone)[0]
    over = terminal.span(end, now, zone)[1]
    if over <= begin:
        raise CommandError(f"--from {start} is not before --to {end}; next: exchange them")
    return Range(iso(begin), iso(over), zone, zone_name)


def zone_of(name: str | None) -> tzinfo:
    """Find a time zone by its name, this machine's for None. Raises CommandError."""
    if name is None:
        return machine_zone()
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise CommandError(f"there is no time zone {name!r}; allowed is such as Europe/Berlin") from error


def iso(moment: datetime) -> str:
    """Write a moment as requests take it. Raises CommandError."""
    try:
        return to_iso(int(moment.astimezone(UTC).timestamp() * 1000))
    except (ValueError, OverflowError) as error:
        raise CommandError(f"{moment} is out of range") from error


def states_of(broker: Broker, entity: str, asked: Range, *, limit: int, points: int | None) -> History:
    """Ask the newest `limit` states of the range, oldest first, or `points` buckets. Raises CommandError."""
    name = entity.replace("/", ".")
    params: dict[str, object] = {"entity": name, "start": asked.start, "end": asked.end}
    if points is not None:
        params["points"] = points
    with Asker(broker) as asker:
        pages = list(asker.pages("history", params, History))
    rows = [row for page in pages for row in page.rows]
    return History(name, pages[0].unit, pages[0].columns, rows if points is not None else rows[-limit:])


def rows_of(broker: Broker, entities: Sequence[str], period: Period, asked: Range) -> Statistics:
    """Rows of the range. Raises CommandError."""
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
    """Write a time of an answer as people of the zone do."""
    return datetime.fromtimestamp(from_iso(str(text)) / 1000, zone).strftime(form)


def form_of(period: str) -> str:
    """How the start of a period is written."""
    return _FORMS.get(period, "%Y-%m-%d %H:%M")


def number(value: Value) -> str:
    """Write a number in few digits, `-` for none."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float | int) else value


_CHART_LABELS = 6
_CHART_LINES = 18


def width() -> int:
    """Columns of the terminal, 80 where there is none."""
    return shutil.get_terminal_size().columns


def chart(title: str, labels: Sequence[str], curves: Sequence[Sequence[float | None]], *, bars: bool) -> str:
    """One picture of curves that share their labels; None is a gap. Raises CommandError."""
    try:
        import plotext  # noqa: PLC0415 — only for who wants a picture
    except ImportError as error:
        raise CommandError(f"plotext cannot be loaded ({error}); next: leave --plot out") from error
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width(), _CHART_LINES)
    figure.title(title)
    for curve in curves:
        for first, values in _pieces(curve):
            signal = figure.signal(list(range(first, first + len(values))), values)
            figure.draw(signal.filly() if bars else signal.lines())
    step = max(1, -(-len(labels) // _CHART_LABELS))
    places = list(range(0, len(labels), step))
    figure.ruler("x").ticks(places, [labels[place] for place in places])
    return str(figure.build().string(colorless=True))


def _pieces(curve: Sequence[float | None]) -> list[tuple[int, list[float]]]:
    """Split a curve into its stretches without a gap, each with the place where it begins."""
    found: list[tuple[int, list[float]]] = []
    before: float | None = None
    for place, value in enumerate(curve):
        if value is not None:
            if before is None:
                found.append((place, []))
            found[-1][1].append(value)
        before = value
    return found


From = Annotated[
    str, Option("--from", metavar="TIME", help="Such as today, yesterday, 7d, '14:30', 2026-11-20.")
]
To = Annotated[str, Option("--to", metavar="TIME", help="The same; a day is meant with all of it.")]
Zone = Annotated[str | None, Option(metavar="ZONE", help="Such as Europe/Berlin; default: this machine's.")]
Plot = Annotated[bool, Option("--plot", help="Draw a chart.")]


@talks
def history(
    house: House,
    entity: Annotated[str, Argument(metavar="DEVICE.ENTITY")],
    *,
    from_: From = "24h",
    to: To = "now",
    limit: Annotated[int, Option(min=1, help="At most so many states, the newest.")] = 100,
    time_zone: Zone = None,
    plotted: Plot = False,
    as_json: Json = False,
) -> None:
    """Show the states of an entity as a table or a chart."""
    asked = range_of(from_, to, time_zone, datetime.now(UTC))
    points = max(10, width() - 10) if plotted else None
    found = states_of(house.broker(), entity, asked, limit=limit, points=points)
    unit = found.unit or ""
    if plotted and not as_json:
        labels = [local(row[0], asked.zone, "%d. %H:%M") for row in found.rows]
        means = [row[1] if isinstance(row[1], float | int) else None for row in found.rows]
        print(chart(f"{found.entity} [{unit}]", labels, [means], bars=False))
        return
    lines = [f"{local(row[0], asked.zone)}  {shown(row[1])} {unit}".rstrip() for row in found.rows]
    terminal.show(found, lines or [f"{found.entity} has no states in this time"], as_json=as_json)


# How far back, unless it is said: about as many rows as a screen has.
_BACK = {"5minute": "2h", "hour": "24h", "day": "14d", "week": "12w", "month": "366d", "year": "3660d"}


@talks
def stats(
    house: House,
    entities: Annotated[list[str], Argument(metavar="DEVICE.ENTITY...")],
    *,
    period: Period = "day",
    from_: Annotated[
        str | None, Option("--from", metavar="TIME", help="Such as today, 7d, last month, 2026-11-20.")
    ] = None,
    to: To = "now",
    time_zone: Zone = None,
    plotted: Plot = False,
    as_json: Json = False,
) -> None:
    """Show the statistics of entities by hour, day or longer, as a table or a chart."""
    asked = range_of(from_ or _BACK[period], to, time_zone, datetime.now(UTC))
    found = rows_of(house.broker(), entities, period, asked)
    if plotted and not as_json:
        for name in found.rows:
            print(_chart(found, name, asked, form_of(period)))
        return
    terminal.show(found, _lines(found, asked, form_of(period)), as_json=as_json)


def _lines(found: Statistics, asked: Range, form: str) -> Iterator[str]:
    for name, rows in found.rows.items():
        unit = found.units.get(name)
        yield f"{name} [{unit}]" if unit else name
        columns = [column for column in COLUMNS if any(row.get(column) is not None for row in rows)]
        if not rows:
            yield "  no statistics in this time"
            continue
        table = [["start", *columns, "known"]]
        for row in rows:
            coverage = row.get("coverage")
            known = f"{coverage:.0%}" if isinstance(coverage, float | int) else "-"
            numbers = (number(row.get(column)) for column in columns)
            table.append([local(row["start"], asked.zone, form), *numbers, known])
        yield from terminal.aligned(table)


def _chart(found: Statistics, name: str, asked: Range, form: str) -> str:
    rows = found.rows[name]
    of_counter = any(row.get("change") is not None for row in rows)
    curves = ("change",) if of_counter else ("min", "mean", "max")
    values = [
        [value if isinstance(value := row.get(column), float | int) else None for row in rows]
        for column in curves
    ]
    labels = [local(row["start"], asked.zone, form) for row in rows]
    title = f"{name}, {', '.join(curves)} [{found.units.get(name) or ''}]"
    return chart(title, labels, values, bars=of_counter)


SERVICES = (CONTROLLER, STATISTICIAN, *COLLECTORS)


class LogLine(msgspec.Struct):
    """One change, and the service that made it."""

    service: str
    entry: Entry


def newest_changes(broker: Broker, limit: int) -> list[LogLine]:
    """Ask all online services for their newest `limit` changes, oldest first. Raises CommandError."""
    with Asker(broker, service=None) as asker:
        online = [one for one in SERVICES if asker.is_online(one)]
    if not online:
        raise CommandError(f"no service is online at {broker.host}:{broker.port}: is any running?")
    found: list[LogLine] = []
    for service in online:
        with Asker(broker, service=service) as asker:
            for page in asker.pages("log", {"limit": limit}, list[Entry]):
                found += [LogLine(service, entry) for entry in page]
    found.sort(key=lambda change: change.entry.ts)
    return found[-limit:]


def log_line(change: LogLine) -> str:
    """Write a change for people."""
    entry = change.entry
    who = ", ".join(filter(None, (entry.sender, entry.reply_to)))
    left_out = f" ({entry.left_out} more before it)" if entry.left_out else ""
    text = f"{entry.ts}  {change.service}  {entry.what}  {entry.value or ''}".rstrip()
    return text + (f"  by {who}" if who else "") + left_out


@talks
def log(
    house: House,
    *,
    limit: Annotated[int, Option(min=1, max=10_000, help="How many lines.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what was switched and changed, and who asked for it."""
    found = newest_changes(house.broker(), limit)
    terminal.show(found, map(log_line, found), as_json=as_json)
