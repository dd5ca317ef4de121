"""Payloads of the contract, typed: readings, aggregates, command answers; JSON in and out."""

import math
import os
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from bus.topics import ID

Value = float | str | None
Values = dict[str, Value]
ClockQuality = Literal["ok", "estimated", "unset"]

ON = "ON"
OFF = "OFF"
ONLINE = b"online"
OFFLINE = b"offline"
# Above it a float, which is what JSON readers make of a number, tells no seq from the next.
MOST_SEQS = 2**53
# Whoever imports history: it speaks for any device, and each import has a stream of its own.
IMPORT = "import"
# The years 1 to 9999 in UTC: others cannot be written, ms.
EARLIEST_MS, LATEST_MS = -62_135_596_800_000, 253_402_300_799_999
# Characters of a text that is a value; Home Assistant takes 255.
LONGEST_TEXT = 1024
# Keys of a reading that are not entities.
RESERVED = frozenset({"ts", "clock", "stream", "seq", "after", "late", "last_reset", "device"})
_WHOLE = "allowed is a whole number from 0 to 2^53 - 1"
_NOT_LATE = False
_CLOCKS = ("ok", "estimated", "unset")
_RESET = '; allowed is such as {"energy": "2026-11-21T00:00:00Z"}; without it no new cycle is counted'


class BadMessageError(ValueError):
    """A payload that the contract does not allow; the text names the field and what is allowed."""


# A struct, because one is made for every message: a dataclass takes six times as long.
class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Several states of one device at one time.

    `ts` is when it was measured (ms since 1970 UTC; None: the arrival counts). `after` says that no seq of
    the stream up to it will come again. `late` marks history that the device remembered. `last_reset` holds
    ms by entity. `flaws` tells which fields were left out because they could not be read.
    """

    ts: int | None
    values: Values
    clock: ClockQuality = "ok"
    stream: str | None = None
    seq: int | None = None
    after: int | None = None
    late: bool = False
    last_reset: dict[str, int] = {}
    flaws: tuple[str, ...] = ()


def to_iso(ms: int) -> str:
    """UTC time of `ms` since 1970, RFC 3339 with milliseconds and Z. Raises ValueError out of year range."""
    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"time {ms} ms is out of range") from error
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def from_iso(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 time with a zone. Raises ValueError."""
    # Our own form, as in 06:40:10.512Z: all but the last three fields is the same for a minute.
    if len(text) == 24 and text[16] == ":" and text[19] == "." and text[23] == "Z":
        digits = text[17:19] + text[20:23]
        if digits.isascii() and digits.isdecimal() and digits < "60":
            return _minute(text[:17]) + int(digits)
    return _from_any_iso(text)


@lru_cache(maxsize=64)
def _minute(head: str) -> int:
    return _from_any_iso(head + "00Z")


