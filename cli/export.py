"""Cells of a CSV file: texts that no spreadsheet takes for a formula, and that an import reads as they were.

An apostrophe before a text marks it as text. It is added where a program would calculate or where the import
would read something else (a number, `null`, nothing), and taken away again by the import.
"""

import csv
import heapq
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Annotated, Literal, TextIO

import msgspec
from typer import Option

from bus.messages import Value, from_iso, to_iso
from cli.asking import Asker
from cli.history import History, Statistics
from cli.house import House, talks
from cli.terminal import CommandError, Progress
from config.model import Broker

# A state that was unknown; an empty cell says that there was none.
NULL = "null"
# What begins a formula, at the start or where a spreadsheet of another language begins the next cell;
# wide forms too, for some take those for the same.
_BEGINS = r"(?:\A|(?<=[;|\t\r\n]))"
_FORMULA = r"(?=[' ]*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])"
_ADD = re.compile(_BEGINS + _FORMULA)
_TAKE = re.compile(f"{_BEGINS}'{_FORMULA}")


def cell_of(value: Value) -> str | float:
    """Write a value as a cell."""
    if value is None:
        return NULL
    if not isinstance(value, str):
        return value
    return f"'{value}" if _reads_otherwise(value) else _ADD.sub("'", value)


def value_of(cell: str) -> Value:
    """Read a cell that is not empty as a value; a number may be infinite or none."""
    if cell == NULL:
        return None
    if cell.startswith("'") and _reads_otherwise(cell[1:]):
        return cell[1:]
    number = _number(cell)
    return _TAKE.sub("", cell) if number is None else number


def _reads_otherwise(text: str) -> bool:
    bare = text.lstrip("'")
    return bare in ("", NULL) or _number(bare) is not None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


STATES = "states"
Period = Literal["5minute", "hour", "day", "week", "month", "year", "lifetime", "states"]
Format = Literal["csv", "json", "jsonl"]
_MEANS = ("mean", "min", "max")
_SUMS = ("state", "sum", "change", "sum_increase", "sum_decrease", "last_reset")


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What the command line asks for; times are RFC 3339."""

    entities: Sequence[str]
    period: Period
    start: str | None = None
    end: str | None = None
    time_zone: str | None = None


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
class Series:
    """The records of one entity in order of time, and the columns they have, with their units."""

    entity: str
    columns: dict[str, str | None]
    records: Iterator[Record]


def write_export(broker: Broker, wanted: ExportRequest, form: Format, target: Path | None) -> None:
    """Write what is wanted to a file or to standard output. Raises CommandError, OSError."""
    with Asker(broker) as asker:
        sources = list(_sources(asker, wanted))
        opened = nullcontext(sys.stdout) if target is None else target.open("w", encoding="utf-8", newline="")
        with opened as file:
            progress = Progress()
            records = heapq.merge(*(source.records for source in sources), key=lambda record: record.at)
            _WRITERS[form](file, sources, _watched(records, progress), wanted.period)
            progress.done()


def _sources(asker: Asker, wanted: ExportRequest) -> Iterator[Series]:
    entities = list(dict.fromkeys(name.replace("/", ".") for name in wanted.entities))
    if wanted.period == STATES:
        for entity in entities:
            yield _states(asker, entity, wanted)
        return
    found = asker.pages("metadata", {"entities": entities}, list[_Metadata])
    kinds = {one.entity: one for page in found for one in page}
    for entity in entities:
        if entity not in kinds:
            raise CommandError(f"{entity} has no statistics: it has no state class; ask for --period states")
        yield _rows(asker, entity, kinds[entity], wanted)


def _range(wanted: ExportRequest) -> dict[str, object]:
    asked = {"start": wanted.start, "end": wanted.end, "time_zone": wanted.time_zone}
    return {name: value for name, value in asked.items() if value is not None}


def _states(asker: Asker, entity: str, wanted: ExportRequest) -> Series:
    params = {"entity": entity, "start": 0} | _range(wanted)
    params.pop("time_zone", None)
    pages = asker.pages("history", params, History)
    first = next(pages)
    rows = (row for page in chain((first,), pages) for row in page.rows)
    records = (Record(str(ts), entity, {"value": value}) for ts, value in rows)
    return Series(entity, {"value": first.unit}, records)


def _rows(asker: Asker, entity: str, kind: _Metadata, wanted: ExportRequest) -> Series:
    params = {"entities": [entity], "period": wanted.period} | _range(wanted)
    pages = asker.pages("statistics", params, Statistics)
    first = next(pages)
    names = (_MEANS if kind.has_mean else ()) + (_SUMS if kind.has_sum else ()) + ("coverage",)
    unit = first.units.get(entity)
    columns = {name: None if name in ("last_reset", "coverage") else unit for name in names}
    rows = (row for page in chain((first,), pages) for row in page.rows.get(entity, ()))
    return Series(entity, columns, (Record(str(row.pop("start")), entity, row) for row in rows))


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
    """Write a column's heading: `mppt.voltage mean [V]`, of states `mppt.voltage [V]`."""
    name = entity if column == "value" else f"{entity} {column}"
    return f"{name} [{unit}]" if unit else name


