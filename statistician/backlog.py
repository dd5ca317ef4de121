"""Readings that come twice: live, ahead of one that is missing, and again in the order of their stream."""

from collections.abc import Callable, Mapping

from bus.messages import BadMessageError, Reading
from bus.topics import Topic, check_id
from statistician.records import State
from statistician.store import Store
from statistician.streams import service_of

# Of an outbox that is drained meanwhile more are rarely ahead.
_MOST = 10_000

Dated = Mapping[int, int]


def device_of(topic: Topic, reading: Reading) -> str:
    """Take the device out of a reading on a backlog topic.

    Raises BadMessageError if it names none, or if its stream is not that of the topic and its service.
    """
    device = reading.values.pop("device", None)
    if not isinstance(device, str):
        raise BadMessageError("device: allowed is the id of the device that was read")
    if reading.seq is None or reading.stream != topic.part or service_of(topic.part or "") != topic.name:
        raise BadMessageError(
            f"stream {str(reading.stream)[:80]!r}, seq {reading.seq}: allowed on a backlog topic is its own"
            f" stream, which begins with {topic.name}-, and a seq"
        )
    return check_id(device, "device")


class Provisional:
    """How readings were stored that are ahead of a missing one, by stream and seq."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._dated: dict[tuple[str, int], Dated] = {}

    def note(self, reading: Reading, dated: Dated) -> None:
        """Remember when the values of a reading count before its turn; of too many forget the oldest."""
        if reading.stream is not None and reading.seq is not None:
            self._dated[reading.stream, reading.seq] = dated
            if len(self._dated) > _MOST:
                del self._dated[next(iter(self._dated))]

    def settle(self, reading: Reading, dated: Dated, *, flush: Callable[[], None]) -> list[State]:
        """Take a reading whose turn has come; return its states that are stored at another time than now.

        `flush` puts on disk what is not there yet. Raises StoreError.
        """
        if not self._dated or reading.stream is None or reading.seq is None:
            return []
        before = self._dated.pop((reading.stream, reading.seq), {})
        moved = {number: ts for number, ts in before.items() if dated.get(number) != ts}
        if moved:
            flush()
        # One that was dated anew meanwhile is elsewhere: what stands at its old time is another's.
        found = (self._store.states.between(ts, ts + 1, {number}) for number, ts in moved.items())
        said = reading.values.values()
        return [state for states in found for state in states if state.value in said]
