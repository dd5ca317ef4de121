"""The change feed as an output reads it: what is asked of the statistician, and what its answers mean.

Pure; times are ms.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

from bus.messages import Value, from_iso, to_iso
from config.model import Output
from forwarder.records import Period, Reading, Record, Removed, StatisticsRow

VERB = "changes"
# The most names that the statistician matches at once, and the most changes of an answer.
_MOST_NAMES = 100
MOST = 1000
Params = dict[str, object]
Names = tuple[str, ...]


class BadAnswerError(ValueError):
    """What came is no answer of the change feed; the text says why."""


@dataclass(frozen=True, slots=True)
class Gap:
    """From `start` to `end` nothing of a kind is kept any more; ms."""

    what: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{to_iso(self.start)} to {to_iso(self.end)}"


@dataclass(frozen=True, slots=True)
class Page:
    """What came of an answer, in order; `more`: there is more already. `until`: complete up to here, ms."""

    changes: tuple[Record | Gap, ...]
    after: str
    more: bool
    until: int | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The statistician's refusal; the text says what it wants."""

    code: str
    text: str


class _Error(Struct):
    code: str = ""
    message: str = ""


class _Data(Struct):
    changes: list[dict[str, int | float | str | bool | None]] = []
    after: str | UnsetType = UNSET
    more: bool = False
    until: str | None = None


class _Answer(Struct):
    id: int | None
    status: Literal["ok", "error", "progress"]
    data: msgspec.Raw
    error: _Error | None = None


_answers = msgspec.json.Decoder(_Answer)
_data = msgspec.json.Decoder(_Data)


def names_of(settings: Output) -> tuple[Names, Names]:
    """Return the entities and the devices that an output wants; both empty: all."""
    if settings.columns and not settings.entities and not settings.devices:
        return tuple(sorted(set(settings.columns.values()))), ()
    return settings.entities, settings.devices


def params_of(settings: Output, limit: int) -> Params:
    """Return what an output asks for, but for where it is; what it does not want, `wanted` leaves out."""
    kinds = ["reading" if one in ("readings", "samples") else one for one in settings.records]
    params: Params = {"kinds": kinds, "limit": min(limit, MOST)}
    entities, devices = names_of(settings)
    if len(entities) <= _MOST_NAMES and len(devices) <= _MOST_NAMES:
        params |= {key: names for key, names in (("entities", entities), ("devices", devices)) if names}
    return params


def wanted(page: Page, settings: Output) -> list[Record | Gap]:
    """Return the changes of a page that are wanted: more names than can be asked for are matched here."""
    entities, devices = names_of(settings)
    if len(entities) <= _MOST_NAMES and len(devices) <= _MOST_NAMES:
        return list(page.changes)
    patterns = (*entities, *(f"{device}.*" for device in devices))
    return [
        change
        for change in page.changes
        if isinstance(change, Gap) or any(fnmatchcase(change.entity, one) for one in patterns)
    ]


def decode(payload: bytes) -> tuple[int | None, Page | Refusal | None]:
    """Read an answer and its id; None: it only tells of progress. Raises BadAnswerError."""
    try:
        answer = _answers.decode(payload)
        if answer.status == "progress":
            return answer.id, None
        if answer.status == "error" or answer.error is not None:
            error = answer.error or _Error()
            return answer.id, Refusal(error.code, error.message)
        data = _data.decode(answer.data)
        if data.after is UNSET:
            raise BadAnswerError("it names no place to go on from")
        changes = tuple(map(_change, data.changes))
        until = None if data.until is None else from_iso(data.until)
        return answer.id, Page(changes, data.after, data.more, until)
    except (msgspec.MsgspecError, ValueError, KeyError, RecursionError) as error:
        raise BadAnswerError(f"the answer of the change feed cannot be read: {error!r}"[:300]) from error


def _change(said: Mapping[str, Value | bool]) -> Record | Gap:
    """Make a record of a change. Raises ValueError, KeyError."""
    if "gap" in said:
        return Gap(_text(said, "gap"), _time(said, "start"), _time(said, "end"))
    entity = _text(said, "entity")
    if "removed" in said:
        return Removed(entity, _text(said, "removed"), _time(said, "start"), _time(said, "end"))
    unit = _text(said, "unit") if said.get("unit") is not None else None
    if "period" not in said:
        reset = _time(said, "last_reset") if said.get("last_reset") is not None else None
        return Reading(entity, _time(said, "ts"), cast("Value", said["value"]), unit, reset)
    period, start = _text(said, "period"), _time(said, "start")
    if period not in ("5minute", "hour"):
        raise ValueError(f"no period {period!r}")
    others = {
        key: cast("Value", value)
        for key, value in said.items()
        if key not in ("entity", "period", "start", "unit", "rev")
    }
    rev = said.get("rev") or 0
    return StatisticsRow(entity, cast("Period", period), start, others, int(cast("float", rev)), unit)


def _text(said: Mapping[str, Value | bool], key: str) -> str:
    found = said[key]
    if not isinstance(found, str):
        raise ValueError(f"{key}: {found!r} is no text")  # noqa: TRY004 — as all that is wrong with an answer
    return found


def _time(said: Mapping[str, Value | bool], key: str) -> int:
    return from_iso(_text(said, key))
