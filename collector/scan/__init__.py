"""The verb `device_scan`: what all scans share; chips of an I2C bus.

One scan at a time, progress as it goes, a report at the end; in turn with the devices on the line.
"""

from collections.abc import Callable, Generator, Iterator
from typing import Annotated, Any, Protocol

from msgspec import Meta, Struct

from bus.commands import Code, Refused
from bus.requests import Action, Listing, Part, Parts, Place, Wait, action
from collector.device import MQTT, Owned, Readings
from collector.devices import I2C, KINDS, LINES
from collector.devices.description import DecodeError, I2cKind, Kind, Wire
from collector.devices.lines import I2cLine
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


def report(found: list[object], tried: str | None = None) -> Part:
    """Return the answer of a scan that is done; `tried` says what was asked, and what to do next."""
    answer: dict[str, object] = {"found": found[:MOST]}
    return Part((), answer if tried is None else {**answer, "tried": tried})


class LineScan(LineVerb):
    """A scan of a line."""

    def __init__(self, source: PollingSource, readings: Readings) -> None:
        super().__init__(source, readings)
        self._one = OneAtATime()

    def action(self) -> Action:
        """Return the verb device_scan."""
        raise NotImplementedError

    def found(self, line: str, run: Callable[[Any, float], object]) -> Generator[Wait, None, Any]:
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
            found = yield from self.found(line, lambda opened, _now: _recognised(opened))
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


_NOTHING = {
    "gpio": "a pin does not say what hangs on it: there is nothing to scan",
    MQTT: "what others publish is chosen by [[import]] tables: there is nothing to scan",
}


def nothing_to_scan(transport: str) -> Refusing:
    """Return the scan of a transport that has nothing to scan; its answer says why."""
    return Refusing(_NOTHING[transport])
