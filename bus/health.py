"""What a process says about itself: counters, problems by subject, the last error.

Here is also the one place where an error is caught that nobody expected: what failed is told, and all else
goes on.
"""

import logging
import resource
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import msgspec

from bus.messages import to_iso

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

    def fact(self, what: str, text: str) -> None:
        """State something lasting, such as a simulated backend."""
        if self.facts.get(what) != text:
            self.facts[what] = text
            self.changed = True

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
                self.count("problems_untold")
                return False
        self.problems[subject] = text
        self.error(f"{subject}: {text}", now_ms)
        return True

    def solved(self, subject: str) -> bool:
        """The subject is well again; True when that is news."""
        if self.problems.pop(subject, None) is None:
            return False
        self.changed = True
        return True


def encode(journal: Journal, *, started_ms: int, uptime: float, queue: int, outbox: int | None) -> bytes:
    """The health message as JSON."""
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
                log.exception("one thing failed, all else goes on")
                spoiled(subject, error)
                return None

        return wrapper

    return decorate


def why_aside(error: Exception | None) -> str:
    """Return why a message was set aside, in words."""
    return "the process ended twice while it handled this message" if error is None else repr(error)
