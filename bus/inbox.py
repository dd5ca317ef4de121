"""What waits for a process's one thread, bounded, and marks of the messages that it has in hand.

Who floods the process costs others their turn, not their place.

The marks stand in a file in memory, so that a message that ends the process twice is set aside. At the next
start they tell what was in hand at the death. If a message was being handled just then, it alone is
suspected; else all that were not on disk yet. A suspect is handled alone, with nothing else in hand, so that
a second death names one message. It is set aside

- if the process itself failed (an exception, a fatal signal, the watchdog) with it alone in hand, and it was
  in hand at a death before;
- if the process was ended from outside (SIGKILL, also by the kernel for want of memory) twice with it alone
  in hand; not where the same words come again by right, as commands do (`outside` is False).

The second rule is stricter, because a kill says nothing about a message: of two kills in normal traffic, both
would have to hit the few milliseconds in which the very same message is alone. What was handled well is
suspected no more. The file does not survive a restart of the machine.
"""

import faulthandler
import logging
import mmap
import os
import struct
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from enum import Enum
from hashlib import blake2b
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import IO

from bus.events import Message
from bus.health import Rate

log = logging.getLogger(__name__)

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


class _Asked:
    """Messages from askers who are known by their Response Topic; what is too much is dropped.

    At most `most` wait, and `of_one` of each asker; at most `rate` a second come, `rate_of_one` from each.
    """

    def __init__(self, most: int, of_one: int, rate: int, rate_of_one: int, now: float) -> None:
        self._most, self._of_one, self._rate_of_one = most, of_one, rate_of_one
        self._rate = Rate(RATE, rate, now)
        self._rates: OrderedDict[str | None, Rate] = OrderedDict()
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
        rate = self._rates.pop(asker, None) or Rate(RATE_OF_ONE, self._rate_of_one, now)
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
        self.dropped_messages = 0

    @property
    def dropped(self) -> dict[str, int]:
        """How many messages were dropped, by kind."""
        return {
            "dropped_requests": self._asked.dropped,
            "dropped_commands": self._others.dropped + self._first.dropped,
            "dropped_messages": self.dropped_messages,
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
                    self.dropped_messages += 1
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


_MAGIC = b"INHAND01"
_SIZE = 8
_NONE = bytes(_SIZE)
# Header: magic, the message being handled, whether the process failed by itself, how many are in hand.
_CURRENT, _FAILED, _COUNT, _FIRST = 8, 16, 20, 24
_COUNTER = struct.Struct("<I")
# More are never in hand, nor suspected.
_MOST = 8192
_SUSPECTS = _FIRST + _MOST * _SIZE
_SUSPECT = struct.Struct("<8sB")
_MOST_KEPT = 1024 * 1024
_LENGTH = _SUSPECTS + _MOST * _SUSPECT.size
# How much is known of a suspect: in hand with others, alone in hand, and in hand at two deaths.
_CROWD, _ONCE, _TWICE = 0, 1, 2


class Handling(Enum):
    """How a message is to be handled."""

    NORMAL = "as any other"
    ALONE = "with nothing else in hand: it was in hand at a death"
    ASIDE = "not at all: it was in hand at two deaths"


class InHand:
    """The marks of one process in the file `path`; where that cannot be (or None) nothing is marked.

    Without `outside` a death that the process did not cause itself makes no message a suspect.
    """

    def __init__(self, path: Path | None, *, outside: bool = True) -> None:
        self._path = path
        self._map: mmap.mmap | None = None
        self._dump: IO[bytes] | None = None
        self._count = 0
        self._suspects: dict[bytes, int] = {}
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fatal = self._failed_fatally(path.with_suffix(".fatal"))
            self._suspects = _suspects(_read(path), failed=fatal, outside=outside)
            self._map = self._create(path)
        except OSError as error:
            log.warning("%s: what is in hand is not marked: %s", path, error)

    def _failed_fatally(self, path: Path) -> bool:
        """Whether the last process left a dump of its stack; from now on ours goes there."""
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        if text:
            log.error("the process before this one ended by itself:\n%s", text[:4000])
        self._dump = path.open("wb")
        faulthandler.enable(self._dump)
        return bool(text)

    def _create(self, path: Path) -> mmap.mmap:
        part = path.with_name(f"{path.name}.new")
        with part.open("w+b") as file:
            # Room is taken now: a page that a full disk refuses later would end the process.
            os.posix_fallocate(file.fileno(), 0, _LENGTH)
            marks = mmap.mmap(file.fileno(), _LENGTH)
        marks[: len(_MAGIC)] = _MAGIC
        for at, (digest, known) in enumerate(self._suspects.items()):
            _SUSPECT.pack_into(marks, _SUSPECTS + at * _SUSPECT.size, digest, known)
        part.replace(path)
        return marks

    def handling_of(self, message: Message) -> Handling:
        """How to handle a message that came."""
        if not self._suspects:
            return Handling.NORMAL
        known = self._suspects.get(digest_of(message))
        if known is None:
            return Handling.NORMAL
        return Handling.ASIDE if known >= _TWICE else Handling.ALONE

    def begin(self, message: Message) -> None:
        """Mark that a message is being handled; it stays in hand until `clear`."""
        marks = self._map
        if marks is None:
            return
        digest = digest_of(message)
        # Of too many the newest are marked.
        at = _FIRST + self._count % _MOST * _SIZE
        marks[at : at + _SIZE] = digest
        self._count += 1
        _COUNTER.pack_into(marks, _COUNT, self._count)
        marks[_CURRENT:_FAILED] = digest

    def handled(self) -> None:
        """Mark that no message is being handled; it may still be in hand."""
        if self._map is not None:
            self._map[_CURRENT:_FAILED] = _NONE

    def clear(self) -> None:
        """Mark that nothing is in hand: all is on disk, or needs not be."""
        marks = self._map
        if marks is None or not self._count:
            return
        if self._suspects:
            for at in range(_FIRST, _FIRST + min(self._count, _MOST) * _SIZE, _SIZE):
                self._clear_suspect(marks[at : at + _SIZE])
        self._count = 0
        _COUNTER.pack_into(marks, _COUNT, 0)
        marks[_CURRENT:_FAILED] = _NONE

    def _clear_suspect(self, digest: bytes) -> None:
        if self._suspects.get(digest, _TWICE) < _TWICE:
            self.release(digest)

    def release(self, digest: bytes) -> bool:
        """Suspect a message no more, nor set it aside; whether it was."""
        if digest not in self._suspects:
            return False
        del self._suspects[digest]
        if self._map is not None:
            for at in range(_SUSPECTS, _LENGTH, _SUSPECT.size):
                if self._map[at : at + _SIZE] == digest:
                    _SUSPECT.pack_into(self._map, at, _NONE, 0)
        return True

    def keep(self, line: bytes) -> None:
        """Append a line to the file of what was set aside. Raises OSError."""
        if self._path is None:
            return
        path = self._path.with_suffix(".set_aside")
        if path.exists() and path.stat().st_size > _MOST_KEPT:
            path.replace(path.with_suffix(".set_aside.old"))
        with path.open("ab") as file:
            file.write(line + b"\n")

    def failed(self) -> None:
        """Mark that the process ends because of an error of its own."""
        if self._map is not None:
            self._map[_FAILED] = 1

    def close(self) -> None:
        """Mark a good end: what is still in hand is no suspect."""
        if self._map is not None:
            self._map[_COUNT:_FIRST] = bytes(_COUNTER.size)
            self._map[_CURRENT:_FAILED] = _NONE
            self._map.close()
            self._map = None
        if self._dump is not None:
            faulthandler.enable()
            self._dump.close()
            self._dump = None


def digest_of(message: Message) -> bytes:
    """Make what a message is known by when it comes again."""
    return blake2b(message.topic.encode() + b"\0" + message.payload, digest_size=_SIZE).digest()


def _read(path: Path) -> bytes:
    content = path.read_bytes() if path.exists() else b""
    return content if len(content) == _LENGTH and content.startswith(_MAGIC) else b""


def _suspects(marks: bytes, *, failed: bool, outside: bool) -> dict[bytes, int]:
    """Find what is suspected after the death that the marks tell of, or after none."""
    if not marks:
        return {}
    known = {
        digest: level for digest, level in _SUSPECT.iter_unpack(marks[_SUSPECTS:_LENGTH]) if digest != _NONE
    }
    count = min(_COUNTER.unpack_from(marks, _COUNT)[0], _MOST)
    current = marks[_CURRENT:_FAILED]
    held = [marks[at : at + _SIZE] for at in range(_FIRST, _FIRST + count * _SIZE, _SIZE)]
    found = {current} if current != _NONE else set(held)
    failed = failed or bool(marks[_FAILED])
    if not failed and not outside:
        return known
    for digest in found:
        before = known.pop(digest, None)
        # The newest come last: of too many the oldest go.
        known[digest] = _level(before, alone=len(found) == 1, failed=failed)
    return dict(list(known.items())[-_MOST:])


def _level(before: int | None, *, alone: bool, failed: bool) -> int:
    if not alone:
        return _CROWD if before is None else before
    if before is None:
        return _ONCE
    return _TWICE if failed else before + 1
