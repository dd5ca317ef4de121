"""`boondock update`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.house import Json
from cli.install import commands
from cli.install.report import guarded


def command(
    source: Annotated[
        Path | None, typer.Argument(help="A folder, a clone or an archive (.tar.gz) of the new version.")
    ] = None,
    *,
    resume: Annotated[
        bool, typer.Option("--resume", help="Only decide about an update that was interrupted.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Update the house; it goes back by itself if the new version is not well within 90 seconds."""
    return guarded(lambda report: commands.update(source, report, resume=resume), as_json=as_json)
