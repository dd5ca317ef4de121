"""Hears devices that advertise: frames of the radio in, decoded values out."""

import logging
from collections.abc import Callable

from bus.clock import Clock
from bus.health import Journal
from bus.process import EXIT_RESTART, Stop
from collector.device import Owned
from collector.devices.description import BadRecordError, BleKind, Decoded, DecodeError, ImplausibleError
from collector.devices.rows import RSSI
from collector.readings import Readings
from collector.transports.radio import Advertisement, Heard, RadioGone, RadioState, Rung

log = logging.getLogger(__name__)

_TICK_S = 0.25
_SILENCE = "nothing heard: is it in range, is Instant Readout on, is the address right?"
_RECORDS_TO_TRUST = 3
_RECORDS_TO_SUSPECT = 5


class Trust:
    """Judges one device by its records: a key whose first byte fits by chance decrypts to noise.

    Repeats of a record, as radios deliver them, count once.
    """

    def __init__(self) -> None:
        self._trusted = True
        self._recent: set[bytes] = set()
        self._implausible_in_row = 0

    @property
    def trusted(self) -> bool:
        """Whether readings of this device may be published."""
        return self._trusted

    @property
    def complaint(self) -> str | None:
        """What the owner should do, after 5 different implausible records in a row; else None."""
        if self._implausible_in_row < _RECORDS_TO_SUSPECT:
            return None
        return (
            "the key is probably wrong although its first byte matches: copy it again from VictronConnect, "
            "Product info, Instant readout details"
        )

    def plausible(self, record: bytes) -> bool:
        """Count a plausible record; True if its values may be published."""
        if self._trusted:
            return True
        if self._implausible_in_row:
            self._implausible_in_row = 0
            self._recent.clear()
        self._recent.add(record)
        self._trusted = len(self._recent) >= _RECORDS_TO_TRUST
        return self._trusted

    def implausible(self, record: bytes) -> None:
        """Count an implausible record: the device is believed again after 3 different plausible ones."""
        self._trusted = False
        if not self._implausible_in_row:
            self._recent.clear()
        if record in self._recent:
            return
        self._implausible_in_row += 1
        # Beyond the limit the count says nothing new, and the set must not grow for ever.
        if self._implausible_in_row <= _RECORDS_TO_SUSPECT:
            self._recent.add(record)


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
        self._by_address: dict[str, Owned] = {}
        self._trust: dict[str, Trust] = {}

    @property
    def silence(self) -> str:
        """What the owner of a silent device should look after."""
        return self._silence

    def add(self, device: Owned) -> None:
        """Listen for this device."""
        self._by_address[str(device.settings.address).upper()] = device
        self._trust[device.id] = Trust()

    def change(self, device: Owned) -> None:
        """Listen as its new settings say."""
        self.remove(device.id)
        self.add(device)

    def remove(self, device_id: str) -> None:
        """Stop decoding this device's frames."""
        self._by_address = {a: d for a, d in self._by_address.items() if d.id != device_id}
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
        """Do nothing: there is nothing to poll."""
        return _TICK_S

    def _advertisement(self, frame: Advertisement) -> None:
        device = self._by_address.get(frame.address)
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
