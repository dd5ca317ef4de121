"""The last 30 days as a solar charger keeps them, read by VE.Direct HEX after it was not heard for a while.

Registers 0x1050 (today) to 0x106E, one record each (github.com/victronenergy/gui-v2, velib, ve_regs.h,
VE_REG_HISTORY_DAY00). The charger has no clock: its day begins at sunrise, and it only counts days.
"""

import struct

from collector.devices.description import Days, NoAnswerError, Values
from collector.devices.lines import VeDirectLine
from collector.devices.victron.hex_protocol import Command, of_register

_TODAY, _OLDEST = 0x1050, 30
# Reserved, yield and consumed (10 Wh), highest and lowest voltage, errors, minutes in bulk, absorption and
# float, highest power, highest current, highest panel voltage, number of the day.
_RECORD = struct.Struct("<BIIHHB4BHHHIHHH")
_ABSENT = 0xFFFFFFFF
# As HSDS of the text counts.
NUMBERS = 365
# Who was not asked for so long may have said something that nobody heard, seconds.
_PAUSE_S = 600.0
_MOST_ASKED = 8
_TRIES = 3


def read_day(data: bytes) -> tuple[int, Values] | None:
    """Read a record: its day's number, and its values; None if it is none."""
    if len(data) != _RECORD.size:
        return None
    _, yielded, *_, number = _RECORD.unpack(data)
    if yielded == _ABSENT or number >= NUMBERS:
        return None
    return number, {"yield_today": yielded * 10}


class History:
    """The days of one charger: what was missed is read when the sun shows that a new day has begun."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._heard = float("-inf")
        self._missed = True
        self._next = self._tries = 0
        self._found: dict[int, Values] = {}

    def poll(self, line: VeDirectLine, number: int | None, now: float, *, sun: bool) -> Days | None:
        """Return a new day once, with the days before it if some may have been missed. Raises LineError."""
        self._missed = self._missed or now - self._heard > _PAUSE_S
        self._heard = now
        if number is None or not sun:
            # At night it still calls yesterday today.
            return None
        if number != self._number:
            self._number, self._found, self._tries = number, {}, _TRIES
            self._next = 1 if self._missed else _OLDEST + 1
        elif not self._next:
            return None
        self._read(line, number)
        if self._next <= _OLDEST:
            return None
        self._next, self._missed = 0, False
        return Days(number, NUMBERS, dict(self._found))

    def _read(self, line: VeDirectLine, today: int) -> None:
        for ago in range(self._next, min(self._next + _MOST_ASKED, _OLDEST + 1)):
            try:
                answer = line.ask(of_register(Command.GET, _TODAY + ago))
            except NoAnswerError:
                self._tries -= 1
                self._next = ago if self._tries else _OLDEST + 1
                return
            day = None if answer.flags else read_day(answer.value)
            if day is None or day[0] != (today - ago) % NUMBERS:
                # It has no older ones, or they are not of the days before.
                self._next = _OLDEST + 1
                return
            self._found[ago] = day[1]
            self._next = ago + 1
