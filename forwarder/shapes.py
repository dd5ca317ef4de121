"""How records look as text: CSV, JSON lines, JSON, YAML, a template, a smart-meter log as for HEMS.

Pure. A record never has a line break of its own in a CSV line, so the last line end of a file ends a record.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from bus.messages import Value, from_iso, to_iso
from config.model import Output
from forwarder.records import Json, Reading, Record, Removed, Sample, StatisticsRow, device_of

HEMS = "hems"
# What a sample for HEMS carries besides: when the half hour began that an entity is of.
RESET = "#last_reset"
_HALF_HOUR_MS = 1_800_000
Body = Mapping[str, Json]
HEMS_KEYS = (
    "timestamp",
    "cumulative_power_kwh",
    "instant_power_w",
    "current_a",
    "current_r_a",
    "current_t_a",
    "historical_timestamp",
    "historical_cumulative_power_kwh",
    "recent_30min_timestamp",
    "recent_30min_consumption_kwh",
)
# Columns of readings, and of statistics; both take what is removed.
_READINGS = ("timestamp", "entity", "value", "unit", "period", "removed", "end")
_ROWS = (
    *_READINGS[:5],
    *("mean", "min", "max", "state", "sum", "sum_increase", "sum_decrease"),
    *("last_reset", "coverage", "rev", *_READINGS[5:]),
)
_MEDIA = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "json": "application/x-ndjson",
    "yaml": "application/yaml",
}
_SUFFIXES = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".yaml": "yaml", ".yml": "yaml"}


def format_of(settings: Output) -> str:
    """Return the format of an output: its own, else that of its file's name, else JSON lines."""
    if settings.format is not None:
        return settings.format
    name = settings.path or ""
    return next((kind for end, kind in _SUFFIXES.items() if name.endswith(end)), "jsonl")


def media_type(settings: Output) -> str:
    """Return the media type of text_of."""
    if is_template(settings):
        return "application/json" if _JSON.match(settings.template or "") else "text/plain"
    return _MEDIA[format_of(settings)]


def is_template(settings: Output) -> bool:
    """Whether records look as a text of the owner's own."""
    return settings.template is not None and settings.template != HEMS


def text_of(records: Sequence[Record], settings: Output) -> bytes:
    """Return records as one text, with a header if it is CSV."""
    if format_of(settings) != "csv" or is_template(settings):
        return "".join(lines(records, settings)).encode()
    columns = columns_of(records, settings)
    return (header(columns) + "".join(lines(records, settings, columns))).encode()


def lines(records: Iterable[Record], settings: Output, columns: Sequence[str] = ()) -> Iterable[str]:
    """Make the text of each record, its line end included; `columns` are those of the CSV file."""
    kind = format_of(settings)
    for record in records:
        if is_template(settings):
            yield fill(settings.template or "", names_of(record)) + "\n"
            continue
        body = _body(record, settings)
        if kind == "csv":
            cells = body if isinstance(record, Sample) else _cells(record)
            row = (cells.get(column) for column in columns)
            # HEMS wrote 3.0 as Python does.
            exact = settings.template == HEMS
            yield _csv_line(str(cell) if exact and isinstance(cell, float) else cell for cell in row)
        elif kind == "json":
            yield json.dumps(body) + "\n"
        elif kind == "jsonl":
            yield msgspec.json.encode(body).decode() + "\n"
        else:
            yield yaml(body)


def _body(record: Record, settings: Output) -> Body:
    if isinstance(record, Sample) and settings.template == HEMS:
        return hems(record)
    return record.body()


# CSV, RFC 4180; the line end is a line feed, as the tools of this field write and read it.


