"""What an [[import]] table makes of payloads: paths into JSON, values, payloads of commands. Pure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec
from msgspec.structs import replace as changed

from bus.about import MEASUREMENT, Entity
from bus.messages import OFF, ON, from_iso
from collector.devices.description import Row, Value, Values
from collector.devices.rows import MEASURES, Measure
from config.model import Availability, Import, ImportEntity, topics_of

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
# Nothing in a van or a house is as large; beyond it a float has no decimals left.
_MOST = 1e15
_LONGEST_TEXT = 255
_MILLI = 1e-3
_WORDS: Mapping[str, str] = {"on": ON, "true": ON, "1": ON, "off": OFF, "false": OFF, "0": OFF}

# A foreign unit: ours, the factor and what is added.
UNITS: Mapping[str, tuple[str, float, float]] = {
    "mV": ("V", 1e-3, 0),
    "kV": ("V", 1e3, 0),
    "mA": ("A", 1e-3, 0),
    "mW": ("W", 1e-3, 0),
    "kW": ("W", 1e3, 0),
    "MW": ("W", 1e6, 0),
    "kWh": ("Wh", 1e3, 0),
    "MWh": ("Wh", 1e6, 0),
    "kVA": ("VA", 1e3, 0),
    "kvar": ("var", 1e3, 0),
    "mAh": ("Ah", 1e-3, 0),
    "kHz": ("Hz", 1e3, 0),
    "°F": ("°C", 5 / 9, -160 / 9),
    "K": ("°C", 1, -273.15),
    "ms": ("s", 1e-3, 0),
    "min": ("s", 60, 0),
    "h": ("s", 3600, 0),
    "d": ("s", 86_400, 0),
    "mL": ("L", 1e-3, 0),
    "m³": ("L", 1e3, 0),
}


Path = tuple[str | int, ...]


class BadValueError(ValueError):
    """What was found is none of the entity's values; the text says why."""


def is_switch(one: ImportEntity) -> bool:
    """Whether its values are ON and OFF."""
    others = one.range or one.options or one.map
    return bool(one.on or one.off or (one.command_topic and not others))


def is_enumeration(one: ImportEntity) -> bool:
    """Whether its values are words of a list."""
    return bool(one.options or one.map) and not is_switch(one)


OF_NUMBERS = ("unit", "state_class", "precision", "scale", "offset", "step")
"""Settings of numbers alone."""


def is_number(one: ImportEntity) -> bool:
    """Whether a setting says that its values are numbers; else numbers and texts pass as they are."""
    says = any(getattr(one, name) is not None for name in (*OF_NUMBERS, "device_class", "range"))
    return says and not is_switch(one) and not is_enumeration(one)


def row_of(key: str, one: ImportEntity) -> Row:
    """Describe the entity as clients see it; what its table leaves out follows from the unit."""
    entity = Entity(
        name=one.name or key.replace("_", " ").capitalize(),
        device_class=one.device_class,
        command=one.command_topic is not None,
        diagnostic=one.diagnostic,
        role=one.role,
    )
    if is_switch(one):
        return Row(entity=changed(entity, boolean=True))
    if is_enumeration(one):
        words = one.options or tuple(dict.fromkeys(one.map.values()))
        return Row(entity=changed(entity, device_class="enum", options=words))
    unit, factor, _ = UNITS.get(one.unit or "", (one.unit, 1.0, 0.0))
    measure = MEASURES.get(unit or "", Measure(None, None if unit is None else MEASUREMENT, None, 0.0))
    if unit in MEASURES and factor == _MILLI:
        # Who counts in thousandths means small values.
        measure = replace(measure, precision=3, step=0.0)
    entity = changed(
        entity,
        unit=unit,
        device_class=one.device_class or measure.device_class,
        state_class=one.state_class or measure.state_class,
        precision=measure.precision if one.precision is None else one.precision,
        range=one.range,
        step=one.command_step,
    )
    return Row(entity=entity, step=measure.step if one.step is None else one.step)


def payload_of(one: ImportEntity, value: float | str) -> str:
    """Turn a value of ours into the payload that the device takes: the way back of its table."""
    if is_switch(one):
        return (one.payload_on or ON) if value == ON else (one.payload_off or OFF)
    if isinstance(value, str):
        return next((said for said, word in one.map.items() if word == value), value)
    meaning = Meaning.of(one)
    return f"{(value - meaning.add) / meaning.factor:.12g}"


