"""All devices of the radio: those that advertise, and those that are asked over a connection."""

from bus.commands import Wanted
from bus.requests import Action, Listing, Parts, action
from collector.device import Owned, Readings
from collector.device_store import Which
from collector.devices.description import PolledKind
from collector.listening import LastFrames, ListeningSource
from collector.polling import PollingSource
from collector.read import AskNow, ours


class BleSource:
    """A source of both, each with its own way to its values."""

    def __init__(self, readings: Readings, listening: ListeningSource, polling: PollingSource) -> None:
        self._readings = readings
        self._listening = listening
        self._polling = polling

    def silence(self, device: Owned) -> str:
        """Say what the owner of a silent device should look after."""
        return self._of(device).silence(device)

    def _of(self, device: Owned | None) -> ListeningSource | PollingSource:
        asked = device is not None and isinstance(device.kind, PolledKind)
        return self._polling if asked else self._listening

    def add(self, device: Owned) -> None:
        """Hear or ask this device from now on."""
        self._of(device).add(device)

    def change(self, device: Owned) -> None:
        """Hear or ask it as its new settings say, which may be those of the other sort."""
        before = self._readings.get(device.id)
        if self._of(before) is self._of(device):
            self._of(device).change(device)
            return
        self._of(before).remove(device.id)
        self._of(device).add(device)

    def remove(self, device_id: str) -> None:
        """Let go of a device."""
        self._of(self._readings.get(device_id)).remove(device_id)

    def handle(self, event: object) -> None:
        """Take an event of the radio or of a connection."""
        self._listening.handle(event)
        self._polling.handle(event)

    def tick(self, now: float) -> float:
        """Ask whose time it is; return the seconds until the next one's."""
        return min(self._listening.tick(now), self._polling.tick(now))

    def switch(self, device: Owned, entity: str, wanted: Wanted, ticket: object) -> None:
        """Have a device obey; those that advertise have nothing to command."""
        self._polling.switch(device, entity, wanted, ticket)


class ReadBle:
    """The verb read: the last frame of a device that advertises, one poll more of one that is asked."""

    def __init__(self, readings: Readings, polling: PollingSource) -> None:
        self._readings = readings
        self._heard, self._asked = LastFrames(readings), AskNow(polling, readings)

    def action(self) -> Action:
        """Return the verb."""
        return action(Which, lambda wanted, _place: Listing.whole(self._parts(wanted.device)))

    def take(self, event: object) -> None:
        """Take an event, ours or not."""
        self._heard.take(event)
        self._asked.take(event)

    def _parts(self, name: str) -> Parts:
        asked = isinstance(ours(self._readings, name).kind, PolledKind)
        return self._asked.parts(name) if asked else self._heard.parts(name)
