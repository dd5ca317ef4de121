"""The radio: one thread that scans for advertisements and climbs a ladder when it hears none."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING, Any

from collector.devices import ORIGINS
from collector.devices.bms.advertised import recognise
from collector.devices.description import Origin

if TYPE_CHECKING:
    from bleak import BleakScanner
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

    from collector.transports.bluez import Mode, Watch
    from collector.transports.gatt import Connections


class Rung(StrEnum):
    """Where the radio stands, the words of RadioState."""

    SCANNING = "scanning"
    FAILED = "failed"
    NEW_SCANNER = "new_scanner"
    POWER_CYCLE = "power_cycle"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What a device says that a kind reads; address in upper case, rssi in dBm, at in monotonic seconds."""

    # BlueZ delivers the same data again when only the signal strength has changed.

    address: str
    frames: Mapping[Origin, bytes]
    name: str | None
    rssi: int
    at: float


@dataclass(frozen=True, slots=True)
class Connectable:
    """A device of a `kind` that is asked over a connection advertised; address in upper case, rssi in dBm."""

    address: str
    kind: str
    name: str | None
    rssi: int


@dataclass(frozen=True, slots=True)
class Heard:
    """Some other device advertised, told at most once a second; at in monotonic seconds."""

    at: float


@dataclass(frozen=True, slots=True)
class RadioState:
    """The radio moved to another rung; the message says why and what to do; `retry_in` in seconds."""

    rung: str
    message: str
    retry_in: float | None = None

    @property
    def told(self) -> str:
        """The message with the time of the next attempt."""
        if self.retry_in is None:
            return self.message
        return f"{self.message} (next attempt in {self.retry_in:g} s)"


@dataclass(frozen=True, slots=True)
class RadioGone:
    """The radio gave up for good: the process should exit and be started anew."""

    message: str


Event = Advertisement | Connectable | Heard | RadioState | RadioGone


_HEARD_EVERY = 1.0
# BlueZ drops the signal strength when it forgets a device; bleak then reports this and nothing was received.
_NO_SIGNAL = -127
_STOP_PATIENCE = 3.0
_JOIN_PATIENCE = 10.0
_LAST_RUNG = 3
_POWER_CYCLE_RUNG = 2


class Step(Enum):
    """What the radio must do now."""

    WAIT = auto()
    START = auto()
    POWER_CYCLE = auto()
    EXIT = auto()


class Ladder:
    """Climbs one rung per `silence` seconds without an advertisement; all times are monotonic seconds."""

    # Failed starts climb by the same clock: whatever the cause, three silences after the last
    # advertisement the process is restarted. In between they are retried, ever later.

    def __init__(
        self, *, silence: float = 90.0, first_retry: float = 1.0, longest_retry: float = 30.0
    ) -> None:
        self._silence = silence
        self._first_retry = first_retry
        self._longest_retry = longest_retry
        self._running = False
        self._rung = 0
        self._failures = 0
        self._quiet_since: float | None = None
        self._retry_at = 0.0
        self._stuck = False

    @property
    def rung(self) -> int:
        """0 while all is well, then 1 new scanner, 2 power-cycle, 3 exit."""
        return self._rung

    def started(self, now: float) -> None:
        """Note that the scanner runs: it has the whole silence to hear something."""
        self._running = True
        self._failures = 0
        self._quiet_since = now

    def failed(self, now: float) -> float:
        """Note that a start or power-cycle failed; return the seconds until the next attempt."""
        self._running = False
        delay = min(self._longest_retry, self._first_retry * (1 << self._failures))
        # Past the cap the exponent says nothing new, and must not overflow in a long outage.
        self._failures = min(self._failures + 1, 16)
        self._retry_at = now + delay
        return delay

    def heard(self, now: float) -> None:
        """Any advertisement: the radio works, back to the ground."""
        self._rung = 0
        self._quiet_since = now

    def stuck(self) -> None:
        """Note that the adapter must be switched off and on, whatever it hears."""
        self._stuck = True

    def step(self, now: float) -> Step:
        """Say what to do now; START and POWER_CYCLE must be answered with started() or failed()."""
        if self._quiet_since is None:
            self._quiet_since = now
        if self._stuck:
            self._stuck, self._rung = False, _POWER_CYCLE_RUNG - 1
            return self._climb(now)
        if now >= self._quiet_since + self._silence:
            return self._climb(now)
        if not self._running and now >= self._retry_at:
            return Step.START
        return Step.WAIT

    def wait(self, now: float) -> float:
        """Seconds until step() can say something new, if nothing happens before."""
        silent_at = (now if self._quiet_since is None else self._quiet_since) + self._silence
        due = silent_at if self._running else min(silent_at, self._retry_at)
        return max(0.0, due - now)

    def _climb(self, now: float) -> Step:
        self._running = False
        self._retry_at = now
        self._quiet_since = now
        self._rung = min(self._rung + 1, _LAST_RUNG)
        if self._rung == _LAST_RUNG:
            return Step.EXIT
        return Step.POWER_CYCLE if self._rung == _POWER_CYCLE_RUNG else Step.START


