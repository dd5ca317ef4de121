"""The verb `device_scan` of serial ports and of Modbus TCP: VE.Direct devices, and Modbus units."""

import re
from collections.abc import Callable, Generator
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct

from bus.commands import Code, Refused
from bus.requests import Action, Listing, Parts, Place, Progress, Wait, action
from collector.device import Owned, Readings
from collector.devices import MODBUS, VE_DIRECT
from collector.devices.lines import VeDirectLine
from collector.lines import baudrate
from collector.polling import PollingSource
from collector.read import Speaker, heard_on
from collector.scan import (
    SCAN,
    I2cScan,
    LineScan,
    Proposal,
    Refusing,
    ScanProgress,
    nothing_to_scan,
    placeholder,
    report,
)
from collector.scan.kernel import KernelScan
from collector.scan.survey import (
    GARBLED,
    READING,
    Examined,
    Examiner,
    Guess,
    Guesses,
    Read,
    RollCall,
    hurried,
    may_be_one,
    serials,
)
from config.addresses import NETWORK
from config.model import Device

BAUDRATES = (9600, 19200, 115200)
"""Those tried on a port that no device is on, until something answers."""

USUAL = (*range(1, 11), 71, 126, 240, 247)
"""Units that makers give their devices: the first ten, Kostal, SMA by SunSpec, Fronius' meter, GoodWe."""

# By TCP a device that is no gateway may be asked by these (MODBUS Messaging on TCP/IP, 4.4.1.4).
_OF_TCP = (0, 255)
_UNITS = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?")
# A VE.Direct device sends its blocks once a second.
_BLOCKS_S = 2.2
# The last unit is waited for longer: answers that come late are heard meanwhile.
_LAST_S = 1.0


class AskUnits(Struct, forbid_unknown_fields=True):
    """A port, the units to ask there (those that makers use if left out), and at which speeds."""

    port: Annotated[str, Meta(min_length=1, max_length=256)]
    units: (
        Annotated[str, Meta(pattern=r"^[0-9]{1,3}(-[0-9]{1,3})?(,[0-9]{1,3}(-[0-9]{1,3})?){0,15}$")] | None
    ) = None
    baudrates: (
        Annotated[tuple[Annotated[int, Meta(ge=300, le=4_000_000)], ...], Meta(min_length=1, max_length=8)]
        | None
    ) = None


class FoundUnit(Struct, frozen=True):
    """What answers on a port; `guesses` says what it may be, `configured` its id in this house.

    A VE.Direct device has no unit.
    """

    port: str
    baudrate: int | None
    unit: int | None
    guesses: list[object]
    proposals: list[Proposal]
    note: str | None
    configured: str | None


