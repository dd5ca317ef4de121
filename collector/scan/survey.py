"""Who is on a Modbus line, and what it is: what a scan does on the line's thread.

All units are asked a short question first, so that those that are not there cost little; those that answered
are then read, and what they may be is tried.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from collector.devices import find_kind
from collector.devices.description import (
    AbsentError,
    BadRecordError,
    DecodeError,
    NoAnswerError,
    PolledKind,
    RefusedError,
    SettingError,
)
from collector.devices.lines import Belated, Hurries, ModbusLine
from config.model import Device

log = logging.getLogger(__name__)

Words = tuple[int, ...] | None
Read = Callable[[int, int, int], Words]
Settings = dict[str, object]


class Guess(Protocol):
    """A kind that a unit may be, the profile if the kind needs one, and what no other device has."""

    @property
    def kind(self) -> str:
        """Name the kind."""

    @property
    def profile(self) -> str | None:
        """Name the profile."""

    @property
    def model(self) -> str | None:
        """Return what it calls itself."""

    @property
    def serial_number(self) -> str | None:
        """Return its serial number."""


Guesses = Callable[[Read], Sequence[Guess]]

GARBLED = "answers, but garbled: is the baud rate another, or do two units have this number?"
_HOLLOW = "answers, but lets nothing be read: is it a gateway that answers for units that are not there?"
# Functions that read registers; there are units that are silent about the one or the other.
READING = (3, 4)
# One that keeps silent about what it does not know would hold up the others on its line.
_PATIENCE = 3
# Seconds for one that is known to be there.
_UNHURRIED_S = 1.5
# What a gateway may still have to do, seconds.
_BACKLOG_S = 30.0
# An answer takes at most so many times as long as the last one did.
_SLACK = 4
# So many units that all answer may be one device that ignores the number.
_CROWD = 4
# Questions that are asked again to compare two units, and guesses that are tried.
_COMPARED, _TRIED = 6, 3


def hurried(line: object, seconds: float | None) -> None:
    """Let a line wait so long for an answer, if it can; None: as always."""
    if isinstance(line, Hurries):
        line.hurry(seconds)


@dataclass(slots=True)
class Pace:
    """Seconds that a unit is waited for: as the line has answered so far, `least` at least."""

    patience: float
    least: float
    most: float

    @classmethod
    def of(cls, *, far: bool) -> "Pace":
        """Begin with what units on a wire need, or those behind a network and a gateway."""
        return cls(0.7, 0.4, 3.0) if far else cls(0.3, 0.25, 1.0)

    def took(self, seconds: float) -> None:
        """Note how long an answer took."""
        self.patience = min(max(self.least, _SLACK * seconds), self.most)

    def hasten(self) -> None:
        """Wait as shortly as can be: nothing is known to be there."""
        self.patience = self.least

    def late(self) -> None:
        """Note that an answer came too late."""
        self.patience = min(2 * self.patience, self.most)


@dataclass(slots=True)
class RollCall:
    """Which units answer a short question at one speed of a line; `monotonic` gives seconds."""

    # Behind a network, and perhaps a gateway.
    far: bool
    monotonic: Callable[[], float]
    pace: Pace = field(init=False)
    there: set[int] = field(default_factory=set)
    # A gateway said so.
    absent: set[int] = field(default_factory=set)
    garbled: set[int] = field(default_factory=set)
    _before: int | None = None

    def __post_init__(self) -> None:
        """Begin at the pace of such lines."""
        self.pace = Pace.of(far=self.far)

    def open(self, unit: int) -> bool:
        """Say whether it is still unknown what a unit is."""
        return unit not in self.there | self.absent | self.garbled

    def ask(self, unit: int, function: int, least: float, line: ModbusLine, _now: float) -> None:
        """Ask a unit for its first register, and wait `least` s at least. Raises LineError."""
        before, self._before = self._before, unit
        try:
            self._try(unit, function, line, max(self.pace.patience, least))
        except BadRecordError:
            # Perhaps the answer of the unit before, too late: both are asked again, with more time.
            self.pace.late()
            if before is not None and self.open(before):
                self._again(before, function, line)
            if self.open(unit):
                self._again(unit, function, line)

    def settle(self, line: ModbusLine, _now: float) -> bool:
        """Wait until a gateway that works on one question after the other has done with those that were put.

        Return whether it had some: then it waits for each silent unit, and the next would be in vain.
        """
        began = self.monotonic()
        hurried(line, _BACKLOG_S)
        try:
            line.registers(min(self.there), READING[0], 0, 1)
        except DecodeError as error:
            log.debug("the unit that was there says: %s", error)
        finally:
            hurried(line, None)
        self._hear_late(line)
        return self.monotonic() - began > _UNHURRIED_S

    def _again(self, unit: int, function: int, line: ModbusLine) -> None:
        try:
            self._try(unit, function, line, _UNHURRIED_S)
        except BadRecordError:
            self.garbled.add(unit)

    def _try(self, unit: int, function: int, line: ModbusLine, patience: float) -> None:
        began = self.monotonic()
        hurried(line, patience)
        try:
            line.registers(unit, function, 0, 1)
        except AbsentError:
            self.absent.add(unit)
        except NoAnswerError:
            # Most are not there.
            self._hear_late(line)
        except RefusedError:
            # It is there; it only has no such register.
            self._answered(unit, began)
        else:
            self._answered(unit, began)
        finally:
            hurried(line, None)

    def _answered(self, unit: int, began: float) -> None:
        self.there.add(unit)
        self.pace.took(self.monotonic() - began)

    def _hear_late(self, line: ModbusLine) -> None:
        if isinstance(line, Belated) and (late := line.late()):
            self.there |= late
            self.pace.late()


@dataclass(slots=True)
class Examined:
    """One device: what it may be and is read as, why else it is not, what it let read, its other numbers."""

    unit: int
    guesses: list[Guess]
    notes: list[str]
    answers: dict[tuple[int, int, int], tuple[int, ...]]
    also: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Examiner:
    """Finds out what the units of a port are."""

    guesses: Guesses
    port: str
    baudrate: int | None

    def examine(self, unit: int, line: ModbusLine, now: float) -> Examined:
        """Guess what a unit is, and try it. Raises LineError."""
        found = Examined(unit, [], [], {})
        hurried(line, _UNHURRIED_S)
        try:
            for guess in list(self.guesses(_reader(unit, line, found.answers)))[:_TRIED]:
                why = self._try(guess, unit, line, now)
                if why is None:
                    found.guesses.append(guess)
                else:
                    found.notes.append(f"no {guess.profile or guess.kind}: {why}")
        finally:
            hurried(line, None)
        if not found.answers:
            found.notes.append(_HOLLOW)
        return found

    def _try(self, guess: Guess, unit: int, line: ModbusLine, now: float) -> str | None:
        """Read a unit once as what it may be; return why it is not."""
        try:
            kind = find_kind(guess.kind)
            if not isinstance(kind, PolledKind):
                return "no such device is on a Modbus line"
            device = Device(
                kind=guess.kind, profile=guess.profile, port=self.port, baudrate=self.baudrate, unit=unit
            )
            poller = kind.make(device)
            said = poller.poll(line, now)
        except (DecodeError, SettingError, ValueError) as error:
            return str(error)
        return None if any(value is not None for value in said.values.values()) else "it gives no value"

    def settings(self, guess: Guess, unit: int) -> Settings:
        """Return the settings of [device.<id>] that read a unit, besides its kind."""
        every = {"profile": guess.profile, "port": self.port, "baudrate": self.baudrate, "unit": unit}
        return {name: value for name, value in every.items() if value is not None}

    def same(self, known: Examined, unit: int, line: ModbusLine, _now: float) -> bool:
        """Say whether a unit gives what a known one gave: words of both, most of them equal."""
        if not known.answers:
            return False
        asked = list(known.answers.items())[:_COMPARED]
        again: dict[tuple[int, int, int], tuple[int, ...]] = {}
        read = _reader(unit, line, again)
        hurried(line, _UNHURRIED_S)
        try:
            for question, _ in asked:
                if read(*question) is None:
                    return False
        finally:
            hurried(line, None)
        pairs = [pair for question, words in asked for pair in zip(words, again[question], strict=True)]
        # What is measured may have changed meanwhile.
        return 2 * sum(one == other for one, other in pairs) >= len(pairs)


def _reader(unit: int, line: ModbusLine, answers: dict[tuple[int, int, int], tuple[int, ...]]) -> Read:
    """Return what reads registers of a unit, notes them, and stops asking one that is mostly silent."""
    silences = 0

    def read(function: int, address: int, count: int) -> Words:
        nonlocal silences
        if silences >= _PATIENCE:
            return None
        try:
            words = line.registers(unit, function, address, count)
        except NoAnswerError:
            silences += 1
            return None
        except (RefusedError, BadRecordError):
            return None
        answers[function, address, count] = words
        return words

    return read


def may_be_one(units: Sequence[int], there: set[int]) -> bool:
    """Say whether all units that were asked answered: so a device answers that ignores the number."""
    return len(there) >= _CROWD and there.issuperset(units)


def serials(found: Examined) -> Iterator[tuple[str, str]]:
    """Yield what no other device has: kind and serial number."""
    for guess in found.guesses:
        if guess.serial_number:
            yield guess.kind, guess.serial_number