class Radio:
    """Scans on its own thread and hands every event to `emit`, from that thread."""

    def __init__(
        self,
        adapter: str,
        mode: "Mode",
        emit: Callable[[Event], None],
        *,
        ladder: Ladder | None = None,
        patience: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._adapter = adapter
        self._mode = mode
        self._emit = emit
        self._ladder = ladder or Ladder()
        self._patience = patience
        self._monotonic = monotonic
        self._thread = threading.Thread(target=self._run, name="radio", daemon=True)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._cancel: Callable[[], object] | None = None
        self._told_heard = float("-inf")
        # Made by whoever has devices that are connected.
        self._connections: Connections | None = None
        self._watch: Watch | None = None

    @property
    def connections(self) -> "Connections":
        """The connections on this radio; ask for them before the start."""
        from collector.transports.gatt import Connections  # noqa: PLC0415 — only for those who connect

        if self._connections is None:
            self._connections = Connections(
                self._adapter, passive=self._mode == "passive", spoke=self._spoke, stuck=self._stuck
            )
        return self._connections

    def _spoke(self) -> None:
        # A radio on which a device answers works, also where nobody advertises.
        self._ladder.heard(self._monotonic())

    def _stuck(self) -> None:
        self._ladder.stuck()
        if self._watch is not None:
            self._watch.give_up(f"no connection comes about, though devices are heard on {self._adapter}")

    def start(self) -> None:
        """Begin to scan and return at once; success and failure arrive as RadioState."""
        self._thread.start()

    def stop(self) -> None:
        """End the scan; returns within 10 s even if BlueZ hangs."""
        with self._lock:
            self._stopping.set()
            # Once only: a second cancellation would cut the scanner's own stop short.
            cancel, self._cancel = self._cancel, None
            if cancel is not None:
                cancel()
        if self._thread.is_alive():
            self._thread.join(_JOIN_PATIENCE)

    def _run(self) -> None:
        message = "the radio thread died: see the traceback above"
        try:
            message = self._climb()
        finally:
            # Whatever ended this thread, the process must learn of it: a dead radio looks like a quiet night.
            if self._stopping.is_set():
                self._emit(RadioState(Rung.STOPPED, "stopped as asked"))
            else:
                self._emit(RadioGone(message))

    def _climb(self) -> str:
        while not self._stopping.is_set():
            step = self._ladder.step(self._monotonic())
            if step is Step.EXIT:
                break
            if step is Step.WAIT:
                self._stopping.wait(self._ladder.wait(self._monotonic()))
                continue
            self._announce(step)
            self._attempt(step)
        return f"nothing heard on {self._adapter}, neither by a new scanner nor after a power-cycle: exiting"

    def _announce(self, step: Step) -> None:
        if step is Step.POWER_CYCLE:
            self._emit(RadioState(Rung.POWER_CYCLE, f"still nothing heard: {self._adapter} goes off and on"))
        elif self._ladder.rung:
            self._emit(RadioState(Rung.NEW_SCANNER, "nothing heard: trying a new scanner"))

    def _attempt(self, step: Step) -> None:
        from collector.transports.bluez import advice, troubles  # noqa: PLC0415 — D-Bus only where it is used

        try:
            # A fresh loop is a fresh D-Bus connection, for bleak keeps one per loop: bluetoothd forgets what
            # a hanging attempt left behind, and bleak what it remembers from before bluetoothd restarted.
            with asyncio.Runner() as runner:
                try:
                    runner.run(self._session(step))
                finally:
                    # Before the runner closes the loop: stop() must never call into a closed one.
                    with self._lock:
                        self._cancel = None
        except troubles() as trouble:
            delay = self._ladder.failed(self._monotonic())
            why = advice(trouble, self._adapter)
            if self._connections is not None:
                self._connections.failed(why)
            self._emit(RadioState(Rung.FAILED, why, retry_in=delay))
        except asyncio.CancelledError:
            # Only stop() cancels, and it has told _climb already.
            return

    async def _session(self, step: Step) -> None:
        from collector.transports import bluez  # noqa: PLC0415 — D-Bus only where it is used

        self._make_cancellable()
        asyncio.get_running_loop().set_exception_handler(bluez.unretrieved)
        if step is Step.POWER_CYCLE:
            async with asyncio.timeout(self._patience):
                await bluez.power_cycle(self._adapter)
        # Only an active scan is what BlueZ calls discovering.
        scan = self._mode == "active"
        # Before the scanner starts: an end in between must not be missed. After our own power-cycle.
        async with bluez.watching(self._adapter, self._patience, scan=scan) as watch:
            await self._scan(watch)

    async def _scan(self, watch: "Watch") -> None:
        from collector.transports import bluez  # noqa: PLC0415 — D-Bus only where it is used

        scanner = bluez.scanner(self._adapter, self._mode, ORIGINS, self._detected)
        try:
            async with asyncio.timeout(self._patience):
                await scanner.start()
                await watch.check_power()
            self._ladder.started(self._monotonic())
            self._emit(RadioState(Rung.SCANNING, f"{self._mode} scan on {self._adapter}"))
            async with self._connecting(scanner, watch):
                while delay := self._ladder.wait(self._monotonic()):
                    await watch.quiet(delay)
        except bluez.troubles():
            # What the watch saw is the cause of whatever else went wrong.
            watch.check()
            raise
        finally:
            # A scanner that cannot be stopped is given up: closing its bus connection ends its scan.
            with suppress(*bluez.troubles()):
                async with asyncio.timeout(min(_STOP_PATIENCE, self._patience)):
                    await scanner.stop()

    @asynccontextmanager
    async def _connecting(self, scanner: "BleakScanner", watch: "Watch") -> AsyncIterator[None]:
        """Let devices be connected beside the scan."""
        if self._connections is None:
            yield
            return
        self._watch = watch
        try:
            async with self._connections.open(lambda stop: self._still(scanner, watch, stop=stop)):
                yield
        finally:
            self._watch = None

    @asynccontextmanager
    async def _still(self, scanner: "BleakScanner", watch: "Watch", *, stop: bool) -> AsyncIterator[None]:
        """Bear that the scan pauses for a connection, or stop it."""
        from collector.transports import bluez  # noqa: PLC0415 — D-Bus only where it is used

        with watch.connecting():
            if not stop:
                yield
                return
            await scanner.stop()
            try:
                yield
            finally:
                try:
                    await scanner.start()
                    self._ladder.started(self._monotonic())
                except bluez.troubles() as trouble:
                    watch.give_up(bluez.advice(trouble, self._adapter))

    def _make_cancellable(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 — a coroutine always runs in a task
        with self._lock:
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            if self._stopping.is_set():
                task.cancel()

    def _detected(self, device: "BLEDevice", advertisement: "AdvertisementData") -> None:
        if advertisement.rssi == _NO_SIGNAL:
            return
        now = self._monotonic()
        self._ladder.heard(now)
        said: list[Mapping[Any, bytes]] = [advertisement.manufacturer_data, advertisement.service_data]
        if frames := {origin: data for one in said for origin, data in one.items() if origin in ORIGINS}:
            address = device.address.upper()
            self._emit(Advertisement(address, frames, advertisement.local_name, advertisement.rssi, now))
        elif advertisement.service_uuids and (kind := _kind_of(advertisement)) is not None:
            self._emit(
                Connectable(device.address.upper(), kind, advertisement.local_name, advertisement.rssi)
            )
        elif now - self._told_heard >= _HEARD_EVERY:
            self._told_heard = now
            self._emit(Heard(now))


def _kind_of(advertisement: "AdvertisementData") -> str | None:
    return recognise(advertisement.local_name, advertisement.service_uuids, advertisement.manufacturer_data)
