"""What a Modbus unit seems to be: by the marks of the profiles, SunSpec's marker, EPEVER's texts. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from collector.devices import modbus_words
from collector.devices.modbus import shipped
from collector.devices.modbus_profile import Block, Mark, Profile

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
    found += [guess for guess in (_sunspec(once), _epever(once)) if guess]
    return sorted(found, key=lambda guess: _ORDER.index(guess.confidence))


def _by_profile(profile: Profile, read: Read) -> Guess | None:
    if not profile.marks or not all(_matches(mark, read) for mark in profile.marks):
        return None
    likely = LIKELY if any(mark.equals or mark.starts for mark in profile.marks) else POSSIBLE
    return Guess(
        "modbus",
        profile.name,
        CERTAIN if profile.certain else likely,
        _said(profile.model, read),
        _said(profile.serial, read),
    )


def _matches(mark: Mark, read: Read) -> bool:
    words = read(mark.function, mark.address, mark.size)
    if words is None:
        return False
    if mark.kind == "str":
        return (modbus_words.text(words) or "").startswith(mark.starts) if mark.starts else False
    value = modbus_words.number(mark.kind, words, little=mark.little)
    if value is None or (mark.equals and value not in mark.equals):
        return False
    least, most = mark.least, mark.most
    return (least is None or value >= least) and (most is None or value <= most)


def _said(block: Block | None, read: Read) -> str | None:
    if block is None:
        return None
    words = read(block.function, block.address, block.count)
    if words is None:
        return None
    kind = block.values[0].kind
    if kind == "str":
        return modbus_words.text(words)
    value = modbus_words.number(kind, words, little=False)
    return None if value in (None, Decimal(0)) else str(value)


def _sunspec(read: Read) -> Guess | None:
    for base in _SUNSPEC_BASES:
        if read(3, base, 2) != _SUNSPEC_MARKER:
            continue
        head = read(3, base + 2, 66)
        if head is None or head[0] != _SUNSPEC_COMMON:
            return Guess("sunspec", None, CERTAIN)
        maker, model = modbus_words.text(head[2:18]), modbus_words.text(head[18:34])
        named = " ".join(part for part in (maker, model) if part)
        return Guess("sunspec", None, CERTAIN, named or None, modbus_words.text(head[50:66]))
    return None


def _epever(read: Read) -> Guess | None:
    """EPEVER names its model by function 43 only; its rated values tell too (protocol 2.3, 3000H)."""
    rated = read(4, 0x3000, 9)
    now = read(4, 0x3104, 1)
    if rated is None or now is None:
        return None
    pv_volts, pv_amps, battery_volts, battery_amps = rated[0], rated[1], rated[4], rated[5]
    fits = (
        1000 <= pv_volts <= 60000
        and battery_volts in (1200, 2400, 3600, 4800)
        and 100 <= battery_amps <= 30000
        and pv_amps <= 30000
        and 500 <= now[0] <= 7000
    )
    return Guess("epever_tracer", None, LIKELY) if fits else None
