"""Commands as clients write them: a word, a number, or JSON with value, for, id, not_after and from."""

import math
import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from bus.about import Entity
from bus.messages import OFF, ON, from_iso

LARGEST = 1024
# Characters of an `id` and of a `from`.
LONGEST_ID = 64
_KEYS = ("value", "for", "id", "not_after", "from")
# What others call the value: Zigbee2MQTT and Home Assistant's JSON, a message of Node-RED as a whole.
_VALUES = ("value", "state", "payload")
# Other keys are left alone, but not those that ask for a time: an output would stay on for ever.
_TIMES = frozenset(
    {"fro", "duration", "seconds", "minutes", "timer", "timeout", "delay", "on_time", "off_time", "ttl"}
    | {"notafter", "not_before", "expires", "expire_after", "until"}
)
# A client in C sends the NUL at the end of a text, an editor of Windows the mark at its beginning.
_AROUND = string.whitespace + "\0\ufeff\xa0"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_SLACK = 1e-6
_WORDS = {"on": "ON", "1": "ON", "true": "ON", "off": "OFF", "0": "OFF", "false": "OFF", "toggle": "TOGGLE"}
_LONGEST_FOR_S = 31_536_000.0


class Code(StrEnum):
    """Why a command was not obeyed, or a request not answered: the closed list of the contract."""

    INVALID = "invalid"
    RETAINED = "retained"
    EXPIRED = "expired"
    NOT_FOUND = "not_found"
    OFFLINE = "offline"
    DENIED = "denied"
    INTERLOCK = "interlock"
    LIMIT = "limit"
    HARDWARE = "hardware"
    BUSY = "busy"
    INTERNAL = "internal"


