"""`boondock broker`."""

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Annotated

import typer

from cli import broker, broker_config, output
from cli.house import CREDENTIALS, Config, Json, load_settings


def command(
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER")] = broker.OUT,
    secrets: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where the passwords are, for systemd.")
    ] = CREDENTIALS,
    mosquitto: Annotated[
        broker_config.Version | None, typer.Option(help="Default: the one installed.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, write nothing.")
    ] = False,
    reload: Annotated[bool, typer.Option("--reload", help="Tell a running broker, by SIGHUP.")] = False,
    renew: Annotated[
        list[str] | None, typer.Option(metavar="USER", help="Give a user a new password; may be repeated.")
    ] = None,
    again: Annotated[
        list[broker.Again] | None,
        typer.Option(help="Make it anew before its time; phones keep what they have. May be repeated."),
    ] = None,
    show: Annotated[
        str | None, typer.Option(metavar="USER", help="Only show a user's password and how to connect.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Set up the broker: users, rights, certificates."""
    wanted = broker.Wanted(
        out=out.absolute(),
        secrets=secrets.absolute(),
        mosquitto=mosquitto,
        renew=tuple(renew or ()),
        again=frozenset(again or ()),
        show=show,
        dry_run=dry_run,
        reload=reload,
    )
    settings = load_settings(config)
    if not as_json:
        broker.run(wanted, settings)
        return
    with redirect_stdout(StringIO()) as said:
        broker.run(wanted, settings)
    output.show({"lines": said.getvalue().splitlines()}, (), as_json=True)
