"""`boondock fix`: what the statistician can put right; shown first, asked, then done."""

import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
import typer
from typer import Argument, Option

from bus.messages import Value
from cli import history, terminal
from cli.asking import Asker
from cli.history import Zone
from cli.house import House, Json, talks
from cli.terminal import CommandError, shown
from config.model import Broker

Params = Mapping[str, object]


class Effect(msgspec.Struct, omit_defaults=True):
    """What a fix changes, or would change; `id` is the number for undo."""

    entities: list[str] = []
    more_entities: int | None = None
    id: int | None = None
    undone: int | None = None
    states: int | None = None
    periods: int | None = None
    five_minute_rows: int | None = None
    hourly_rows: int | None = None


class Outliers(msgspec.Struct):
    """States that jump, a row each."""

    entity: str
    unit: str | None
    columns: list[str]
    rows: list[list[Value | bool]]


class Fix(msgspec.Struct):
    """One fix of the journal."""

    id: int
    ts: str
    verb: str
    entities: list[str]


_COUNTED = {
    "states": "states",
    "periods": "5-minute periods made again",
    "five_minute_rows": "5-minute rows",
    "hourly_rows": "hourly rows",
}


def effect_lines(verb: str, effect: Effect) -> Iterator[str]:
    """Say what a fix does, for people."""
    more = f" and {effect.more_entities} more" if effect.more_entities else ""
    yield f"{verb} of {', '.join(effect.entities) or 'nothing'}{more}:"
    counts = [(getattr(effect, name), text) for name, text in _COUNTED.items()]
    told = [f"  {count} {text}" for count, text in counts if count]
    yield from told or ["  no row is touched"]


def put_right(
    broker: Broker, verb: str, params: Params, *, agreed: Callable[[], bool] | None, as_json: bool
) -> None:
    """Show what a verb would change, ask by `agreed`, and do it; None only shows. Raises CommandError."""
    with Asker(broker) as asker:
        would = next(asker.pages(verb, {**params, "dry_run": True}, Effect))
        if agreed is None:
            terminal.show(would, [*effect_lines(verb, would), "Nothing was changed."], as_json=as_json)
            return
        if not as_json:
            print(*effect_lines(verb, would), sep="\n")
            sys.stdout.flush()
        if not agreed():
            raise CommandError("nothing was changed")
        done = next(asker.pages(verb, params, Effect))
    back = f"Done; next: boondock fix undo {done.id} takes it back." if done.id is not None else "Done."
    terminal.show(done, [back], as_json=as_json)


def outliers(broker: Broker, params: Params) -> Outliers:
    """States that jump away and back. Raises CommandError."""
    with Asker(broker) as asker:
        pages = list(asker.pages("outliers", params, Outliers))
    pages[0].rows = [row for page in pages for row in page.rows]
    return pages[0]


def fixes(broker: Broker) -> list[Fix]:
    """Ask what was put right, newest first. Raises CommandError."""
    with Asker(broker) as asker:
        return [fix for page in asker.pages("fixes", {}, list[Fix]) for fix in page]


Action = Literal["list", "outliers", "delete", "adjust", "accept", "undo"]
_VERBS = {"delete": "delete_states", "adjust": "adjust_sum", "accept": "accept_reading", "undo": "undo"}


@talks
def fix(
    house: House,
    action: Action,
    what: Annotated[
        str | None, Argument(metavar="[DEVICE.ENTITY or NUMBER]", help="Of undo: the number of the fix.")
    ] = None,
    *,
    at: Annotated[str | None, Option(metavar="TIME", help="Of delete and accept: one state's time.")] = None,
    from_: Annotated[str | None, Option("--from", metavar="TIME", help="Where the range begins.")] = None,
    to: Annotated[str | None, Option("--to", metavar="TIME", help="Where it ends; default: now.")] = None,
    by: Annotated[float | None, Option(help="Of adjust: what is added to the sums since --from.")] = None,
    unit: Annotated[
        str | None, Option(help="Of adjust: the unit of --by; default: that of the rows.")
    ] = None,
    time_zone: Zone = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Only show what would change.")] = False,
    yes: Annotated[bool, Option("--yes", "-y", help="Do it without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Correct what a faulty sensor left in the statistics: what changes is shown first, then it asks.

    `outliers` finds states that jump; `delete` removes states; `adjust` adds to the sums of a counter;
    `accept` lets a reading count that was left out; `list` shows what was done, and `undo` takes it back.
    """
    if action == "list":
        found = fixes(house.broker())
        lines = [f"{one.id:>5}  {one.ts}  {one.verb}  {', '.join(one.entities)}" for one in found]
        terminal.show(found, lines or ["nothing was put right yet"], as_json=as_json)
        return
    if what is None:
        example = "boondock fix undo 4" if action == "undo" else f"boondock fix {action} mppt.voltage"
        raise CommandError(f"{action} of what? next: {example}")
    span = _Span(at, from_, to, time_zone)
    if action == "outliers":
        _outliers(house, what, span, as_json=as_json)
        return
    params = _params(action, what, span, by, unit)
    agreed = _asker(dry_run=dry_run, yes=yes)
    put_right(house.broker(), _VERBS[action], params, agreed=agreed, as_json=as_json)


class _Span:
    """The times of the command line, as requests want them."""

    def __init__(self, at: str | None, start: str | None, end: str | None, zone: str | None) -> None:
        self.zone = history.zone_of(zone)
        now = datetime.now(UTC)
        given = {"ts": (at, 0), "start": (start, 0), "end": (end, 1)}
        self.params = {
            name: history.iso(terminal.span(text, now, self.zone)[side])
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
        params["end"] = history.iso(datetime.now(UTC))
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
    found = outliers(house.broker(), {"entity": entity.replace("/", "."), **span.params})
    lines = []
    for ts, value, low, high, _score, left_out, _before in found.rows:
        expected = f"expected {history.number(low)} to {history.number(high)}"
        note = "  (left out of the sums)" if left_out else ""
        lines.append(f"{ts}  {shown(value)} {found.unit or ''}  {expected}{note}")
    if lines:
        lines.append(f"next: boondock fix delete {found.entity} --at {found.rows[0][0]}")
    terminal.show(found, lines or [f"{found.entity} has no outliers in this time"], as_json=as_json)
