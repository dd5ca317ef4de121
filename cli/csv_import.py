"""`boondock import`: a CSV as `boondock export` writes it; states become late readings, hours statistics."""

import csv
import math
import re
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import msgspec
from typer import Argument, Option

from bus.clock import BUILD_DATE_MS
from bus.messages import IMPORT, Aggregate, Reading, Value, encode_reading, from_iso, of_device
from bus.topics import Topics
from cli import export, terminal
from cli.asking import Asker
from cli.house import House, Json, talks
from cli.terminal import CommandError, Progress
from config.model import Broker

_DAY_MS = 86_400_000
# Readings that may be on their way before the statistician has them on disk.
_AHEAD = 2_000
_STORED_S = 120.0
# So many hours fit into one request.
_ROWS_AT_ONCE = 200
_HEADING = re.compile(
    r"(?P<entity>[a-z0-9_]+[./][a-z0-9_]+)(?: (?P<column>[a-z_]+))?(?: \[(?P<unit>[^\]]*)\])?\Z"
)
_NUMBERS = ("mean", "min", "max", "state", "sum", "sum_increase", "sum_decrease", "coverage")


@dataclass(frozen=True, slots=True)
class Column:
    """What a column of the file holds."""

    entity: str
    column: str | None
    unit: str | None


class Hour(Aggregate, frozen=True, kw_only=True):
    """A row as the verb import_statistics takes it."""

    start: str


@dataclass(frozen=True, slots=True)
class Table:
    """A file: its columns, and whether they are states or hours."""

    states: bool
    columns: dict[int, Column]
    rows: list[tuple[int, list[str]]]

    @property
    def entities(self) -> list[str]:
        """The entities that have a column."""
        return list(dict.fromkeys(column.entity for column in self.columns.values()))


class _Entity(msgspec.Struct):
    entity: str


class _Done(msgspec.Struct):
    # None on a dry run.
    id: int | None = None


def read_table(path: Path) -> Table:
    """Read the file's rows by line number. Raises CommandError naming the line, OSError."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            lines = list(csv.reader(file))
        except (csv.Error, UnicodeDecodeError) as error:
            raise CommandError(f"{path} is not CSV in UTF-8: {error}") from error
    if not lines or not lines[0] or lines[0][0] not in ("ts", "start"):
        raise CommandError(f"{path}: the first column must be ts (states) or start (hourly statistics)")
    states = lines[0][0] == "ts"
    columns: dict[int, Column] = {}
    for place, text in enumerate(lines[0]):
        if place == 0 or (place == 1 and text == "end"):
            continue
        found = _HEADING.match(str(export.value_of(text.strip())))
        if found is None or (found["column"] is not None) == states:
            wanted = "mppt.voltage [V]" if states else "mppt.voltage mean [V]"
            raise CommandError(
                f"{path}: column {place + 1} is {text!r}; allowed are headings such as {wanted!r}"
            )
        columns[place] = Column(found["entity"].replace("/", "."), found["column"], found["unit"])
    if not columns:
        raise CommandError(f"{path} has no column of an entity")
    rows = [(number, line) for number, line in enumerate(lines[1:], 2) if line]
    return Table(states, columns, rows)


def bring_in(broker: Broker, path: Path, *, dry_run: bool) -> str:
    """Bring a file's rows to the statistician; returns what was done. Raises CommandError, OSError."""
    table = read_table(path)
    if table.states:
        return _take_states(broker, table, dry_run=dry_run)
    return _take_hours(broker, table, dry_run=dry_run)


def _unknown(asker: Asker, table: Table) -> list[str]:
    """Return entities of devices never heard. Raises CommandError for one that a known device lacks."""
    known = {one.entity for page in asker.pages("entities", {}, list[_Entity]) for one in page}
    devices = {name.partition(".")[0] for name in known}
    unknown = [entity for entity in table.entities if entity not in known]
    wrong = [entity for entity in unknown if entity.partition(".")[0] in devices]
    if wrong:
        raise CommandError(f"there is no entity {', '.join(wrong)}: its device is known and does not have it")
    return unknown


def _take_states(broker: Broker, table: Table, *, dry_run: bool) -> str:
    readings = list(_readings(table))
    stream = f"{IMPORT}-{secrets.token_hex(4)}"
    with Asker(broker, Topics(broker.base).watermark(stream)) as asker:
        _unknown(asker, table)
        count = sum(len(reading.values) for _, reading in readings)
        if dry_run:
            return f"{count} states of {len(table.entities)} entities would be imported"
        progress = Progress()
        topic = asker.topics.watermark(stream)
        for seq, (device, reading) in enumerate(readings, 1):
            _wait_stored(asker, topic, seq - _AHEAD)
            numbered = msgspec.structs.replace(reading, stream=stream, seq=seq)
            # Nobody else is to see it: it is history.
            asker.publish(asker.topics.backlog(IMPORT, stream), of_device(device, encode_reading(numbered)))
            progress.show(seq / len(readings), f"{seq} of {len(readings)} readings")
        _wait_stored(asker, topic, len(readings))
        progress.done()
    return f"{count} states of {len(table.entities)} entities are on the statistician's disk"


def _wait_stored(asker: Asker, topic: str, seq: int) -> None:
    while seq > 0 and int(asker.last(topic) or 0) < seq:
        asker.wait("the statistician does not say that it has stored the states", patience=_STORED_S)


