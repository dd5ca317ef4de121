"""`boondock scan`."""

from typing import Annotated

import typer

from cli import scan
from cli.errors import CommandError
from cli.house import House, Json, talks


@talks
def command(
    house: House,
    what: scan.Kind,
    *,
    port: Annotated[
        str | None, typer.Option(help="Of modbus: /dev/serial/by-id/…, or tcp://192.168.1.41")
    ] = None,
    baudrate: Annotated[
        int | None, typer.Option(help="Of modbus; default: the usual ones, one after the other.")
    ] = None,
    units: Annotated[
        str | None, typer.Option(metavar="1-10", help="Of modbus: which to ask, 1 to 247; default: 1-10.")
    ] = None,
    bus: Annotated[int | None, typer.Option(metavar="1", help="Of i2c; default: 1.")] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Of ble: how long to listen, 1 to 60; default: 10.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find devices on the air, on a Modbus or on an I2C bus, and print the lines for boondock.toml."""
    if what == "modbus" and port is None:
        raise CommandError("--port is needed: which port shall be asked?")
    scan.scan(house.broker(), scan.Wanted(what, port, baudrate, units, bus, seconds), as_json=as_json)
