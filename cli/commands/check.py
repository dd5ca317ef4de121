"""`boondock check`."""

from pathlib import Path
from typing import Annotated

import typer

from cli import broker
from cli.check import check, check_profile
from cli.house import Config, Json
from config import load


def command(
    *,
    config: Config = None,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where `boondock broker` wrote the certificate.")
    ] = broker.OUT,
    machine: Annotated[
        bool,
        typer.Option("--machine", help="Look at this machine, too: ports, buses, pins, secrets, groups."),
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Check a Modbus profile of your own instead: docs/profile-format.md."
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Read boondock.toml and say what is wrong with it, a line a mistake; 78 if anything is.

    Of the broker's certificate it says when something must be done; that is no mistake of the file.
    """
    if profile is not None:
        return check_profile(profile, as_json=as_json)
    return check(config or load.find(), out, on_machine=machine, as_json=as_json)
