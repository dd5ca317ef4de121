"""The verb `read`: one device now, as bytes and as values; of the radio the last frame that was heard."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from bus.clock import Clock
from bus.commands import Code, Refused
from bus.messages import Value, to_iso
from bus.requests import Action, Listing, Part, Parts, Place, Wait, action
from collector.device import Owned
from collector.device_store import Which
from collector.devices.description import BleKind, Decoded, DecodeError, Line
from collector.devices.rows import RSSI
from collector.polling import Failure, Job
from collector.readings import Readings
from collector.transports.radio import Advertisement

# Characters of a raw answer, and how many questions are told: an answer has bounds.
_LONGEST, _MOST = 400, 60


class Raw(Struct, frozen=True):
    """One question to the device and what came back; bytes are hexadecimal."""

    asked: str
    answer: str


class Now(Struct, frozen=True):
    """A device as it was read at `ts`; `problem` says why values are missing."""

    device: str
    ts: str
    raw: list[Raw]
    values: dict[str, Value]
    problem: str | None = None


class Reader(Protocol):
    """The verb, which listens to what the transport tells."""

    def action(self) -> Action:
        """The verb read."""

    def take(self, event: object) -> None:
        """Take an event, its own or not."""


class LastFrames:
    """Devices of the radio: the last frame of each."""

    def __init__(self, readings: Readings, *, clock: Clock) -> None:
        self._readings = readings
        self._clock = clock
        self._frames: dict[str, Advertisement] = {}

    def action(self) -> Action:
        """The verb read."""
        return action(Which, lambda asked, _place: Listing.whole(self._parts(asked.device)))

    def take(self, event: object) -> None:
        """Keep the newest frame of each device of ours."""
        if isinstance(event, Advertisement) and event.address in self._addresses():
            self._frames[event.address] = event

    def _addresses(self) -> set[str]:
        return {str(device.settings.address).upper() for device in self._readings}

    def _parts(self, name: str) -> Parts:
        device = ours(self._readings, name)
        frame = self._frames.get(str(device.settings.address).upper())
        if frame is None:
            raise Refused(Code.OFFLINE, f"{name} was not heard since the start: is it in range?")
        assert isinstance(device.kind, BleKind)  # noqa: S101 — device.transport sorted them
        raw = [Raw(f"advertisement of {frame.address}, {frame.rssi} dBm", frame.data.hex())]
        ts = to_iso(self._clock.wall() - int((self._clock.monotonic() - frame.at) * 1000))
        try:
            values = dict(device.kind.decode(frame.data, device.key).values) | {RSSI: frame.rssi}
            yield Part((), Now(name, ts, raw, values))
        except DecodeError as error:
            yield Part((), Now(name, ts, raw, {}, str(error)))


class Asks(Protocol):
    """The source of devices that are asked."""

    def visit(self, device: Owned) -> str:
        """Have a device's line, until `leave`; returns its name."""

    def leave(self, line: str) -> None:
        """Be done with a line."""

    def put(self, line: str, job: Job) -> None:
        """Have a job done on a line."""


class Answered(Struct, frozen=True):
    """What one poll brought: bytes, and values or why there are none; `at` in monotonic seconds."""

    device: str
    raw: list[Raw]
    decoded: Decoded | None
    at: float
    why: Failure | None


class AskNow:
    """Devices that are asked: one poll more, in turn with those of its line; its values are published."""

    def __init__(self, source: Asks, readings: Readings, *, clock: Clock) -> None:
        self._source = source
        self._readings = readings
        self._clock = clock
        # By device; None: still asked.
        self._told: dict[str, Answered | None] = {}

    def action(self) -> Action:
        """The verb read."""
        return action(Which, lambda asked, _place: Listing.whole(self._parts(asked.device)))

    def take(self, event: object) -> None:
        """Take what a poll brought."""
        if isinstance(event, Answered) and event.device in self._told:
            self._told[event.device] = event

    def _parts(self, name: str) -> Parts:
        device = ours(self._readings, name)
        if name in self._told:
            raise Refused(Code.BUSY, f"{name} is being read: wait for that answer")
        self._told[name] = None
        line = self._source.visit(device)
        try:
            self._source.put(line, poll_job(device))
            while (told := self._told[name]) is None:
                yield Wait.WAIT
        finally:
            del self._told[name]
            self._source.leave(line)
        ts = to_iso(self._clock.wall() - int((self._clock.monotonic() - told.at) * 1000))
        if told.decoded is None:
            yield Part((), Now(name, ts, told.raw, {}, str(told.why)))
            return
        if self._readings.get(name) is device:
            # What it remembers is told once: it must not be lost.
            self._readings.said(device, told.decoded, told.at)
        yield Part((), Now(name, ts, told.raw, dict(told.decoded.values)))


def poll_job(device: Owned) -> Job:
    """Return a poll of a device that notes every request and its answer."""
    poller = device.poller
    assert poller is not None  # noqa: S101 — devices that are asked have one
    raw: list[Raw] = []

    def run(line: Line, now: float) -> object:
        return Answered(device.id, raw, poller.poll(_Recorded(line, raw), now), now, None)

    return Job(run, lambda why, at: Answered(device.id, raw, None, at, why))


class _Recorded:
    """A line that notes what is asked and answered."""

    def __init__(self, line: Line, raw: list[Raw]) -> None:
        self._line = line
        self._raw = raw

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 — whatever the line has
        found = getattr(self._line, name)
        return self._noted(name, found) if callable(found) else found

    def _noted(self, name: str, method: Callable[..., object]) -> Callable[..., object]:
        def ask(*arguments: object, **options: object) -> object:
            answer = method(*arguments, **options)
            if len(self._raw) < _MOST:
                given = (*map(shown, arguments), *(f"{key}={shown(one)}" for key, one in options.items()))
                self._raw.append(Raw(f"{name}({', '.join(given)})"[:_LONGEST], shown(answer)[:_LONGEST]))
            return answer

        return ask


def shown(value: object) -> str:
    """What a line gave, as text: bytes in hexadecimal."""
    match value:
        case bytes() | bytearray():
            return value.hex() or "(nothing)"
        case Mapping():
            return "{" + ", ".join(f"{shown(key)}: {shown(one)}" for key, one in value.items()) + "}"
        case str():
            return value
        case Sequence():
            return "[" + " ".join(map(shown, value)) + "]"
        case _:
            return str(value)


class NoReader:
    """Where nothing can be read by itself; `why` says so."""

    def __init__(self, readings: Readings, why: str) -> None:
        self._readings = readings
        self._why = why

    def action(self) -> Action:
        """The verb, which is refused."""

        def refuse(asked: Which, _place: Place) -> Listing:
            ours(self._readings, asked.device)
            raise Refused(Code.DENIED, self._why)

        return action(Which, refuse)

    def take(self, event: object) -> None:
        """There is nothing to hear."""


def ours(readings: Readings, name: str) -> Owned:
    """A device of this collector. Raises Refused."""
    device = readings.get(name)
    if device is None:
        listed = ", ".join(sorted(one.id for one in readings)) or "none"
        raise Refused(
            Code.NOT_FOUND, f"device: there is no {name[:64]!r} here; this collector reads {listed}"
        )
    return device
