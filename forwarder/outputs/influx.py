"""Records in line protocol, over the HTTP of InfluxDB 2, which InfluxDB 3 and VictoriaMetrics take, too."""

import logging
import math
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from bus.messages import Value
from config.model import Output
from forwarder.outputs import Place
from forwarder.outputs.http import Http
from forwarder.records import Reading, Record, Removed, StatisticsRow, device_of

log = logging.getLogger(__name__)

MEASUREMENT = "boondock"
_WRITE = "/api/v2/write"
_HEADERS = {"Content-Type": "text/plain; charset=utf-8"}
# A reading has a text in the field `state`, so the number that a row calls so needs another name.
_FIELDS = {"state": "last"}
_TOO_OLD = "beyond retention"


class InfluxSink:
    """Writes records; the same point again takes the place of the one before."""

    def __init__(self, place: Place) -> None:
        settings = place.settings
        self._http = Http(settings, scheme="Token")
        self._http.path = write_path(self._http.path, settings)
        self._measurement = settings.measurement or MEASUREMENT
        self._name = place.name

    def send(self, records: Sequence[Record]) -> None:
        """Write records. Raises SendError."""
        lines = [text for record in records if (text := line(record, self._measurement)) is not None]
        if removed := sum(isinstance(record, Removed) for record in records):
            log.info("%s: %d times something was removed, which InfluxDB is not told", self._name, removed)
        if not lines:
            return
        answer = self._http.ask("\n".join(lines).encode(), _HEADERS)
        if answer.taken:
            return
        if _TOO_OLD in answer.text:
            # All else of the batch was written, and these are refused for ever.
            log.warning("%s: what is older than the bucket keeps is left out: %s", self._name, answer.text)
            return
        raise self._http.refusal(answer)

    def close(self) -> None:
        """End the connection."""
        self._http.close()


def write_path(path: str, settings: Output) -> str:
    """Return where to write, times in ms; an address that ends with /write stays."""
    path, _, query = path.partition("?")
    if not path.endswith("/write"):
        path = path.rstrip("/") + _WRITE
    wanted = {"org": settings.org, "bucket": settings.bucket, "precision": "ms"}
    return f"{path}?" + "&".join(filter(None, (query, urlencode({k: v for k, v in wanted.items() if v}))))


def line(record: Record, measurement: str) -> str | None:
    """Write a record as a line; None if there is nothing in it that InfluxDB stores."""
    if isinstance(record, Removed):
        return None
    fields: Mapping[str, Value]
    tags = {"device": device_of(record), "entity": record.entity.partition(".")[2]}
    if isinstance(record, Reading):
        tags["unit"] = record.unit or ""
        fields = {"state" if isinstance(record.value, str) else "value": record.value}
    elif isinstance(record, StatisticsRow):
        tags |= {"period": record.period, "unit": record.unit or ""}
        fields = {_FIELDS.get(name, name): value for name, value in record.values.items()}
    else:
        fields = record.values
    written = [f"{_escaped(name)}={text}" for name, value in fields.items() if (text := _field(value))]
    if not written:
        return None
    head = [_escaped(measurement, ", "), *(f"{name}={_escaped(tag)}" for name, tag in tags.items() if tag)]
    return f"{','.join(head)} {','.join(written)} {record.ts}"


def _escaped(text: str, letters: str = ",= ") -> str:
    # Servers differ in what a backslash before another one, or before what separates, means.
    text = _one_line(text).replace("\\", "/")
    return "".join(f"\\{letter}" if letter in letters else letter for letter in text)


def _field(value: Value) -> str | None:
    if isinstance(value, str):
        return '"' + _one_line(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if value is None or not math.isfinite(value):
        return None
    return repr(float(value))


def _one_line(text: str) -> str:
    """Put a space for what no line may hold: line ends are not in the protocol."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
