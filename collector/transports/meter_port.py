"""The port of a meter: P1, or an optical head; it talks by itself, or is asked as IEC 62056-21 says.

A text begins with `/` and ends with `!`: IEC 62056-21 modes A to D; DSMR P1 Companion Standard 5.0.2, 6.2,
adds a CRC. All ports are opened with 8N1; where the characters have seven bits and a parity (7E1), the eighth
bit is that parity and is looked at here, so that an adapter's settings do not matter. SML stands in the
frames of BSI TR-03109-1, Annex IV ("SML transport protocol", version 1).
"""

import re
import time
from collections.abc import Callable, Sequence
from functools import reduce
from operator import xor
from typing import Protocol

from collector.devices.description import BadRecordError, LineError, NoAnswerError
from collector.devices.frames import reflected_crc
from collector.devices.lines import MeterWay, Telegram
from collector.transports.serial_port import (
    close_port,
    forget_received,
    guarded,
    open_port,
    send,
    set_speed,
)

# The largest that is known, with the peaks of thirteen months, has 2 kB; lists of an optical meter have more.
_LONGEST = 16_384
_SEVEN_BITS = 0x7F
_STX, _ETX, _ACK = b"\x02", b"\x03", b"\x06"


def _odd(byte: int) -> bool:
    return byte.bit_count() % 2 == 1


def _text(data: bytes) -> bytes | None:
    """Return characters of seven bits without their even parity; None if one of them is damaged."""
    if any(byte > _SEVEN_BITS for byte in data) and any(map(_odd, data)):
        return None
    return bytes(byte & _SEVEN_BITS for byte in data)


def with_parity(text: bytes) -> bytes:
    """Give characters the even parity of 7E1 in their eighth bit."""
    return bytes(byte | 0x80 if _odd(byte) else byte for byte in text)


_BEGIN = re.compile(rb"(?:\A|(?<=[\r\n\x00]))/")
_END = re.compile(rb"![^\n]*\n")
_CRC = re.compile(rb"!([0-9A-Fa-f]{4})\r?\n\Z")
# DLMS general-glo-ciphering, as meters in Luxembourg and Austria send it: tag, system title, length, flags.
_ENCRYPTED = re.compile(rb"\xdb\x08.{8}\x82..[\x20\x30]", re.DOTALL)
_PLAIN = re.compile(rb"![ \r]*\n\Z")


class TextFrames:
    """Finds texts from `/` to the line of the `!`."""

    def __init__(self) -> None:
        self.bad = 0
        self._raw = bytearray()

    @property
    def encrypted(self) -> bool:
        """Whether what came last looks like a telegram that is encrypted."""
        return _ENCRYPTED.search(self._raw) is not None

    def reset(self) -> None:
        """Bytes were lost: what follows is the middle of a text."""
        self._raw.clear()

    def feed(self, data: bytes) -> list[Telegram]:
        """Return the telegrams that end in these bytes, oldest first."""
        self._raw += data
        text = bytes(byte & _SEVEN_BITS for byte in self._raw)
        found, done = [], 0
        for end in _END.finditer(text):
            # The last beginning before it: of another one the end was lost.
            begins = [match.start() for match in _BEGIN.finditer(text, done, end.start())]
            telegram = _telegram(bytes(self._raw[begins[-1] : end.end()])) if begins else None
            self.bad += bool(begins) and telegram is None
            found += [] if telegram is None else [telegram]
            done = end.end()
        if len(text) - done > _LONGEST:
            self.bad += 1
            done = len(text)
        del self._raw[:done]
        return found


def _telegram(cut: bytes) -> Telegram | None:
    text = _text(cut)
    if text is None:
        return None
    body = text[: text.index(b"!") + 1]
    said = _CRC.search(text)
    if said is not None:
        return Telegram(body, checked=True) if reflected_crc(body, 0xA001, 0) == int(said[1], 16) else None
    return Telegram(body, checked=False) if _PLAIN.search(text) else None


_ESCAPE, _VERSION_1, _FILE_END = b"\x1b" * 4, b"\x01" * 4, 0x1A
# 3 by the rules; some DZG meters fill with 4.
_MOST_FILL = 4


