"""A VE.Direct cable: the device talks by itself, so its bytes are read when they are asked for."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from collector.devices.description import BadRecordError, LineError, NoAnswerError
from collector.devices.vedirect.frames import Frames
from collector.transports.serial_port import close_port, forget_received, guarded, open_port

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
# A connection over the network may have died without a word: after this silence it is made anew.
_DEAD_S = 10.0


class _Port(Protocol):
    def read(self, size: int) -> bytes:
        """What comes until `size` bytes are here or the port's time-out is over."""


class VeDirect:
    """One port by path or pyserial URL, used by one thread; a call waits in the kernel, 3 s at most."""

    def __init__(
        self,
        port: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        patience: float = _PATIENCE_S,
    ) -> None:
        self._port = port
        self._monotonic = monotonic
        self._patience = patience
        self._serial: _Port | None = None
        self._frames = Frames()
        self._asked = self._heard = float("-inf")

    def open(self) -> None:
        """Open the port. Raises LineError."""
        self._serial = open_port(self._port, _BAUDRATE, timeout=_PAUSE_S)
        self._frames.reset()
        self._asked = self._heard = self._monotonic()

    def close(self) -> None:
        """Let go of the port."""
        if self._serial is not None:
            close_port(self._serial)
            self._serial = None

    def blocks(self) -> Sequence[Mapping[str, str]]:
        """At least one whole block, oldest first, none older than the last call or 1.5 s: text by label.

        Raises NoAnswerError when nothing comes, BadRecordError when only noise does, LineError.
        """
        now = self._monotonic()
        if now - self._asked > _STALE_S:
            self._discard()
        try:
            return self._read(now + self._patience)
        finally:
            self._asked = self._monotonic()

    def _discard(self) -> None:
        with guarded(self._port):
            forget_received(self._opened())
        self._frames.reset()

    def _read(self, deadline: float) -> Sequence[Mapping[str, str]]:
        opened, bad = self._opened(), self._frames.bad
        blocks: list[Mapping[str, str]] = []
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
