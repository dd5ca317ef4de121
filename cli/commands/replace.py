"""`boondock replace`."""

from typing import Annotated

import typer

from bus.messages import from_iso
from cli import completing, output
from cli.asking import AskError
from cli.house import Config, Json
from cli.naming.devices import Where, replace


def command(
    old: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE", autocompletion=completing.devices, help="The device that was replaced."
        ),
    ],
    new: Annotated[
        str | None, typer.Argument(metavar="NEW", help="The device that takes its place and its name.")
    ] = None,
    *,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When, such as 2026-11-20T11:00:00Z; default: now."),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let the history of a device go on with new hardware; its counters add nothing at the change."""
    where = Where.of(config)
    try:
        moment = None if at is None else from_iso(at)
    except ValueError as error:
        raise AskError(f"--at: {error}; write it as 2026-11-20T11:00:00Z") from error
    output.told(replace(where, old, new, moment), as_json=as_json)
