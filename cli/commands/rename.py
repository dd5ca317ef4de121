"""`boondock rename`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli import completing, output
from cli.house import Config, Json
from cli.naming.devices import Where, rename


def command(
    old: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE", autocompletion=completing.devices, help="A device, or device.entity."
        ),
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="What it is to be called.")],
    *,
    edit: Annotated[bool, typer.Option("--edit", help="Change boondock.toml; the old one is kept.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let a device or an entity be called otherwise; history, statistics and Home Assistant follow."""
    done = rename(Where.of(config), old, new, datetime.now(UTC), edit=edit)
    output.told(done, as_json=as_json)
