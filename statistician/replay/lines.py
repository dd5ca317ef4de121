"""The lines that `replay` reads: declarations, states, stops, start and end; each checked by itself."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from bus import about
from bus.about import STATE_CLASSES
from bus.messages import Value, from_iso

_ENTITY = re.compile(r"([a-z0-9_]+)\.([a-z0-9_]+)\Z")
_DECLARED = ("state_class", "unit", "device_class", "expire_after", "daily")
_KINDS = "a state (ts), a declaration (state_class), down and up, start or end"


class BadLineError(Exception):
    """A line that replay does not understand; the text names its number and the field."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What changes of an entity from the next line with a time on, or from `ts` (ms).

    `words` has state_class, unit and device_class as far as the line names them; None takes one away.
    `expire_after` holds for the whole device.
    """

    device: str
    entity: str
    words: dict[str, str | None]
    ts: int | None
    # Seconds; None takes it away.
    expire_after: float | msgspec.UnsetType | None = msgspec.UNSET
    daily: bool | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A state."""

    device: str
    entity: str
    ts: int
    value: Value
    last_reset: int | None
    late: bool


@dataclass(frozen=True, slots=True)
class Stopped:
    """The service was away between two times."""

    down: int
    up: int


@dataclass(frozen=True, slots=True)
class Started:
    """Statistics begin here; earlier states are only carried in."""

    ts: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The last time that passes."""

    ts: int


Line = Declared | Measured | Stopped | Started | Ended


class _Raw(msgspec.Struct, forbid_unknown_fields=True):
    entity: str | None = None
    state_class: str | msgspec.UnsetType | None = msgspec.UNSET
    unit: str | msgspec.UnsetType | None = msgspec.UNSET
    device_class: str | msgspec.UnsetType | None = msgspec.UNSET
    expire_after: float | msgspec.UnsetType | None = msgspec.UNSET
    daily: bool | None = None
    ts: str | None = None
    late: bool | None = None
    value: float | str | msgspec.UnsetType | None = msgspec.UNSET
    last_reset: str | None = None
    down: str | None = None
    up: str | None = None
    start: str | None = None
    end: str | None = None


_decoder = msgspec.json.Decoder(_Raw)


def parse(source: Iterable[bytes]) -> Iterator[Line]:
    """Yield the lines of a file, in its order; empty ones are passed over. Raises BadLineError."""
    timed = ended = False
    for number, text in enumerate(source, 1):
        if not text.strip():
            continue
        try:
            line = _line(_decode(text))
            _check_place(line, timed=timed, ended=ended)
            timed = timed or isinstance(line, Measured | Stopped)
            ended = isinstance(line, Ended)
            yield line
        except (ValueError, RecursionError) as error:
            raise BadLineError(f"line {number}: {error}") from error


def _check_place(line: Line, *, timed: bool, ended: bool) -> None:
    if ended:
        raise ValueError("end: nothing may come after it")
    if isinstance(line, Started) and timed:
        raise ValueError("start: it must come before the first state")


def _decode(text: bytes) -> _Raw:
    try:
        return _decoder.decode(text)
    except msgspec.ValidationError:
        raise
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from error


def _line(raw: _Raw) -> Line:
    if raw.entity is not None:
        device, entity = _names(raw.entity)
        _without(raw, "down", "up", "start", "end")
        if raw.value is msgspec.UNSET:
            return _declared(raw, device, entity)
        _without(raw, *_DECLARED)
        ts = _time("ts", raw.ts)
        reset = None if raw.last_reset is None else _time("last_reset", raw.last_reset)
        return Measured(device, entity, ts, _value(raw.value), reset, late=bool(raw.late))
    _without(raw, "ts", "late", "value", "last_reset", *_DECLARED)
    if raw.down is not None or raw.up is not None:
        _without(raw, "start", "end")
        stopped = Stopped(_time("down", raw.down), _time("up", raw.up))
        if stopped.up < stopped.down:
            raise ValueError("up: it is before down")
        return stopped
    if raw.start is not None:
        _without(raw, "end")
        return Started(_time("start", raw.start))
    if raw.end is not None:
        return Ended(_time("end", raw.end))
    raise ValueError(f"entity: it is missing; a line is {_KINDS}")


def _declared(raw: _Raw, device: str, entity: str) -> Declared:
    _without(raw, "last_reset", "late")
    named = {"state_class": raw.state_class, "unit": raw.unit, "device_class": raw.device_class}
    words = {word: text or None for word, text in named.items() if not isinstance(text, msgspec.UnsetType)}
    if not words and raw.expire_after is msgspec.UNSET and raw.daily is None:
        raise ValueError("value: it is missing; unknown is null")
    state_class = words.get("state_class")
    if state_class not in (None, *STATE_CLASSES):
        raise ValueError(f"state_class: {state_class!r}; allowed are {', '.join(STATE_CLASSES)} and null")
    ts = None if raw.ts is None else _time("ts", raw.ts)
    return Declared(device, entity, words, ts, _seconds(raw.expire_after), raw.daily)


def _seconds(value: float | msgspec.UnsetType | None) -> float | msgspec.UnsetType | None:
    if isinstance(value, float) and not 0 < value <= about.LONGEST_S:
        raise ValueError(f"expire_after: {value}; allowed are seconds above 0, at most {about.LONGEST_S}")
    return value


def _names(text: str) -> tuple[str, str]:
    found = _ENTITY.match(text)
    if found is None:
        raise ValueError(f"entity: {text!r} is not device.entity, each of a-z, 0-9 and _")
    return found[1], found[2]


def _value(value: float | str | msgspec.UnsetType | None) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("value: the number is too large")
    return None if isinstance(value, msgspec.UnsetType) else value


def _time(field: str, text: str | None) -> int:
    if text is None:
        raise ValueError(f"{field}: it is missing")
    try:
        ms = from_iso(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{field}: {error}") from error
    if ms < 0:
        raise ValueError(f"{field}: {text} is before 1970")
    return ms


def _without(raw: _Raw, *fields: str) -> None:
    for field in fields:
        if getattr(raw, field) not in (None, msgspec.UNSET):
            raise ValueError(f"{field}: it has no place in this kind of line; a line is {_KINDS}")
