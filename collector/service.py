"""The collector's service: frames in, readings out."""

import logging
from collections.abc import Callable

from bus.clock import Clock
from bus.events import Connected, Message
from bus.health import Journal
from bus.messages import Values
from bus.process import EXIT_RESTART, Stop
from bus.publisher import Publisher
from collector.devices.description import BadRecordError, DecodeError, ImplausibleError
from collector.devices.rows import RSSI
from collector.devices.trust import Trust
from collector.ownership import Owned
from collector.transports.ble import Advertisement, Heard, RadioGone, RadioState, Rung

log = logging.getLogger(__name__)

_TICK_S = 0.25
_SETTLE_S = 1.0


class BleCollector:
    """Turns advertisements into readings of the devices it owns; an answer to bus.process.Service."""

    def __init__(
        self,
        devices: list[Owned],
        publisher: Publisher,
        *,
        clock: Clock,
        journal: Journal,
        emit: Callable[[object], None],
    ) -> None:
        self._by_address = {(d.settings.address or "").upper(): d for d in devices}
        self._trust = {d.id: Trust() for d in devices}
        self._publisher = publisher
        self._clock = clock
        self._journal = journal
        self._emit = emit
        self._settled = float("-inf")
        for device in devices:
            publisher.about(device.id, device.about())

    def handle(self, event: object) -> None:
        """Take an event from the radio or the broker."""
        match event:
            case Advertisement():
                self._advertisement(event)
            case Message():
                self._publisher.watermark(event.topic, event.payload, self._clock.monotonic())
            case Connected():
                self._publisher.connected(self._clock.monotonic())
            case RadioState():
                self._radio_state(event)
            case RadioGone():
                self._journal.problem("radio", event.message, self._clock.wall())
                self._emit(Stop(EXIT_RESTART, event.message))
            case Heard():
                self._journal.count("foreign_heard")

    def tick(self, now: float) -> float:
        """Publish what is due, find who fell silent."""
        for device in self._by_address.values():
            self._report(device, now)
            self._check_silence(device, now)
        if now - self._settled >= _SETTLE_S:
            self._settled = now
            self._publisher.settle(now)
        return _TICK_S

    def close(self) -> None:
        """What waits goes to disk."""
        self._publisher.close()

    def waiting(self) -> int:
        """Readings that wait for the statistician."""
        return self._publisher.waiting

    def _advertisement(self, frame: Advertisement) -> None:
        device = self._by_address.get(frame.address)
        if device is None:
            self._journal.count("strangers_heard")
            return
        self._journal.count("frames")
        values = self._decode(device, frame)
        if values is None:
            return
        values[RSSI] = frame.rssi
        age = self._clock.monotonic() - frame.at
        device.reporter.offer(values, self._clock.wall() - int(age * 1000), frame.at)
        self._report(device, self._clock.monotonic())

    def _decode(self, device: Owned, frame: Advertisement) -> Values | None:
        trust = self._trust[device.id]
        try:
            decoded = device.kind.decode(frame.data, device.key)
        except ImplausibleError as error:
            trust.implausible(frame.data)
            self._refuse(device, error)
            if trust.complaint:
                self._complain(device, trust.complaint)
            return None
        except DecodeError as error:
            self._refuse(device, error)
            if not isinstance(error, BadRecordError):
                self._complain(device, str(error))
            return None
        for entity in decoded.unknown:
            self._journal.count(f"unknown_code.{device.id}.{entity}")
        if not trust.plausible(frame.data):
            self._journal.count("frames_not_trusted")
            return None
        if self._journal.solved(f"device.{device.id}"):
            log.info("%s is well again", device.id)
        if device.learn(decoded.values, decoded.model):
            self._publisher.about(device.id, device.about())
        return dict(decoded.values)

    def _refuse(self, device: Owned, error: DecodeError) -> None:
        self._journal.count("frames_refused")
        self._journal.count(f"frames_refused.{device.id}")
        log.debug("%s: %s", device.id, error)

    def _complain(self, device: Owned, text: str) -> None:
        if self._journal.problem(f"device.{device.id}", text, self._clock.wall()):
            log.error("%s: %s", device.id, text)

    def _report(self, device: Owned, now: float) -> None:
        report = device.reporter.due(now)
        if report is not None:
            self._publisher.reading(device.id, report.values, ts=report.ts)
            self._publisher.availability(device.id, online=True)

    def _check_silence(self, device: Owned, now: float) -> None:
        silent = device.reporter.silent(now)
        if silent is None:
            return
        log.warning("%s has been silent for %g s: offline", device.id, device.reporter.cadence.timeout)
        subject = f"device.{device.id}"
        if subject not in self._journal.problems:
            self._complain(
                device, "nothing heard: is it in range, is Instant Readout on, is the address right?"
            )
        if silent:
            self._publisher.reading(device.id, dict.fromkeys(silent), ts=self._clock.wall())
        self._publisher.availability(device.id, online=False)

    def _radio_state(self, event: RadioState) -> None:
        self._journal.fact("radio", f"{event.rung}: {event.message}")
        self._journal.count(f"radio_{event.rung}")
        if event.rung in (Rung.SCANNING, Rung.STOPPED):
            self._journal.solved("radio")
        elif self._journal.problem("radio", event.message, self._clock.wall()):
            log.warning("radio: %s", event.message)
