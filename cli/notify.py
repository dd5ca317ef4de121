"""`boondock notify test`: a message to a phone now, the same way as an alarm goes."""

from typing import Annotated, Literal

from typer import Argument

from cli import terminal
from cli.house import Config, House, Json
from cli.terminal import CommandError
from forwarder.tell import tell_now

_TITLE = "Boondock: a test"
_BODY = "Alarms of this house come to you this way."


def notify(
    what: Annotated[Literal["test"], Argument(help="test: a message is sent now.")],
    name: Annotated[str | None, Argument(help="Of a notify table; default: all of them.")] = None,
    *,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Send a test message to those who are told of alarms, and say what became of it."""
    del what
    tables = House(config=config).settings().notify
    if not tables or (name is not None and name not in tables):
        known = ", ".join(tables) or "none"
        asked = "" if name is None else f" {name!r}"
        raise CommandError(f"there is no [[notify]] table{asked}; there are: {known}; next: docs/alarms.md")
    chosen = list(tables) if name is None else [name]
    found = {}
    progress = terminal.Progress()
    for number, one in enumerate(chosen):
        progress.show(number / len(chosen), f"sending to {one}")
        found[one] = tell_now(tables[one].url, _TITLE, _BODY)
    progress.done()
    lines = [f"{one}: {wrong or 'the service took it: look at the phone'}" for one, wrong in found.items()]
    told = [{"name": one, "sent": not wrong, "problem": wrong or None} for one, wrong in found.items()]
    terminal.show(told, lines, as_json=as_json)
    return 1 if any(found.values()) else 0
