"""What waits for a process's one thread, bounded: who floods it costs others their turn, not their place."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock

from bus.events import Message

# Requests that wait, of all and of one asker; and bytes of other messages that no receive maximum bounds.
REQUESTS, OF_ONE = 64, 8
UNACKNOWLEDGED = 4 * 1024 * 1024
# Requests a second, as many at once: a refusal costs time too, which commands need.
RATE_OF_ONE, RATE = 200, 500
_ASKERS = 256
_OVERHEAD = 500


class _Rate:
    """Lets so many through a second, and as many at once."""

    def __init__(self, most: int, now: float) -> None:
        self._most = most
        self._left, self._at = float(most), now

    def take(self, now: float) -> bool:
        """Whether one more may pass."""
        self._left = min(self._most, self._left + (now - self._at) * self._most)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class _Turn:
    """Stands in the queue for a request."""


_TURN = _Turn()


class Inbox:
    """A queue of events; messages below `requests` have little room in it, and each asker less.

    What does not fit is dropped and counted: requests, and messages of QoS 0. A higher QoS is bounded by the
    receive maximum, for the broker waits until it is acknowledged. `put` is for any thread, `get` for one.
    """

    def __init__(self, requests: str, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._rate = _Rate(RATE, monotonic())
        self._rates: OrderedDict[str | None, _Rate] = OrderedDict()
        self._requests = requests
        self._queue: SimpleQueue[object] = SimpleQueue()
        self._lock = Lock()
        self._asked: deque[Message] = deque()
        self._of: Counter[str | None] = Counter()
        # Each is written by one thread: the broker's, and ours.
        self._arrived = self._taken = 0
        self.requests_dropped = 0
        self.messages_dropped = 0

    def put(self, event: object) -> None:
        """Take an event, or drop it."""
        if isinstance(event, Message):
            if event.topic.startswith(self._requests):
                self._ask(event)
                return
            if event.qos == 0:
                if self._arrived - self._taken > UNACKNOWLEDGED:
                    self.messages_dropped += 1
                    return
                self._arrived += len(event.payload) + _OVERHEAD
        self._queue.put(event)

    def _ask(self, message: Message) -> None:
        asker = message.response_topic
        with self._lock:
            if not self._admits(asker, self._monotonic()):
                self.requests_dropped += 1
                return
            self._of[asker] += 1
            self._asked.append(message)
        self._queue.put(_TURN)

    def _admits(self, asker: str | None, now: float) -> bool:
        if len(self._asked) >= REQUESTS or self._of[asker] >= OF_ONE:
            return False
        rate = self._rates.pop(asker, None) or _Rate(RATE_OF_ONE, now)
        self._rates[asker] = rate
        if len(self._rates) > _ASKERS:
            self._rates.popitem(last=False)
        return rate.take(now) and self._rate.take(now)

    def get(self, timeout: float | None = None) -> object:
        """Return the next event; without a timeout (s) only what is there. Raises queue.Empty."""
        event = self._queue.get_nowait() if timeout is None else self._queue.get(timeout=timeout)
        if isinstance(event, _Turn):
            return self._next_request()
        if isinstance(event, Message) and event.qos == 0:
            self._taken += len(event.payload) + _OVERHEAD
        return event

    def _next_request(self) -> Message:
        with self._lock:
            message = self._asked.popleft()
            self._of[message.response_topic] -= 1
            if not self._of[message.response_topic]:
                del self._of[message.response_topic]
        return message

    def __len__(self) -> int:
        return self._queue.qsize()