class Heard(Struct, frozen=True):
    """A guess at what speaks by itself."""

    kind: str
    profile: str | None
    confidence: str
    model: str | None


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
        if asked.port.startswith(tuple(NETWORK)) is not self._tcp:
            other, how = ("serial", "without") if self._tcp else ("tcp", "with")
            raise Refused(
                Code.INVALID,
                f"port: one {how} {' or '.join(NETWORK)} in front is scanned by collector_{other}",
            )
        units = units_of(asked.units, tcp=self._tcp)
        return self._one.run(self._parts(asked, units, self._speeds(asked)))

    def _speeds(self, asked: AskUnits) -> list[Owned]:
        """List a device for each speed to ask at; those of a port in use ask at its speed alone."""
        users = self._users(asked.port)
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

    def _users(self, port: str) -> list[Owned]:
        return [device for device in self._readings if device.settings.port == port]

    def _speed(self, owned: Owned) -> int | None:
        return None if self._tcp else baudrate(owned.settings, owned.poller)

    def _parts(self, asked: AskUnits, units: list[int], speeds: list[Owned]) -> Parts:
        port, free = asked.port, not self._tcp and not self._users(asked.port)
        found: list[object] = []
        of = len(units) * len(READING) * len(speeds) + free
        if free:
            found += yield from self._by_itself(port)
            yield Progress(ScanProgress(1, of, list(found)))
        for number, owned in enumerate(speeds):
            if found and ((free and asked.baudrates is None) or number == 0):
                # A cable has one device that speaks, a bus one speed.
                break
            done = free + number * len(units) * len(READING)
            found += yield from self._at(port, owned, units, partial(ScanProgress, of=of), done)
        yield report(found, None if found else _nothing(asked, units, speeds, tcp=self._tcp))

    def _by_itself(self, port: str) -> Generator[Wait, None, list[object]]:
        """Listen for a VE.Direct device, which must be done before anything is sent."""

        def listen(cable: VeDirectLine, _now: float) -> Speaker:
            hurried(cable, _BLOCKS_S)
            return heard_on(cable)

        line = self._source.visit(placeholder(VE_DIRECT, Device(kind=SCAN, port=port)))
        try:
            speaker: Speaker = yield from self.found(line, listen)
        finally:
            self._source.leave(line)
        if speaker.kind is None:
            return []
        guess = Heard(speaker.kind, None, "certain", speaker.model)
        proposals = [Proposal(speaker.kind, {"port": port})]
        return [FoundUnit(port, None, None, [guess], proposals, speaker.note, None)]

    def _at(
        self, port: str, owned: Owned, units: list[int], step: "partial[ScanProgress]", done: int
    ) -> Generator[Wait | Progress, None, list[object]]:
        """Ask all units at one speed, and examine those that answer."""
        speed, found = self._speed(owned), list[object]()
        call = RollCall("://" in port, self._readings.clock.monotonic)
        examiner = Examiner(self._guesses, port, speed)
        line = self._source.visit(owned)
        try:
            yield from self._call(line, call, units, lambda asked: step(done=done + asked, found=[]))
            done += len(READING) * len(units)
            for one in (yield from self._devices(line, call, units, examiner)):
                found.append(self._described(examiner, one, port, speed))
                yield Progress(step(done=done, found=found[-1:]))
            for unit in sorted(call.garbled):
                found.append(FoundUnit(port, speed, unit, [], [], GARBLED, self._ours(port, [unit])))
                yield Progress(step(done=done, found=found[-1:]))
        finally:
            self._source.leave(line)
        return found

    def _call(
        self, line: str, call: RollCall, units: list[int], step: Callable[[int], ScanProgress]
    ) -> Generator[Wait | Progress]:
        """Ask all units by one function, then those that were silent by the other."""
        for turn, function in enumerate(READING):
            if turn and not call.there:
                call.pace.hasten()
            for number, unit in enumerate(units, 1):
                if call.open(unit):
                    least = _LAST_S if unit == units[-1] else 0.0
                    yield from self.found(line, partial(call.ask, unit, function, least))
                yield Progress(step(turn * len(units) + number))
            if call.far and call.there and (yield from self.found(line, call.settle)):
                # The gateway waits for each silent unit: all of them once more would take long.
                return

    def _devices(
        self, line: str, call: RollCall, units: list[int], examiner: Examiner
    ) -> Generator[Wait, None, list[Examined]]:
        """Examine the units that answered; one device that answers for several is one."""
        found: list[Examined] = []
        crowd = may_be_one(units, call.there)
        for unit in (one for one in units if one in call.there):
            known = next((o for o in found if o.answers), None) if crowd or unit in _OF_TCP else None
            if known is not None and (yield from self.found(line, partial(examiner.same, known, unit))):
                known.also.append(unit)
                continue
            one: Examined = yield from self.found(line, partial(examiner.examine, unit))
            mine = {*serials(one)}
            # Those that let nothing be read are the words of one gateway.
            twin = next((o for o in found if mine & {*serials(o)} or not (one.answers or o.answers)), None)
            if twin is None:
                found.append(one)
            else:
                twin.also.append(unit)
        return found

    def _described(self, examiner: Examiner, one: Examined, port: str, speed: int | None) -> FoundUnit:
        unit, notes = _choose(one)
        proposals = [Proposal(guess.kind, examiner.settings(guess, unit)) for guess in one.guesses]
        note = "; ".join([*notes, *one.notes]) or None
        ours = self._ours(port, [one.unit, *one.also])
        return FoundUnit(port, speed, unit, [*one.guesses], proposals, note, ours)

    def _ours(self, port: str, units: list[int]) -> str | None:
        for device in self._users(port):
            if (1 if device.settings.unit is None else device.settings.unit) in units:
                return device.id
        return None


