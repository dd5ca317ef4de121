"""`boondock rule try`: when a rule or an alarm would have begun and ended, by the values that are stored."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from typer import Argument

from bus.messages import Value, from_iso, to_iso
from cli import terminal
from cli.asking import Asker
from cli.history import From, History, Plot, Range, To, Zone, chart, local, range_of
from cli.house import House, Json, talks
from cli.terminal import CommandError
from config.conditions import Problem, Silence, parse_condition, texts
from config.model import Alarm, Broker, Rule, Settings
from controller.conditions import Turn, rehearse

_PARTS = 60


def table_of(settings: Settings, name: str) -> Alarm | Rule:
    """Find a rule or an alarm by its name, with or without its kind before it. Raises CommandError."""
    kind, _, id_ = name.rpartition(".")
    found: list[Alarm | Rule | None] = [settings.rule.get(id_) if kind in ("", "rule") else None]
    found.append(settings.alarm.get(id_) if kind in ("", "alarm") else None)
    table = next((one for one in found if one is not None), None)
    if table is None:
        known = [f"rule.{one}" for one in settings.rule] + [f"alarm.{one}" for one in settings.alarm]
        raise CommandError(f"there is no rule or alarm {name!r}; there are: {', '.join(known) or 'none'}")
    return table


def sources(table: Alarm | Rule) -> list[str]:
    """List the entities that its conditions look at. Raises CommandError for what nothing stores."""
    conditions = [parse_condition(text) for text in (*texts(table.when), *texts(table.until))]
    for one in conditions:
        if isinstance(one, Problem | Silence):
            raise CommandError(f"{one}: this cannot be tried, for only values are stored")
    return list(dict.fromkeys(one.source for one in conditions if not isinstance(one, Problem | Silence)))


def past_of(broker: Broker, names: Sequence[str], asked: Range) -> list[tuple[float, str, dict[str, Value]]]:
    """Ask all states of the entities in the range, in the order of time. Raises CommandError."""
    found: list[tuple[float, str, dict[str, Value]]] = []
    progress = terminal.Progress()
    with Asker(broker) as asker:
        for number, name in enumerate(names):
            progress.show(number / len(names), f"reading {name}")
            device, _, entity = name.partition(".")
            params = {"entity": name, "start": asked.start, "end": asked.end}
            for page in asker.pages("history", params, History):
                found += [(from_iso(str(ts)) / 1000, device, {entity: value}) for ts, value in page.rows]
    progress.done()
    return sorted(found, key=lambda one: one[0])


def spans(turns: Sequence[Turn], end: float) -> list[tuple[float, float]]:
    """Pair beginnings with their ends, seconds; what goes on ends with the range."""
    begins = [turn.at for turn in turns if turn.active]
    ends = [turn.at for turn in turns if not turn.active]
    return list(zip(begins, [*ends, end], strict=False))


def shares(found: Sequence[tuple[float, float]], start: float, end: float) -> list[float]:
    """Return the minutes of each part of the range in which it was active."""
    part = (end - start) / _PARTS
    edges = [start + part * number for number in range(_PARTS)]
    return [
        sum(max(0.0, min(to, edge + part) - max(begin, edge)) for begin, to in found) / 60 for edge in edges
    ]


@talks
def rule(
    house: House,
    what: Annotated[Literal["try"], Argument(help="try: on stored values; nothing is switched.")],
    name: Annotated[str, Argument(metavar="RULE", help="Of a rule or an alarm: generator, alarm.low.")],
    *,
    from_: From = "7d",
    to: To = "now",
    time_zone: Zone = None,
    plotted: Plot = False,
    as_json: Json = False,
) -> None:
    """Try a rule or an alarm of boondock.toml on what is stored: when would it have begun and ended?"""
    del what
    table = table_of(house.settings(), name)
    asked = range_of(from_, to, time_zone, datetime.now(UTC))
    start, end = from_iso(asked.start) / 1000, from_iso(asked.end) / 1000
    past = past_of(house.broker(), sources(table), asked)
    if not past:
        raise CommandError(f"nothing is stored of {', '.join(sources(table))} in this range")
    turns = list(rehearse(table, past, end))
    found = spans(turns, end)
    if plotted and not as_json:
        part = (end - start) / _PARTS
        labels = [local(_iso(start + part * number), asked.zone, "%d. %H:%M") for number in range(_PARTS)]
        print(chart(f"{name}: minutes", labels, [shares(found, start, end)], bars=True))
    told = [{"ts": _iso(turn.at), "active": turn.active} for turn in turns]
    terminal.show(told, _lines(table, found, asked), as_json=as_json)


def _iso(seconds: float) -> str:
    return to_iso(round(seconds * 1000))


def _lines(table: Alarm | Rule, found: Sequence[tuple[float, float]], asked: Range) -> Iterator[str]:
    for begin, end in found:
        until = local(_iso(end), asked.zone)
        yield f"{local(_iso(begin), asked.zone)} to {until}  {terminal.age(end - begin)}"
    total = terminal.age(sum(end - begin for begin, end in found))
    if isinstance(table, Alarm):
        yield f"It would have been active {len(found)} times, {total} in all."
        return
    yield f"{table.output} would have been turned on {len(found)} times, for {total} in all."
    yield "What the relay does not allow (max_on, only_if, …) and what people commanded is left out."
