"""`boondock watch`."""

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from cli import completing, output, times
from cli.asking import Asker
from cli.errors import CommandError
from cli.house import House, Json, talks
from cli.watching import Line, Watched, shown

if TYPE_CHECKING:
    from rich.table import Table

_EVERY_S = 0.5


@talks
def command(
    house: House,
    devices: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DEVICE or DEVICE.ENTITY]...",
            autocompletion=completing.shown,
            help="What to show; default: all.",
        ),
    ] = None,
    *,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="End after so long; 0: show what there is and end.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show devices and their values as they change: a table, or a line each where no terminal looks on.

    Ctrl-C ends it.
    """
    broker = house.broker()
    watched = Watched(Asker.topics_of(broker), tuple(devices or ()))
    with Asker(broker, *watched.filters(), service=None) as asker:
        # The descriptions first, so that values have their units.
        seen = sorted(asker.seen().items())
        news = [line for topic, payload in seen for line in watched.take(topic, payload)]
        if not news and seconds == 0:
            raise CommandError("nothing of that is known to the broker; next: boondock watch --seconds 0")
        if sys.stdout.isatty() and not as_json:
            _live(asker, watched, seconds)
            return
        _print(watched.lines() if not as_json else news, as_json=as_json)
        for line in _heard(asker, watched, seconds):
            _print([line], as_json=as_json)


def _heard(asker: Asker, watched: Watched, seconds: float | None) -> Iterator[Line]:
    deadline = float("inf") if seconds is None else time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        message = asker.heard(min(left, 60.0))
        if message is not None:
            yield from watched.take(message.topic, message.payload)


def _print(lines: list[Line], *, as_json: bool) -> None:
    for line in lines:
        text = f"{_time(line)}  {line.entity}  {shown(line.value)} {line.unit or ''}".rstrip()
        output.show(line, [text if line.online else f"{text}  (offline)"], as_json=as_json)
    sys.stdout.flush()


def _time(line: Line) -> str:
    return "-" if line.ts is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.ts / 1000))


def _live(asker: Asker, watched: Watched, seconds: float | None) -> None:
    from rich.live import Live  # noqa: PLC0415 — only for a terminal

    deadline = float("inf") if seconds is None else time.monotonic() + seconds
    with Live(_table(watched), auto_refresh=False, screen=seconds is None, vertical_overflow="crop") as live:
        due = 0.0
        while (now := time.monotonic()) < deadline:
            message = asker.heard(min(_EVERY_S, deadline - now))
            if message is not None:
                watched.take(message.topic, message.payload)
            if now >= due:
                due = now + _EVERY_S
                live.update(_table(watched), refresh=True)
        live.update(_table(watched), refresh=True)


def _table(watched: Watched) -> "Table":
    from rich.table import Table  # noqa: PLC0415 — only for a terminal
    from rich.text import Text  # noqa: PLC0415 — as above

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("device", "entity"):
        table.add_column(heading)
    for heading in ("value", "unit", "age"):
        table.add_column(heading, justify="left" if heading == "unit" else "right")
    before = ""
    for line in watched.lines():
        device, _, entity = line.entity.partition(".")
        old = "-" if line.ts is None else times.age(time.time() - line.ts / 1000)
        cells = ("" if device == before else device, entity, shown(line.value), line.unit or "")
        style = "" if line.online else "dim"
        # As text: in a value [red] is no markup.
        table.add_row(*(Text(cell) for cell in (*cells, old if line.online else "offline")), style=style)
        before = device
    return table
