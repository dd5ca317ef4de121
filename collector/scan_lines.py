"""device_scan of lines: units of a Modbus bus, chips of an I2C bus, in turn with the devices on them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from msgspec import Meta, Struct

from bus.commands import Code, Refused
from bus.requests import Action, Listing, Parts, Place, Progress, Wait, action
from collector.device import TCP, Owned, baudrate
from collector.devices import I2C, KINDS, LINES, MODBUS
from collector.devices.description import (
    BadRecordError,
    I2cKind,
    Kind,
    Line,
    ModbusLine,
    NoAnswerError,
    RefusedError,
    Wire,
)
from collector.polling import Failure, Job, PollingSource
from collector.readings import Readings
from collector.reporting import Cadence, Reporter
from collector.scanning import OneAtATime, Step, report
from config.model import Device


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a job of a scan brought; `ticket` is the scan's."""

    ticket: object
    value: object
    why: Failure | None


class LineScan:
    """A scan of a line."""

    def __init__(self, source: PollingSource, readings: Readings) -> None:
        self._source = source
        self._readings = readings
        self._one = OneAtATime()
        self._ticket: object = None
        self._told: _Asked | None = None

    def take(self, event: object) -> None:
        """Take what a job brought."""
        if isinstance(event, _Asked) and event.ticket is self._ticket:
            self._told = event

    def _put(self, line: str, run: Callable[[Any], object]) -> None:
        ticket = self._ticket = object()
        self._told = None
        self._source.put(
            line,
            Job(
                lambda opened, _now: _Asked(ticket, run(opened), None),
                lambda why, _now: _Asked(ticket, None, why),
            ),
        )

    def _answer(self) -> object:
        assert self._told is not None  # noqa: S101 — whoever put the job waited for it
        if self._told.why is not None:
            raise Refused(Code.INTERNAL, str(self._told.why))
        return self._told.value


def _placeholder(wire: Wire, settings: Device) -> Owned:
    """Stand for what is not found yet, so that the line of these settings can be had."""
    kind = Kind(wire=wire, name=settings.kind, title="", manufacturer="", rows={}, source="")
    return Owned(settings.kind, settings, kind, Reporter(Cadence(1.0, 1.0, 1.0), {}, 0.0), kind.rows)


_FIRST_BUS = 1
_SCAN = "scan"


class AskBus(Struct, forbid_unknown_fields=True):
    """The number of an I2C bus."""

    bus: Annotated[int, Meta(ge=0, le=255)] = 1


class Chip(Struct, frozen=True):
    """An address that answers on an I2C bus."""

    bus: int
    address: str
    kinds: list[str]
    configured: list[str]


class _Scannable(Line, Protocol):
    def scan(self) -> list[int]:
        """The addresses that answer."""


class I2cScan(LineScan):
    """Addresses of an I2C bus."""

    def action(self) -> Action:
        """The verb device_scan."""
        return action(AskBus, lambda asked, _place: self._one.run(self._parts(asked.bus)))

    def _parts(self, bus: int) -> Parts:
        line = self._source.visit(next(self._on(bus), None) or _placeholder(I2C, Device(kind=_SCAN, bus=bus)))
        try:
            self._put(line, _addresses)
            while self._told is None:
                yield Wait.WAIT
            answer = self._answer()
            assert isinstance(answer, list)  # noqa: S101 — _addresses gave it
            yield report([self._described(bus, address) for address in answer])
        finally:
            self._source.leave(line)

    def _described(self, bus: int, address: int) -> Chip:
        kinds = [kind.name for kind in _chips() if address in kind.addresses]
        ours = [d.id for d in self._on(bus) if getattr(d.poller, "address", None) == address]
        return Chip(bus, f"{address:#04x}", kinds, ours)

    def _on(self, bus: int) -> Iterator[Owned]:
        for device in self._readings:
            its = _FIRST_BUS if device.settings.bus is None else device.settings.bus
            if isinstance(device.kind, I2cKind) and its == bus:
                yield device


def _addresses(line: _Scannable) -> list[int]:
    return line.scan()


def _chips() -> Iterator[I2cKind]:
    for name, wire, _ in LINES:
        # The others need not be loaded.
        if wire is I2C and isinstance(kind := KINDS[name], I2cKind):
            yield kind


Read = Callable[[int, int, int], tuple[int, ...] | None]
Guesses = Callable[[Read], Sequence[object]]

BAUDRATES = (9600, 19200, 115200)
"""Those tried on a port that no device is on."""

_GARBLED = "answers, but garbled: is the baud rate another, or do two units have this number?"
# Functions that read registers; there are units that are silent about the one or the other.
_READING = (3, 4)
# One that keeps silent about what it does not know would hold up the others on its line.
_PATIENCE = 3


