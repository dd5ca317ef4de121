"""One device that a command reads by itself, without a house or a broker: asked on its line, or heard."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol, Self

from bus.clock import Clock
from bus.health import Journal
from collector.checking import mistakes
from collector.device import Owned, Surroundings, line_of, own
from collector.devices.description import Decoded, Wire
from collector.polling import Answered, Worker, WorkerGone, verb_job
from collector.read import Raw, recorded_poll
from config.mistakes import ConfigError, Mistake
from config.model import Ble, Device, Settings

if TYPE_CHECKING:
    from collector.transports.radio import Radio

log = logging.getLogger(__name__)

# A question may last as long as a meter's joining; an end does not wait for it.
_CLOSING_S = 5.0
# A meter tells of a day in each answer, of a week at most.
_MOST_DAYS = 9


class EndedError(Exception):
    """Somebody asked to end."""


@dataclass(frozen=True, slots=True)
class Got:
    """What came of asking a device: what it said at `ts`, ms since 1970 UTC, or `why` it said nothing."""

    ts: int
    found: Decoded | None
    why: str | None = None
    raw: list[Raw] = field(default_factory=list)


class _Source(Protocol):
    """A device on its line, or on the radio; it tells by events."""

    def open(self) -> None:
        """Make the line usable, which may take minutes; a Got tells how it went."""

    def ask(self) -> float:
        """Ask for the device's values; returns how many seconds it may take, then `give_up`."""

    def take(self, event: object) -> Got | None:
        """Take an event; returns what an `open` or `ask` brought, once."""

    def give_up(self) -> Got:
        """Say why nothing came."""

    def close(self) -> None:
        """Let go of the line."""


_END = object()


