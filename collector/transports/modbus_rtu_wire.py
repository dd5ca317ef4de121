"""The port as minimalmodbus sees it: one deadline, refusals without waiting, echoes taken out."""

import time
from collections.abc import Callable

from collector.transports.serial_port import close_port, forget_received, forget_unsent, open_port

# Unit, function, address, count, check: what we send always has this length.
_REQUEST_BYTES = 8
# Unit, function with its highest bit set, code, check: Modbus Application Protocol V1.1b3, 7.
_REFUSAL_BYTES = 5
_REFUSED = 0x80
_WRITE_COIL = 5
# Modbus over Serial Line V1.02, 2.5.1: a byte is 11 bits; as long again for the pauses of an adapter.
_BITS = 2 * 11


class Wire:
    """A port that minimalmodbus takes for pyserial's.

    A unit has `timeout` s to begin, and its answer the time that its bytes need at `baudrate`, whatever comes
    instead: the last read begins before that and lasts `timeout` s at most.
    """

    def __init__(
        self,
        port: str,
        baudrate: int,
        timeout: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
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
        """It is open from the start."""

    def close(self) -> None:
        """Close the port."""
        self.is_open = False
        close_port(self._opened)

    def write(self, request: bytes) -> None:
        """Send a request."""
        self._request = request
        self._opened.write(request)
        self._asked = self._monotonic()

    def read(self, size: int) -> bytes:
        """The answer to the request, `size` bytes unless the unit refuses, falls silent or is too slow."""
        self._deadline = self._asked + self.timeout + (_REQUEST_BYTES + size) * _BITS / self.baudrate
        head = self._heard(_REFUSAL_BYTES)
        # A unit repeats a write as its answer: there an echo is believed only if reads were echoed before.
        if head == self._request[:_REFUSAL_BYTES] and (self._echoes or self._request[1] != _WRITE_COIL):
            head += self._heard(_REQUEST_BYTES - _REFUSAL_BYTES)
            self._echoes = head == self._request
            if self._echoes:
                head = self._heard(_REFUSAL_BYTES)
        self._head = head
        if len(head) < _REFUSAL_BYTES or head[1] & _REFUSED:
            return head
        return head + self._heard(size - len(head))

    def refused(self) -> bool:
        """Whether the last answer refuses the last request's function."""
        return len(self._head) == _REFUSAL_BYTES and self._head[1] == self._request[1] | _REFUSED

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
