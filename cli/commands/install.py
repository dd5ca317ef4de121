"""`boondock install`."""

from typing import Annotated

import typer

from cli.install import main


def command(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take boondock.toml as it is.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show every file and command, change nothing.")
    ] = False,
) -> int:
    """Install the house for good, or bring it in line with a boondock.toml that was changed."""
    return main.guarded(lambda: main.install(main.SOURCE, yes=yes, dry_run=dry_run))
