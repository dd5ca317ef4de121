"""`boondock configure`."""

from typing import Annotated, Literal

import typer

from cli.configure import Target, configure
from cli.house import Config, Json
from cli.install.report import guarded
from cli.install.system import System

Part = Literal["outputs", "device", "broker", "phone", "zone"]


def command(
    part: Annotated[Part | None, typer.Argument(help="Default: it asks which.")] = None,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing: take what is found, and each default.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask, show what would change, change nothing.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Ask the installer's questions again for one part of boondock.toml, and let the answers work.

    What changes is shown and checked first; comments and order stay, and the old file is kept beside it. An
    installed house restarts what needs it, and readings are awaited.
    """
    system = System()
    return guarded(
        lambda report: configure(
            part, Target.of(config, system), system, None if yes else input, report, dry_run=dry_run
        ),
        as_json=as_json,
    )
