"""Modbus RTU on a serial port or through a tunnel to one; the only file with minimalmodbus."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import minimalmodbus  # type: ignore[import-untyped]  # it ships no types

from collector.devices.description import BadRecordError, DecodeError, LineError, NoAnswerError, RefusedError
from collector.transports.modbus_tcp import REFUSALS
from collector.transports.serial_port import (
    close_port,
    forget_received,
    forget_unsent,
    guarded,
    open_port,
    set_timeout,
)

log = logging.getLogger(__name__)

# Unit, function with its highest bit set, code, check: Modbus Application Protocol V1.1b3, 7.
_REFUSAL_BYTES = 5
_REFUSED = 0x80
# Modbus over Serial Line V1.02, 2.5.1: a byte is 11 bits; as long again for the pauses of an adapter.
_BITS = 2 * 11


class RtuPort:
    """A port that minimalmodbus takes for pyserial's.

    A unit has `timeout` s to begin, and its answer the time that its bytes need at `baudrate`, whatever comes
    instead: the last read begins before that and lasts `timeout` s at most.
    """

    def __init__(
        self, port: str, baudrate: int, timeout: float, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        # What minimalmodbus looks at, by pyserial's names.
        self.port = port
        self.baudrate = baudrate
        self.timeout = timeout
        self.is_open = True
        self._monotonic = monotonic
        self._opened = open_port(port, baudrate, timeout=timeout)
        self._asked = self._deadline = monotonic()
        self._request = b""
        self._head = b""
        self._echoes = False

    def open(self) -> None:
        """Do nothing: it is open from the start."""

    def close(self) -> None:
        """Close the port."""
        self.is_open = False
        close_port(self._opened)

    def wait(self, timeout: float) -> None:
        """Give units `timeout` s from now on."""
        self.timeout = timeout
        set_timeout(self._opened, timeout)

    def write(self, request: bytes) -> None:
        """Send a request."""
        self._request = request
        self._opened.write(request)
        self._asked = self._monotonic()

    def read(self, size: int) -> bytes:
        """Read the answer, `size` bytes unless the unit refuses, falls silent or is too slow."""
        self._deadline = self._asked + self.timeout + (len(self._request) + size) * _BITS / self.baudrate
        head = self._heard(_REFUSAL_BYTES)
        # A unit repeats a write as its answer: there an echo is believed only if reads were echoed before.
        if head == self._request[:_REFUSAL_BYTES] and (self._echoes or self._request[1] not in _WRITES):
            head += self._heard(len(self._request) - _REFUSAL_BYTES)
            self._echoes = head == self._request
            if self._echoes:
                head = self._heard(_REFUSAL_BYTES)
        self._head = head
        if len(head) < _REFUSAL_BYTES or head[1] & _REFUSED:
            return head
        return head + self._heard(size - len(head))

    def refused(self) -> int | None:
        """Return why the last answer refuses the last request's function; None: it does not."""
        refuses = len(self._head) == _REFUSAL_BYTES and self._head[1] == self._request[1] | _REFUSED
        return self._head[2] if refuses else None

    def drain(self, most: int) -> bool:
        """Read until the line was silent for `timeout` s; False if it spoke on for `most` times that."""
        return any(not self._opened.read(4096) for _ in range(most))

    def reset_input_buffer(self) -> None:
        """Forget what was received and not read."""
        forget_received(self._opened)

    def reset_output_buffer(self) -> None:
        """Forget what was not sent yet."""
        forget_unsent(self._opened)

    def _heard(self, size: int) -> bytes:
        heard = b""
        while len(heard) < size and self._monotonic() <= self._deadline:
            more = self._opened.read(size - len(heard))
            if not more:
                break
            heard += more
        return heard


T = TypeVar("T")
Ask = Callable[[minimalmodbus.Instrument], T]

# Modbus over Serial Line V1.02, 2.4.1: "1 s to several s at 9600 bauds".
_TIMEOUT_S = 1.0
# No unit is believed to answer a question this old.
_LATEST_S = 10.0
# A line that speaks on for so many time-outs is not a Modbus line.
_LONGEST_QUIETING = 5
_WRITE_COIL, _WRITE_ONE, _WRITE_SEVERAL = _WRITES = 5, 6, 16


