"""Bluetooth connections: devices that are asked, on the radio that also scans. The home of bleak's client.

Everything of bleak and asyncio runs on the loop of the radio's thread, as long as its scan; a line waits for
it in the thread of its worker. If the scan ends, so do the connections.
"""

import asyncio
import concurrent.futures
import logging
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice

from collector.devices.description import BadRecordError, LineError, NoAnswerError
from collector.devices.frames import ask_rtu, crc16, read_data, read_registers, rtu
from collector.devices.lines import Channel, Framing, GattLine
from collector.transports import bluez

log = logging.getLogger(__name__)

T = TypeVar("T")

# What a worker waits for, seconds: the radio's start; the device's advertisement; BlueZ's connecting; its
# turn, while others connect; an end.
_RADIO_S, _HEARD_S, _CONNECT_S, _TURN_S, _END_S = 15.0, 10.0, 20.0, 120.0, 2.0
_LOOK_S = 1.0
# What a device says while nobody asks is not kept for ever.
_MOST_BYTES = 1024
# So many questions without an answer end a connection.
_MOST_SILENT = 3
# If so many tries in a row fail though the devices are heard, and no connection works, the adapter is stuck.
_TRIES_TO_STUCK, _MOST_TRIES = 6, 96


@dataclass(eq=False)
class _Link:
    """A connection on the loop; it has a client once it is open."""

    spoke: Callable[[], None]
    client: BleakClient | None = None
    asked_by: BleakGATTCharacteristic | None = None
    noise: bytes = b""
    stream: bytearray = field(default_factory=bytearray)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False

    def take(self, _who: BleakGATTCharacteristic, data: bytearray) -> None:
        """Keep what the device says."""
        self.spoke()
        said = bytes(data)
        while self.noise and said.startswith(self.noise):
            said = said.removeprefix(self.noise)
        self.stream += said
        del self.stream[: max(0, len(self.stream) - _MOST_BYTES)]
        self.came.set()

    def end(self, _client: BleakClient | None = None) -> None:
        """Note that the connection ended."""
        self.lost = True
        self.came.set()

    async def ask(self, request: bytes, framing: Framing) -> bytes | None:
        """Return the answer, None if the connection ended before."""
        self.stream.clear()
        if request and self.client is not None and self.asked_by is not None:
            try:
                await self.client.write_gatt_char(self.asked_by, request)
            except bluez.troubles() as trouble:
                log.debug("%s does not take a question: %r", self.client.address, trouble)
                self.end()
        while (frame := framing(self.stream)) is None:
            if self.lost:
                return None
            self.came.clear()
            await self.came.wait()
        return frame


@dataclass(eq=False)
class _Session:
    """A scan that runs: `still` holds it while a connection is made, or stops it for that (True)."""

    loop: asyncio.AbstractEventLoop
    still: Callable[[bool], AbstractAsyncContextManager[None]]
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    links: set[_Link] = field(default_factory=set)


