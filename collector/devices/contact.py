"""Contacts on pins: what level means closed, and which changes of level count."""

from dataclasses import dataclass

from collector.devices.lines import GpioLine
from config.model import Device, Pull

DEFAULT_PULL: Pull = "up"


@dataclass(slots=True)
class Contact:
    """One contact on a pin; `debounce` in seconds.

    A level counts once all polls for `debounce` seconds have seen it. Whatever comes and goes between two
    polls is not seen, on purpose: the contacts we read stay as they are for seconds.
    """

    pin: int
    pull: Pull
    active_low: bool
    debounce: float
    _closed: bool | None = None
    _candidate: bool | None = None
    _since: float = 0.0

    def poll(self, line: GpioLine, now: float) -> bool | None:
        """Whether it is closed; None until that is known. Raises DecodeError or LineError."""
        return self.see(line.read(self.pin, self.pull) is not self.active_low, now)

    def see(self, closed: bool, now: float) -> bool | None:  # noqa: FBT001 — what a poll saw
        """What counts after a poll at monotonic second `now` saw it closed or open."""
        if closed is not self._candidate:
            self._candidate = closed
            self._since = now
        if now - self._since >= self.debounce:
            self._closed = closed
        return self._closed


def contact(settings: Device, pin: int, debounce: float) -> Contact:
    """The contact on a pin as a device's settings say; `debounce` is its kind's default.

    On a pull-up a contact goes to ground, so it is closed when the pin is low; else when the pin is high.
    """
    pull: Pull = settings.pull or DEFAULT_PULL
    active_low = settings.active_low if settings.active_low is not None else pull == "up"
    return Contact(pin, pull, active_low, settings.debounce if settings.debounce is not None else debounce)