def units_of(wanted: str | None, *, tcp: bool) -> list[int]:
    """List the units to ask, those that makers use first. Raises Refused."""
    if wanted is None:
        return [*USUAL, *_OF_TCP * tcp]
    allowed = {*range(1, 248), *_OF_TCP * tcp}
    found: set[int] = set()
    for part in _UNITS.finditer(wanted):
        first, last = int(part[1]), int(part[2] or part[1])
        these = set(range(first, last + 1))
        if not these or not these <= allowed:
            text = "0 to 247 and 255" if tcp else "1 to 247"
            raise Refused(Code.INVALID, f"units: allowed are numbers of {text}, such as 1-10,126")
        found |= these
    usual = [unit for unit in (*USUAL, *_OF_TCP) if unit in found]
    return usual + sorted(found.difference(usual))


def _choose(one: Examined) -> tuple[int, list[str]]:
    """Choose the unit of a device that answers as several: its maker's, else the first; and say so."""
    if not one.also:
        return one.unit, []
    # All profiles were read for the guesses.
    from collector.devices.modbus.models import usual_unit  # noqa: PLC0415 — only when someone scans

    units = [one.unit, *one.also]
    maker = next(
        (at for guess in one.guesses if (at := usual_unit(guess.kind, guess.profile, guess.model)) in units),
        None,
    )
    listed = ", ".join(map(str, units))
    text = f"one device, which answers as unit {listed}" if one.answers else f"as unit {listed}"
    return (
        (units[0], [text])
        if maker is None or not one.guesses
        else (maker, [f"{text}; its maker uses {maker}"])
    )


def _nothing(asked: AskUnits, units: list[int], speeds: list[Owned], *, tcp: bool) -> str:
    """Say what was asked in vain, and what to do next."""
    at = " and ".join(str(one.settings.baudrate) for one in speeds if one.settings.baudrate)
    tried = f"asked {len(units)} units ({_ranges(units)}) on {asked.port}{at and f' at {at} bit/s'}"
    if tcp:
        check = "is Modbus TCP switched on in the device, and is no other program connected to it?"
    else:
        check = "is the device on, are A and B not exchanged, has it another baud rate?"
        tried += ", and listened for VE.Direct"
    more = "" if asked.units else " With units 1-247 all are asked, which takes minutes"
    return f"{tried}; next: {check}{more}"


def _ranges(units: list[int]) -> str:
    found: list[list[int]] = []
    for unit in sorted(units):
        if found and unit == found[-1][1] + 1:
            found[-1][1] = unit
        else:
            found.append([unit, unit])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def guesses_of(read: Read) -> list[Guess]:
    """Guess what a unit may be, by what it lets read."""
    # All profiles are read for it: only when someone scans.
    from collector.devices.modbus.models import guesses  # noqa: PLC0415 — see above

    return [*guesses(read)]


def scan_of(transport: str, source: PollingSource, readings: Readings) -> LineScan | Refusing:
    """Return the scan of a transport whose devices are asked."""
    if transport == "i2c":
        return I2cScan(source, readings)
    if transport == "host":
        return KernelScan(source, readings)
    if transport in ("serial", "tcp"):
        return ModbusScan(source, readings, guesses_of, tcp=transport == "tcp")
    return nothing_to_scan(transport)
