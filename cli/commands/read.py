"""`boondock read`."""

from typing import Annotated

import typer

from cli import completing, output, reading
from cli.errors import CommandError
from cli.house import House, Json, talks
from cli.watching import shown


@talks
def command(
    house: House,
    device: Annotated[
        str | None, typer.Argument(autocompletion=completing.devices, help="Its id, such as mppt.")
    ] = None,
    *,
    profile: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Try a Modbus profile of your own, with --at and --unit."),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="PORT", help="Where: /dev/ttyUSB0, or tcp://192.168.1.20.")
    ] = None,
    unit: Annotated[int | None, typer.Option(min=1, max=247, help="Its Modbus unit.")] = None,
    as_json: Json = False,
) -> None:
    """Read one device now and show its bytes and its values; of Bluetooth the last frame heard.

    With --profile it needs no house: it asks the device itself. Its port must be free.
    """
    if profile is not None and at is not None:
        now, units = reading.read_profile(profile, at, unit)
    elif device is None or (profile, at, unit) != (None, None, None):
        raise CommandError("name a device of the house, or both --profile FILE and --at PORT")
    else:
        now, units = reading.read(house.broker(), device)
    lines = [f"{now.device} at {now.ts}"]
    lines += [f"  {one.asked}  ->  {one.answer}" for one in now.raw]
    lines += [
        f"  {name}  {shown(value)} {units.get(name) or ''}".rstrip() for name, value in now.values.items()
    ]
    lines += [f"  problem: {now.problem}"] if now.problem else []
    output.show(now, map(output.plain, lines), as_json=as_json)
