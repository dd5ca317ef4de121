"""What waits for a process's one thread, bounded: who floods it costs others their turn, not their place."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock

from bus.events import Message

# Requests that wait, of all and of one asker; commands for one output; and bytes of other messages that no
# receive maximum bounds.
REQUESTS, OF_ONE = 64, 8
UNACKNOWLEDGED = 4 * 1024 * 1024
# Requests a second, and as many at once: a refusal costs time too, which commands need.
RATE_OF_ONE, RATE = 200, 500
# Of commands for others as many at once, for all outputs of a house may be told something together; a second
# fewer, for each is answered twice, and the answers of our own outputs wait behind them.
OTHERS_RATE_OF_ONE, OTHERS_RATE = 20, 50
# Where more events wait than this, commands for what is ours go first.
CROWD = 50
_ASKERS = 256
_OVERHEAD = 500


class _Rate:
    """Lets `rate` through a second, and `most` at once."""

    def __init__(self, most: int, rate: int, now: float) -> None:
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


class _Asked:
    """Messages from askers who are known by their Response Topic; what is too much is dropped.

    At most `most` wait, and `of_one` of each asker; at most `rate` a second come, `rate_of_one` from each.
    """

    def __init__(self, most: int, of_one: int, rate: int, rate_of_one: int, now: float) -> None:
        self._most, self._of_one, self._rate_of_one = most, of_one, rate_of_one
        self._rate = _Rate(RATE, rate, now)
        self._rates: OrderedDict[str | None, _Rate] = OrderedDict()
        self._waiting: deque[Message] = deque()
        self._of: Counter[str | None] = Counter()
        self.dropped = 0

    def put(self, message: Message, now: float) -> Message | None:
        """Let a message wait; returns it if it was dropped."""
        asker = message.response_topic
        if not self._admits(asker, now):
            self.dropped += 1
            return message
        self._of[asker] += 1
        self._waiting.append(message)
        return None

    def _admits(self, asker: str | None, now: float) -> bool:
        if len(self._waiting) >= self._most or self._of[asker] >= self._of_one:
            return False
        rate = self._rates.pop(asker, None) or _Rate(RATE_OF_ONE, self._rate_of_one, now)
        self._rates[asker] = rate
        if len(self._rates) > _ASKERS:
            self._rates.popitem(last=False)
        return rate.take(now) and self._rate.take(now)

    def pop(self) -> Message:
        """Return the message whose turn it is."""
        message = self._waiting.popleft()
        self._of[message.response_topic] -= 1
        if not self._of[message.response_topic]:
            del self._of[message.response_topic]
        return message


class _Newest:
    """The newest messages of each topic; an older one makes room."""

    def __init__(self) -> None:
        self._waiting: deque[Message] = deque()
        self.dropped = 0
        # How many were taken before their turn.
        self.ahead = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message, _now: float) -> Message | None:
        """Let a message wait; returns an older one that was dropped for it."""
        same = [one for one in self._waiting if one.topic == message.topic]
        self._waiting.append(message)
        if len(same) < OF_ONE:
            return None
        self._waiting.remove(same[0])
        self.dropped += 1
        return same[0]

    def pop(self) -> Message:
        """Return the message whose turn it is."""
        return self._waiting.popleft()


class Inbox:
    """A queue of events; messages below `requests` and below `commands` have little room in it.

    Requests, commands for others and messages of QoS 0 that do not fit are dropped and counted; so is every
    command for an output of `ours` but the newest. Another message of a higher QoS is bounded by the receive
    maximum, for the broker waits until it is acknowledged. `put` is for any thread, `get` for one.
    """

    def __init__(self, requests: str, commands: str, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._requests, self._commands = requests, commands
        # Whether a topic is that of an output of this process.
        self.ours: Callable[[str], bool] = lambda _topic: False
        self._queue: SimpleQueue[object] = SimpleQueue()
        self._lock = Lock()
        # Each of them stands in the queue once for every message in it.
        self._asked = _Asked(REQUESTS, OF_ONE, RATE, RATE_OF_ONE, monotonic())
        self._others = _Asked(RATE, RATE_OF_ONE, OTHERS_RATE, OTHERS_RATE_OF_ONE, monotonic())
        self._first = _Newest()
        # Each is written by one thread: the broker's, and ours.
        self._arrived = self._taken = 0
        self.messages_dropped = 0

    @property
    def dropped(self) -> dict[str, int]:
        """How many messages were dropped, by kind."""
        return {
            "requests_dropped": self._asked.dropped,
            "commands_dropped": self._others.dropped + self._first.dropped,
            "messages_dropped": self.messages_dropped,
        }

    def put(self, event: object) -> Message | None:
        """Take an event; returns a message that was dropped."""
        if isinstance(event, Message):
            lane = self._lane(event.topic)
            if lane is not None:
                with self._lock:
                    dropped = lane.put(event, self._monotonic())
                if dropped is None:
                    self._queue.put(lane)
                return dropped
            if event.qos == 0:
                if self._arrived - self._taken > UNACKNOWLEDGED:
                    self.messages_dropped += 1
                    return event
                self._arrived += len(event.payload) + _OVERHEAD
        self._queue.put(event)
        return None

    def _lane(self, topic: str) -> _Asked | _Newest | None:
        if topic.startswith(self._requests):
            return self._asked
        if topic.startswith(self._commands):
            return self._first if self.ours(topic) else self._others
        return None

    def get(self, timeout: float | None = None) -> object:
        """Return the next event; without a timeout (s) only what is there. Raises queue.Empty."""
        if self._first and len(self) > CROWD:
            self._first.ahead += 1
            return self._pop(self._first)
        event = self._queue.get_nowait() if timeout is None else self._queue.get(timeout=timeout)
        while event is self._first and self._first.ahead:
            self._first.ahead -= 1
            event = self._queue.get_nowait() if timeout is None else self._queue.get(timeout=timeout)
        if isinstance(event, _Asked | _Newest):
            return self._pop(event)
        if isinstance(event, Message) and event.qos == 0:
            self._taken += len(event.payload) + _OVERHEAD
        return event

    def _pop(self, lane: _Asked | _Newest) -> Message:
        with self._lock:
            return lane.pop()

    def __len__(self) -> int:
        return self._queue.qsize() - self._first.ahead