class AskUnits(Struct, forbid_unknown_fields=True):
    """A port, the units to ask there, and at which speeds."""

    port: Annotated[str, Meta(min_length=1, max_length=256)]
    units: Annotated[str, Meta(pattern=r"^[0-9]{1,3}(-[0-9]{1,3})?$")] = "1-10"
    baudrates: (
        Annotated[tuple[Annotated[int, Meta(ge=300, le=4_000_000)], ...], Meta(min_length=1, max_length=8)]
        | None
    ) = None


class Unit(Struct, frozen=True):
    """A unit that answers; `guesses` says what it may be, `configured` its id in this house."""

    port: str
    baudrate: int | None
    unit: int
    guesses: list[object]
    note: str | None
    configured: str | None


class ModbusScan(LineScan):
    """Units of a port or of a TCP gateway; `tcp` says which of the two this collector has."""

    def __init__(self, source: PollingSource, readings: Readings, guesses: Guesses, *, tcp: bool) -> None:
        super().__init__(source, readings)
        self._guesses = guesses
        self._tcp = tcp

    def action(self) -> Action:
        """The verb device_scan."""
        return action(AskUnits, self._start)

    def _start(self, asked: AskUnits, _place: Place) -> Listing:
        if asked.port.startswith(TCP) is not self._tcp:
            other, how = ("serial", "without") if self._tcp else ("tcp", "with")
            raise Refused(Code.INVALID, f"port: one {how} {TCP} in front is scanned by collector_{other}")
        first, _, last = asked.units.partition("-")
        units = range(int(first), int(last or first) + 1)
        if not units or units[0] < 1 or units[-1] > 247:
            raise Refused(Code.INVALID, "units: allowed is a number of 1 to 247, or two such as 1-10")
        return self._one.run(self._parts(asked.port, units, self._speeds(asked)))

    def _speeds(self, asked: AskUnits) -> list[Owned]:
        """A device for each speed to ask at; those of a port in use ask at its speed alone."""
        users = [device for device in self._readings if device.settings.port == asked.port]
        if users:
            if not all(device.kind.wire is MODBUS for device in users):
                raise Refused(Code.DENIED, f"port: {users[0].id} has it for itself")
            if asked.baudrates not in (None, (self._speed(users[0]),)):
                raise Refused(
                    Code.DENIED, f"baudrates: {users[0].id} sets the speed of this port: leave it out"
                )
            return users[:1]
        speeds = (None,) if self._tcp else asked.baudrates or BAUDRATES
        probes = [Device(kind=_SCAN, port=asked.port, baudrate=speed, unit=1) for speed in speeds]
        return [_placeholder(MODBUS, probe) for probe in probes]

    def _speed(self, owned: Owned) -> int | None:
        return None if self._tcp else baudrate(owned.settings, owned.poller)

    def _parts(self, port: str, units: range, speeds: list[Owned]) -> Parts:
        found: list[object] = []
        of = len(units) * len(speeds)
        for number, owned in enumerate(speeds):
            line = self._source.visit(owned)
            try:
                for at, unit in enumerate(units, 1):
                    self._put(line, lambda opened, unit=unit: self._look(opened, unit))  # type: ignore[misc]  # a bound default
                    while self._told is None:
                        yield Wait.WAIT
                    news = self._described(port, self._speed(owned), unit)
                    found += news
                    yield Progress(Step(number * len(units) + at, of, news))
            finally:
                self._source.leave(line)
        yield report(found)

    def _look(self, line: ModbusLine, unit: int) -> tuple[list[object], str | None] | None:
        """Guesses and a note, None if the unit is silent; on the line's thread."""
        silences = 0

        def read(function: int, address: int, count: int) -> tuple[int, ...] | None:
            nonlocal silences
            if silences >= _PATIENCE:
                return None
            try:
                return line.registers(unit, function, address, count)
            except NoAnswerError:
                silences += 1
                return None
            except (RefusedError, BadRecordError):
                return None

        for function in _READING:
            try:
                line.registers(unit, function, 0, 1)
            except NoAnswerError:
                continue
            except BadRecordError:
                return [], _GARBLED
            except RefusedError:
                # It is there; it only has no such register.
                break
            break
        else:
            return None
        return list(self._guesses(read)), None

    def _described(self, port: str, baudrate: int | None, unit: int) -> list[object]:
        answer = self._answer()
        if not isinstance(answer, tuple):
            return []
        guesses, note = answer
        ours = {(d.settings.port, d.settings.unit or 1): d.id for d in self._readings}
        return [Unit(port, baudrate, unit, guesses, note, ours.get((port, unit)))]


def guesses_of(read: Read) -> Sequence[object]:
    """What a unit may be, by what it lets read."""
    # All profiles are read for it: only when someone scans.
    from collector.devices.modbus.device import guesses  # noqa: PLC0415 — see above

    return guesses(read)
