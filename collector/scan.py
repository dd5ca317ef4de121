"""The verb `device_scan`: what all scans share; units of a Modbus bus, chips of an I2C bus.

One scan at a time, progress as it goes, a report at the end; in turn with the devices on the line.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Annotated, Any, Protocol

from msgspec import Meta, Struct

from bus.commands import Code, Refused
from bus.requests import Action, Listing, Part, Parts, Place, Progress, Wait, action
from collector.device import MQTT, TCP, Owned, Readings, baudrate
from collector.devices import I2C, KINDS, LINES, MODBUS
from collector.devices.description import (
    BadRecordError,
    DecodeError,
    I2cKind,
    I2cLine,
    Kind,
    ModbusLine,
    NoAnswerError,
    RefusedError,
    Wire,
)
from collector.polling import LineVerb, PollingSource
from collector.schedule import Cadence, Reporter
from config.addresses import spelt
from config.model import Device

MOST = 200
"""More than a scan lists: an answer is one message."""

Seconds = Annotated[float, Meta(ge=1, le=60)]


class ScanProgress(Struct, frozen=True):
    """How far a scan is, of how much, and what it has just found."""

    done: float
    of: float
    found: list[object]


class Proposal(Struct, frozen=True):
    """A kind and settings that `device_add` takes for it; what no scan can know is still to be added."""

    kind: str
    settings: dict[str, object]


class OneAtATime:
    """Lets a scan run while no other does."""

    def __init__(self) -> None:
        self._running = False

    def run(self, parts: Parts) -> Listing:
        """Return a scan as an answer. Raises Refused(busy)."""
        if self._running:
            raise Refused(Code.BUSY, "a scan is running: wait for its answer")
        self._running = True
        return Listing.whole(self._watched(parts))

    def _watched(self, parts: Parts) -> Parts:
        try:
            yield from parts
        finally:
            self._running = False


class Anything(Struct):
    """Any parameters."""


class Refusing:
    """A verb that this transport does not serve: `why` says so to whoever asks; `check` may refuse first."""

    def __init__(
        self, why: str, params: type[Struct] = Anything, check: Callable[[Any], object] = lambda _asked: None
    ) -> None:
        self._why = why
        self._params = params
        self._check = check

    def action(self) -> Action:
        """Return the verb, which is refused."""

        def refuse(asked: Struct, _place: Place) -> Listing:
            self._check(asked)
            raise Refused(Code.DENIED, self._why)

        return action(self._params, refuse)

    def take(self, event: object) -> None:
        """Do nothing: there is nothing to hear."""


def report(found: list[object]) -> Part:
    """Return the answer of a scan that is done."""
    return Part((), {"found": found[:MOST]})


class LineScan(LineVerb):
    """A scan of a line."""

    def __init__(self, source: PollingSource, readings: Readings) -> None:
        super().__init__(source, readings)
        self._one = OneAtATime()

    def action(self) -> Action:
        """Return the verb device_scan."""
        raise NotImplementedError

    def _found(self, line: str, run: Callable[[Any, float], object]) -> Generator[Wait, None, Any]:
        """Return what a job brings. Raises Refused."""
        answered = yield from self._ask(line, run)
        if answered.why is not None:
            raise Refused(Code.INTERNAL, str(answered.why))
        return answered.found


def placeholder(wire: Wire, settings: Device) -> Owned:
    """Stand for what is not found yet, so that the line of these settings can be had."""
    kind = Kind(wire=wire, name=settings.kind, title="", manufacturer="", rows={}, source="")
    return Owned(settings.kind, settings, kind, Reporter(Cadence(1.0, 1.0, 1.0), {}, 0.0), kind.rows)


_FIRST_BUS = 1
SCAN = "scan"
"""What stands for the kind of a device that is not found yet."""


class AskBus(Struct, forbid_unknown_fields=True):
    """The number of an I2C bus."""

    bus: Annotated[int, Meta(ge=0, le=255)] = 1


class Chip(Struct, frozen=True, omit_defaults=True):
    """An address that answers on an I2C bus; `note` says what it may be besides the kinds."""

    bus: int
    address: str
    kinds: list[str]
    proposals: list[Proposal]
    configured: list[str]
    note: str | None = None


# MCP23017 and MCP23008 have no register that names them.
_EXPANDERS = range(0x20, 0x28)


def _note(address: int) -> str | None:
    if address not in _EXPANDERS:
        return None
    line = f"dtoverlay=mcp23017,addr={address:#04x},noints"
    return (
        f"may be an MCP23017: after {line} in config.txt it has pins for relays and inputs (docs/relays.md)"
    )


class I2cScan(LineScan):
    """Addresses of an I2C bus."""

    def action(self) -> Action:
        """Return the verb device_scan."""
        return action(AskBus, lambda asked, _place: self._one.run(self._parts(asked.bus)))

    def _parts(self, bus: int) -> Parts:
        line = self._source.visit(next(self._on(bus), None) or placeholder(I2C, Device(kind=SCAN, bus=bus)))
        try:
            found = yield from self._found(line, lambda opened, _now: _recognised(opened))
            yield report([self._described(bus, address, kinds) for address, kinds in found.items()])
        finally:
            self._source.leave(line)

    def _described(self, bus: int, address: int, kinds: list[str]) -> Chip:
        ours = [d.id for d in self._on(bus) if getattr(d.poller, "address", None) == address]
        settings: dict[str, object] = {"bus": bus, "address": spelt(address)}
        return Chip(
            bus, f"{address:#04x}", kinds, [Proposal(kind, settings) for kind in kinds], ours, _note(address)
        )

    def _on(self, bus: int) -> Iterator[Owned]:
        for device in self._readings:
            its = _FIRST_BUS if device.settings.bus is None else device.settings.bus
            if isinstance(device.kind, I2cKind) and its == bus:
                yield device


def _chips() -> Iterator[I2cKind]:
    for name, wire, _ in LINES:
        # The others need not be loaded.
        if wire is I2C and isinstance(kind := KINDS[name], I2cKind):
            yield kind


class _ScannedBus(I2cLine, Protocol):
    def scan(self) -> list[int]: ...


def _recognised(bus: _ScannedBus) -> dict[int, list[str]]:
    """Find the chips of a bus, and the kinds that each may be. Raises LineError."""
    return {address: _kinds_at(bus, address) for address in bus.scan()}


def _kinds_at(bus: I2cLine, address: int) -> list[str]:
    may_be = [kind for kind in _chips() if address in kind.addresses]
    sure = [
        kind.name for kind in may_be if kind.recognise is not None and _is_one(kind.recognise, bus, address)
    ]
    return sure or [kind.name for kind in may_be if kind.recognise is None]


def _is_one(recognise: Callable[[I2cLine, int], bool], bus: I2cLine, address: int) -> bool:
    try:
        return recognise(bus, address)
    except DecodeError:
        # It does not answer to that: it is another one.
        return False


Read = Callable[[int, int, int], tuple[int, ...] | None]


class Guess(Protocol):
    """A kind that a unit may be, and the profile if the kind needs one."""

    @property
    def kind(self) -> str:
        """Name the kind."""

    @property
    def profile(self) -> str | None:
        """Name the profile."""


Guesses = Callable[[Read], Sequence[Guess]]
# Guesses and a note; None: the unit is silent.
_Look = tuple[list[Guess], str | None] | None

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


class FoundUnit(Struct, frozen=True):
    """A unit that answers; `guesses` says what it may be, `configured` its id in this house."""

    port: str
    baudrate: int | None
    unit: int
    guesses: list[object]
    proposals: list[Proposal]
    note: str | None
    configured: str | None


class ModbusScan(LineScan):
    """Units of a port or of a TCP gateway; `tcp` says which of the two this collector has."""

    def __init__(self, source: PollingSource, readings: Readings, guesses: Guesses, *, tcp: bool) -> None:
        super().__init__(source, readings)
        self._guesses = guesses
        self._tcp = tcp

    def action(self) -> Action:
        """Return the verb device_scan."""
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
        """List a device for each speed to ask at; those of a port in use ask at its speed alone."""
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
        probes = [Device(kind=SCAN, port=asked.port, baudrate=speed, unit=1) for speed in speeds]
        return [placeholder(MODBUS, probe) for probe in probes]

    def _speed(self, owned: Owned) -> int | None:
        return None if self._tcp else baudrate(owned.settings, owned.poller)

    def _parts(self, port: str, units: range, speeds: list[Owned]) -> Parts:
        found: list[object] = []
        of = len(units) * len(speeds)
        for number, owned in enumerate(speeds):
            line = self._source.visit(owned)
            try:
                for at, unit in enumerate(units, 1):
                    answer = yield from self._found(line, partial(self._look, unit))
                    news = self._described(port, self._speed(owned), unit, answer)
                    found += news
                    yield Progress(ScanProgress(number * len(units) + at, of, news))
            finally:
                self._source.leave(line)
        yield report(found)

    def _look(self, unit: int, line: ModbusLine, _now: float) -> _Look:
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

    def _described(self, port: str, baudrate: int | None, unit: int, found: _Look) -> list[object]:
        if found is None:
            return []
        guesses, note = found
        ours = {
            (d.settings.port, 1 if d.settings.unit is None else d.settings.unit): d.id for d in self._readings
        }
        where = {"port": port, "baudrate": baudrate, "unit": unit}
        proposals = [Proposal(one.kind, _known({"profile": one.profile, **where})) for one in guesses]
        return [FoundUnit(port, baudrate, unit, [*guesses], proposals, note, ours.get((port, unit)))]


def _known(settings: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if value is not None}


def guesses_of(read: Read) -> Sequence[Guess]:
    """Guess what a unit may be, by what it lets read."""
    # All profiles are read for it: only when someone scans.
    from collector.devices.modbus.models import guesses  # noqa: PLC0415 — see above

    return guesses(read)


_NOTHING = {
    "gpio": "a pin does not say what hangs on it: there is nothing to scan",
    MQTT: "what others publish is chosen by [[import]] tables: there is nothing to scan",
}


def nothing_to_scan(transport: str) -> Refusing:
    """Return the scan of a transport that has nothing to scan; its answer says why."""
    return Refusing(_NOTHING[transport])


def scan_of(transport: str, source: PollingSource, readings: Readings) -> LineScan | Refusing:
    """Return the scan of a transport whose devices are asked."""
    if transport == "i2c":
        return I2cScan(source, readings)
    if transport == "host":
        from collector.kernel_scan import KernelScan  # noqa: PLC0415 — it stands on this file

        return KernelScan(source, readings)
    if transport in ("serial", "tcp"):
        return ModbusScan(source, readings, guesses_of, tcp=transport == "tcp")
    return nothing_to_scan(transport)
