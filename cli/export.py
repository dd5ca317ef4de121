"""`boondock export`: states or statistics of entities as CSV, JSON or JSON lines, page by page."""

import csv
import heapq
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Literal, TextIO

import msgspec

from bus.messages import Value, from_iso, to_iso
from cli import cells
from cli.asking import Asker, AskError
from cli.progress import Progress
from config.model import Broker

STATES = "states"
Period = Literal["5minute", "hour", "day", "week", "month", "year", "lifetime", "states"]
Format = Literal["csv", "json", "jsonl"]
_MEANS = ("mean", "min", "max")
_SUMS = ("state", "sum", "change", "sum_increase", "sum_decrease", "last_reset")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for; times are RFC 3339."""

    entities: Sequence[str]
    period: Period
    start: str | None = None
    end: str | None = None
    time_zone: str | None = None


class _History(msgspec.Struct):
    unit: str | None
    rows: list[tuple[str, Value]]


class _Statistics(msgspec.Struct):
    units: dict[str, str | None]
    rows: dict[str, list[dict[str, Value]]]


class _Metadata(msgspec.Struct):
    entity: str
    has_mean: bool
    has_sum: bool


@dataclass(frozen=True, slots=True)
class Record:
    """One state or row of an entity: its time or its start, and its values by column."""

    at: str
    entity: str
    values: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Source:
    """The records of one entity in order of time, and the columns they have, with their units."""

    entity: str
    columns: dict[str, str | None]
    records: Iterator[Record]


def export(broker: Broker, wanted: Wanted, form: Format, target: Path | None) -> None:
    """Write what is wanted to a file or to standard output. Raises AskError, OSError."""
    with Asker(broker) as asker:
        sources = list(_sources(asker, wanted))
        opened = nullcontext(sys.stdout) if target is None else target.open("w", encoding="utf-8", newline="")
        with opened as file:
            progress = Progress()
            records = heapq.merge(*(source.records for source in sources), key=lambda record: record.at)
            _WRITERS[form](file, sources, _watched(records, progress), wanted.period)
            progress.done()


def _sources(asker: Asker, wanted: Wanted) -> Iterator[Source]:
    entities = list(dict.fromkeys(name.replace("/", ".") for name in wanted.entities))
    if wanted.period == STATES:
        for entity in entities:
            yield _states(asker, entity, wanted)
        return
    kinds = {
        m.entity: m for page in asker.pages("metadata", {"entities": entities}, list[_Metadata]) for m in page
    }
    for entity in entities:
        if entity not in kinds:
            raise AskError(f"{entity} has no statistics: it has no state class; ask for --period states")
        yield _rows(asker, entity, kinds[entity], wanted)


def _range(wanted: Wanted) -> dict[str, object]:
    asked = {"start": wanted.start, "end": wanted.end, "time_zone": wanted.time_zone}
    return {name: value for name, value in asked.items() if value is not None}


def _states(asker: Asker, entity: str, wanted: Wanted) -> Source:
    params = {"entity": entity, "start": 0} | _range(wanted)
    params.pop("time_zone", None)
    pages = asker.pages("history", params, _History)
    first = next(pages)

    def records() -> Iterator[Record]:
        for page in chain((first,), pages):
            yield from (Record(ts, entity, {"value": value}) for ts, value in page.rows)

    return Source(entity, {"value": first.unit}, records())


def _rows(asker: Asker, entity: str, kind: _Metadata, wanted: Wanted) -> Source:
    params = {"entities": [entity], "period": wanted.period} | _range(wanted)
    pages = asker.pages("statistics", params, _Statistics)
    first = next(pages)
    names = (_MEANS if kind.has_mean else ()) + (_SUMS if kind.has_sum else ()) + ("coverage",)
    unit = first.units.get(entity)

    def records() -> Iterator[Record]:
        for page in chain((first,), pages):
            yield from _page(entity, page)

    columns = {name: None if name in ("last_reset", "coverage") else unit for name in names}
    return Source(entity, columns, records())


def _page(entity: str, page: _Statistics) -> Iterator[Record]:
    for row in page.rows.get(entity, ()):
        yield Record(str(row.pop("start")), entity, row)


def _watched(records: Iterable[Record], progress: Progress) -> Iterator[Record]:
    first: int | None = None
    now = time.time_ns() // 1_000_000
    for number, record in enumerate(records, 1):
        if number % 100 == 0:
            at = from_iso(record.at)
            first = at if first is None else first
            progress.show((at - first) / max(1, now - first), f"{number} rows, {to_iso(at)[:16]}")
        yield record


def heading(entity: str, column: str, unit: str | None) -> str:
    """A column's heading: `mppt.voltage mean [V]`, of states `mppt.voltage [V]`."""
    name = entity if column == "value" else f"{entity} {column}"
    return f"{name} [{unit}]" if unit else name


def _write_csv(file: TextIO, sources: list[Source], records: Iterator[Record], period: str) -> None:
    writer = csv.writer(file)
    columns = [(s.entity, name, unit) for s in sources for name, unit in s.columns.items()]
    times = ("ts",) if period == STATES else ("start", "end")
    writer.writerow([*times, *(cells.written(heading(*column)) for column in columns)])
    for at, together in groupby(records, key=lambda record: record.at):
        by_entity = {record.entity: record.values for record in together}
        row: list[str | float] = [at]
        if period != STATES:
            row.append(str(next(iter(by_entity.values()))["end"]))
        for entity, name, _ in columns:
            values = by_entity.get(entity, {})
            row.append(cells.written(values[name]) if name in values else "")
        writer.writerow(row)


def _flat(record: Record, period: str) -> bytes:
    at = "ts" if period == STATES else "start"
    return msgspec.json.encode({"entity": record.entity, at: record.at, **record.values})


def _write_lines(file: TextIO, _sources: list[Source], records: Iterator[Record], period: str) -> None:
    file.writelines(_flat(record, period).decode() + "\n" for record in records)


def _write_json(file: TextIO, sources: list[Source], records: Iterator[Record], period: str) -> None:
    columns = {source.entity: source.columns for source in sources}
    file.write('{"units": ' + msgspec.json.encode(columns).decode() + ',\n"rows": [')
    file.writelines(
        (",\n" if number else "\n") + _flat(record, period).decode() for number, record in enumerate(records)
    )
    file.write("\n]}\n")


_WRITERS: dict[Format, Callable[[TextIO, list[Source], Iterator[Record], str], None]] = {
    "csv": _write_csv,
    "json": _write_json,
    "jsonl": _write_lines,
}
