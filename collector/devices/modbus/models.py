"""Which profile a Modbus device needs: guesses at an unknown unit, and the check of a known one."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from collector import profiles
from collector.devices.description import NoAnswerError, RefusedError, SettingError, WrongKindError
from collector.devices.lines import ModbusLine
from collector.devices.modbus import SUNSPEC_BASES, SUNSPEC_MARKER, number, text
from collector.devices.modbus.build import build
from collector.devices.modbus.profile import MODEL, Block, Mark, Profile, ProfileError, as_list
from collector.devices.rows import SERIAL_NUMBER


def load(name: str) -> Profile:
    """Load a shipped profile by name, or the owner's own by path. Raises SettingError."""
    allowed = f"{', '.join(profiles.shipped())}, or the path of a file of your own"
    try:
        return build(profiles.read(name)) if profiles.is_path(name) else _shipped(name)
    except profiles.ProfileFileError as error:
        raise SettingError("profile", str(error), allowed) from error
    except ProfileError as error:
        raise SettingError("profile", f"{name}: {error.where}: {error.wrong}", error.allowed) from error


@cache
def _shipped(name: str) -> Profile:
    return build(profiles.read(name))


@cache
def shipped() -> tuple[Profile, ...]:
    """Every shipped profile: title, source, whether it was seen on hardware, notes and rows."""
    return tuple(load(name) for name in profiles.shipped())


Read = Callable[[int, int, int], tuple[int, ...] | None]
"""Registers of one unit by function, address and count; None: refused, or no answer."""

CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"
_ORDER = (CERTAIN, LIKELY, POSSIBLE)
_SUNSPEC_COMMON = 1


@dataclass(frozen=True, slots=True)
class Guess:
    """A kind for boondock.toml, the profile if it needs one, how sure that is, what the unit calls itself."""

    kind: str
    profile: str | None
    confidence: str
    model: str | None = None
    serial_number: str | None = None


# Units that makers give their devices, by a word in what the device or its profile is called; others have 1.
_UNITS = {
    "kostal": 71,
    "goodwe": 247,
    "sunspec sma": 126,
    "modbus sma": 3,
    "fronius": 1,
    "huawei": 1,
    "solaredge": 1,
}


def usual_unit(kind: str, profile: str | None, model: str | None) -> int:
    """Return the unit that the maker of a device gives it."""
    words = " ".join(filter(None, (kind, profile, model))).lower()
    return next((unit for word, unit in _UNITS.items() if word in words), 1)


def guesses(read: Read) -> list[Guess]:
    """Guess what the unit may be, the surest first; empty: it answers, but like nothing we know."""
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
    # Who does not say it is none of the others for all we know.
    return not mark.compares if words is None else _fits(mark, words, profile)


def _fits(mark: Mark, words: tuple[int, ...], profile: Profile) -> bool:
    """Say whether registers are what a mark of a profile wants."""
    if mark.type == "str":
        return (text(words) or "").startswith(tuple(mark.starts)) if mark.starts else False
    value = number(mark.type, words, little=profile.about.word_order == "little")
    equals = as_list(mark.equals)
    if not mark.compares:
        return str(value) not in mark.others
    if value is None or (equals and value not in equals):
        return False
    return (mark.min is None or value >= mark.min) and (mark.max is None or value <= mark.max)


def _said(block: Block, read: Read) -> str | None:
    words = read(block.function, block.address, block.count)
    if words is None:
        return None
    kind = block.values[0].type
    if kind == "str":
        return text(words)
    value = number(kind, words, little=False)
    return None if value in (None, Decimal(0)) else str(value)


def _sunspec(read: Read) -> Guess | None:
    for base in SUNSPEC_BASES:
        if read(3, base, 2) != SUNSPEC_MARKER:
            continue
        head = read(3, base + 2, 66)
        if head is None or head[0] != _SUNSPEC_COMMON:
            return Guess("sunspec", None, CERTAIN)
        maker, model = text(head[2:18]), text(head[18:34])
        named = " ".join(part for part in (maker, model) if part)
        return Guess("sunspec", None, CERTAIN, named or None, text(head[50:66]))
    return None


# So often the marks of a model are read again: what is behind an address may be changed, seconds.
_AGAIN_S = 3600.0
_BLANK = ({0}, {0xFFFF})


@dataclass(slots=True)
class ModelCheck:
    """Says whether a device is a model that its profile is for, by the sure marks; `due` is when it looks."""

    profile: Profile
    unit: int
    due: float = float("-inf")
    # Whether it was the right one once, and what a wrong one seems to be.
    _proven: bool = False
    _guess: str | None = None

    def look(self, line: ModbusLine, now: float) -> None:
        """Read the sure marks if it is time. Raises WrongKindError for another model, and LineError."""
        if now >= self.due:
            self.insist(line)
            self.due, self._guess = now + _AGAIN_S, None

    def insist(self, line: ModbusLine) -> None:
        """Read the sure marks, whenever it was done last. Raises as `look` does."""
        proven = self._proven
        for mark in self.profile.identify.marks:
            words = None if not mark.sure else _or_none(line, self.unit, mark)
            if words is None:
                # Nothing is proved by a mark that a model does not have.
                continue
            fits = _fits(mark, words, self.profile)
            if not fits and not (self._proven and set(words) in _BLANK):
                raise WrongKindError(self._what_it_is(line, mark, words))
            proven = proven or fits
        self._proven = proven

    def _what_it_is(self, line: ModbusLine, mark: Mark, words: tuple[int, ...]) -> str:
        said = text(words) if mark.type == "str" else number(mark.type, words, little=False)
        other = mark.others.get(str(said))
        if self._guess is None:
            # Asked once: an answer to none of the questions costs many timeouts.
            self._guess = _seems(line, self.unit)
        named = f", {other}" if other else ""
        return (
            f"unit {self.unit} is no model for profile {self.profile.name}: register {mark.address} says"
            f" {said or 'nothing'}{named}; next: {self._guess}"
        )


def _or_none(line: ModbusLine, unit: int, mark: Mark) -> tuple[int, ...] | None:
    try:
        return line.registers(unit, mark.function, mark.address, mark.size)
    except (RefusedError, NoAnswerError):
        return None


def _seems(line: ModbusLine, unit: int) -> str:
    """Say which profile fits a unit, or what to look for."""

    def read(function: int, address: int, count: int) -> tuple[int, ...] | None:
        try:
            return line.registers(unit, function, address, count)
        except RefusedError:
            return None

    try:
        found = next(iter(guesses(read)), None)
    except NoAnswerError:
        found = None
    if found is None or found.confidence == POSSIBLE:
        return "look for its profile in docs/devices.md"
    return f'kind = "{found.kind}"' + (f', profile = "{found.profile}"' if found.profile else "")
