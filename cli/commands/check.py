"""`boondock check`."""

from pathlib import Path
from typing import Annotated

import typer

from cli import broker
from cli.check import check
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
    as_json: Json = False,
) -> int:
    """Read boondock.toml and say what is wrong with it, a line a mistake; 78 if anything is.

    Of the broker's certificate it says when something must be done; that is no mistake of the file.
    """
    return check(config or load.find(), out, on_machine=machine, as_json=as_json)