def _readings(table: Table) -> Iterator[tuple[str, Reading]]:
    """Make readings by device in order of time. Raises CommandError naming the line."""
    latest = time.time_ns() // 1_000_000 + _DAY_MS
    found: list[tuple[int, str, dict[str, Value]]] = []
    for number, line in table.rows:
        ts = _time(line[0], number)
        if not BUILD_DATE_MS <= ts <= latest:
            raise CommandError(f"line {number}: {line[0]} is before this software was made or in the future")
        devices: dict[str, dict[str, Value]] = {}
        for place, column in table.columns.items():
            text = line[place] if place < len(line) else ""
            if text:
                device, _, key = column.entity.partition(".")
                devices.setdefault(device, {})[key] = _value(text, number)
        found += [(ts, device, values) for device, values in devices.items()]
    for ts, device, values in sorted(found, key=lambda one: one[0]):
        yield device, Reading(ts=ts, values=values, late=True)


def _time(text: str, number: int) -> int:
    try:
        return from_iso(text)
    except (ValueError, OverflowError) as error:
        raise CommandError(f"line {number}: {error}") from error


def _value(text: str, line: int) -> Value:
    value = export.value_of(text)
    return _finite(value, line, "a state") if isinstance(value, float) else value


def _take_hours(broker: Broker, table: Table, *, dry_run: bool) -> str:
    hours = {
        entity: sorted(_hours(table, entity), key=lambda hour: from_iso(hour.start))
        for entity in table.entities
    }
    total, count, first = sum(map(len, hours.values())), 0, None
    progress = Progress()
    with Asker(broker) as asker:
        new = _unknown(asker, table)
        try:
            for params, rows, more in _requests(table, hours, new):
                asked = {**params, "rows": rows, "more": more, "dry_run": dry_run, "import": first}
                for done in asker.pages("import_statistics", asked, _Done):
                    # What is imported after the first is taken back with it.
                    first = first or done.id
                count += len(rows)
                progress.show(count / total, params["entity"])
        except CommandError as error:
            if first is None:
                raise
            back = f"{count} rows are imported: undo of fix {first} takes them back"
            raise CommandError(f"{error}; {back}") from error
        finally:
            progress.done()
    if first is not None:
        print(f"undo of fix {first} takes all of it back", file=sys.stderr)
    verb = "would be imported" if dry_run else "were imported"
    return f"{count} hourly rows of {len(hours)} entities {verb}"


def _requests(
    table: Table, hours: Mapping[str, list[Hour]], new: Sequence[str]
) -> Iterator[tuple[dict[str, str], list[Hour], bool]]:
    """Yield what is asked for some rows of one entity, the rows, and whether more of it come."""
    for entity, rows in hours.items():
        params = {"entity": entity} | _unit(table, entity)
        params |= _class(rows, params.get("unit")) if entity in new else {}
        for begin in range(0, len(rows), _ROWS_AT_ONCE):
            end = begin + _ROWS_AT_ONCE
            yield params, rows[begin:end], end < len(rows)


def _unit(table: Table, entity: str) -> dict[str, str]:
    units = {c.unit for c in table.columns.values() if c.entity == entity and c.unit is not None}
    if len(units) > 1:
        raise CommandError(f"{entity}: its columns have several units: {', '.join(sorted(units))}")
    return {"unit": units.pop()} if units else {}


def _class(rows: Sequence[Hour], unit: str | None) -> dict[str, str]:
    """Guess the state class that such rows are made with; the device's description has the last word."""
    sums = [row.sum for row in rows if row.sum is not None]
    if sums:
        falls = any(later < earlier for earlier, later in pairwise(sums))
        total = falls or any(row.last_reset or row.sum_decrease for row in rows)
        return {"state_class": "total" if total else "total_increasing"}
    angle = unit == "°" and all(row.min is None and row.max is None for row in rows)
    return {"state_class": "measurement_angle" if angle else "measurement"}


def _hours(table: Table, entity: str) -> Iterator[Hour]:
    # The column `change` of an export follows from the others.
    mine = {place: one.column for place, one in table.columns.items() if one.entity == entity}
    columns = {place: column for place, column in mine.items() if column != "change"}
    for number, line in table.rows:
        values: dict[str, float] = {}
        last_reset: str | None = None
        _time(line[0], number)
        for place, column in columns.items():
            text = line[place] if place < len(line) else ""
            if not text or text == export.NULL:
                continue
            if column == "last_reset":
                last_reset = text
            elif column in _NUMBERS:
                values[column] = _number(text, number, column)
            else:
                raise CommandError(f"{entity}: there is no column {column!r} of statistics")
        if values.keys() - {"coverage"}:
            yield Hour(start=line[0], last_reset=last_reset, **values)


def _number(text: str, line: int, column: str) -> float:
    try:
        return _finite(float(text), line, column)
    except ValueError as error:
        raise CommandError(f"line {line}: {column} is {text!r}, no number") from error


def _finite(value: float, line: int, column: str) -> float:
    if not math.isfinite(value):
        raise CommandError(
            f"line {line}: {column} is {value}; allowed are numbers, and {export.NULL} for unknown"
        )
    return value


@talks
def import_csv(
    house: House,
    file: Annotated[Path, Argument(help="A file as `boondock export` writes it: --format csv.")],
    *,
    dry_run: Annotated[bool, Option("--dry-run", help="Check everything, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Bring states or hourly statistics in from a CSV file."""
    said = bring_in(house.broker(), file, dry_run=dry_run)
    terminal.show({"imported": said, "dry_run": dry_run}, [said], as_json=as_json)
