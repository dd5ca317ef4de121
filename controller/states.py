"""What other devices said last, and when it was measured. Pure: time is an argument (monotonic seconds)."""

from collections.abc import Iterable
from dataclasses import dataclass

from bus.messages import Reading, Value


@dataclass(frozen=True, slots=True)
class Heard:
    """A value and when it was measured, monotonic seconds; None is a device that says unknown."""

    value: Value
    at: float


@dataclass(frozen=True, slots=True)
class _Newest:
    at: float
    stream: str | None
    seq: int | None
    # Its own time, ms, if it can be believed.
    ts: int | None


class States:
    """The newest values of some devices. A reading that was kept or repeated never passes for a new one."""

    def __init__(self, devices: Iterable[str]) -> None:
        self.devices = frozenset(devices)
        self._heard: dict[tuple[str, str], Heard] = {}
        self._newest: dict[str, _Newest] = {}

    def take(self, device: str, reading: Reading, *, kept: bool, now: float, wall_ms: int | None) -> bool:
        """Take a reading, which the broker had `kept` or is live; False if it says nothing new.

        `wall_ms` is None while our clock is not right: then, and without a right time in it, arrival counts.
        """
        if reading.late:
            # History is no present value.
            return False
        dated = reading.ts is not None and reading.clock == "ok" and wall_ms is not None
        if reading.ts is None and kept:
            # Perhaps for a year, and nothing in it tells.
            return False
        at = now
        if dated and reading.ts is not None and wall_ms is not None:
            at = now - max(0, wall_ms - reading.ts) / 1000
        ts = reading.ts if dated else None
        if self._is_old(device, reading, at, ts):
            return False
        self._newest[device] = _Newest(at, reading.stream, reading.seq, ts)
        for entity, value in reading.values.items():
            self._heard[device, entity] = Heard(value, at)
        return True

    def _is_old(self, device: str, reading: Reading, at: float, ts: int | None) -> bool:
        newest = self._newest.get(device)
        if newest is None:
            return False
        if reading.stream == newest.stream and reading.seq is not None and newest.seq is not None:
            # What is sent again has its old time: with a later one the counter began again, or had leapt.
            later = ts is not None and newest.ts is not None and ts > newest.ts
            return reading.seq <= newest.seq and not later
        return at < newest.at

    def get(self, device: str, entity: str) -> Heard | None:
        """What was heard of an entity; None if nothing yet."""
        return self._heard.get((device, entity))

    def find(self, source: str) -> Heard | None:
        """The same by `device.entity`."""
        device, _, entity = source.partition(".")
        return self.get(device, entity)
