"""`boondock read`."""

from typing import Annotated

import typer

from cli import completing, output, reading
from cli.house import House, Json, talks
from cli.watching import shown


@talks
def command(
    house: House,
    device: Annotated[str, typer.Argument(autocompletion=completing.devices, help="Its id, such as mppt.")],
    *,
    as_json: Json = False,
) -> None:
    """Read one device now and show its bytes and its values; of Bluetooth the last frame heard."""
    now, units = reading.read(house.broker(), device)
    lines = [f"{now.device} at {now.ts}"]
    lines += [f"  {one.asked}  ->  {one.answer}" for one in now.raw]
    lines += [
        f"  {name}  {shown(value)} {units.get(name) or ''}".rstrip() for name, value in now.values.items()
    ]
    lines += [f"  problem: {now.problem}"] if now.problem else []
    output.show(now, map(output.plain, lines), as_json=as_json)
