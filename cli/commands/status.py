"""`boondock status`."""

from typing import Annotated

import typer

from cli.install import commands
from cli.install.report import guarded


def command(
    *,
    wait: Annotated[float, typer.Option(metavar="S", help="Wait so many seconds until all is well.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Show services, devices, problems, disk, card and clock on one screen; 1 if the house is not well."""
    return guarded(lambda _: commands.status(wait=wait, as_json=as_json))
