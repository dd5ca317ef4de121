"""`boondock fix`."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from cli import fixing, output, tables, times
from cli.commands.history import Zone
from cli.errors import CommandError
from cli.house import House, Json, talks
from cli.watching import shown

Action = Literal["list", "outliers", "delete", "adjust", "accept", "undo"]
_VERBS = {"delete": "delete_states", "adjust": "adjust_sum", "accept": "accept_reading", "undo": "undo"}


@talks
def command(
    house: House,
    action: Action,
    what: Annotated[
        str | None,
        typer.Argument(metavar="[DEVICE.ENTITY or NUMBER]", help="Of undo: the number of the fix."),
    ] = None,
    *,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of delete and accept: one state's time.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Where the range begins.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Where it ends; default: now.")
    ] = None,
    by: Annotated[
        float | None, typer.Option(help="Of adjust: what is added to the sums since --from.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Of adjust: the unit of --by; default: that of the rows.")
    ] = None,
    time_zone: Zone = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Correct what a faulty sensor left in the statistics: what changes is shown first, then it asks.

    `outliers` finds states that jump; `delete` removes states; `adjust` adds to the sums of a counter;
    `accept` lets a reading count that was left out; `list` shows what was done, and `undo` takes it back.
    """
    if action == "list":
        found = fixing.fixes(house.broker())
        lines = [f"{one.id:>5}  {one.ts}  {one.verb}  {', '.join(one.entities)}" for one in found]
        output.show(found, lines or ["nothing was put right yet"], as_json=as_json)
        return
    if what is None:
        example = "boondock fix undo 4" if action == "undo" else f"boondock fix {action} mppt.voltage"
        raise CommandError(f"{action} of what? next: {example}")
    span = _Span(at, from_, to, time_zone)
    if action == "outliers":
        _outliers(house, what, span, as_json=as_json)
        return
    params = _params(action, what, span, by, unit)
    fixing.put_right(
        house.broker(), _VERBS[action], params, agreed=_asker(dry_run=dry_run, yes=yes), as_json=as_json
    )


class _Span:
    """The times of the command line, as requests want them."""

    def __init__(self, at: str | None, start: str | None, end: str | None, zone: str | None) -> None:
        self.zone = tables.zone_of(zone)
        now = datetime.now(UTC)
        given = {"ts": (at, 0), "start": (start, 0), "end": (end, 1)}
        self.params = {
            name: tables.iso(times.span(text, now, self.zone)[side])
            for name, (text, side) in given.items()
            if text is not None
        }


def _params(action: Action, what: str, span: _Span, by: float | None, unit: str | None) -> dict[str, object]:
    if action == "undo":
        if not what.isdecimal():
            raise CommandError(f"{what!r} is no number of a fix; next: boondock fix list")
        return {"fix": int(what)}
    params: dict[str, object] = {"entity": what.replace("/", "."), **span.params}
    if action == "adjust":
        if by is None or "start" not in span.params:
            raise CommandError(
                "adjust needs --by and --from; next: boondock fix adjust mppt.yield --by -5 --from 14:00"
            )
        params["adjustment"] = by
        if unit is not None:
            params["unit"] = unit
    elif not span.params:
        options = "--at or --from" if action == "delete" else "--at"
        raise CommandError(f"{action} needs {options}; next: add a time, such as 2026-11-20T09:20:00Z")
    elif action == "delete" and "ts" not in params and "end" not in params:
        params["end"] = tables.iso(datetime.now(UTC))
    return params


def _asker(*, dry_run: bool, yes: bool) -> Callable[[], bool] | None:
    if dry_run:
        return None
    if yes:
        return lambda: True
    if not sys.stdin.isatty():
        raise CommandError("nobody can be asked here; next: --dry-run to look, --yes to do it")
    return lambda: typer.confirm("Do it?", err=True)


def _outliers(house: House, entity: str, span: _Span, *, as_json: bool) -> None:
    found = fixing.outliers(house.broker(), {"entity": entity.replace("/", "."), **span.params})
    lines = []
    for ts, value, low, high, _score, left_out, _before in found.rows:
        expected = f"expected {tables.number(low)} to {tables.number(high)}"
        note = "  (left out of the sums)" if left_out else ""
        lines.append(f"{ts}  {shown(value)} {found.unit or ''}  {expected}{note}")
    if lines:
        lines.append(f"next: boondock fix delete {found.entity} --at {found.rows[0][0]}")
    output.show(found, lines or [f"{found.entity} has no outliers in this time"], as_json=as_json)