class Direct:
    """A device that this process reads alone; use it in a with block. `end` may be called by a signal."""

    def __init__(self, owned: Owned, make: Callable[[Callable[[object], None]], _Source]) -> None:
        self.owned = owned
        self._events: SimpleQueue[object] = SimpleQueue()
        self._source = make(self._events.put)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def end(self) -> None:
        """Have what is being done now raise EndedError."""
        self._events.put(_END)

    def open(self) -> Got:
        """Open the line; returns without values. Raises EndedError."""
        self._source.open()
        return self._until(float("inf"))

    def read(self) -> Got:
        """Ask the device now, until it has told what it remembers. Raises EndedError."""
        got = self._until(time.monotonic() + self._source.ask())
        for _ in range(_MOST_DAYS):
            if got.found is None or not getattr(self.owned.poller, "remembers_more", False):
                break
            more = self._until(time.monotonic() + self._source.ask())
            got = got if more.found is None else more
        if got.found is not None:
            self.owned.learn(got.found)
        return got

    def rest(self, seconds: float) -> None:
        """Wait, but keep listening. Raises EndedError."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._source.take(self._next(left))

    def _until(self, deadline: float) -> Got:
        while (left := deadline - time.monotonic()) > 0:
            if (got := self._source.take(self._next(left))) is not None:
                return got
        return self._source.give_up()

    def _next(self, seconds: float) -> object:
        try:
            event = self._events.get(timeout=None if seconds == float("inf") else seconds)
        except Empty:
            return None
        if event is _END:
            raise EndedError
        return event


class _Asked:
    """A device on a line that a worker opens and asks."""

    def __init__(self, owned: Owned, around: Surroundings, emit: Callable[[object], None]) -> None:
        self._owned, self._around, self._emit = owned, around, emit
        self._worker = self._start()
        self._raw: list[Raw] = []

    def _start(self) -> Worker:
        name, make = line_of(self._owned, self._around)
        worker = Worker(name, make(), emit=self._emit, monotonic=time.monotonic)
        worker.start()
        return worker

    def open(self) -> None:
        self._worker.do(verb_job(self, lambda _line, _now: None))

    def ask(self) -> float:
        self._raw = []
        self._worker.do(verb_job(self, recorded_poll(self._owned, self._raw)))
        return float("inf")

    def take(self, event: object) -> Got | None:
        if isinstance(event, WorkerGone):
            self._worker = self._start()
            return Got(_wall(time.monotonic()), None, event.message)
        if not isinstance(event, Answered):
            return None
        for one in self._raw:
            log.debug("%s -> %s", one.asked, one.answer)
        why = None if event.why is None else str(event.why)
        return Got(_wall(event.at), event.found, why, self._raw)

    def give_up(self) -> Got:
        return Got(_wall(time.monotonic()), None, "no answer")

    def close(self) -> None:
        self._worker.stop()
        self._worker.join(_CLOSING_S)


class _Heard:
    """A device on the radio: its newest values, while they are not too old."""

    def __init__(
        self, owned: Owned, ble: Ble, tell: Callable[[str], None], emit: Callable[[object], None]
    ) -> None:
        from collector.listening import ListeningSource  # noqa: PLC0415 — only for Bluetooth

        self._owned, self._ble, self._tell, self._emit = owned, ble, tell, emit
        self.clock = Clock(lambda: time.time_ns() // 1_000_000, time.monotonic, lambda: "ok")
        self.journal = Journal()
        self._newest: tuple[Decoded, float] | None = None
        self._complaint: str | None = None
        self._waiting = False
        self._source = ListeningSource(self, emit=emit)
        self._source.add(owned)
        self._radio: Radio | None = None

    def open(self) -> None:
        self._start()
        self._emit(Got(_wall(time.monotonic()), None))

    def ask(self) -> float:
        self._start()
        self._waiting = True
        patience = self._owned.reporter.cadence.timeout
        if self._newest is None:
            self._tell(f"listening for it, up to {patience:g} s")
        # What was heard already is told at once.
        self._emit(None)
        return patience

    def take(self, event: object) -> Got | None:
        from collector.transports.radio import RadioGone  # noqa: PLC0415 — only for Bluetooth

        if isinstance(event, Got):
            return event
        if isinstance(event, RadioGone):
            # The next question begins with a new radio.
            self._radio, self._complaint = None, event.message
        elif event is not None:
            self._source.handle(event)
        if not self._waiting or self._newest is None:
            return None
        found, at = self._newest
        if time.monotonic() - at > self._owned.reporter.cadence.timeout:
            return None
        self._waiting = False
        return Got(_wall(at), found)

    def give_up(self) -> Got:
        self._waiting = False
        return Got(_wall(time.monotonic()), None, self._complaint or self._source.why_silent(self._owned.id))

    def close(self) -> None:
        if self._radio is not None:
            self._radio.stop()

    def said(self, device: Owned, decoded: Decoded, at: float) -> None:
        """Keep what the device said."""
        del device
        self._newest, self._complaint = (decoded, at), None

    def complain(self, device: Owned, text: str) -> None:
        """Keep what is wrong with what the device says."""
        del device
        self._complaint = text

    def _start(self) -> None:
        from collector.transports.radio import Ladder, Radio  # noqa: PLC0415 — only for Bluetooth

        if self._radio is None:
            ladder = Ladder(silence=self._ble.watchdog)
            self._radio = Radio(self._ble.adapter, self._ble.mode, self._emit, ladder=ladder)
            self._radio.start()


def _wall(at: float) -> int:
    """Return the wall time of a monotonic second, ms since 1970 UTC."""
    return (time.time_ns() - round((time.monotonic() - at) * 1e9)) // 1_000_000


def open_device(
    settings: Settings,
    name: str,
    device: Device,
    *,
    where: str,
    table: str = "",
    around: Surroundings | None = None,
) -> Direct:
    """Make a device to be read; its settings stand in `table` of `where`. Raises ConfigError."""
    if found := [Mistake(where, f"{table}{k}", w, a) for k, w, a in mistakes(name, device)]:
        raise ConfigError(found)
    owned, place = own(settings, name, device, 0.0), around or Surroundings()
    if owned.kind.wire is Wire.BLE:
        return Direct(owned, lambda emit: _Heard(owned, settings.ble, place.tell, emit))
    return Direct(owned, lambda emit: _Asked(owned, place, emit))


@dataclass(frozen=True, slots=True)
class ProfileReading:
    """What one poll brought: questions and answers, values and their units, or what went wrong."""

    raw: list[Raw]
    values: dict[str, float | str | None]
    units: dict[str, str | None]
    problem: str | None


def read_profile(profile: str, port: str, unit: int | None) -> ProfileReading:
    """Read the device at a port once, by a profile. Raises ConfigError."""
    device = Device(kind="modbus", profile=profile, port=port, unit=unit)
    with open_device(Settings(), "read", device, where=profile) as direct:
        got = direct.read()
    said = {} if got.found is None else got.found.values
    values = {entity: float(value) if isinstance(value, int) else value for entity, value in said.items()}
    units = {entity: row.entity.unit for entity, row in direct.owned.rows.items()}
    return ProfileReading(got.raw, values, units, got.why)