def columns_of(records: Iterable[Record], settings: Output, before: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the columns of a CSV file that has the columns `before` and takes these records, too."""
    if "samples" not in settings.records:
        return _READINGS if settings.records == ("readings",) else _ROWS
    if settings.template == HEMS:
        return HEMS_KEYS
    if settings.columns:
        return ("timestamp", *settings.columns)
    found = {name for record in records if isinstance(record, Sample) for name in record.values}
    return (*(before or ("timestamp",)), *sorted(found.difference(before)))


def header(columns: Iterable[str]) -> str:
    """Return the first line of a CSV file."""
    return _csv_line(columns)


def read_header(line: str) -> tuple[str, ...]:
    """Return the columns that a CSV file's first line names; none of ours has a comma or a quote."""
    return tuple(line.rstrip("\r\n").split(","))


def _csv_line(cells: Iterable[Json]) -> str:
    return ",".join(_cell(cell) for cell in cells) + "\n"


def _cell(value: Json) -> str:
    text = plain(value)
    # A line break would make two lines of a record, and a cut file could not be told from a whole one.
    text = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text


def _cells(record: Record) -> Body:
    """Return what a line of a file of readings or statistics says."""
    body = dict(record.body())
    if isinstance(record, Reading):
        return {**body, "timestamp": body["ts"]}
    if isinstance(record, StatisticsRow):
        mean = body.get("mean")
        return {**body, "timestamp": body["start"], "value": body.get("state") if mean is None else mean}
    return {**body, "timestamp": body.get("start")}


def plain(value: Json) -> str:
    """Write a value as plain text: nothing for unknown, no .0 behind whole numbers."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value) if isinstance(value, bool | Mapping) else str(value)


# YAML, block style: what it must quote is quoted as PyYAML does.

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.%/°²³-]*(?: [A-Za-z0-9_.%/°²³-]+)*\Z")
# YAML 1.1 reads them as true, false or null.
_WORDS = frozenset(["y", "n", "yes", "no", "true", "false", "on", "off", "null"])


def yaml(body: Body) -> str:
    """Write a record as a YAML document, keys in the order of the alphabet."""
    written = "".join(f"{_scalar(key)}: {_scalar(body[key])}\n" for key in sorted(body))
    # The end is marked, so that a document that was cut can be told.
    return f"---\n{written}...\n"


def _scalar(value: Json) -> str:
    if value is None or isinstance(value, bool | Mapping):
        return json.dumps(value)
    if isinstance(value, str):
        return _quoted(value)
    text = repr(value)
    # 1e-05 is a text in YAML 1.1.
    return text.replace("e", ".0e", 1) if "e" in text and "." not in text else text


def _quoted(text: str) -> str:
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    if text.isascii() and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    return letter if letter.isprintable() and ord(letter) < 0x10000 else f"\\U{ord(letter):08X}"


# Templates of the owner's own.

_NAME = re.compile(r"\{([a-z0-9_.]+)\}")
_JSON = re.compile(r'\s*(\[|\{\s*["}])')


def names_of(record: Record) -> dict[str, Json]:
    """Return what a template may name: what the record says, its `device`, its entity's `id`, its `key`."""
    body = dict(record.body())
    body.setdefault("ts", to_iso(record.ts))
    return {
        **body,
        "timestamp": to_iso(record.ts),
        "device": device_of(record),
        "id": record.entity.partition(".")[2],
        "key": record.key,
    }


def fill(template: str, names: Body) -> str:
    """Put values in place of {names}; other braces stay. In a JSON text they are written as JSON has them.

    What a record does not say is empty, in a JSON text null.
    """
    as_json = _JSON.match(template) is not None

    def value(match: re.Match[str]) -> str:
        found = names.get(match[1])
        if not as_json:
            return plain(found)
        text = json.dumps(found, ensure_ascii=False)
        return text[1:-1] if isinstance(found, str) else plain(found) or "null"

    return _NAME.sub(value, template)


# HEMS: the log of a smart meter.


def hems(sample: Sample) -> dict[str, Json]:
    """Return what a smart meter said, with the keys of HEMS in their order."""
    found = {name.partition(".")[2]: value for name, value in sample.values.items()}
    r, t = _number(found.get("current_r")), _number(found.get("current_t"))
    power = _number(found.get("grid_power"))
    began = found.get(f"last_half_hour_energy{RESET}")
    since = from_iso(began) if isinstance(began, str) else None
    values: tuple[Json, ...] = (
        _iso(sample.ts, "microseconds"),
        _kwh(found.get("grid_import_energy")),
        None if power is None else round(power),
        r if t is None or r is None else round(r + t, 1),
        r,
        t,
        None if since is None else _iso(since + _HALF_HOUR_MS, "seconds"),
        None if since is None else _kwh(found.get("half_hour_import_energy")),
        None if since is None else _iso(since, "seconds"),
        _kwh(found.get("last_half_hour_energy")),
    )
    return dict(zip(HEMS_KEYS, values, strict=True))


def _number(value: Value) -> float | None:
    return None if isinstance(value, str) else value


def _kwh(wh: Value) -> float | None:
    number = _number(wh)
    return None if number is None else round(number / 1000, 4)


def _iso(ms: int, spec: str) -> str:
    # Of whole ms, for a float has not room for all microseconds.
    moment = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
    return moment.isoformat(timespec=spec)


def is_void(record: Record) -> bool:
    """Whether a record only says that others are void."""
    return isinstance(record, Removed)
