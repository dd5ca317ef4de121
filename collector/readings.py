"""Turns what devices said into readings, and their silence into `offline`: the same for every transport."""

import logging
from collections.abc import Iterator

from bus.clock import Clock
from bus.health import Journal
from bus.publisher import Publisher
from collector.device import Owned
from collector.devices.description import Decoded
from collector.reporting import Report

log = logging.getLogger(__name__)


class Readings:
    """Publishes the devices it was given, as their cadence allows; complaints go to the journal."""

    def __init__(self, publisher: Publisher, *, clock: Clock, journal: Journal) -> None:
        self._publisher = publisher
        self._clock = clock
        self._journal = journal
        self._devices: dict[str, Owned] = {}

    def __iter__(self) -> Iterator[Owned]:
        return iter(list(self._devices.values()))

    def get(self, device_id: str) -> Owned | None:
        """Return the device of that id, None if it is not ours (any more)."""
        return self._devices.get(device_id)

    def add(self, device: Owned) -> None:
        """Describe a device and wait for its first words."""
        self._devices[device.id] = device
        self._publisher.about(device.id, device.about())

    def remove(self, device_id: str) -> None:
        """Say no more of a device."""
        del self._devices[device_id]
        self._journal.solved(f"device.{device_id}")

    def said(
        self, device: Owned, decoded: Decoded, at: float, *, at_once: bool = False, ts: int | None = None
    ) -> None:
        """Take what the device said at monotonic second `at`; `at_once` does not wait for the cadence.

        `ts` is when it was measured if the device said so, ms since 1970 UTC.
        """
        if self._journal.solved(f"device.{device.id}"):
            log.info("%s is well again", device.id)
        if device.learn(decoded):
            self._publisher.about(device.id, device.about())
        for entity in decoded.unknown:
            self._journal.count(f"unknown_code.{device.id}.{entity}")
        if decoded.reasons or self._journal.problems:
            self._explain(device, decoded)
        for earlier in decoded.earlier:
            self._publisher.reading(
                device.id, device.enabled(earlier.values), ts=earlier.ts, late=True, dated=True
            )
        if not decoded.values:
            return
        values = device.enabled(decoded.values)
        if at_once:
            self._publish(device, device.reporter.at_once(values, ts, at, decoded.last_reset))
            return
        device.reporter.offer(values, ts, at, decoded.last_reset)
        self.report(device, self._clock.monotonic())

    def _explain(self, device: Owned, decoded: Decoded) -> None:
        for entity in device.rows:
            subject = f"entity.{device.id}.{entity}"
            reason = decoded.reasons.get(entity)
            if reason is not None:
                self._journal.problem(subject, reason, self._clock.wall())
            elif entity in decoded.values:
                self._journal.solved(subject)

    def complain(self, device: Owned, text: str) -> None:
        """Tell the owner what is wrong with a device, once."""
        if self._journal.problem(f"device.{device.id}", text, self._clock.wall()):
            log.error("%s: %s", device.id, text)

    def tick(self, now: float, *, silence: str) -> None:
        """Publish what is due, find who fell silent; `silence` says what its owner can do."""
        for device in self._devices.values():
            self.report(device, now)
            self._check_silence(device, now, silence)

    def report(self, device: Owned, now: float) -> None:
        """Publish the device's newest values if it is time."""
        report = device.reporter.due(now)
        if report is not None:
            self._publish(device, report)

    def _publish(self, device: Owned, report: Report) -> None:
        dated = report.ts is not None
        ts = report.ts if report.ts is not None else round(report.at * 1000) + self._clock.offset()
        self._publisher.reading(device.id, report.values, ts=ts, last_reset=report.last_reset, dated=dated)
        self._publisher.availability(device.id, online=True)

    def _check_silence(self, device: Owned, now: float, silence: str) -> None:
        silent = device.reporter.silent(now)
        if silent is None:
            return
        log.warning("%s has been silent for %g s: offline", device.id, device.reporter.cadence.timeout)
        if f"device.{device.id}" not in self._journal.problems:
            self.complain(device, silence)
        self._offline(device, silent)

    def gone(self, device: Owned, why: str) -> None:
        """Say that the device is known to be away: offline now."""
        if device.reporter.online is False:
            return
        self.complain(device, why)
        self._offline(device, device.reporter.gone())

    def _offline(self, device: Owned, silent: list[str]) -> None:
        if silent:
            self._publisher.reading(device.id, dict.fromkeys(silent), ts=self._clock.wall())
        self._publisher.availability(device.id, online=False)
