"""Commands for devices of others until somebody answers them. Pure: `now` in monotonic seconds.

An owner that is there answers itself, and is never contradicted. What it leaves open is answered here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from bus.commands import Code, Refused
from controller.services import Services

# An owner nobody knows of may still answer; one that is known has as long as a slow line may take.
GRACE_S = 1.0
LONGEST_S = 60.0
MOST = 64

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Open(Generic[T]):
    device: str
    entity: str
    id: str | None
    since: float
    order: T


class Foreign(Generic[T]):
    """Keeps each order until `answered` or `due` returns it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: list[_Open[T]] = []

    def take(self, device: str, entity: str, command_id: str | None, order: T, now: float) -> None:
        """Wait for an answer to an order. Raises Refused(busy) if too many wait."""
        if len(self._open) >= MOST:
            raise Refused(Code.BUSY, f"{MOST} commands wait for an answer: send again in a moment")
        self._open.append(_Open(device, entity, command_id, now, order))

    def answered(self, device: str, entity: str, command_id: str | None) -> T | None:
        """Return the order that an answer of its owner belongs to: the same id, else the oldest.

        One answer serves all that came with the same id.
        """
        of_entity = [one for one in self._open if (one.device, one.entity) == (device, entity)]
        found = [one for one in of_entity if one.id == command_id] or of_entity
        if not found:
            return None
        first = found[0]
        same = [one for one in found if one is first or one.id == first.id is not None]
        self._open = [one for one in self._open if one not in same]
        return first.order

    def forget(self) -> None:
        """Forget all of it: what its owners answer while the broker is away nobody hears."""
        self._open.clear()

    def due(self, now: float) -> Iterator[tuple[T, Refused]]:
        """Return the orders that nobody else answers, each with why it was not obeyed."""
        for one in list(self._open):
            age = now - one.since
            refusal = self._services.refusal(one.device, one.entity) if age >= GRACE_S else None
            if refusal is None and age >= LONGEST_S:
                text = f"{one.device} did not answer within {LONGEST_S:g} s: its state says whether it obeyed"
                refusal = Refused(Code.HARDWARE, text)
            if refusal is not None:
                self._open.remove(one)
                yield one.order, refusal
