"""`boondock uninstall`."""

from typing import Annotated

import typer

from cli.house import Json
from cli.install import main
from cli.install.report import guarded


def command(
    *,
    purge: Annotated[bool, typer.Option("--purge", help="Data, settings and users, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be given back.")] = False,
    as_json: Json = False,
) -> int:
    """Remove Boondock and give back what was there before; data and settings stay."""
    return guarded(lambda report: main.uninstall(report, purge=purge, dry_run=dry_run), as_json=as_json)