def _from_any_iso(text: str, zone: tzinfo | None = None) -> int:
    """As from_iso; a time without a zone is one of `zone`, if there is one."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None and zone is not None:
        moment = moment.replace(tzinfo=zone)
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r} has no zone; allowed is RFC 3339 such as 2026-11-21T06:40:10.512Z")
    # Rounded down so that a time just before a boundary stays before it.
    whole = moment.replace(microsecond=0)
    ms = int(whole.timestamp()) * 1000 + moment.microsecond // 1000
    if not EARLIEST_MS <= ms <= LATEST_MS:
        raise ValueError(f"time {text!r} is none of the years 1 to 9999 in UTC")
    return ms


_Field = float | str | bool | dict[str, str] | None

_encoder = msgspec.json.Encoder()
# Without bool: a stranger's true and false take the other way.
_fast = msgspec.json.Decoder(dict[str, float | str | dict[str, str] | None])


def encode_reading(reading: Reading) -> bytes:
    """Encode a reading for `camper/state/<device>`. Raises BadMessageError on NaN or Infinity."""
    out: dict[str, _Field] = {}
    if reading.ts is not None:
        out["ts"] = to_iso(reading.ts)
        out["clock"] = reading.clock
    if reading.stream is not None:
        out["stream"] = reading.stream
        out["seq"] = reading.seq
    if reading.after is not None:
        out["after"] = reading.after
    if reading.late:
        out["late"] = True
    for entity, value in reading.values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise BadMessageError(f"{entity}: {value} is no number; unknown is null")
        out[entity] = value
    if reading.last_reset:
        out["last_reset"] = {entity: to_iso(ms) for entity, ms in reading.last_reset.items()}
    return _encoder.encode(out)


def of_device(device: str, payload: bytes) -> bytes:
    """Add the device to a numbered reading, for a backlog topic, which does not name its device."""
    return b'%s,"device":"%s"}' % (payload[:-1], device.encode())


def decode_reading(payload: bytes) -> Reading:
    """Read a reading from JSON. Raises BadMessageError naming the field and what is allowed."""
    try:
        body: dict[str, _Field] = _fast.decode(payload)
    except ValueError:
        body = _decode_leniently(payload)
    take = body.pop
    clock = take("clock", "ok")
    if clock not in _CLOCKS:
        raise BadMessageError(f"clock {clock!r}: allowed are {', '.join(_CLOCKS)}")
    ts, stream, seq = take("ts", None), take("stream", None), take("seq", None)
    after, late, resets = take("after", None), take("late", _NOT_LATE), take("last_reset", None)
    flaws: list[str] = []
    return Reading(
        ts=_time(ts, "ts"),
        clock=clock,  # type: ignore[arg-type]  # narrowed by the check above, which mypy cannot follow
        stream=_text(stream, "stream"),
        seq=whole_number(seq, "seq"),
        after=whole_number(after, "after"),
        late=_flag(late, "late"),
        last_reset=_resets(resets, flaws) if resets is not None else {},
        # What is left are the values.
        values=_values(body),
        flaws=tuple(flaws),
    )


# Keys that were found good: entities are few and come again with every reading.
_good_keys: set[str] = set()
_MOST_GOOD_KEYS = 4096


def _values(body: dict[str, _Field]) -> Values:
    if not _good_keys.issuperset(body):
        _check_keys(body)
    for key, value in body.items():
        if value.__class__ is dict:
            raise BadMessageError(f"{key}: allowed are a number, a text, ON, OFF or null")
        if value.__class__ is str and len(value) > LONGEST_TEXT:
            raise BadMessageError(f"{key}: allowed are texts of at most {LONGEST_TEXT} characters")
    return body  # type: ignore[return-value]  # the loop above has looked at each


def _check_keys(body: dict[str, _Field]) -> None:
    for key in body:
        if not ID.match(key):
            raise BadMessageError(f"key {key[:80]!r} is not an id: allowed are a-z, 0-9 and _, at most 64")
    if len(_good_keys) < _MOST_GOOD_KEYS:
        _good_keys.update(body)


def _decode_leniently(payload: bytes) -> dict[str, _Field]:
    """Take a stranger's true and false, or name the field that spoils the reading."""
    try:
        body = msgspec.json.decode(payload)
    except (ValueError, RecursionError) as error:
        raise BadMessageError(f"the payload is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadMessageError("the payload is not a JSON object")
    out: dict[str, _Field] = {}
    for key, value in body.items():
        if key == "last_reset":
            out[key] = _texts(value)
        elif isinstance(value, bool):
            out[key] = value if key == "late" else ON if value else OFF
        elif value is None or isinstance(value, str):
            out[key] = value
        elif isinstance(value, int | float):
            out[key] = _number(key, value)
        else:
            raise BadMessageError(f"{key}: allowed are a number, a text, ON, OFF or null")
    return out


def _number(key: str, value: float) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise BadMessageError(f"{key}: the number is too large") from error


def _time(value: _Field, key: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadMessageError(f"{key}: allowed is a time such as 2026-11-21T06:40:10.512Z")
    try:
        return from_iso(value)
    except (ValueError, OverflowError) as error:
        raise BadMessageError(f"{key}: {error}") from error


def _flag(value: _Field, key: str) -> bool:
    if isinstance(value, bool):
        return value
    raise BadMessageError(f"{key}: allowed are true and false")


def _text(value: _Field, key: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise BadMessageError(f"{key}: allowed is a text")


def whole_number(value: object, key: str) -> int | None:
    """Check a `seq` or `after` as JSON brought it; None stays None. Raises BadMessageError."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BadMessageError(f"{key}: {_WHOLE}")
    if not 0 <= value < MOST_SEQS or value != int(value):
        raise BadMessageError(f"{key}: {_WHOLE}")
    return int(value)


def _texts(value: object) -> _Field:
    """Bring a `last_reset` of any type into the form that the fast way has."""
    if not isinstance(value, dict):
        return None if value is None else str(value)
    return {entity: str(moment) for entity, moment in value.items() if moment is not None}


def _resets(value: _Field, flaws: list[str]) -> dict[str, int]:
    """Read times by entity; one that cannot be read is left out, told in `flaws`, and spoils nothing else."""
    if not isinstance(value, dict):
        if value is not None:
            flaws.append(f"last_reset: {str(value)[:80]!r} is no object of times by entity{_RESET}")
        return {}
    found: dict[str, int] = {}
    for entity, moment in value.items():
        try:
            found[entity] = _from_any_iso(moment, machine_zone())
        except (ValueError, OverflowError):
            flaws.append(f"last_reset.{entity[:80]}: {moment[:80]!r} is no time{_RESET}")
    return found


def scalar(value: Value, precision: int | None = None) -> bytes:
    """Write one value plainly: `13.21`, `ON`, `bulk`; unknown is `None`, as Home Assistant reads it."""
    if value is None:
        return b"None"
    if isinstance(value, str):
        return value.encode()
    if precision is not None:
        return f"{value:.{precision}f}".encode()
    return f"{value:.10g}".encode()


class Aggregate(msgspec.Struct, omit_defaults=True, kw_only=True, frozen=True):
    """One entity's row for a period as clients see it; what does not apply is absent."""

    mean: float | None = None
    min: float | None = None
    max: float | None = None
    state: float | None = None
    sum: float | None = None
    sum_increase: float | None = None
    sum_decrease: float | None = None
    last_reset: str | None = None
    coverage: float | None = None


class Statistics(msgspec.Struct, kw_only=True, frozen=True):
    """A device's aggregates of one period; `rev` grows each time they are corrected."""

    start: str
    end: str
    rev: int
    entities: dict[str, Aggregate]


class Result(msgspec.Struct, kw_only=True, frozen=True):
    """The answer to a command; `actual` was read back from the output."""

    id: str | None
    status: Literal["ok", "error"]
    code: str | None
    message: str
    value: Value
    actual: Value
    until: str | None
    ts: str


_results = msgspec.json.Decoder(Result)


def decode_result(payload: bytes) -> Result:
    """Read the answer to a command from JSON. Raises BadMessageError."""
    try:
        return _results.decode(payload)
    except (ValueError, RecursionError) as error:
        raise BadMessageError(str(error).replace("`", "")) from error


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """`camper/alarm/<id>`: its state and since when; the value that was seen, and a sentence for people."""

    state: Literal["ok", "active", "acknowledged"]
    since: str
    value: Value
    text: str


_alarms = msgspec.json.Decoder(Alarm)


def decode_alarm(payload: bytes) -> Alarm:
    """Read how an alarm stands from JSON. Raises BadMessageError naming the field and what is allowed."""
    try:
        alarm = _alarms.decode(payload)
        from_iso(alarm.since)
    except (ValueError, RecursionError) as error:
        raise BadMessageError(f"this is no alarm: {error}") from error
    return alarm


def encode(message: Statistics | Result | Alarm) -> bytes:
    """Encode a message as JSON."""
    return _encoder.encode(message)


LARGEST_LAYOUT = 16 * 1024
"""Bytes of the page's layout; what is larger counts as malformed."""
_CARD = Annotated[str, Meta(max_length=160)]
_CARDS = Annotated[list[_CARD], Meta(max_length=500)]


class PageLayout(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """How the page arranges its cards in all browsers: their order, those that are hidden, other names."""

    order: _CARDS = []
    hidden: _CARDS = []
    names: Annotated[dict[_CARD, _CARD], Meta(max_length=500)] = {}


_layouts = msgspec.json.Decoder(PageLayout)


def decode_layout(payload: bytes) -> PageLayout:
    """Read the page's layout from JSON. Raises BadMessageError naming the field and what is allowed."""
    if len(payload) > LARGEST_LAYOUT:
        raise BadMessageError(f"the layout has {len(payload)} bytes; allowed are {LARGEST_LAYOUT}")
    try:
        return _layouts.decode(payload)
    except (ValueError, RecursionError) as error:
        raise BadMessageError(str(error).replace("`", "")) from error


_LOCALTIME = Path("/etc/localtime")


@lru_cache(maxsize=1)
def machine_zone() -> tzinfo:
    """Return the zone of the variable TZ, else of /etc/localtime, else UTC."""
    name = os.environ.get("TZ", "").removeprefix(":")
    try:
        if name:
            return ZoneInfo(name)
        with _LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (LookupError, ValueError, OSError):
        # A machine without a zone counts in UTC, as its C library does.
        return UTC
