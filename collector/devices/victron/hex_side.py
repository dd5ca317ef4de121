"""What one device on a VE.Direct cable says by HEX: registers asked in turn, and settings written."""

from collections.abc import Iterator, Mapping

from bus.commands import Wanted
from collector.devices.description import NoAnswerError, NotObeyedError, RefusedError, Rows, Values
from collector.devices.lines import VeDirectLine
from collector.devices.victron.hex_protocol import FLAGS, Command, HexFrame, of_register
from collector.devices.victron.products import Family
from collector.devices.victron.registers import (
    AS_TEXT,
    HIBERNATE,
    LIMITS,
    LIVE_S,
    RANGES,
    REGISTERS,
    REPEATS,
    SERIAL,
    SETTING_S,
)

# A question takes some hundredths of a second: a poll must not take long.
_MOST_ASKED = 8
# So many questions without an answer: it has no HEX, or the cable only one direction.
_PATIENCE = 3
_QUIET_S = 600.0
# A value that was due and not heard for so many times its interval is unknown.
_INTERVALS_KEPT = 3
_RELEASE, _CANDIDATE = 0x4, 0xC


class HexSide:
    """One device; `strange` are registers that no table has; `answers`: it did so the last time."""

    def __init__(self) -> None:
        self._said: dict[int, tuple[bytes, float]] = {}
        self._due: dict[int, float] = {}
        self._absent: set[int] = set()
        self._misses = 0
        self._quiet_until = float("-inf")
        self.answers = False
        self.strange: set[int] = set()
        # What its rows were made of, and the rows.
        self._narrowed: tuple[object, Rows] = (None, {})

    def hear(self, told: Mapping[int, bytes], family: Family, now: float) -> None:
        """Take what it said unasked."""
        known = REGISTERS[family].keys() | AS_TEXT[family].keys() | LIMITS[family]
        for register, data in told.items():
            if register in known:
                self._note(register, data, family, now)
        self.strange = told.keys() - known - REPEATS

    def _note(self, register: int, data: bytes, family: Family, now: float) -> None:
        self._said[register] = (data, now)
        self._due[register] = now + _interval(register, family)

    def ask(self, line: VeDirectLine, family: Family, now: float, *, alone: bool) -> None:
        """Ask for what is due; of a device without text (`alone`) also for what that would say.

        Raises NoAnswerError if an `alone` device does not answer, LineError.
        """
        if now < self._quiet_until and not alone:
            return
        due = [one for one in _wanted(family, alone=alone) if now >= self._due.get(one, now)]
        for register in [one for one in due if one not in self._absent][:_MOST_ASKED]:
            try:
                answer = line.ask(of_register(Command.GET, register))
            except NoAnswerError:
                self._miss(now)
                if alone:
                    raise
                return
            self._misses, self.answers = 0, True
            if answer.command == Command.UNKNOWN or answer.flags:
                self._absent.add(register)
            else:
                self._note(register, answer.value, family, now)

    def _miss(self, now: float) -> None:
        self._misses, self.answers = self._misses + 1, False
        if self._misses >= _PATIENCE:
            self._misses, self._quiet_until = 0, now + _QUIET_S

    def values(self, family: Family, now: float) -> tuple[Values, tuple[str, ...]]:
        """Return what its registers say, and the entities whose code stands in no table."""
        values: Values = {}
        unknown = []
        for number, register in REGISTERS[family].items():
            if number not in self._said:
                continue
            data, at = self._said[number]
            fresh = now - at <= register.every * _INTERVALS_KEPT
            values[register.entity] = register.read(data) if fresh else None
            if fresh and register.strange(data):
                unknown.append(register.entity)
        return values, tuple(unknown)

    def texts(self, family: Family, now: float) -> dict[str, str]:
        """Return what its registers say as the text of a device that has none."""
        found = {}
        for number, label in AS_TEXT[family].items():
            if number in self._said:
                data, at = self._said[number]
                found[label.label] = label.read(data if now - at <= LIVE_S * _INTERVALS_KEPT else b"")
        return found

    def rows(self, family: Family, rows: Rows) -> Rows:
        """Return the rows with the ranges of its settings as far as it told them."""
        known = {number: self._said[number][0] for number in RANGES[family] if number in self._said}
        if (family, rows, known) != self._narrowed[0]:
            table = REGISTERS[family].values()
            told = {one.entity: one.narrowed(rows[one.entity], known) for one in table}
            self._narrowed = ((family, rows, known), {**rows, **told} if known else rows)
        return self._narrowed[1]

    def switch(self, line: VeDirectLine, family: Family, entity: str, wanted: Wanted) -> Values:
        """Write a setting unless it is so already, and return what was read back.

        Raises RefusedError with what the device objects to, NotObeyedError, NoAnswerError, LineError.
        """
        found = [(number, one) for number, one in REGISTERS[family].items() if one.entity == entity]
        if not found:
            raise RefusedError(f"{entity}: the device was not heard yet, or has no such setting")
        if wanted == HIBERNATE:
            raise RefusedError("only the button of the device ends hibernation: off is better, or eco")
        number, register = found[0]
        name = register.row.entity.name
        before = _checked(line.ask(of_register(Command.GET, number)), name)
        target = register.target(wanted, register.read(before))
        data = register.write(target, len(before))
        if data != before:
            _checked(line.ask(of_register(Command.SET, number, data)), f"{name} {target}")
        after = _checked(line.ask(of_register(Command.GET, number)), name)
        # What depends on it is read again soon.
        self._due.clear()
        is_now = register.read(after)
        if after != data and is_now != target:
            text = f"{name} stays {is_now}: the device has not taken {target}"
            raise NotObeyedError(text, {entity: is_now})
        return {entity: is_now}


