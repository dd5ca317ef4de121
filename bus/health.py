"""What a process tells: health (counters, problems by subject, the last error), the service manager, the log.

The service manager gets readiness and watchdog, sd_notify(3); the log is bounded and legible.
Here is also the one place where an error is caught that nobody expected: what failed is told, and all else
goes on.
"""

import logging
import os
import resource
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import msgspec

from bus.messages import BadMessageError, to_iso

log = logging.getLogger(__name__)

VERSION = "0.1.0"
# Characters of what is told of single devices: the broker takes no health of any length.
MOST_TOLD = 40_000
_STATM = Path("/proc/self/statm")


class LastError(msgspec.Struct, frozen=True):
    """The newest thing that went wrong, and when."""

    ts: str
    message: str


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`camper/health/<service>`: uptime in s, rss in MB; `problems` holds what is wrong now, by subject."""

    version: str
    started: str
    uptime: int
    rss: float
    queue: int
    outbox: int | None
    counters: dict[str, int]
    facts: dict[str, str]
    problems: dict[str, str]
    last_error: LastError | None


class _Problems(msgspec.Struct):
    problems: dict[str, str] = {}


_problems = msgspec.json.Decoder(_Problems)


def decode_problems(payload: bytes) -> dict[str, str]:
    """Read the problems of a service from its health, by subject. Raises BadMessageError."""
    try:
        return _problems.decode(payload).problems
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessageError(f"this is no health: {error}") from error


@dataclass(slots=True)
class Journal:
    """Collects what a process's health will say; `changed` tells that clients should hear of it soon."""

    counters: Counter[str] = field(default_factory=Counter)
    facts: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    last_error: LastError | None = None
    changed: bool = True

    def count(self, what: str, by: int = 1) -> None:
        """Add to a counter."""
        self.counters[what] += by

    def fact(self, what: str, text: str, *, soon: bool = True) -> None:
        """State something lasting, such as a simulated backend; `soon`: clients should hear of it at once."""
        if self.facts.get(what) != text:
            self.facts[what] = text
            self.changed = self.changed or soon

    def error(self, message: str, now_ms: int) -> None:
        """Remember the newest error."""
        self.last_error = LastError(to_iso(now_ms), message)
        self.changed = True

    def problem(self, subject: str, text: str, now_ms: int) -> bool:
        """Something is wrong with a subject now; True when that is news.

        Of single devices, such as `clock.mppt`, only so many are told: strangers may have any number of them.
        """
        if self.problems.get(subject) == text:
            return False
        if "." in subject and subject not in self.problems:
            told = sum(len(one) + len(why) for one, why in self.problems.items() if "." in one)
            if told + len(subject) + len(text) > MOST_TOLD:
                self.count("dropped_problems")
                return False
        self.problems[subject] = text
        self.error(f"{subject}: {text}", now_ms)
        return True

    def solved(self, subject: str) -> bool:
        """Note that the subject is well again; True when that is news."""
        if self.problems.pop(subject, None) is None:
            return False
        self.changed = True
        return True


def encode(journal: Journal, *, started_ms: int, uptime: float, queue: int, outbox: int | None) -> bytes:
    """Encode the health message as JSON."""
    return msgspec.json.encode(
        Health(
            version=VERSION,
            started=to_iso(started_ms),
            uptime=int(uptime),
            rss=round(_rss_mb(), 1),
            queue=queue,
            outbox=outbox,
            counters=dict(journal.counters),
            facts=journal.facts,
            problems=journal.problems,
            last_error=journal.last_error,
        )
    )


def _rss_mb() -> float:
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def fault_in(work: Callable[[], object], *expected: type[Exception]) -> Exception | None:
    """Do a piece of work; returns the error that nobody expected, None if there was none.

    Raises the `expected` errors.
    """
    try:
        work()
    except expected:
        raise
    except Exception as error:
        # A process that ends would stop all its other work, too; whoever asked says what became of it.
        log.debug("an error that nobody expected", exc_info=error)
        return error
    return None


def spares(
    spoiled: Callable[[T, Exception], None],
) -> Callable[[Callable[Concatenate[T, P], R]], Callable[Concatenate[T, P], R | None]]:
    """Decorate a function whose failure concerns only its first argument: `spoiled` gets both."""

    def decorate(function: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[T, P], R | None]:
        def wrapper(subject: T, /, *args: P.args, **kwargs: P.kwargs) -> R | None:
            try:
                return function(subject, *args, **kwargs)
            except Exception as error:
                # An error of ours in one subject, of any type, must not stop the work for all others.
                log.exception("one thing failed, all else goes on")
                spoiled(subject, error)
                return None

        return wrapper

    return decorate


def why_aside(error: Exception | None) -> str:
    """Return why a message was set aside, in words."""
    return "the process ended twice while it handled this message" if error is None else repr(error)


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


class Rate:
    """Lets `rate` through a second, and `most` at once."""

    def __init__(self, most: int, rate: float, now: float) -> None:
        self._most, self._rate = most, rate
        self._left, self._at = float(most), now

    def take(self, now: float) -> bool:
        """Whether one more may pass."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(slots=True)
class _Kind:
    """Lines of one place in the code: how fast they may be written, and how many were not."""

    rate: Rate
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
        kind = self._kinds.setdefault(
            (record.pathname, record.lineno), _Kind(Rate(_IN_A_ROW, 1 / _ONE_EVERY_S, now))
        )
        if kind.rate.take(now):
            return kind
        kind.held += 1
        return None

    def _shorten(self, record: logging.LogRecord, kind: _Kind) -> None:
        text = record.getMessage()
        held, kind.held = kind.held, 0
        # A line break from outside would look like a line of ours.
        clean = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:_LONGEST])
        if len(text) > _LONGEST:
            clean += " …"
        record.msg, record.args = clean + (f" ({held} more like this)" if held else ""), None