class Refused(Exception):  # noqa: N818 — an answer, not a failure of ours
    """A command is not obeyed, or a request not answered: `code`, the text and the `id`, if given, go back.

    The text names the field and what is allowed.
    """

    def __init__(self, code: Code, text: str, *, id_: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.id = id_


class Switch(StrEnum):
    """What a command may ask of an output."""

    ON = ON
    OFF = OFF
    TOGGLE = "TOGGLE"


# What an entity is asked for: a position, a number or one of its options.
Wanted = Switch | float | str


@dataclass(frozen=True, slots=True)
class Command:
    """A parsed command; `for_s` in seconds, `not_after` in ms since 1970 UTC, `sender` as it calls itself."""

    value: str | float
    for_s: float | None = None
    id: str | None = None
    not_after: int | None = None
    sender: str | None = None


def parse(payload: bytes) -> Command:
    """Read a command from its payload. Raises Refused(invalid) naming the field and what is allowed."""
    if len(payload) > LARGEST:
        raise Refused(Code.INVALID, f"the command has {len(payload)} bytes; allowed are {LARGEST}")
    try:
        text = payload.decode().strip(_AROUND)
    except UnicodeDecodeError as error:
        raise Refused(Code.INVALID, "the command is not UTF-8") from error
    if not text.startswith('"'):
        return _from_text(text)
    quoted = _decode(text)
    # One that was made JSON twice.
    return _from_text(quoted.strip(_AROUND) if isinstance(quoted, str) else text)


def _from_text(text: str) -> Command:
    return _from_json(text) if text.startswith("{") else Command(text)


def _decode(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise Refused(Code.INVALID, f"the command is not JSON: {error}") from error


def _from_json(text: str) -> Command:
    decoded = _decode(text)
    if not isinstance(decoded, dict):
        raise Refused(Code.INVALID, "the command is not a JSON object")
    body = {key.strip().casefold(): value for key, value in decoded.items()}
    command_id = _id(body.get("id"))
    try:
        return _fields(body, command_id)
    except Refused as refusal:
        # Whoever named the command wants to know which one was refused.
        raise Refused(refusal.code, str(refusal), id_=command_id) from refusal


def _fields(body: dict[str, object], command_id: str | None) -> Command:
    for key in body:
        if key in _TIMES:
            raise Refused(Code.INVALID, f"{key}: there is no such key; allowed are {', '.join(_KEYS)}")
    said = [body[key] for key in _VALUES if key in body]
    value = said[0] if said else None
    if any(other != value for other in said):
        raise Refused(Code.INVALID, f"value: {' and '.join(_VALUES)} differ; allowed is one of them")
    if isinstance(value, bool):
        value = ON if value else OFF
    if not isinstance(value, str | int | float):
        raise Refused(Code.INVALID, "value: allowed are ON, OFF, TOGGLE, a number or an option")
    not_after = _not_after(body.get("not_after"))
    return Command(value, _for(body.get("for")), command_id, not_after, _sender(body.get("from")))


def _sender(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST_ID:
        raise Refused(Code.INVALID, f"from: allowed is a name of at most {LONGEST_ID} characters")
    return value


def _for(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LONGEST_FOR_S:
        raise Refused(Code.INVALID, "for: allowed is a number of seconds above 0")
    return float(value)


def _id(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > LONGEST_ID:
        raise Refused(Code.INVALID, f"id: allowed is a text of at most {LONGEST_ID} characters")
    return str(value)


def _not_after(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refused(Code.INVALID, "not_after: allowed is a time such as 2026-11-21T06:40:10Z")
    try:
        return from_iso(value)
    except (ValueError, OverflowError) as error:
        raise Refused(Code.INVALID, f"not_after: {error}") from error


def wanted(entity: Entity, command: Command) -> Wanted:
    """Find out what a command asks of an entity, which its about describes. Raises Refused(invalid)."""
    found: Wanted
    if entity.boolean or (entity.options is None and entity.range is None):
        found = as_switch(command.value)
    elif entity.options is not None:
        found = _as_option(command.value, entity.options)
    else:
        found = _as_number(command.value, entity)
    if command.for_s is not None and (not isinstance(found, Switch) or found is Switch.OFF):
        raise Refused(Code.INVALID, "for: it goes with ON; an output is never turned on by itself")
    return found


def as_switch(value: str | float) -> Switch:
    """ON, OFF or TOGGLE in any usual spelling. Raises Refused(invalid)."""
    text = _text(value)
    number = _number(text)
    word = _WORDS.get(text.lower() if number is None else f"{number + 0.0:g}")
    if word is None:
        raise _unknown(value, "ON, OFF, TOGGLE, 1, 0, true, false")
    return Switch(word)


def _as_number(value: str | float, entity: Entity) -> float:
    least, most = entity.range or (-math.inf, math.inf)
    number = _number(_text(value))
    steps = 0.0 if number is None or not entity.step else (number - least) / entity.step
    if number is None or not least <= number <= most or abs(steps - round(steps)) > _SLACK:
        in_steps = f" in steps of {entity.step:g}" if entity.step else ""
        raise _unknown(value, f"{least:g} to {most:g}{(entity.unit and f' {entity.unit}') or ''}{in_steps}")
    return number


def _as_option(value: str | float, options: Sequence[str]) -> str:
    said = _text(value)
    alike = [one for one in options if one.casefold() == said.casefold()]
    if said not in options and len(alike) != 1:
        raise _unknown(value, ", ".join(options))
    return said if said in options else alike[0]


def _text(value: str | float) -> str:
    """Read the value as a word; the quotes of a shell that does not know them are left out."""
    text = str(value).strip(_AROUND)
    return text[1:-1].strip(_AROUND) if len(text) > 1 and text[0] == text[-1] in "'\"" else text


def _number(text: str) -> float | None:
    """Read a word as a finite number, None if it is none."""
    if not _NUMBER.match(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _unknown(value: str | float, allowed: str) -> Refused:
    return Refused(Code.INVALID, f"value {str(value)[:40]!r}: allowed are {allowed[:400]}")


def no_output(device: str, entity: str, able: Iterable[str]) -> Refused:
    """Make the refusal for an entity that takes no commands; `able` are those of the device that do."""
    names = ", ".join(able) or "none"
    return Refused(Code.NOT_FOUND, f"{device} has no entity {entity} that takes commands: {names[:400]}")


def check_fresh(command: Command, *, retained: bool, now_ms: int) -> None:
    """Raise Refused for a retained or an expired command."""
    if retained:
        raise Refused(
            Code.RETAINED, "a retained command would switch again at every start: send it without retain"
        )
    if command.not_after is not None and now_ms > command.not_after:
        late = (now_ms - command.not_after) / 1000
        raise Refused(Code.EXPIRED, f"not_after was {late:.1f} s ago")
