"""`boondock install`."""

from typing import Annotated

import typer

from cli.house import Json
from cli.install import main
from cli.install.report import guarded


def command(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take boondock.toml as it is.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show every file and command, change nothing.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Install the house for good, or bring it in line with a boondock.toml that was changed."""
    return guarded(
        lambda report: main.install(main.SOURCE, report, yes=yes, dry_run=dry_run), as_json=as_json
    )
