"""`boondock log`."""

from typing import Annotated

import typer

from cli import access, output
from cli.house import House, Json, talks


@talks
def command(
    house: House,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many lines.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what was switched and changed, and who asked for it."""
    found = access.newest(house.broker(), limit)
    output.show(found, map(access.line, found), as_json=as_json)
