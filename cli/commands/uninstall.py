"""`boondock uninstall`."""

from typing import Annotated

import typer

from cli.install import main


def command(
    *,
    purge: Annotated[bool, typer.Option("--purge", help="Data, settings and users, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be given back.")] = False,
) -> int:
    """Remove Boondock and give back what was there before; data and settings stay."""
    return main.guarded(lambda: main.uninstall(purge=purge, dry_run=dry_run))
