"""Readings that come twice: live, ahead of one that is missing, and again in the order of their stream."""

from collections.abc import Mapping

from bus.messages import BadMessageError, Reading
from bus.topics import Topic, check_id
from statistician.clock.entity_clock import TOLERANCE
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
    """Times of readings that are stored ahead of a missing one: ms by entity, by stream and seq."""

    def __init__(self) -> None:
        self._dated: dict[tuple[str | None, int | None], Dated] = {}
        # Streams with a gap whose live readings may be of a wrong time.
        self._doubted: set[str | None] = set()

    def __bool__(self) -> bool:
        return bool(self._dated)

    def doubts(self, reading: Reading, *, ahead: bool, late_by: int) -> bool:
        """Take a live reading that came so many ms late; say whether it is to wait for its turn.

        Ahead of it only what is surely of now counts, and none of its stream after a clock was set meanwhile.
        """
        if not ahead:
            self._doubted.discard(reading.stream)
        elif not 0 <= late_by < TOLERANCE:
            self._doubted.add(reading.stream)
        return ahead and reading.stream in self._doubted

    def note(self, reading: Reading, dated: Dated) -> None:
        """Remember when the values of a reading count before its turn; of too many forget the oldest."""
        self._dated[reading.stream, reading.seq] = dated
        if len(self._dated) > _MOST:
            del self._dated[next(iter(self._dated))]

    def differs(self, reading: Reading, dated: Dated) -> bool:
        """Take a reading whose turn has come; say whether it is stored at another time than it counts now."""
        place = reading.stream, reading.seq
        if self._dated and place in self._dated:
            if self._dated[place] != dated:
                return True
            del self._dated[place]
        return False

    def take_all(self) -> list[tuple[int, int]]:
        """Forget all; return times and entities."""
        found = [(ts, number) for dated in self._dated.values() for number, ts in dated.items()]
        self._dated.clear()
        return found
