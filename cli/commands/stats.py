"""`boondock stats`."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli import output, plot, tables
from cli.commands.history import Plot, To, Zone
from cli.house import House, Json, talks

# How far back, unless it is said: about as many rows as a screen has.
_BACK = {"5minute": "2h", "hour": "24h", "day": "14d", "week": "12w", "month": "366d", "year": "3660d"}


@talks
def command(
    house: House,
    entities: Annotated[list[str], typer.Argument(metavar="DEVICE.ENTITY...")],
    *,
    period: tables.Period = "day",
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Such as today, 7d, last month, 2026-11-20."),
    ] = None,
    to: To = "now",
    time_zone: Zone = None,
    plotted: Plot = False,
    as_json: Json = False,
) -> None:
    """Show the statistics of entities by hour, day or longer, as a table or a chart."""
    asked = tables.range_of(from_ or _BACK[period], to, time_zone, datetime.now(UTC))
    found = tables.statistics(house.broker(), entities, period, asked)
    if plotted and not as_json:
        for name in found.rows:
            print(_chart(found, name, asked, tables.form_of(period)))
        return
    output.show(found, _lines(found, asked, tables.form_of(period)), as_json=as_json)


def _lines(found: tables.Statistics, asked: tables.Range, form: str) -> Iterator[str]:
    for name, rows in found.rows.items():
        unit = found.units.get(name)
        yield f"{name} [{unit}]" if unit else name
        columns = [column for column in tables.COLUMNS if any(row.get(column) is not None for row in rows)]
        if not rows:
            yield "  no statistics in this time"
            continue
        table = [["start", *columns, "known"]]
        for row in rows:
            coverage = row.get("coverage")
            known = f"{coverage:.0%}" if isinstance(coverage, float | int) else "-"
            numbers = (tables.number(row.get(column)) for column in columns)
            table.append([tables.local(row["start"], asked.zone, form), *numbers, known])
        yield from output.aligned(table)


def _chart(found: tables.Statistics, name: str, asked: tables.Range, form: str) -> str:
    rows = found.rows[name]
    of_counter = any(row.get("change") is not None for row in rows)
    curves = ("change",) if of_counter else ("min", "mean", "max")
    values = [
        [value if isinstance(value := row.get(column), float | int) else None for row in rows]
        for column in curves
    ]
    labels = [tables.local(row["start"], asked.zone, form) for row in rows]
    title = f"{name}, {', '.join(curves)} [{found.units.get(name) or ''}]"
    return plot.chart(title, labels, values, bars=of_counter)
