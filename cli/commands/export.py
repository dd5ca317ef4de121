"""`boondock export`."""

from pathlib import Path
from typing import Annotated

import typer

from cli import export
from cli.house import House, talks


@talks
def command(
    house: House,
    *,
    entity: Annotated[list[str], typer.Option(metavar="DEVICE.ENTITY", help="May be repeated.")],
    period: export.Period = "hour",
    start: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Such as 2026-11-21T00:00:00Z; default: the oldest kept."),
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Not included; default: now.")] = None,
    time_zone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Of days and longer; default: the statistician's.")
    ] = None,
    form: Annotated[export.Format, typer.Option("--format")] = "csv",
    target: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: standard output.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Write states or statistics of entities to a file."""
    wanted = export.Wanted(entity, period, start, end, time_zone)
    export.export(house.broker(), wanted, "json" if as_json else form, target)
