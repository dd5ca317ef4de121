"""Commands as clients write them: a word, a number, or JSON with value, for, id and not_after."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from bus.messages import OFF, ON, from_iso

LARGEST = 1024
LONGEST_ID = 64
_KEYS = ("value", "for", "id", "not_after")
_WORDS = {"on": "ON", "1": "ON", "true": "ON", "off": "OFF", "0": "OFF", "false": "OFF", "toggle": "TOGGLE"}
_LONGEST_FOR_S = 31_536_000.0


class Code(StrEnum):
    """Why a command was not obeyed: the closed list of the contract."""

    INVALID = "invalid"
    RETAINED = "retained"
    EXPIRED = "expired"
    NOT_FOUND = "not_found"
    DENIED = "denied"
    INTERLOCK = "interlock"
    LIMIT = "limit"
    HARDWARE = "hardware"
    BUSY = "busy"
    INTERNAL = "internal"


class Refused(Exception):  # noqa: N818 — an answer, not a failure of ours
    """The command is not obeyed; `code`, the text and, if it could be read, the command's `id` go back."""

    def __init__(self, code: Code, text: str, *, id_: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.id = id_


class Switch(StrEnum):
    """What a command may ask of an output."""

    ON = ON
    OFF = OFF
    TOGGLE = "TOGGLE"


@dataclass(frozen=True, slots=True)
class Command:
    """A parsed command; `for_s` in seconds, `not_after` in ms since 1970 UTC."""

    value: str | float
    for_s: float | None = None
    id: str | None = None
    not_after: int | None = None


def parse(payload: bytes) -> Command:
    """A command from its payload. Raises Refused(invalid) naming the field and what is allowed."""
    if len(payload) > LARGEST:
        raise Refused(Code.INVALID, f"the command has {len(payload)} bytes; allowed are {LARGEST}")
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError as error:
        raise Refused(Code.INVALID, "the command is not UTF-8") from error
    return _from_json(text) if text.startswith("{") else Command(text)


def _from_json(text: str) -> Command:
    try:
        body = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise Refused(Code.INVALID, f"the command is not JSON: {error}") from error
    command_id = _id(body.get("id"))
    try:
        return _fields(body, command_id)
    except Refused as refusal:
        # Whoever named the command wants to know which one was refused.
        raise Refused(refusal.code, str(refusal), id_=command_id) from refusal


def _fields(body: dict[str, object], command_id: str | None) -> Command:
    for key in body:
        if key not in _KEYS:
            raise Refused(Code.INVALID, f"{key}: there is no such key; allowed are {', '.join(_KEYS)}")
    value = body.get("value")
    if isinstance(value, bool):
        value = ON if value else OFF
    if not isinstance(value, str | int | float):
        raise Refused(Code.INVALID, "value: allowed are ON, OFF, TOGGLE or a number")
    return Command(value, _for(body.get("for")), command_id, _not_after(body.get("not_after")))


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


def as_switch(value: str | float) -> Switch:
    """ON, OFF or TOGGLE in any usual spelling. Raises Refused(invalid)."""
    if isinstance(value, float) and value in (0.0, 1.0):
        value = int(value)
    word = _WORDS.get(str(value).strip().lower())
    if word is None:
        shown = str(value)[:40]
        raise Refused(Code.INVALID, f"value {shown!r}: allowed are ON, OFF, TOGGLE, 1, 0, true, false")
    return Switch(word)


def check_fresh(command: Command, *, retained: bool, now_ms: int) -> None:
    """Raise Refused for a retained or an expired command."""
    if retained:
        raise Refused(
            Code.RETAINED, "a retained command would switch again at every start: send it without retain"
        )
    if command.not_after is not None and now_ms > command.not_after:
        late = (now_ms - command.not_after) / 1000
        raise Refused(Code.EXPIRED, f"not_after was {late:.1f} s ago")
