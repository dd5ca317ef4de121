"""The verb `device_scan` of the machine's collector: sensors that drivers of the kernel read."""

from msgspec import Struct

from bus.requests import Action, Parts, action
from collector.devices import KERNEL
from collector.devices.description import LineError
from collector.devices.kernel import one_wire, sensor
from collector.devices.lines import KernelLine
from collector.scan import SCAN, LineScan, Proposal, placeholder, report
from config.addresses import spelt
from config.model import Device


class FoundSensor(Struct, frozen=True):
    """A sensor that a driver of the kernel reads; `configured` are its ids in this house."""

    address: str
    model: str
    kinds: list[str]
    proposals: list[Proposal]
    configured: list[str]


class AskNothing(Struct, forbid_unknown_fields=True):
    """A scan that needs no parameters."""


class KernelScan(LineScan):
    """Sensors on 1-Wire, and chips on I2C and SPI, that drivers of the kernel read."""

    def action(self) -> Action:
        """Return the verb device_scan."""
        return action(AskNothing, lambda _asked, _place: self._one.run(self._parts()))

    def _parts(self) -> Parts:
        line = self._source.visit(placeholder(KERNEL, Device(kind=SCAN)))
        try:
            found: list[tuple[str, str, Proposal]] = yield from self.found(line, lambda it, _now: _seen(it))
            yield report([self._described(*one) for one in found])
        finally:
            self._source.leave(line)

    def _described(self, address: str, model: str, proposal: Proposal) -> FoundSensor:
        ours = [one.id for one in self._readings if _reads(one.poller, address, model)]
        return FoundSensor(address, model, [proposal.kind], [proposal], ours)


def _reads(poller: object, address: str, model: str) -> bool:
    match poller:
        case one_wire.OneWire():
            return poller.address == address
        case sensor.KernelSensor():
            return poller.chip == model and poller.place in (None, address)
        case _:
            return False


def _seen(line: KernelLine) -> list[tuple[str, str, Proposal]]:
    try:
        on_wire = one_wire.sensors(line)
    except LineError:
        # It is off, and there may be chips all the same.
        on_wire = []
    found = [(one, one_wire.FAMILIES[one[:2]], Proposal("ds18b20", {"address": one})) for one in on_wire]
    for chip, place in sensor.places(line):
        settings: dict[str, object] = {"chip": chip}
        bus, _, address = place.partition("-")
        if bus.isdigit():
            settings |= {"bus": int(bus), "address": spelt(f"0x{address[-2:]}")}
        found.append((place, chip, Proposal("kernel_sensor", settings)))
    return found
