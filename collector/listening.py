"""Hears devices that advertise: frames of the radio in, decoded values out."""

import logging
from collections.abc import Callable

from bus.clock import Clock
from bus.health import Journal
from bus.process import EXIT_RESTART, Stop
from collector.device import Owned
from collector.devices.description import BadRecordError, BleKind, Decoded, DecodeError, ImplausibleError
from collector.devices.rows import RSSI
from collector.devices.trust import Trust
from collector.readings import Readings
from collector.transports.ble.radio import Advertisement, Heard, RadioGone, RadioState, Rung

log = logging.getLogger(__name__)

_TICK_S = 0.25
_SILENCE = "nothing heard: is it in range, is Instant Readout on, is the address right?"


class ListeningSource:
    """The devices of the radio: their advertisements become values once they can be believed."""

    def __init__(
        self, readings: Readings, *, clock: Clock, journal: Journal, emit: Callable[[object], None]
    ) -> None:
        self._readings = readings
        self._clock = clock
        self._journal = journal
        self._emit = emit
        self._silence = _SILENCE
        self._by_address: dict[str, str] = {}
        self._trust: dict[str, Trust] = {}

    @property
    def silence(self) -> str:
        """What the owner of a silent device should look after."""
        return self._silence

    def add(self, device: Owned) -> None:
        """Listen for this device."""
        self._by_address[str(device.settings.address).upper()] = device.id
        self._trust[device.id] = Trust()

    def change(self, device: Owned) -> None:
        """Listen as its new settings say."""
        self.remove(device.id)
        self.add(device)

    def remove(self, device_id: str) -> None:
        """Its frames are a stranger's from now on."""
        self._by_address = {a: d for a, d in self._by_address.items() if d != device_id}
        del self._trust[device_id]

    def handle(self, event: object) -> None:
        """Take an event from the radio."""
        match event:
            case Advertisement():
                self._advertisement(event)
            case RadioState():
                self._radio_state(event)
            case RadioGone():
                self._journal.problem("radio", event.message, self._clock.wall())
                self._emit(Stop(EXIT_RESTART, event.message))
            case Heard():
                self._journal.count("foreign_heard")

    def tick(self, _now: float) -> float:
        """The radio asks for nothing."""
        return _TICK_S

    def _advertisement(self, frame: Advertisement) -> None:
        device = self._readings.get(self._by_address.get(frame.address, ""))
        if device is None:
            self._journal.count("strangers_heard")
            return
        self._journal.count("frames")
        decoded = self._decode(device, frame)
        if decoded is not None:
            decoded.values[RSSI] = frame.rssi
            self._readings.said(device, decoded, frame.at)

    def _decode(self, device: Owned, frame: Advertisement) -> Decoded | None:
        assert isinstance(device.kind, BleKind)  # noqa: S101 — device.transport sorted them
        trust = self._trust[device.id]
        try:
            decoded = device.kind.decode(frame.data, device.key)
        except ImplausibleError as error:
            trust.implausible(frame.data)
            self._refuse(device, error)
            if trust.complaint:
                self._readings.complain(device, trust.complaint)
            return None
        except DecodeError as error:
            self._refuse(device, error)
            if not isinstance(error, BadRecordError):
                self._readings.complain(device, str(error))
            return None
        if not trust.plausible(frame.data):
            self._journal.count("frames_not_trusted")
            return None
        return decoded

    def _refuse(self, device: Owned, error: DecodeError) -> None:
        self._journal.count("frames_refused")
        self._journal.count(f"frames_refused.{device.id}")
        log.debug("%s: %s", device.id, error)

    def _radio_state(self, event: RadioState) -> None:
        self._journal.fact("radio", f"{event.rung}: {event.told}")
        self._journal.count(f"radio_{event.rung}")
        if event.rung == Rung.FAILED:
            self._silence = f"the radio does not work: {event.message}"
        elif event.rung == Rung.SCANNING:
            self._silence = _SILENCE
        if event.rung in (Rung.SCANNING, Rung.STOPPED):
            self._journal.solved("radio")
        elif self._journal.problem("radio", event.told, self._clock.wall()):
            log.warning("radio: %s", event.told)