def _write_csv(file: TextIO, sources: list[Series], records: Iterator[Record], period: str) -> None:
    writer = csv.writer(file)
    columns = [(s.entity, name, unit) for s in sources for name, unit in s.columns.items()]
    times = ("ts",) if period == STATES else ("start", "end")
    writer.writerow([*times, *(cell_of(heading(*column)) for column in columns)])
    for at, together in groupby(records, key=lambda record: record.at):
        by_entity = {record.entity: record.values for record in together}
        row: list[str | float] = [at]
        if period != STATES:
            row.append(str(next(iter(by_entity.values()))["end"]))
        for entity, name, _ in columns:
            values = by_entity.get(entity, {})
            row.append(cell_of(values[name]) if name in values else "")
        writer.writerow(row)


def _flat(record: Record, period: str) -> bytes:
    at = "ts" if period == STATES else "start"
    return msgspec.json.encode({"entity": record.entity, at: record.at, **record.values})


def _write_lines(file: TextIO, _sources: list[Series], records: Iterator[Record], period: str) -> None:
    file.writelines(_flat(record, period).decode() + "\n" for record in records)


def _write_json(file: TextIO, sources: list[Series], records: Iterator[Record], period: str) -> None:
    columns = {source.entity: source.columns for source in sources}
    file.write('{"units": ' + msgspec.json.encode(columns).decode() + ',\n"rows": [')
    file.writelines(
        (",\n" if number else "\n") + _flat(record, period).decode() for number, record in enumerate(records)
    )
    file.write("\n]}\n")


_WRITERS: dict[Format, Callable[[TextIO, list[Series], Iterator[Record], str], None]] = {
    "csv": _write_csv,
    "json": _write_json,
    "jsonl": _write_lines,
}


@talks
def export(
    house: House,
    *,
    entity: Annotated[list[str], Option(metavar="DEVICE.ENTITY", help="May be repeated.")],
    period: Period = "hour",
    start: Annotated[
        str | None, Option(metavar="TIME", help="Such as 2026-11-21T00:00:00Z; default: the oldest kept.")
    ] = None,
    end: Annotated[str | None, Option(metavar="TIME", help="Not included; default: now.")] = None,
    time_zone: Annotated[
        str | None, Option(metavar="ZONE", help="Of days and longer; default: the statistician's.")
    ] = None,
    form: Annotated[Format, Option("--format")] = "csv",
    target: Annotated[
        Path | None, Option("--output", "-o", metavar="FILE", help="Default: standard output.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Write states or statistics of entities to a file."""
    wanted = ExportRequest(entity, period, start, end, time_zone)
    write_export(house.broker(), wanted, "json" if as_json else form, target)
