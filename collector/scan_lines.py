"""What scans of lines share: a job on a line, in turn with those of its devices, and what it brought."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bus.commands import Code, Refused
from collector.devices.description import Decoded, I2cKind, ModbusKind, Rows
from collector.devices.lines import Line
from collector.ownership import Owned
from collector.polling import PollingSource
from collector.readings import Readings
from collector.reporting import Cadence, Reporter
from collector.scanning import OneAtATime
from collector.worker import Failure, Job
from config.model import Device


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a job of a scan brought; `ticket` is the scan's."""

    ticket: object
    value: object
    why: Failure | None


class LineScan:
    """A scan of a line."""

    def __init__(self, source: PollingSource, readings: Readings) -> None:
        self._source = source
        self._readings = readings
        self._one = OneAtATime()
        self._ticket: object = None
        self._told: _Asked | None = None

    def take(self, event: object) -> None:
        """Take what a job brought."""
        if isinstance(event, _Asked) and event.ticket is self._ticket:
            self._told = event

    def _put(self, line: str, run: Callable[[Any], object]) -> None:
        ticket = self._ticket = object()
        self._told = None
        self._source.put(
            line,
            Job(
                lambda opened, _now: _Asked(ticket, run(opened), None),
                lambda why, _now: _Asked(ticket, None, why),
            ),
        )

    def _answer(self) -> object:
        assert self._told is not None  # noqa: S101 — whoever put the job waited for it
        if self._told.why is not None:
            raise Refused(Code.INTERNAL, str(self._told.why))
        return self._told.value


class Nobody:
    """Stands for a device that a scan has not found yet."""

    rows: Rows = MappingProxyType({})

    def poll(self, _line: Line, _now: float) -> Decoded:
        """It is never asked."""
        return Decoded({})


def stranger(kind: ModbusKind | I2cKind, settings: Device) -> Owned:
    """What stands on a line that no device is on, so that the line can be had."""
    reporter = Reporter(Cadence(1.0, 1.0, 1.0), {}, 0.0)
    return Owned("scan", settings, kind, reporter, kind.rows, Nobody())
