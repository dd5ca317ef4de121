"""`boondock set`."""

from typing import Annotated

import typer

from bus.messages import machine_zone
from cli import completing, output, switching, tables, times
from cli.house import House, Json, talks


@talks
def command(
    house: House,
    entity: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE.ENTITY", autocompletion=completing.outputs, help="Such as relay.pump."
        ),
    ],
    value: Annotated[str, typer.Argument(help="ON, OFF, TOGGLE, a number, or one of its options.")],
    *,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Off by itself after this: 90, 10m, 1h30m.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send a command to an output, wait for the answer, and say why if it is refused."""
    for_s = None if for_ is None else times.duration(for_)
    result = switching.switch(house.broker(), entity, value, for_s)
    until = f" until {tables.local(result.until, machine_zone(), '%H:%M:%S')}" if result.until else ""
    actual = result.value if result.actual is None else result.actual
    output.show(result, [f"{entity} is {actual}{until}"], as_json=as_json)
