"""A VE.Direct cable: text that the device says by itself, and HEX frames, said by itself or as answers.

A block is fields of CR LF label TAB value; the last is "Checksum" with one byte that makes the sum of all
bytes of the block 0 modulo 256. A HEX frame, ":" to LF, may stand between any two bytes before the checksum
and is not summed. (Victron Energy, VE.Direct Protocol, "Message format" and "Data integrity"; the reference
implementation published with it.)
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Protocol

from collector.devices.description import BadRecordError, LineError, NoAnswerError
from collector.devices.victron.hex_protocol import Command, HexFrame, encode, parse
from collector.transports.serial_port import close_port, forget_received, guarded, open_port

# With their terminating zero in Victron's tables; taken here as the longest text.
_LONGEST_LABEL = 9
_LONGEST_VALUE = 33
# Devices send at most 22 fields; the longest HEX answers are histories of some 80 digits.
_MOST_FIELDS = 64
_LONGEST_HEX = 256
# More than a device says between two looks.
_MOST_HEX = 64
_CHECKSUM = "Checksum"
_CR, _LF, _TAB, _COLON = 0x0D, 0x0A, 0x09, 0x3A
_HEX_DIGITS = frozenset(b"0123456789ABCDEFabcdef")


class _At(Enum):
    START = auto()
    SKIPPING = auto()
    LINE_END = auto()
    LABEL = auto()
    VALUE = auto()
    CHECKSUM = auto()


class Frames:
    """Finds the blocks in a stream that may begin anywhere and be damaged; memory is bounded.

    A block counts only if the checksum before it was seen, so that the rest of one whose beginning was missed
    is never taken for a whole. `bad` counts blocks that were damaged; `hex` has the whole HEX frames, for its
    user to take.
    """

    def __init__(self) -> None:
        self.bad = 0
        self.hex: deque[HexFrame] = deque(maxlen=_MOST_HEX)
        self.reset()

    def reset(self) -> None:
        """Bytes were lost: what follows is the middle of a block."""
        self._at = _At.SKIPPING
        self._damaged = False
        self._joined = False
        self._hex: bytearray | None = None
        self._sum = 0
        self._label = ""
        self._text = bytearray()
        self._fields: dict[str, str] = {}

    def feed(self, data: bytes) -> list[Mapping[str, str]]:
        """Return the blocks that end in these bytes, oldest first: text by label."""
        blocks: list[Mapping[str, str]] = []
        for byte in data:
            block = self._feed_byte(byte)
            if block is not None:
                blocks.append(block)
        return blocks

    def _feed_byte(self, byte: int) -> Mapping[str, str] | None:
        if self._at is _At.CHECKSUM:
            return self._end(byte)
        if self._hex is not None:
            if self._feed_hex(byte):
                return None
            # It was no HEX frame: the byte may begin a field, or a frame.
            self._damage()
        if byte == _COLON:
            self._hex = bytearray()
            return None
        self._sum = self._sum + byte & 0xFF
        self._feed_text(byte)
        return None

    def _feed_hex(self, byte: int) -> bool:
        assert self._hex is not None  # noqa: S101 — asked only inside a HEX frame
        if byte == _LF:
            frame = parse(bytes(self._hex))
            if frame is not None:
                self.hex.append(frame)
            self._hex = None
            return True
        if byte in _HEX_DIGITS and len(self._hex) < _LONGEST_HEX:
            self._hex.append(byte)
            return True
        self._hex = None
        return False

    def _feed_text(self, byte: int) -> None:
        match self._at:
            case _At.START | _At.SKIPPING:
                if byte == _CR:
                    self._at = _At.LINE_END
                elif self._at is _At.START:
                    self._damage()
            case _At.LINE_END:
                if byte == _LF:
                    self._at = _At.LABEL
                    self._text.clear()
                else:
                    self._damage(byte)
            case _At.LABEL:
                self._feed_label(byte)
            case _At.VALUE:
                self._feed_value(byte)

    def _feed_label(self, byte: int) -> None:
        if byte != _TAB:
            self._feed_character(byte, _LONGEST_LABEL, least=0x21)
            return
        self._label = self._text.decode("ascii")
        self._text.clear()
        if self._label == _CHECKSUM:
            self._at = _At.CHECKSUM
        # A label that comes twice: the end of one block and the beginning of the next are lost.
        elif not self._label or self._label in self._fields or len(self._fields) >= _MOST_FIELDS:
            self._damage()
        else:
            self._at = _At.VALUE

    def _feed_value(self, byte: int) -> None:
        if byte != _CR:
            self._feed_character(byte, _LONGEST_VALUE, least=0x20)
            return
        if not self._damaged:
            self._fields[self._label] = self._text.decode("ascii")
        self._at = _At.LINE_END

    def _feed_character(self, byte: int, most: int, *, least: int) -> None:
        if least <= byte < 0x7F and len(self._text) < most:
            self._text.append(byte)
        else:
            self._damage(byte)

    def _damage(self, byte: int | None = None) -> None:
        """Give up this block; look for the next field, which this very byte may begin."""
        self._damaged = True
        self._fields = {}
        self._at = _At.LINE_END if byte == _CR else _At.SKIPPING

    def _end(self, byte: int) -> Mapping[str, str] | None:
        fields = self._fields
        whole = bool(fields) and not self._damaged and (self._sum + byte) & 0xFF == 0
        good = whole and self._joined
        if self._joined and not good:
            self.bad += 1
        self._at = _At.START
        self._joined = True
        self._damaged = False
        self._sum = 0
        self._fields = {}
        return fields if good else None


# Victron Energy, VE.Direct Protocol, "Serial port configuration": 19200 bit/s, 8N1.
_BAUDRATE = 19200
# A device sends its blocks each second.
_PATIENCE_S = 3.0
# What waited longer in the operating system's buffer is not of now.
_STALE_S = 1.5
# A read ends when this much came or a burst is over.
_CHUNK = 512
_PAUSE_S = 0.1
_MOST_BLOCKS = 16
# An answer comes in a few hundredths of a second, between two blocks of text at most.
_ANSWER_S = 0.5
_TRIES = 2
# Some devices say no text for so long after a HEX frame.
_HEX_PAUSE_S = 3.0
# Registers that a device tells between two looks.
_MOST_TOLD = 128
# A connection over the network may have died without a word: after this silence it is made anew.
_DEAD_S = 10.0


class _Port(Protocol):
    @property
    def in_waiting(self) -> int:
        """How many bytes are here already."""

    def read(self, size: int) -> bytes:
        """Read until `size` bytes are here or the port's time-out is over."""

    def write(self, data: bytes, /) -> int | None:
        """Send them."""


