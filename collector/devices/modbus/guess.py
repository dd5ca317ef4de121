"""What a Modbus unit seems to be: by the marks of the profiles, SunSpec's marker. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from collector.devices.modbus import words as numbers
from collector.devices.modbus.device import shipped
from collector.devices.modbus.profile import MODEL, Block, Mark, Profile, as_list
from collector.devices.rows import SERIAL_NUMBER

Read = Callable[[int, int, int], tuple[int, ...] | None]
"""Registers of one unit by function, address and count; None: refused, or no answer."""

CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"
_ORDER = (CERTAIN, LIKELY, POSSIBLE)
_SUNSPEC_BASES = (40000, 0, 50000)
_SUNSPEC_MARKER = (0x5375, 0x6E53)
_SUNSPEC_COMMON = 1


@dataclass(frozen=True, slots=True)
class Guess:
    """A kind for boondock.toml, the profile if it needs one, how sure that is, what the unit calls itself."""

    kind: str
    profile: str | None
    confidence: str
    model: str | None = None
    serial_number: str | None = None


def guesses(read: Read) -> list[Guess]:
    """What the unit may be, the surest first; empty: it answers, but like nothing we know."""
    asked: dict[tuple[int, int, int], tuple[int, ...] | None] = {}

    def once(function: int, address: int, count: int) -> tuple[int, ...] | None:
        key = (function, address, count)
        if key not in asked:
            asked[key] = read(function, address, count)
        return asked[key]

    found = [guess for guess in (_by_profile(profile, once) for profile in shipped()) if guess]
    found += [guess for guess in (_sunspec(once),) if guess]
    return sorted(found, key=lambda guess: _ORDER.index(guess.confidence))


def _by_profile(profile: Profile, read: Read) -> Guess | None:
    marks, about = profile.identify.marks, profile.about
    if not marks or not all(_matches(mark, profile, read) for mark in marks):
        return None
    likely = LIKELY if any(as_list(mark.equals) or mark.starts for mark in marks) else POSSIBLE
    said = {block.name: _said(block, read) for block in profile.requests() if block not in profile.blocks}
    return Guess(
        about.kind,
        about.name if about.kind == "modbus" else None,
        CERTAIN if profile.identify.certain else likely,
        said.get(MODEL),
        said.get(SERIAL_NUMBER),
    )


def _matches(mark: Mark, profile: Profile, read: Read) -> bool:
    words = read(mark.function, mark.address, mark.size)
    if words is None:
        return False
    if mark.type == "str":
        return (numbers.text(words) or "").startswith(tuple(mark.starts)) if mark.starts else False
    value = numbers.number(mark.type, words, little=profile.about.word_order == "little")
    equals = as_list(mark.equals)
    if value is None or (equals and value not in equals):
        return False
    return (mark.min is None or value >= mark.min) and (mark.max is None or value <= mark.max)


def _said(block: Block, read: Read) -> str | None:
    words = read(block.function, block.address, block.count)
    if words is None:
        return None
    kind = block.values[0].type
    if kind == "str":
        return numbers.text(words)
    value = numbers.number(kind, words, little=False)
    return None if value in (None, Decimal(0)) else str(value)


def _sunspec(read: Read) -> Guess | None:
    for base in _SUNSPEC_BASES:
        if read(3, base, 2) != _SUNSPEC_MARKER:
            continue
        head = read(3, base + 2, 66)
        if head is None or head[0] != _SUNSPEC_COMMON:
            return Guess("sunspec", None, CERTAIN)
        maker, model = numbers.text(head[2:18]), numbers.text(head[18:34])
        named = " ".join(part for part in (maker, model) if part)
        return Guess("sunspec", None, CERTAIN, named or None, numbers.text(head[50:66]))
    return None