def word_of(value: object) -> str | None:
    """Spell a value as it is compared with the words of a table: without case and blanks."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        number = float_of(value)
        return None if number is None else f"{number:g}"
    return value.strip().casefold() if isinstance(value, str) else None


def float_of(value: float) -> float | None:
    """Convert a number to a finite float, None if there is none."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def words_of(one: ImportEntity) -> dict[str, str]:
    """List what an entity's payloads mean, by word: ON and OFF, or an enumeration's words."""
    if not is_switch(one):
        words = {str(word_of(option)): option for option in one.options}
        return words | {str(word_of(said)): word for said, word in one.map.items()}
    # What the table says of a side takes the place of what is usual for it.
    usual = {w: m for w, m in _WORDS.items() if not (one.on if m == ON else one.off)}
    said = {word_of(v): ON for v in one.on} | {word_of(v): OFF for v in one.off}
    return usual | {str(word): meaning for word, meaning in said.items()}


@dataclass(frozen=True, slots=True)
class Meaning:
    """How what is found at `path` becomes an entity's value; None: in a payload without JSON or types."""

    path: Path | None
    words: Mapping[str, str]
    number: bool
    factor: float
    add: float

    @classmethod
    def of(cls, one: ImportEntity) -> "Meaning":
        """Take the meaning from an entity's table."""
        _, factor, add = UNITS.get(one.unit or "", ("", 1.0, 0.0))
        scale, offset = 1.0 if one.scale is None else one.scale, one.offset or 0.0
        words = words_of(one) if is_switch(one) or is_enumeration(one) else {}
        path = None if one.path is None else parse_path(one.path)
        return cls(path, words, is_number(one), scale * factor, offset * factor + add)

    def value(self, found: object) -> Value:
        """Convert what was found into a value of ours. Raises BadValueError."""
        if found is None:
            return None
        if self.words:
            word = self.words.get(word_of(found) or "")
            if word is None:
                raise BadValueError(f"{_shown(found)} is none of {', '.join(sorted(self.words))}")
            return word
        # What looks like a number is one.
        if (self.number or self.path is None) and isinstance(found, str) and _NUMBER.match(found.strip()):
            found = float(found)
        if isinstance(found, int | float) and not isinstance(found, bool):
            return self._converted(found)
        if self.number or not isinstance(found, str):
            hint = "; on = [true] makes it ON and OFF" if isinstance(found, bool) else ""
            raise BadValueError(f"{_shown(found)} is no {'number' if self.number else 'value'}{hint}")
        if len(found) > _LONGEST_TEXT:
            raise BadValueError(f"the text has {len(found)} characters; allowed are {_LONGEST_TEXT}")
        return found

    def _converted(self, found: float) -> float | None:
        number = float_of(found)
        if number is None:
            return None
        number = number * self.factor + self.add
        if not math.isfinite(number) or abs(number) > _MOST:
            return None
        # 0.1 kWh are 100 Wh, not 100.00000000000001.
        return float(f"{number:.12g}")


def _shown(found: object) -> str:
    if isinstance(found, dict | list):
        return "an object" if isinstance(found, dict) else "a list"
    return repr(found)[:40] if isinstance(found, str | bool | float) else "a number"


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
class Payload:
    """What one payload said: values by entity, when (ms since 1970 UTC; None: it does not say).

    `refused` and `missing` say of entities why they have no value; `bad_time` that the time is none.
    """

    values: Values
    ts: int | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    bad_time: bool = False


class Imported:
    """One [[import]] table, ready to read payloads; its settings have passed the checks."""

    def __init__(self, table: Import) -> None:
        self.table = table
        self.rows = {key: row_of(key, one) for key, one in table.entities.items()}
        self._time = None if table.time is None else parse_path(table.time)
        self._meanings: dict[str, dict[str, Meaning]] = {}
        for key, one in table.entities.items():
            for topic in topics_of(table, one):
                self._meanings.setdefault(topic, {})[key] = Meaning.of(one)

    @property
    def topics(self) -> list[str]:
        """Where its values are said."""
        return list(self._meanings)

    def of(self, topic: str) -> list[str]:
        """List the entities that a topic may speak of."""
        return list(self._meanings.get(topic, {}))

    def read(self, topic: str, payload: bytes) -> Payload:
        """Read a payload. Raises BadPayloadError."""
        meanings = self._meanings.get(topic, {})
        body: object = None
        if self._time is not None or any(one.path is not None for one in meanings.values()):
            body = _json(payload)
        values: Values = {}
        refused: dict[str, str] = {}
        missing: dict[str, str] = {}
        for key, meaning in meanings.items():
            found = _text(payload) if meaning.path is None else _find(body, meaning.path)
            if found is _ABSENT:
                missing[key] = f"{topic} has nothing at {self.table.entities[key].path}"
                continue
            try:
                values[key] = meaning.value(found)
            except BadValueError as error:
                refused[key] = f"{topic}: {error}"
        ts, bad_time = self._when(body)
        return Payload(values, ts, refused, missing, bad_time)

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
    """Read an availability payload; None: neither of its two words."""
    try:
        found = _text(payload) if said.path is None else _find(_json(payload), parse_path(said.path))
    except BadPayloadError:
        return None
    word = word_of(found)
    if word == word_of(said.online):
        return True
    return False if word == word_of(said.offline) else None
