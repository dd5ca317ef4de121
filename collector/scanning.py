"""What all scans share: one at a time, progress as it goes, a report at the end."""

from collections.abc import Iterator
from typing import Annotated, Protocol

from msgspec import Meta, Struct

from bus.commands import Code, Refused
from bus.requests import Action, Listing, Part, Parts, Place, Progress, Wait, action

MOST = 300
"""More than a scan lists: an answer is one message."""

Seconds = Annotated[float, Meta(ge=1, le=60)]
Steps = Iterator[Progress | Wait]


class Step(Struct, frozen=True):
    """How far a scan is, of how much, and what it has just found."""

    done: float
    of: float
    found: list[object]


class Scan(Protocol):
    """A way to scan: the verb device_scan, which listens to what the transport tells."""

    def action(self) -> Action:
        """The verb."""

    def take(self, event: object) -> None:
        """Take an event, its own or not."""


class OneAtATime:
    """Lets a scan run while no other does."""

    def __init__(self) -> None:
        self._running = False

    def run(self, parts: Parts) -> Listing:
        """The scan as an answer. Raises Refused(busy)."""
        if self._running:
            raise Refused(Code.BUSY, "a scan is running: wait for its answer")
        self._running = True
        return Listing.whole(self._watched(parts))

    def _watched(self, parts: Parts) -> Parts:
        try:
            yield from parts
        finally:
            self._running = False


class Nothing:
    """Where there is nothing to scan; `why` says so."""

    def __init__(self, why: str) -> None:
        self._why = why

    def action(self) -> Action:
        """The verb, which is refused."""

        def refuse(_asked: "Anything", _place: Place) -> Listing:
            raise Refused(Code.DENIED, self._why)

        return action(Anything, refuse)

    def take(self, event: object) -> None:
        """There is nothing to hear."""


class Anything(Struct):
    """Any parameters."""


def report(found: list[object]) -> Part:
    """The answer when a scan is done."""
    return Part((), {"found": found[:MOST]})