class Connections:
    """The connections of a radio: `spoke` is told of each notification, `stuck` that none comes about.

    A `passive` radio does not hear the devices that are connected: they are searched for.
    """

    def __init__(
        self, adapter: str, *, passive: bool, spoke: Callable[[], None], stuck: Callable[[], None]
    ) -> None:
        self.adapter = adapter
        self._passive = passive
        self._spoke = spoke
        self._stuck = stuck
        self._session: _Session | None = None
        self._trouble: str | None = None
        self._changed = threading.Condition()
        self._failed, self._patience = 0, _TRIES_TO_STUCK

    # The radio's side.

    @asynccontextmanager
    async def open(self, still: Callable[[bool], AbstractAsyncContextManager[None]]) -> AsyncIterator[None]:
        """Let devices be connected in the block, which runs on the radio's loop."""
        session = _Session(asyncio.get_running_loop(), still)
        self._become(session, None)
        try:
            yield
        finally:
            self._become(None, "the radio begins anew")
            for link in session.links:
                link.end()
            # What is being done, and was just handed over, becomes tasks, which end with the loop.
            await asyncio.gather(*(_disconnect(link.client) for link in session.links))
            await asyncio.sleep(0)

    def failed(self, why: str) -> None:
        """Note why the radio does not work."""
        self._become(None, f"the radio does not work: {why}")

    def _become(self, session: _Session | None, trouble: str | None) -> None:
        with self._changed:
            self._session, self._trouble = session, trouble
            self._changed.notify_all()

    # The workers' side.

    def run(self, work: Callable[[_Session], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Have work done on the radio's loop. Raises LineError and what `work` raises."""

        async def translated(session: _Session) -> T:
            with _translated(self.adapter):
                return await work(session)

        with self._changed:
            self._changed.wait_for(lambda: self._session or self._trouble, _RADIO_S)
            session = self._session
            if session is None:
                raise LineError(self._trouble or "the radio does not start: see its own problem")
            future = asyncio.run_coroutine_threadsafe(translated(session), session.loop)
        try:
            return future.result(seconds)
        except concurrent.futures.CancelledError as error:
            raise LineError(self._trouble or "the radio begins anew") from error
        except TimeoutError as error:
            future.cancel()
            raise LineError("BlueZ does not answer: sudo systemctl restart bluetooth") from error

    def connect(self, address: str, channels: tuple[Channel, ...], *, quietly: bool) -> _Link:
        """Connect, with the scan stopped meanwhile if `quietly`. Raises LineError."""
        return self.run(
            lambda session: self._connect(session, address, channels, quietly=quietly),
            _HEARD_S + _TURN_S + _CONNECT_S,
        )

    async def _connect(
        self, session: _Session, address: str, channels: tuple[Channel, ...], *, quietly: bool
    ) -> _Link:
        if not self._passive:
            await self._hear(address)
        async with session.turn:
            # Another one may have used its time up.
            path = await self._hear(address)
            # A device of which bleak must know only where BlueZ has it.
            device = BLEDevice(address, None, {"path": path, "props": {}})
            link = _Link(self._spoke)
            client = BleakClient(
                device,
                disconnected_callback=link.end,
                timeout=_CONNECT_S,
                bluez={"adapter": self.adapter},
            )
            try:
                async with session.still(quietly):
                    await client.connect()
                await _listen(link, client, address, channels)
                session.links.add(link)
            except bluez.troubles() as trouble:
                self._count_failure(session)
                raise LineError(bluez.connect_advice(trouble, address, self.adapter)) from trouble
            finally:
                if link not in session.links:
                    await _disconnect(client)
            self._failed, self._patience = 0, _TRIES_TO_STUCK
            return link

    def _count_failure(self, session: _Session) -> None:
        session.links = {link for link in session.links if not link.lost}
        self._failed = 0 if session.links else self._failed + 1
        if self._failed >= self._patience:
            # One device that refuses must not have the adapter switched off and on for ever.
            self._failed, self._patience = 0, min(2 * self._patience, _MOST_TRIES)
            self._stuck()

    async def _hear(self, address: str) -> str:
        """Wait until BlueZ hears the device, or still holds a connection to it; return its object's path."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _HEARD_S
        path = await bluez.find(self.adapter, address)
        if path is None and self._passive:
            path = await bluez.discover(self.adapter, address, _HEARD_S)
        while path is None and not self._passive and loop.time() < end:
            await asyncio.sleep(_LOOK_S)
            path = await bluez.find(self.adapter, address)
        if path is None:
            raise LineError(
                f"{address} is not heard: is it in range and awake, is the address right? Most batteries "
                "take one connection at a time: close the app on your phone"
            )
        return path

    def let_go(self, link: _Link) -> None:
        """Disconnect; one that is gone is fine."""

        async def end(session: _Session) -> None:
            session.links.discard(link)
            await _disconnect(link.client)

        link.end()
        with suppress(LineError):
            self.run(end, _END_S + 1)


async def _listen(link: _Link, client: BleakClient, address: str, channels: tuple[Channel, ...]) -> None:
    """Have a link hear what its device says. Raises LineError if it has none of the channels."""
    characteristics = sorted(client.services.characteristics.values(), key=lambda one: one.handle)
    for channel in channels:
        told = _find(characteristics, channel.notify, "notify", "indicate")
        asked = _find(characteristics, channel.write, "write", "write-without-response")
        if told is not None and (asked is not None or channel.write is None):
            link.client, link.asked_by, link.noise = client, asked, channel.noise
            await client.start_notify(told, link.take)
            return
    has = ", ".join(sorted({one.uuid[4:8] for one in characteristics})) or "none"
    wants = " or ".join(f"{channel.notify:04x}" for channel in channels)
    raise LineError(f"{address} has no characteristic {wants}, but {has}: is its kind right?")


def _find(
    among: list[BleakGATTCharacteristic], uuid: int | None, *able: str
) -> BleakGATTCharacteristic | None:
    whole = f"0000{uuid or 0:04x}-0000-1000-8000-00805f9b34fb"
    return next((one for one in among if one.uuid == whole and set(able) & set(one.properties)), None)


async def _disconnect(client: BleakClient | None) -> None:
    if client is None:
        return
    with suppress(*bluez.troubles()):
        async with asyncio.timeout(_END_S):
            await client.disconnect()


@contextmanager
def _translated(adapter: str) -> Iterator[None]:
    """Raise LineError for what goes wrong between us and BlueZ."""
    try:
        yield
    except bluez.troubles() as trouble:
        raise LineError(bluez.advice(trouble, adapter)) from trouble


class GattConnection:
    """A GattLine to one device."""

    def __init__(
        self,
        address: str,
        channels: tuple[Channel, ...],
        connections: Connections,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address.upper()
        self._channels = channels
        self._connections = connections
        self._monotonic = monotonic
        self._link: _Link | None = None
        self._number = self._silent = self._tries = 0

    def open(self) -> None:
        """Connect. Raises LineError."""
        self.close()
        # BlueZ pauses the scan for a connection by itself. Where that fails, each second try stops it.
        self._tries += 1
        self._link = self._connections.connect(self._address, self._channels, quietly=self._tries % 2 == 0)
        self._tries = self._silent = 0
        self._number += 1
        log.debug("%s is connected", self._address)

    def close(self) -> None:
        """Disconnect."""
        link, self._link = self._link, None
        if link is not None:
            self._connections.let_go(link)

    def connected(self) -> int:
        """Connect again if the connection was lost. Raises LineError."""
        if self._link is None or self._link.lost:
            self.open()
        return self._number

    def ask(self, request: bytes, framing: Framing, patience: float = 3.0) -> bytes:
        """Send a request and return the first frame that comes after it. Raises DecodeError or LineError."""
        link = self._link
        assert link is not None  # noqa: S101 — the worker opens the line first

        async def answer(_session: _Session) -> bytes | None:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    return await link.ask(request, framing)
            return None

        frame = self._connections.run(answer, patience + _END_S)
        if frame is not None:
            self._silent = 0
            return frame
        if link.lost:
            raise NoAnswerError(f"the connection to {self._address} was lost while it was asked")
        self._silent += 1
        silence = f"{self._address} is connected, but does not answer: is its kind right, has it a password?"
        if self._silent >= _MOST_SILENT:
            raise LineError(silence)
        raise NoAnswerError(silence)


_COIL, _WRITE_ONE, _ON, _OFF = 5, 6, 0xFF00, 0x0000
# Bytes of the answer to a write, without its check.
_WRITTEN = 6


class GattModbus:
    """A ModbusLine through a Bluetooth adapter that passes Modbus RTU frames on."""

    def __init__(self, line: GattLine, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._line = line
        self._sleep = sleep
        self._pause = 0.0

    def open(self) -> None:
        """Connect. Raises LineError."""
        self._line.open()

    def close(self) -> None:
        """Disconnect."""
        self._line.close()

    def rest(self, seconds: float) -> None:
        """Leave at least so many seconds between an answer and the next question."""
        self._pause = max(self._pause, seconds)

    def registers(self, unit: int, function: int, address: int, count: int) -> tuple[int, ...]:
        """Read registers by function 3 or 4. Raises DecodeError or LineError."""
        return read_registers(self._ready(), unit, address, count, function)

    def bits(self, unit: int, function: int, address: int, count: int) -> tuple[bool, ...]:
        """Bits by function 1 or 2. Raises DecodeError or LineError."""
        data = read_data(self._ready(), unit, function, address, count, (count + 7) // 8)
        return tuple(bool(data[place // 8] >> place % 8 & 1) for place in range(count))

    def write_coil(self, unit: int, address: int, *, on: bool) -> None:
        """Set a coil by function 5. Raises DecodeError or LineError."""
        self._write(rtu(unit, _COIL, address, _ON if on else _OFF))

    def write_registers(self, unit: int, function: int, address: int, words: Sequence[int]) -> None:
        """Write one register by function 6 or several by 16. Raises DecodeError or LineError."""
        if function == _WRITE_ONE:
            self._write(rtu(unit, function, address, words[0]))
            return
        head = struct.pack(">BBHHB", unit, function, address, len(words), 2 * len(words))
        frame = head + struct.pack(f">{len(words)}H", *words)
        self._write(frame + crc16(frame))

    def _write(self, request: bytes) -> None:
        """Send it once: unit, function, address and what it says behind that come back."""
        answer = ask_rtu(self._ready(), request, _WRITTEN)
        if answer != request[:_WRITTEN]:
            raise BadRecordError(f"unit {request[0]} answers to another write")

    def _ready(self) -> GattLine:
        self._line.connected()
        if self._pause:
            self._sleep(self._pause)
        return self._line