class ModbusRtu:
    """A bus with its units, as ModbusLine wants it; a unit may think for `timeout` s.

    A line that never falls silent holds a question up for twice that and the time of its bytes, and for five
    times that while it is heard out.

    RTU answers do not say what they answer. So after each failure the line is heard out, and a unit that
    owes an answer must first answer another function: it answers in order, so nothing old can follow.
    """

    def __init__(
        self,
        port: str,
        baudrate: int,
        *,
        timeout: float = _TIMEOUT_S,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._port = port
        self._baudrate = baudrate
        self._timeout = timeout
        self._monotonic = monotonic
        self._sleep = sleep
        self._pause = 0.0
        self._answered_at = float("-inf")
        self._wire: RtuPort | None = None
        self._owed: dict[int, dict[int, float]] = {}
        self._hasty = False

    def open(self) -> None:
        """Open the port. Raises LineError."""
        self._wire = RtuPort(self._port, self._baudrate, self._timeout, monotonic=self._monotonic)

    def hurry(self, seconds: float | None) -> None:
        """As Hurries says; after a silent unit the line is not heard out."""
        self._hasty = seconds is not None
        if self._wire is not None:
            with guarded(self._port):
                self._wire.wait(self._timeout if seconds is None else seconds)

    def close(self) -> None:
        """Close the port; what units owe is not forgotten."""
        if self._wire is not None:
            self._wire.close()

    def rest(self, seconds: float) -> None:
        """Leave at least so many seconds between an answer and the next question."""
        self._pause = max(self._pause, seconds)

    def registers(self, unit: int, function: int, address: int, count: int) -> tuple[int, ...]:
        """Read registers by function 3 or 4. Raises DecodeError or LineError."""
        return tuple(self._ask(unit, function, lambda unit: unit.read_registers(address, count, function)))

    def bits(self, unit: int, function: int, address: int, count: int) -> tuple[bool, ...]:
        """Bits by function 1 or 2. Raises DecodeError or LineError."""
        bits = self._ask(unit, function, lambda unit: unit.read_bits(address, count, function))
        return tuple(bool(bit) for bit in bits)

    def write_coil(self, unit: int, address: int, *, on: bool) -> None:
        """Set a coil by function 5. Raises DecodeError or LineError."""
        self._ask(unit, _WRITE_COIL, lambda instrument: instrument.write_bit(address, int(on), _WRITE_COIL))

    def write_registers(self, unit: int, function: int, address: int, words: Sequence[int]) -> None:
        """Write one register by function 6 or several by 16. Raises DecodeError or LineError."""

        def write(instrument: minimalmodbus.Instrument) -> None:
            if function == _WRITE_ONE:
                instrument.write_register(address, words[0], functioncode=_WRITE_ONE)
            else:
                instrument.write_registers(address, list(words))

        self._ask(unit, function, write)

    def _ask(self, unit: int, function: int, ask: Ask[T]) -> T:
        now = self._monotonic()
        owed = {owes: until for owes, until in self._owed.get(unit, {}).items() if now < until}
        self._owed[unit] = owed
        if function in owed:
            self._catch_up(unit, owed)
        return self._exchange(unit, function, ask)

    def _catch_up(self, unit: int, owed: dict[int, float]) -> None:
        """Have the unit answer, or refuse, something that no late answer can be taken for."""
        other = next((one for one in _PROBES if one not in owed), None)
        if other is None:
            raise NoAnswerError(self._silence(unit))
        with suppress(RefusedError, _BusyError):
            self._exchange(unit, other, _PROBES[other])

    def _exchange(self, unit: int, function: int, ask: Ask[T]) -> T:
        if (left := self._answered_at + self._pause - self._monotonic()) > 0:
            self._sleep(left)
        try:
            answer = self._translated(unit, ask)
        except (RefusedError, _BusyError):
            self._owed[unit].clear()
            raise
        except DecodeError as error:
            self._owed[unit][function] = self._monotonic() + _LATEST_S
            if not (self._hasty and isinstance(error, NoAnswerError)):
                self._quiet()
            raise
        finally:
            self._answered_at = self._monotonic()
        self._owed[unit].clear()
        return answer

    def _translated(self, unit: int, ask: Ask[T]) -> T:
        """Do it, with the errors of the house. Those of minimalmodbus are OSErrors, as a pulled cable is."""
        with guarded(self._port):
            try:
                return ask(minimalmodbus.Instrument(self._wire, unit))
            except minimalmodbus.SlaveReportedException as error:
                raise self._refusal(unit, error) from error
            except minimalmodbus.NoResponseError as error:
                raise NoAnswerError(self._silence(unit)) from error
            except minimalmodbus.ModbusException as error:
                # What exactly was wrong is another thing each time, and the owner is told once.
                log.debug("%s: unit %d: %s", self._port, unit, error)
                raise BadRecordError(
                    f"unit {unit} answers with damaged frames, or another unit does: are the cables sound "
                    f"and ended, is the baud rate {self._baudrate}, has each unit a number of its own?"
                ) from error

    def _refusal(self, unit: int, error: Exception) -> DecodeError:
        # minimalmodbus takes the refusal of any function for the answer.
        code = None if self._wire is None else self._wire.refused()
        if code is None:
            return BadRecordError(f"unit {unit} refused what was not asked: a late answer")
        if isinstance(error, minimalmodbus.SlaveDeviceBusyError):
            return _BusyError(f"unit {unit} is busy")
        return RefusedError(f"unit {unit} refuses: {REFUSALS.get(code, f'exception {code}')}")

    def _quiet(self) -> None:
        """Hear the line out; open a tunnel anew, for one whose far end is gone is silent too."""
        assert self._wire is not None  # noqa: S101 — the worker opens the line first
        with guarded(self._port):
            if not self._wire.drain(_LONGEST_QUIETING):
                raise LineError(f"{self._port} does not fall silent: is it Modbus, at {self._baudrate} baud?")
        if "://" in self._port:
            self._wire.close()
            self.open()

    def _silence(self, unit: int) -> str:
        return (
            f"unit {unit} does not answer at {self._baudrate} baud on {self._port}: "
            "is it switched on, are unit and baudrate right, are A and B not exchanged?"
        )


class _BusyError(NoAnswerError):
    """It answered, but not the question: ask again later."""


# Reads that harm nothing, by function: every unit knows at least one of them, and refuses the others.
_PROBES: dict[int, Ask[object]] = {
    3: lambda instrument: instrument.read_registers(0, 1, 3),
    4: lambda instrument: instrument.read_registers(0, 1, 4),
    1: lambda instrument: instrument.read_bits(0, 1, 1),
    2: lambda instrument: instrument.read_bits(0, 1, 2),
}
