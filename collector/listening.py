"""The devices of the radio: frames in, decoded values out; the last frame of each, who else is on the air."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from bus.clock import Clock
from bus.commands import Code, Refused
from bus.health import Journal
from bus.process import EXIT_RESTART, Stop
from bus.requests import Action, Listing, Part, Parts, Place, Progress, Wait, action
from collector.device import Owned, Readings, tell_unread
from collector.device_store import Which
from collector.devices import KINDS, recognise
from collector.devices.description import (
    BadRecordError,
    BleKind,
    Decoded,
    DecodeError,
    Decoder,
    ImplausibleError,
    Origin,
    Recognised,
    WrongKindError,
)
from collector.devices.rows import RSSI
from collector.polling import PATIENCE
from collector.read import Raw, ours, read_at
from collector.scan import MOST, OneAtATime, Proposal, ScanProgress, Seconds, report
from collector.transports.radio import Advertisement, Connectable, Heard, RadioGone, RadioState, Rung

log = logging.getLogger(__name__)

_SILENCE = (
    "nothing heard: is it in range, is its battery full, is the address right? With Victron, is Instant "
    "Readout on?"
)
_SIGN_S = 2.0
_RECORDS_TO_TRUST = 3
_RECORDS_TO_SUSPECT = 5


class Trust:
    """Judges one device by its records: a key whose first byte fits by chance decrypts to noise.

    Repeats of a record, as radios deliver them, count once.
    """

    def __init__(self) -> None:
        self.trusted = True
        self._recent: set[bytes] = set()
        self._implausible_in_row = 0

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
        if self.trusted:
            return True
        if self._implausible_in_row:
            self._implausible_in_row = 0
            self._recent.clear()
        self._recent.add(record)
        self.trusted = len(self._recent) >= _RECORDS_TO_TRUST
        return self.trusted

    def implausible(self, record: bytes) -> None:
        """Count an implausible record: the device is believed again after 3 different plausible ones."""
        self.trusted = False
        if not self._implausible_in_row:
            self._recent.clear()
        if record in self._recent:
            return
        self._implausible_in_row += 1
        # Beyond the limit the count says nothing new, and the set must not grow for ever.
        if self._implausible_in_row <= _RECORDS_TO_SUSPECT:
            self._recent.add(record)


class Listener(Protocol):
    """Who is told what devices of the radio say."""

    @property
    def clock(self) -> Clock:
        """The time."""

    @property
    def journal(self) -> Journal:
        """What is wrong."""

    def said(self, device: Owned, decoded: Decoded, at: float) -> None:
        """Take what the device said at monotonic second `at`."""

    def complain(self, device: Owned, text: str) -> None:
        """Take what is wrong with a device."""


@dataclass(slots=True)
class _Listened:
    """One device and what its frames have shown so far: `failures` in a row, of which `why` was the last."""

    device: Owned
    kind: BleKind
    decoder: Decoder
    trust: Trust = field(default_factory=Trust)
    failures: int = 0
    why: str = ""


def _ble(device: Owned) -> BleKind:
    assert isinstance(device.kind, BleKind)  # noqa: S101 — device.transport sorted them
    return device.kind


class ListeningSource:
    """The devices of the radio: their advertisements become values once they can be believed."""

    def __init__(self, readings: Listener, *, emit: Callable[[object], None]) -> None:
        self._readings = readings
        self._emit = emit
        self._silence = _SILENCE
        self._by_address: dict[str, _Listened] = {}

    def silence(self, device: Owned) -> str:
        """Return what was wrong with what this device said, or what its owner should look after."""
        found = (one.why for one in self._by_address.values() if one.device.id == device.id and one.failures)
        return next(found, self._silence)

    def add(self, device: Owned) -> None:
        """Listen for this device."""
        assert device.decoder is not None  # noqa: S101 — whatever advertises has one
        listened = _Listened(device, _ble(device), device.decoder)
        self._by_address[str(device.settings.address).upper()] = listened

    def change(self, device: Owned) -> None:
        """Listen as its new settings say."""
        self.remove(device.id)
        self.add(device)

    def remove(self, device_id: str) -> None:
        """Stop decoding this device's frames."""
        self._by_address = {a: one for a, one in self._by_address.items() if one.device.id != device_id}

    def handle(self, event: object) -> None:
        """Take an event from the radio."""
        match event:
            case Advertisement():
                self._advertisement(event)
            case RadioState():
                self._radio_state(event)
            case RadioGone():
                self._readings.journal.problem("radio", event.message, self._readings.clock.wall())
                self._emit(Stop(EXIT_RESTART, event.message))
            case Heard() | Connectable():
                self._readings.journal.count("ignored_unknown_frames")

    def tick(self, now: float) -> float:
        """Tell of a device that has said nothing good since the start what is wrong with what it said."""
        for one in self._by_address.values():
            its = one.device.reporter
            if one.failures and its.online is None and now - its.started >= its.cadence.timeout:
                self._readings.complain(one.device, one.why)
        return math.inf

    def _advertisement(self, event: Advertisement) -> None:
        listened = self._by_address.get(event.address)
        frame = None if listened is None else event.frames.get(listened.kind.origin)
        if listened is None or frame is None:
            self._readings.journal.count("ignored_unconfigured_frames")
            return
        self._readings.journal.count("frames")
        decoded = self._decode(listened, frame, event.at)
        if decoded is not None:
            listened.failures = 0
            decoded.values[RSSI] = event.rssi
            self._readings.said(listened.device, decoded, event.at)

    def _decode(self, listened: _Listened, frame: bytes, at: float) -> Decoded | None:
        trust = listened.trust
        try:
            decoded = listened.decoder.decode(frame, at)
        except ImplausibleError as error:
            trust.implausible(frame)
            self._refuse(listened, error)
            # What is not encrypted is damaged, or somebody else's.
            if trust.complaint and listened.device.settings.key:
                self._readings.complain(listened.device, trust.complaint)
            return None
        except DecodeError as error:
            self._refuse(listened, error)
            return None
        if decoded is None:
            self._readings.journal.count("repeated_frames")
        elif not trust.plausible(frame):
            self._readings.journal.count("dropped_untrusted_frames")
            return None
        return decoded

    def _refuse(self, listened: _Listened, error: DecodeError) -> None:
        device, journal = listened.device, self._readings.journal
        journal.count("refused_frames")
        journal.count(f"refused_frames.{device.id}")
        log.debug("%s: %s", device.id, error)
        if isinstance(error, BadRecordError):
            return
        listened.failures, listened.why = listened.failures + 1, str(error)
        if device.reporter.online:
            # Between good ones it is another device behind this address, or a record that it sends besides.
            what = error.record if isinstance(error, WrongKindError) else "records of another key"
            tell_unread(journal, device.id, what)
        elif listened.failures >= PATIENCE:
            self._readings.complain(device, str(error))

    def _radio_state(self, event: RadioState) -> None:
        self._readings.journal.fact("radio", f"{event.rung}: {event.told}")
        self._readings.journal.count(f"radio_{event.rung}")
        if event.rung == Rung.FAILED:
            self._silence = f"the radio does not work: {event.message}"
        elif event.rung == Rung.SCANNING:
            self._silence = _SILENCE
        if event.rung in (Rung.SCANNING, Rung.STOPPED):
            self._readings.journal.solved("radio")
        elif self._readings.journal.problem("radio", event.told, self._readings.clock.wall()):
            log.warning("radio: %s", event.told)


