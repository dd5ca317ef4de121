"""Removes what is older than it is kept, in pieces short enough not to hold up readings."""

from collections.abc import Iterator

from statistician.live import Entities
from statistician.store import Store

# About 10 ms on a desktop machine; one commit each.
_STATES_AT_ONCE = 10_000
_ENTITIES_AT_ONCE = 20


class Retention:
    """One purge: states, 5-minute rows, frames and runs before a time (ms); hourly rows stay for ever."""

    def __init__(self, store: Store, entities: Entities, before: int) -> None:
        self._store = store
        self._entities = entities
        self.before = before
        self.removed = 0
        self._pieces = self._work()

    def step(self) -> bool:
        """Remove a piece; False when there is no more. Raises StoreError."""
        return next(self._pieces, False)

    def _work(self) -> Iterator[bool]:
        while removed := self._store.states.remove_before(self.before, _STATES_AT_ONCE):
            self.removed += removed
            yield True
        numbers = [live.record.id for live in self._entities]
        for first in range(0, len(numbers), _ENTITIES_AT_ONCE):
            with self._store.transaction():
                for number in numbers[first : first + _ENTITIES_AT_ONCE]:
                    self.removed += self._store.statistics.remove_before(number, self.before)
                    self.removed += self._store.states.remove_frames_before(number, self.before)
            yield True
        self.removed += self._store.statistics.remove_runs_before(self.before)
