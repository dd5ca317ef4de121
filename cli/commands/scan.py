"""`boondock scan`."""

import sys
from typing import Annotated, Literal

import typer

from cli import output
from cli.errors import CommandError
from cli.house import House, Json, talks
from cli.install.system import System
from cli.scan import asked, serial
from cli.scan.found import Found, lines

What = Literal["ble", "modbus", "i2c", "serial", "lan"]


@talks
def command(
    house: House,
    what: What,
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
        float | None,
        typer.Option(min=1, max=60, help="Of ble and lan: how long to listen, 1 to 60; default: 10 and 4."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find devices, and print the lines for boondock.toml, or the next command.

    `ble`, `modbus` and `i2c` are asked of the collectors, which must run. `serial` lists the ports of this
    machine and listens on those that nobody uses. `lan` listens for mDNS and tries the Modbus port of the own
    network.
    """
    if what == "serial":
        print("Listening for a few seconds …", file=sys.stderr)
        _show(serial.scan(System(), serial.ports(house.tables("device"))), as_json=as_json)
        return
    if what == "lan":
        from cli.scan import lan  # noqa: PLC0415 — zeroconf takes long to load

        print("Listening, then asking each address of the own network …", file=sys.stderr)
        _show(lan.scan(System(), house.tables("device"), seconds or lan.SECONDS), as_json=as_json)
        return
    if what == "modbus" and port is None:
        raise CommandError("--port is needed: which port shall be asked?")
    asked.scan(house.broker(), asked.Wanted(what, port, baudrate, units, bus, seconds), as_json=as_json)


def _show(found: list[Found], *, as_json: bool) -> None:
    output.show({"found": found}, lines(found), as_json=as_json)