class LastFrames:
    """Devices of the radio: the last frame of each."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._frames: dict[str, Advertisement] = {}

    def action(self) -> Action:
        """Return the verb read."""
        return action(Which, lambda asked, _place: Listing.whole(self.parts(asked.device)))

    def take(self, event: object) -> None:
        """Keep the newest frame of each device of ours."""
        if isinstance(event, Advertisement) and self._origins().get(event.address) in event.frames:
            self._frames[event.address] = event

    def _origins(self) -> Mapping[str, Origin]:
        return {
            str(device.settings.address).upper(): device.kind.origin
            for device in self._readings
            if isinstance(device.kind, BleKind)
        }

    def parts(self, name: str) -> Parts:
        """Answer for a device of ours. Raises Refused."""
        device = ours(self._readings, name)
        frame = self._frames.get(str(device.settings.address).upper())
        if frame is None:
            raise Refused(Code.OFFLINE, f"{name} was not heard since the start: is it in range?")
        kind = _ble(device)
        data = frame.frames[kind.origin]
        raw = [Raw(f"advertisement of {frame.address}, {frame.rssi} dBm", data.hex())]
        try:
            # By a decoder of its own: this one has seen the frame already, and would call it a repetition.
            decoded = kind.make(device.settings).decode(data, frame.at)
            values = ({} if decoded is None else decoded.values) | {RSSI: frame.rssi}
            yield Part((), read_at(self._readings, name, frame.at, raw, values=values))
        except DecodeError as error:
            yield Part((), read_at(self._readings, name, frame.at, raw, values={}, problem=str(error)))


class Listen(Struct, forbid_unknown_fields=True):
    """How long."""

    seconds: Seconds = 10.0


class Advertiser(Struct, frozen=True):
    """One device on the air; `rssi` is the best, dBm; `configured` is its id in this house."""

    address: str
    name: str | None
    what: str
    model: str | None
    kind: str | None
    rssi: int
    proposals: list[Proposal]
    configured: str | None


@dataclass(slots=True)
class _Sighting:
    known: Recognised
    name: str | None
    rssi: int
    told: bool = False


class BleScan:
    """Collects advertisements while a scan runs."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._one = OneAtATime()
        self._seen: dict[str, _Sighting] | None = None

    def action(self) -> Action:
        """Return the verb device_scan."""
        return action(Listen, self._start)

    def take(self, event: object) -> None:
        """Note who advertises."""
        match event:
            case Advertisement() if self._seen is not None:
                guesses = [recognise(origin, data, event.address) for origin, data in event.frames.items()]
                known = max(filter(None, guesses), key=lambda guess: guess.kind is not None, default=None)
            case Connectable() if self._seen is not None:
                known = Recognised(KINDS[event.kind].title, None, event.kind)
            case _:
                return
        if known is None:
            return
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
        began = self._readings.clock.monotonic()
        told = 0.0
        try:
            while (done := self._readings.clock.monotonic() - began) < seconds:
                news = [address for address, sighting in seen.items() if not sighting.told]
                # Also without news: so it is found out whether anybody still listens.
                if news or done - told >= _SIGN_S:
                    told = done
                    for address in news:
                        seen[address].told = True
                    found: list[object] = [self._heard(address, seen[address]) for address in news]
                    yield Progress(ScanProgress(round(done, 1), seconds, found))
                yield Wait.WAIT
            strongest = sorted(seen.items(), key=lambda item: -item[1].rssi)
            yield report([self._heard(address, sighting) for address, sighting in strongest])
        finally:
            self._seen = None

    def _heard(self, address: str, sighting: _Sighting) -> Advertiser:
        ours = {str(device.settings.address).upper(): device.id for device in self._readings}
        known = sighting.known
        return Advertiser(
            address=address,
            name=sighting.name,
            what=known.what,
            model=known.model,
            kind=known.kind,
            rssi=sighting.rssi,
            proposals=[] if known.kind is None else [Proposal(known.kind, {"address": address})],
            configured=ours.get(address),
        )