class SmlFrames:
    """Finds SML files between their escape sequences."""

    encrypted = False

    def __init__(self) -> None:
        self.bad = 0
        self._raw = bytearray()

    def reset(self) -> None:
        """Bytes were lost: what follows is the middle of a file."""
        self._raw.clear()

    def feed(self, data: bytes) -> list[Telegram]:
        """Return the files that end in these bytes, oldest first."""
        self._raw += data
        found = []
        while (begin := self._raw.find(_ESCAPE + _VERSION_1)) >= 0:
            del self._raw[:begin]
            end, file = self._file()
            if end == 0:
                break
            del self._raw[:end]
            if file is None:
                self.bad += 1
            else:
                found.append(Telegram(file, checked=True))
        if len(self._raw) > _LONGEST:
            self.bad += 1
            # The beginning may have come in part.
            del self._raw[: -len(_ESCAPE + _VERSION_1)]
        return found

    def _file(self) -> tuple[int, bytes | None]:
        """Return where the file that begins here ends (0: not yet), and what is in it, None if damaged."""
        raw, file, at = bytes(self._raw), b"", len(_ESCAPE + _VERSION_1)
        while (found := raw.find(_ESCAPE, at)) >= 0 and len(raw) >= found + 8:
            file += raw[at:found]
            after = raw[found + 4 : found + 8]
            if after == _ESCAPE:
                file, at = file + _ESCAPE, found + 8
            elif after[0] == _FILE_END:
                good = after[1] <= _MOST_FILL and _checked(raw[: found + 6], after[2:])
                return found + 8, file[: len(file) - after[1]] if good else None
            elif after == _VERSION_1:
                # The end was lost: here begins the next one.
                return found, None
            elif after.startswith(b"\x1b"):
                # The last byte before the escape sequence is the same byte.
                file, at = file + b"\x1b", found + 1
            else:
                return found + 4, None
        return 0, None


def _checked(data: bytes, said: bytes) -> bool:
    """Whether a file's checksum is right: CRC-16/X-25, or as some Holley meters do it, CRC-16/KERMIT."""
    x25 = reflected_crc(data, 0x8408, 0xFFFF) ^ 0xFFFF
    return said in (x25.to_bytes(2, "little"), reflected_crc(data, 0x8408, 0).to_bytes(2, "big"))


# What waited longer in the operating system's buffer is not of now.
_STALE_S = 1.5
# A read ends when this much came or a burst is over.
_CHUNK = 512
_PAUSE_S = 0.1
_MOST_TELEGRAMS = 16
# A connection over the network may have died without a word: after so many silent calls it is made anew.
_DEAD_CALLS = 2
# IEC 62056-21, 4.3: it answers within 1.5 s, at 300 bit/s; by a letter or digit it names its speed.
_FIRST_SPEED = 300
_REQUEST = b"/?!\r\n"
_ANSWER_S = 3.0
_SPEEDS = (300, 600, 1200, 2400, 4800, 9600, 19200)
_LONGEST_NAME = 64
# It begins to send 0.2 s after the acknowledgement at the earliest: by then the speed is another one.
_SWITCH_S = 0.1
_QUIET_S = 2.0


class _Port(Protocol):
    def read(self, size: int) -> bytes:
        """Read until `size` bytes are here or the port's time-out is over."""


