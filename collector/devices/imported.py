"""Devices that publish in their own format: where a value stands in a payload. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from bus.messages import from_iso
from collector.devices.description import Values
from collector.devices.imported_values import BadValueError, Meaning, float_of, row_of, word_of
from config.model_import import Availability, Import, ImportEntity, topics_of

Path = tuple[str | int, ...]
_LEVEL = re.compile(r"([^.\[\]]+)|\[(\d{1,4})\]")
_PATH = re.compile(r"(?:[^.\[\]]+|\[\d{1,4}\])(?:\.[^.\[\]]+|\[\d{1,4}\])*\Z")
_ABSENT = object()
# Seconds since 1970 stay below it for 3000 years, milliseconds have been above it since 1973.
_MILLISECONDS = 1e11
_LAST_MS = 253_402_300_799_999


class BadPathError(ValueError):
    """A path that is none; the text says what is allowed."""


class BadPayloadError(ValueError):
    """Nothing can be read from this payload."""


def parse_path(text: str) -> Path:
    """`ENERGY.Power[0]` as keys and indexes. Raises BadPathError."""
    if not _PATH.match(text):
        raise BadPathError("keys joined by dots and indexes in brackets, such as ENERGY.Power[0]")
    return tuple(key or int(index) for key, index in _LEVEL.findall(text))


def _find(body: object, path: Path) -> object:
    for step in path:
        if isinstance(step, int):
            if not isinstance(body, list) or step >= len(body):
                return _ABSENT
            body = body[step]
        elif isinstance(body, dict) and step in body:
            body = body[step]
        else:
            return _ABSENT
    return body


@dataclass(frozen=True, slots=True)
class Heard:
    """What one payload said: values by entity, when (ms since 1970 UTC; None: it does not say).

    `refused` and `missing` say of entities why they have no value; `bad_time` that the time is none.
    """

    values: Values
    ts: int | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    bad_time: bool = False


@dataclass(frozen=True, slots=True)
class _Field:
    """One entity on a topic."""

    key: str
    path: Path | None
    meaning: Meaning

    @classmethod
    def of(cls, key: str, one: ImportEntity) -> "_Field":
        return cls(key, None if one.path is None else parse_path(one.path), Meaning.of(one))


class Imported:
    """One [[import]] table, ready to read payloads; its settings have passed the checks."""

    def __init__(self, table: Import) -> None:
        self.table = table
        self.rows = {key: row_of(key, one) for key, one in table.entities.items()}
        self._time = None if table.time is None else parse_path(table.time)
        self._fields: dict[str, list[_Field]] = {}
        for key, one in table.entities.items():
            for topic in topics_of(table, one):
                self._fields.setdefault(topic, []).append(_Field.of(key, one))

    @property
    def topics(self) -> list[str]:
        """Where its values are said."""
        return list(self._fields)

    def of(self, topic: str) -> list[str]:
        """The entities that a topic may speak of."""
        return [one.key for one in self._fields.get(topic, [])]

    def read(self, topic: str, payload: bytes) -> Heard:
        """What a payload says. Raises BadPayloadError."""
        fields = self._fields.get(topic, [])
        body: object = None
        if self._time is not None or any(one.path is not None for one in fields):
            body = _json(payload)
        values: Values = {}
        refused: dict[str, str] = {}
        missing: dict[str, str] = {}
        for one in fields:
            found = _text(payload) if one.path is None else _find(body, one.path)
            if found is _ABSENT:
                missing[one.key] = f"{topic} has nothing at {self.table.entities[one.key].path}"
                continue
            try:
                values[one.key] = one.meaning.value(found)
            except BadValueError as error:
                refused[one.key] = f"{topic}: {error}"
        ts, bad_time = self._when(body)
        return Heard(values, ts, refused, missing, bad_time)

    def _when(self, body: object) -> tuple[int | None, bool]:
        if self._time is None:
            return None, False
        said = _find(body, self._time)
        ts = _milliseconds(said)
        return ts, ts is None


def _json(payload: bytes) -> object:
    try:
        body: object = msgspec.json.decode(payload)
    except (ValueError, RecursionError) as error:
        raise BadPayloadError("the payload is not JSON") from error
    return body


def _text(payload: bytes) -> str | None:
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError as error:
        raise BadPayloadError("the payload is not UTF-8") from error
    return None if text == "null" else text


def _milliseconds(said: object) -> int | None:
    if isinstance(said, str):
        try:
            return from_iso(said)
        except (ValueError, OverflowError):
            # No time, or one without a zone: the arrival is better than a guess.
            return None
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    number = float_of(said)
    if number is None:
        return None
    ms = number if number >= _MILLISECONDS else number * 1000
    return round(ms) if 0 <= ms <= _LAST_MS else None


def is_online(said: Availability, payload: bytes) -> bool | None:
    """What an availability payload says; None: neither of its two words."""
    try:
        found = _text(payload) if said.path is None else _find(_json(payload), parse_path(said.path))
    except BadPayloadError:
        return None
    word = word_of(found)
    if word == word_of(said.online):
        return True
    return False if word == word_of(said.offline) else None
