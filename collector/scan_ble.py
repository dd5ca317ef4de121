"""device_scan of the radio: who is on the air, and what it may be; the radio listens all the time anyway."""

from dataclasses import dataclass

from msgspec import Struct

from bus.clock import Clock
from bus.requests import Action, Listing, Parts, Place, Progress, Wait, action
from collector.devices import KINDS
from collector.devices.victron.ble import Recognised, recognise
from collector.readings import Readings
from collector.scanning import MOST, OneAtATime, Seconds, Step, report
from collector.transports.radio import Advertisement


class Listen(Struct, forbid_unknown_fields=True):
    """How long."""

    seconds: Seconds = 10.0


class Heard(Struct, frozen=True):
    """One device on the air; `rssi` is the best, dBm; `configured` is its id in this house."""

    address: str
    name: str | None
    what: str
    model: str | None
    kind: str | None
    rssi: int
    configured: str | None


@dataclass(slots=True)
class _Sighting:
    known: Recognised
    name: str | None
    rssi: int
    told: bool = False


class BleScan:
    """Collects advertisements while a scan runs."""

    def __init__(self, readings: Readings, *, clock: Clock) -> None:
        self._readings = readings
        self._clock = clock
        self._one = OneAtATime()
        self._seen: dict[str, _Sighting] | None = None

    def action(self) -> Action:
        """The verb device_scan."""
        return action(Listen, self._start)

    def take(self, event: object) -> None:
        """Note who advertises."""
        if self._seen is None or not isinstance(event, Advertisement):
            return
        known = recognise(event.data, KINDS)
        sighting = self._seen.get(event.address)
        if sighting is None:
            if len(self._seen) < MOST:
                self._seen[event.address] = _Sighting(known, event.name, event.rssi)
            return
        if sighting.known.kind is None and known != sighting.known:
            # It has other frames too, which say less.
            sighting.known, sighting.told = known, sighting.told and known.kind is None
        sighting.name = event.name or sighting.name
        sighting.rssi = max(sighting.rssi, event.rssi)

    def _start(self, asked: Listen, _place: Place) -> Listing:
        return self._one.run(self._parts(asked.seconds))

    def _parts(self, seconds: float) -> Parts:
        seen = self._seen = {}
        began = self._clock.monotonic()
        try:
            while (done := self._clock.monotonic() - began) < seconds:
                if news := [address for address, sighting in seen.items() if not sighting.told]:
                    for address in news:
                        seen[address].told = True
                    yield Progress(Step(round(done, 1), seconds, [self._heard(a, seen[a]) for a in news]))
                yield Wait.WAIT
            strongest = sorted(seen.items(), key=lambda item: -item[1].rssi)
            yield report([self._heard(address, sighting) for address, sighting in strongest])
        finally:
            self._seen = None

    def _heard(self, address: str, sighting: _Sighting) -> Heard:
        ours = {str(device.settings.address).upper(): device.id for device in self._readings}
        known = sighting.known
        return Heard(
            address, sighting.name, known.what, known.model, known.kind, sighting.rssi, ours.get(address)
        )