def _interval(register: int, family: Family) -> float:
    if register in REGISTERS[family]:
        return REGISTERS[family][register].every
    return SETTING_S if register in LIMITS[family] else LIVE_S


def _wanted(family: Family, *, alone: bool) -> Iterator[int]:
    """Name the registers to ask for, those that change first."""
    if alone:
        yield from AS_TEXT[family]
    table = REGISTERS[family]
    told = AS_TEXT[family].keys() if alone else set()
    yield from sorted(table.keys() - told, key=lambda number: table[number].every)
    yield from LIMITS[family]


def _checked(answer: HexFrame, what: str) -> bytes:
    """Return a register's bytes. Raises RefusedError in words."""
    if answer.command == Command.UNKNOWN:
        raise RefusedError(f"{what}: the device knows no such command")
    if answer.flags:
        told = [text for bit, text in FLAGS.items() if answer.flags & bit]
        raise RefusedError(f"{what}: {' and '.join(told) or f'the device refuses it ({answer.flags:#04x})'}")
    if not answer.value:
        raise RefusedError(f"{what}: the device answered without a value")
    return answer.value


def greet(line: VeDirectLine) -> dict[str, str]:
    """Return what a device says of itself, as its text would: product, firmware, serial number.

    Raises NoAnswerError if nobody answers by HEX, LineError.
    """
    found = _firmware(line.ask(HexFrame(Command.PING)).data)
    product = line.ask(HexFrame(Command.PRODUCT_ID)).data
    if len(product) > 1:
        found["PID"] = f"0x{int.from_bytes(product[:2], 'little'):04X}"
    serial = line.ask(of_register(Command.GET, SERIAL))
    text = serial.value.rstrip(b"\0").decode("ascii", "replace")
    if not serial.flags and text.isprintable() and text.isascii() and text:
        found["SER#"] = text
    return found


def _firmware(version: bytes) -> dict[str, str]:
    """Write a version as the text does: two bytes are FW, three FWE (velib, VE_REG_APP_VER)."""
    raw = int.from_bytes(version, "little")
    if len(version) == 2:
        kind = raw >> 12
        letter = "C" if kind == _CANDIDATE else ""
        return {"FW": f"{letter}{raw & 0xFFF:03X}"} if kind in (_RELEASE, _CANDIDATE) else {}
    return {"FWE": f"{raw:06X}"} if len(version) == 3 else {}