class MeterPort:
    """One port by path or pyserial URL, used by one thread; a call waits in the kernel, as its way says."""

    def __init__(
        self,
        port: str,
        way: MeterWay,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._port = port
        self._way = way
        self._monotonic = monotonic
        self._sleep = sleep
        self._serial: _Port | None = None
        self._frames: TextFrames | SmlFrames = SmlFrames() if way.sml else TextFrames()
        self._asked = float("-inf")
        self._silent = 0

    def open(self) -> None:
        """Open the port. Raises LineError."""
        self._serial = open_port(self._port, self._way.baudrate, timeout=_PAUSE_S)
        self._frames.reset()
        self._asked = self._monotonic()
        self._silent = 0

    def close(self) -> None:
        """Let go of the port."""
        if self._serial is not None:
            close_port(self._serial)
            self._serial = None

    def telegrams(self) -> Sequence[Telegram]:
        """At least one whole telegram, oldest first, none older than the last call or 1.5 s.

        Raises NoAnswerError when nothing comes, BadRecordError when only noise does, LineError.
        """
        now = self._monotonic()
        if self._way.asked or now - self._asked > _STALE_S:
            with guarded(self._port):
                forget_received(self._opened())
            self._frames.reset()
        try:
            return [self._ask(now)] if self._way.asked else self._listen(now + self._way.patience)
        finally:
            self._asked = self._monotonic()

    def _opened(self) -> _Port:
        if self._serial is None:
            raise LineError(f"{self._port} is not open")
        return self._serial

    def _read(self, size: int) -> bytes:
        with guarded(self._port):
            return self._opened().read(size)

    def _listen(self, deadline: float) -> Sequence[Telegram]:
        bad, received = self._frames.bad, 0
        found: list[Telegram] = []
        while True:
            data = self._read(_CHUNK)
            received += len(data)
            found += self._frames.feed(data)
            late = self._monotonic() >= deadline
            if found and (len(data) < _CHUNK or len(found) >= _MOST_TELEGRAMS or late):
                self._silent = 0
                return found
            if late:
                raise self._trouble(received, self._frames.bad - bad)

    def _trouble(self, received: int, bad: int) -> Exception:
        if received:
            self._silent = 0
            what = "SML file" if self._way.sml else "telegram"
            why = "is the baud rate right, does the reading head sit straight?"
            if self._frames.encrypted:
                why = "it looks encrypted: let the owner of the grid switch that off"
            seen = f"{received} bytes and {bad} damaged ones" if bad else f"{received} bytes"
            return BadRecordError(f"{seen} came from {self._port}, but no whole {what}: {why}")
        silence = f"nothing comes from {self._port}: is the cable plugged in, does the meter send by itself?"
        return self._silence(silence)

    def _silence(self, text: str) -> Exception:
        self._silent += 1
        dead = "://" in self._port and self._silent >= _DEAD_CALLS
        return LineError(text) if dead else NoAnswerError(text)

    def _ask(self, now: float) -> Telegram:
        """Ask for everything; the meter names itself first, then the speed changes if it can."""
        with guarded(self._port):
            set_speed(self._opened(), _FIRST_SPEED)
            send(self._opened(), with_parity(_REQUEST))
        name = self._name(now + _ANSWER_S)
        self._silent = 0
        code = chr(name[4]) if len(name) > 4 else ""
        speed = self._acknowledge(code)
        if speed != _FIRST_SPEED:
            with guarded(self._port):
                set_speed(self._opened(), speed)
        body = self._body(self._monotonic() + self._way.patience)
        return Telegram(name + b"\r\n" + body, checked=True)

    def _name(self, deadline: float) -> bytes:
        """Read the identification, `/`, three letters, the code of the speed and the model."""
        raw = b""
        while self._monotonic() < deadline:
            raw += self._read(1)
            if not raw.endswith((b"\n", b"\x8a")):
                continue
            line = (_text(raw) or b"").strip(b"\r\n\x00")
            raw = b""
            # An optical head may hear itself.
            if line.startswith(b"/") and line != _REQUEST.strip() and len(line) <= _LONGEST_NAME:
                return line
        if raw:
            raise BadRecordError(f"{len(raw)} bytes came from {self._port}, but no name of a meter")
        raise self._silence(f"the meter at {self._port} does not answer: is the reading head in its place?")

    def _acknowledge(self, code: str) -> int:
        """Agree on the speed: in mode C it is acknowledged, in mode B it follows by itself, in A it stays."""
        if "A" <= code <= "F":
            return _SPEEDS[ord(code) - ord("A") + 1]
        if not code.isdigit() or int(code) >= len(_SPEEDS):
            return _FIRST_SPEED
        # Plain bytes over the network: nobody could change the speed there.
        speed = _FIRST_SPEED if self._port.startswith("socket://") else _SPEEDS[int(code)]
        with guarded(self._port):
            send(self._opened(), with_parity(_ACK + b"0" + str(_SPEEDS.index(speed)).encode() + b"0\r\n"))
        self._sleep(_SWITCH_S)
        return speed

    def _body(self, deadline: float) -> bytes:
        """Read the data from STX to ETX, and their check character."""
        raw, quiet = b"", self._monotonic() + _QUIET_S
        while (now := self._monotonic()) < deadline and (now < quiet or not raw):
            data = self._read(_CHUNK)
            raw += data
            quiet = now + _QUIET_S if data else quiet
            text = bytes(byte & _SEVEN_BITS for byte in raw)
            begin, end = text.find(_STX), text.find(_ETX)
            if 0 <= begin < end < len(text) - 1:
                return self._proved(raw[begin + 1 : end + 2])
            if len(raw) > _LONGEST:
                break
        seen = f"{len(raw)} bytes of data came from the meter at {self._port}, not all of them"
        raise BadRecordError(f"{seen}: does the reading head sit straight?")

    def _proved(self, block: bytes) -> bytes:
        text = _text(block)
        if text is None or reduce(xor, text[:-1]) != text[-1]:
            raise BadRecordError(f"the data from the meter at {self._port} are damaged: their sum is wrong")
        return text[:-2]
