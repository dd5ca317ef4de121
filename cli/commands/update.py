"""`boondock update`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.install import commands, main


def command(
    source: Annotated[
        Path | None, typer.Argument(help="A folder, a clone or an archive (.tar.gz) of the new version.")
    ] = None,
    *,
    resume: Annotated[
        bool, typer.Option("--resume", help="Only decide about an update that was interrupted.")
    ] = False,
) -> int:
    """Update the house; it goes back by itself if the new version is not well within 90 seconds."""
    return main.guarded(lambda: commands.update(source, resume=resume))
