"""`boondock import`."""

from pathlib import Path
from typing import Annotated

import typer

from cli import intake, output
from cli.house import House, Json, talks


@talks
def command(
    house: House,
    file: Annotated[Path, typer.Argument(help="A file as `boondock export` writes it: --format csv.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Bring states or hourly statistics in from a CSV file."""
    said = intake.take_in(house.broker(), file, dry_run=dry_run)
    output.show({"imported": said, "dry_run": dry_run}, [said], as_json=as_json)
