"""What the radio tells its process, each a plain fact to put on the queue."""

from dataclasses import dataclass
from enum import StrEnum


class Rung(StrEnum):
    """Where the radio stands, the words of RadioState."""

    SCANNING = "scanning"
    FAILED = "failed"
    NEW_SCANNER = "new_scanner"
    POWER_CYCLE = "power_cycle"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Advertisement:
    """Manufacturer data of company 0x02E1; address in upper case, rssi in dBm, at in monotonic seconds."""

    # BlueZ delivers the same data again when only the signal strength has changed.

    address: str
    data: bytes
    name: str | None
    rssi: int
    at: float


@dataclass(frozen=True, slots=True)
class Heard:
    """Some other device advertised, told at most once a second; at in monotonic seconds."""

    at: float


@dataclass(frozen=True, slots=True)
class RadioState:
    """The radio moved to another rung; the message says why and what to do; `retry_in` in seconds."""

    rung: str
    message: str
    retry_in: float | None = None

    @property
    def told(self) -> str:
        """The message with the time of the next attempt."""
        if self.retry_in is None:
            return self.message
        return f"{self.message} (next attempt in {self.retry_in:g} s)"


@dataclass(frozen=True, slots=True)
class RadioGone:
    """The radio gave up for good: the process should exit and be started anew."""

    message: str


Event = Advertisement | Heard | RadioState | RadioGone
