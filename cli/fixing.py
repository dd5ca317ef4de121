"""`boondock fix`: what the statistician can put right; shown first, asked, then done."""

import sys
from collections.abc import Callable, Iterator, Mapping

import msgspec

from bus.messages import Value
from cli import output
from cli.asking import Asker
from cli.errors import CommandError
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
    """What a fix does, for people."""
    more = f" and {effect.more_entities} more" if effect.more_entities else ""
    yield f"{verb} of {', '.join(effect.entities) or 'nothing'}{more}:"
    counts = [(getattr(effect, name), text) for name, text in _COUNTED.items()]
    told = [f"  {count} {text}" for count, text in counts if count]
    yield from told or ["  no row is touched"]


def put_right(
    broker: Broker, verb: str, params: Params, *, agreed: Callable[[], bool] | None, as_json: bool
) -> None:
    """Show what a verb would change, ask by `agreed`, and do it; None only shows. Raises AskError."""
    with Asker(broker) as asker:
        would = next(asker.pages(verb, {**params, "dry_run": True}, Effect))
        if agreed is None:
            output.show(would, [*effect_lines(verb, would), "Nothing was changed."], as_json=as_json)
            return
        if not as_json:
            print(*effect_lines(verb, would), sep="\n")
            sys.stdout.flush()
        if not agreed():
            raise CommandError("nothing was changed")
        done = next(asker.pages(verb, params, Effect))
    back = f"Done; next: boondock fix undo {done.id} takes it back." if done.id is not None else "Done."
    output.show(done, [back], as_json=as_json)


def outliers(broker: Broker, params: Params) -> Outliers:
    """States that jump away and back. Raises AskError."""
    with Asker(broker) as asker:
        pages = list(asker.pages("outliers", params, Outliers))
    pages[0].rows = [row for page in pages for row in page.rows]
    return pages[0]


def fixes(broker: Broker) -> list[Fix]:
    """What was put right, newest first. Raises AskError."""
    with Asker(broker) as asker:
        return [fix for page in asker.pages("fixes", {}, list[Fix]) for fix in page]
