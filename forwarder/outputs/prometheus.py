"""The newest values as a text file, for the textfile collector of Prometheus' node_exporter."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bus import state_files
from bus.messages import OFF, ON
from forwarder.outputs import Place, SendError
from forwarder.records import Reading, Record, Removed

_SWITCHES = {ON: 1.0, OFF: 0.0}
# node_exporter may be another user.
_MODE = 0o644
_VALUE, _TIME = "boondock_value", "boondock_value_timestamp_seconds"


class PrometheusSink:
    """Keeps the newest value of each entity, and writes the file anew with each batch."""

    def __init__(self, place: Place) -> None:
        self._path = Path(place.settings.path or "")
        self._newest: dict[str, Reading] = {}
        self._written = ""

    def send(self, records: Sequence[Record]) -> None:
        """Take new values into the file. Raises SendError."""
        for record in records:
            self._take(record)
        wanted = text(self._newest)
        if wanted == self._written and self._path.exists():
            return
        try:
            state_files.write(self._path, wanted.encode(), mode=_MODE)
        except OSError as error:
            why = f"{self._path} cannot be written: {error.strerror or error}"
            raise SendError(f"{why}; check path, its rights and the free space") from error
        self._written = wanted

    def close(self) -> None:
        """Hold nothing open."""

    def _take(self, record: Record) -> None:
        before = self._newest.get(record.entity)
        if isinstance(record, Reading):
            # One that comes late is not the newest.
            if before is None or record.ts >= before.ts:
                self._newest[record.entity] = record
        elif isinstance(record, Removed) and before is not None and _is_void(before, record):
            del self._newest[record.entity]


def _is_void(reading: Reading, removed: Removed) -> bool:
    return removed.what == "reading" and removed.start <= reading.ts < removed.end


def text(newest: Mapping[str, Reading]) -> str:
    """Write values in Prometheus' text format, version 0.0.4; unknown ones and words are left out."""
    known = [(reading, value) for reading in newest.values() if (value := _number(reading)) is not None]
    known.sort(key=lambda pair: pair[0].entity)
    values = ((reading, f"{value!r}") for reading, value in known)
    times = ((reading, f"{reading.ts / 1000:.3f}") for reading, _ in known)
    return "".join(
        (
            *_metric(_VALUE, "The newest value of an entity; ON is 1, OFF is 0.", values),
            *_metric(_TIME, "When that value was measured, in Unix seconds.", times),
        )
    )


def _number(reading: Reading) -> float | None:
    value = reading.value
    return _SWITCHES.get(value) if isinstance(value, str) else value


def _metric(name: str, what: str, samples: Iterator[tuple[Reading, str]]) -> Iterator[str]:
    yield f"# HELP {name} {what}\n# TYPE {name} gauge\n"
    for reading, value in samples:
        device, _, entity = reading.entity.partition(".")
        labels = {"device": device, "entity": entity, "unit": reading.unit or ""}
        said = ",".join(f'{label}="{_escaped(word)}"' for label, word in labels.items() if word)
        yield f"{name}{{{said}}} {value}\n"


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