class VeDirectCable:
    """One port by path or pyserial URL, used by one thread; a call waits in the kernel, 6 s at most."""

    def __init__(
        self, port: str, *, monotonic: Callable[[], float] = time.monotonic, patience: float = _PATIENCE_S
    ) -> None:
        self._port = port
        self._monotonic = monotonic
        self._usual = self._patience = patience
        self._serial: _Port | None = None
        self._frames = Frames()
        self._asked = self._heard = self._hexed = float("-inf")
        # What came while an answer was waited for.
        self._blocks: deque[Mapping[str, str]] = deque(maxlen=_MOST_BLOCKS)
        self._told: dict[int, bytes] = {}

    def open(self) -> None:
        """Open the port. Raises LineError."""
        self._serial = open_port(self._port, _BAUDRATE, timeout=_PAUSE_S)
        self._forget()
        self._hexed = float("-inf")
        self._asked = self._heard = self._monotonic()

    def close(self) -> None:
        """Let go of the port."""
        if self._serial is not None:
            close_port(self._serial)
            self._serial = None

    def hurry(self, seconds: float | None) -> None:
        """As Hurries says."""
        self._patience = self._usual if seconds is None else seconds

    def blocks(self, *, wait: bool = True) -> Sequence[Mapping[str, str]]:
        """At least one whole block, oldest first, none older than the last call or 1.5 s: text by label.

        Without `wait` those that are here. Raises NoAnswerError when nothing comes, BadRecordError when only
        noise does, LineError.
        """
        now = self._refresh()
        patience = self._patience if wait else 0.0
        if wait and now - self._hexed < _HEX_PAUSE_S:
            patience += _HEX_PAUSE_S
        try:
            return self._read(now + patience, wait=wait)
        finally:
            self._asked = self._monotonic()

    def told(self) -> Mapping[int, bytes]:
        """Return what the device has said of its registers since the last call, unasked or too late."""
        self._sort()
        told, self._told = self._told, {}
        return told

    def ask(self, question: HexFrame) -> HexFrame:
        """Send a HEX frame and return its answer, whatever its flags say. Raises NoAnswerError, LineError."""
        self._refresh()
        self._sort()
        opened = self._opened()
        for _ in range(_TRIES):
            with guarded(self._port):
                opened.write(encode(question))
            self._hexed = self._monotonic()
            answer = self._await(question, self._hexed + _ANSWER_S)
            if answer is not None:
                return answer
        raise NoAnswerError(
            f"{self._port}: no answer to VE.Direct HEX: is the device on, does the cable carry both ways?"
        )

    def _await(self, question: HexFrame, deadline: float) -> HexFrame | None:
        opened = self._opened()
        while True:
            with guarded(self._port):
                data = opened.read(1)
                data += opened.read(min(opened.in_waiting, _CHUNK)) if data else b""
            now = self._asked = self._monotonic()
            if data:
                self._heard = now
                self._blocks.extend(self._frames.feed(data))
            answer = self._sort(question)
            if answer is not None or now >= deadline:
                return answer

    def _sort(self, question: HexFrame | None = None) -> HexFrame | None:
        """Return the first frame that answers; note what all others say of registers."""
        frames = self._frames.hex
        while frames:
            frame = frames.popleft()
            if question is not None and (frame.answers(question) or frame.command == Command.UNKNOWN):
                return frame
            register = frame.register
            if register is None or frame.flags or frame.command == Command.SET:
                continue
            if register in self._told or len(self._told) < _MOST_TOLD:
                self._told[register] = frame.value
        return None

    def _refresh(self) -> float:
        """Forget what is not of now; return the time."""
        now = self._monotonic()
        if now - self._asked > _STALE_S:
            with guarded(self._port):
                forget_received(self._opened())
            self._forget()
        return now

    def _forget(self) -> None:
        self._frames.reset()
        self._frames.hex.clear()
        self._blocks.clear()
        self._told.clear()

    def _read(self, deadline: float, *, wait: bool) -> Sequence[Mapping[str, str]]:
        opened, bad = self._opened(), self._frames.bad
        blocks = list(self._blocks)
        self._blocks.clear()
        received = 0
        while True:
            with guarded(self._port):
                data = opened.read(_CHUNK)
            now = self._monotonic()
            if data:
                self._heard = now
                received += len(data)
                blocks += self._frames.feed(data)
            if blocks and (len(data) < _CHUNK or len(blocks) >= _MOST_BLOCKS or now >= deadline):
                return blocks
            if now >= deadline:
                if not wait:
                    return blocks
                raise self._trouble(now, received, self._frames.bad - bad)

    def _trouble(self, now: float, received: int, bad: int) -> Exception:
        if received:
            seen = f"{received} bytes and {bad} damaged blocks"
            return BadRecordError(
                f"{seen} came from {self._port}, but no whole VE.Direct block: "
                f"is the baud rate {_BAUDRATE}, is it a VE.Direct device?"
            )
        silence = f"nothing comes from {self._port}: is the device on, is the VE.Direct cable plugged in?"
        if "://" in self._port and now - self._heard > _DEAD_S:
            return LineError(silence)
        return NoAnswerError(silence)

    def _opened(self) -> _Port:
        if self._serial is None:
            raise LineError(f"{self._port} is not open")
        return self._serial
