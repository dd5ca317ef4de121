"""`boondock rename`."""

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli import output
from cli.house import Config, Json
from cli.naming.devices import Where, rename
from config import load, secret_files
from config.mistakes import ConfigError


def command(
    old: Annotated[str, typer.Argument(metavar="DEVICE", help="A device, or device.entity.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="What it is to be called.")],
    *,
    edit: Annotated[bool, typer.Option("--edit", help="Change boondock.toml; the old one is kept.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Let a device or an entity be called otherwise; history, statistics and Home Assistant follow."""
    path = config or load.find()
    try:
        where = Where(load.load(path), path, secret_files.places()[0])
    except ConfigError as error:
        print(error, file=sys.stderr)
        return load.EXIT_CONFIG
    output.told(rename(where, old, new, datetime.now(UTC), edit=edit), as_json=as_json)
    return 0
