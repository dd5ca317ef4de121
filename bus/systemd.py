"""What the service manager gets of a process: readiness and watchdog (sd_notify(3)), and a legible log."""

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass


def notify(state: str) -> bool:
    """Send a state such as READY=1 to the service manager; False when there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(state.encode(), address)
    return True


def watchdog_interval() -> float | None:
    """Seconds between pings, half of WatchdogSec; None when the manager does not watch this process."""
    period = os.environ.get("WATCHDOG_USEC")
    pid = os.environ.get("WATCHDOG_PID")
    if not period or (pid and int(pid) != os.getpid()):
        return None
    return int(period) / 2e6


_IN_A_ROW = 20
_ONE_EVERY_S = 10.0
# A line from outside may be as long as a message.
_LONGEST = 500


@dataclass(slots=True)
class _Kind:
    """Lines of one place in the code: how many it may still write, since when, and how many it did not."""

    left: float
    at: float
    held: int = 0


class LogRateLimit(logging.Filter):
    """Lets 20 lines of a kind through at once and one each 10 s; what is critical passes always.

    Whoever sends us nonsense may do so all day: refusals are counted in health and must not fill the card.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._kinds: dict[tuple[str, int], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; its text is made one line of bounded length."""
        if record.levelno < logging.CRITICAL:
            if (kind := self._admit(record)) is None:
                return False
            self._shorten(record, kind)
        return True

    def _admit(self, record: logging.LogRecord) -> _Kind | None:
        now = self._monotonic()
        kind = self._kinds.setdefault((record.pathname, record.lineno), _Kind(_IN_A_ROW, now))
        kind.left = min(_IN_A_ROW, kind.left + (now - kind.at) / _ONE_EVERY_S)
        kind.at = now
        if kind.left < 1:
            kind.held += 1
            return None
        kind.left -= 1
        return kind

    def _shorten(self, record: logging.LogRecord, kind: _Kind) -> None:
        text = record.getMessage()
        held, kind.held = kind.held, 0
        # A line break from outside would look like a line of ours.
        clean = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:_LONGEST])
        if len(text) > _LONGEST:
            clean += " …"
        record.msg, record.args = clean + (f" ({held} more like this)" if held else ""), None
