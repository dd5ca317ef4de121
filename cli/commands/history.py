"""`boondock history`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli import output, plot, tables
from cli.house import House, Json, talks
from cli.watching import shown

From = Annotated[
    str, typer.Option("--from", metavar="TIME", help="Such as today, yesterday, 7d, '14:30', 2026-11-20.")
]
To = Annotated[str, typer.Option("--to", metavar="TIME", help="The same; a day is meant with all of it.")]
Zone = Annotated[
    str | None, typer.Option(metavar="ZONE", help="Such as Europe/Berlin; default: this machine's.")
]
Plot = Annotated[bool, typer.Option("--plot", help="Draw a chart.")]


@talks
def command(
    house: House,
    entity: Annotated[str, typer.Argument(metavar="DEVICE.ENTITY")],
    *,
    from_: From = "24h",
    to: To = "now",
    limit: Annotated[int, typer.Option(min=1, help="At most so many states, the newest.")] = 100,
    time_zone: Zone = None,
    plotted: Plot = False,
    as_json: Json = False,
) -> None:
    """Show the states of an entity as a table or a chart."""
    asked = tables.range_of(from_, to, time_zone, datetime.now(UTC))
    points = max(10, plot.width() - 10) if plotted else None
    found = tables.history(house.broker(), entity, asked, limit=limit, points=points)
    unit = found.unit or ""
    if plotted and not as_json:
        labels = [tables.local(row[0], asked.zone, "%d. %H:%M") for row in found.rows]
        means = [row[1] if isinstance(row[1], float | int) else None for row in found.rows]
        print(plot.chart(f"{found.entity} [{unit}]", labels, [means], bars=False))
        return
    lines = [f"{tables.local(row[0], asked.zone)}  {shown(row[1])} {unit}".rstrip() for row in found.rows]
    output.show(found, lines or [f"{found.entity} has no states in this time"], as_json=as_json)
