"""Readings on their way: kept until the statistician's watermark passes them, in memory, at need on disk."""

import logging
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from bus.shelf import Row, Shelf

log = logging.getLogger(__name__)

# A healthy statistician commits every few seconds; one that stands still longer is down.
SPILL_AFTER_S = 30.0
SPILL_EVERY_S = 5.0
# Longer than the statistician's commit interval, else every pause would be sent twice.
STALL_S = 45.0
LONGEST_STALL_S = 600.0
# A repeated watermark asks to send again, but not more often than this.
REWIND_EVERY_S = 2.0
WINDOW = 400
_LARGEST_SEQ = 2**53


@dataclass(frozen=True, slots=True)
class Limits:
    """The most an outbox may hold, in memory and on disk together."""

    rows: int = 500_000
    bytes: int = 64 * 1024 * 1024


class Outbox:
    """Keeps readings until they are on the statistician's disk and says which to send next.

    `name` starts the stream id. Time is the caller's monotonic seconds. One owner, one thread.
    """

    def __init__(self, runtime: Path, state: Path, name: str, *, limits: Limits | None = None) -> None:
        self._disk_path = state / f"{name}.outbox"
        self._memory = Shelf(runtime / f"{name}.outbox", durable=False)
        # Opened only when needed: the healthy path never writes to the card.
        self._disk = Shelf(self._disk_path, durable=True) if self._disk_path.exists() else None
        self._limits = limits or Limits()
        self.stream = self._open_stream(name)
        self.dropped = int(self._memory.meta("dropped") or 0)
        newest_on_disk = self._disk.newest if self._disk else 0
        self._seq = max(self._memory.newest, int(self._memory.meta("seq") or 0), newest_on_disk)
        self.problem: str | None = None
        self._sent: Row | None = None
        self._said: dict[str, int] = {}
        self._moved_at: float | None = None
        self._stall_s = STALL_S
        self._rewound_at = float("-inf")
        self._spilled_at = float("-inf")

    def _open_stream(self, name: str) -> str:
        stream = self._memory.meta("stream")
        if stream is None:
            stream = f"{name}-{secrets.token_hex(3)}"
            self._memory.set_meta("stream", stream)
        return str(stream)

    def __len__(self) -> int:
        return self._memory.count + self.on_disk

    @property
    def waiting(self) -> int:
        """Readings that no watermark has passed yet."""
        return len(self)

    @property
    def on_disk(self) -> int:
        """Rows that moved to disk because the watermark stood still."""
        return self._disk.count if self._disk else 0

    def streams(self) -> list[str]:
        """The own stream and those of earlier boots that still have rows: the watermarks to listen for."""
        earlier = self._disk.streams() if self._disk else []
        return [self.stream, *(s for s in earlier if s != self.stream)]

    def append(self, topic: str, payload: bytes, now: float) -> int:
        """Keep a reading (a JSON object without stream, seq and after) and return its seq."""
        if self._moved_at is None or not len(self):
            self._moved_at = now
        self._seq += 1
        self._memory.add([Row(self._seq, self.stream, topic, payload)], seq=self._seq)
        self._bound()
        return self._seq

    def _bound(self) -> None:
        while len(self) > self._limits.rows or self._bytes() > self._limits.bytes:
            shelf = self._disk if self._disk and self._disk.count else self._memory
            oldest = shelf.after(0, max(1, shelf.count // 100))
            self.dropped += shelf.remove_up_to(oldest[-1].seq)
            self._memory.set_meta("dropped", self.dropped)

    def _bytes(self) -> int:
        return self._memory.size + (self._disk.size if self._disk else 0)

    def believe(self, stream: str, seq: int) -> int:
        """A watermark's seq if it can be one. Raises ValueError: nobody has what was not sent yet."""
        # The end of an earlier stream is not known here: it may have been lost with the machine's memory.
        if not 0 <= seq <= (self._seq if stream == self.stream else _LARGEST_SEQ):
            raise ValueError(f"{stream} never had the seq {seq}")
        return seq

    def watermark(self, stream: str, seq: int, now: float) -> None:
        """The statistician has every seq of the stream up to this one on disk.

        The same watermark again asks for what follows it: the statistician restarted or saw a gap.
        """
        again = self._said.get(stream) == seq
        self._said[stream] = seq
        gone = self._memory.remove(stream, seq)
        if self._disk:
            gone += self._disk.remove(stream, seq)
            if not self._disk.count:
                self._disk.delete()
                self._disk = None
        if gone:
            self._moved_at = now
            self._stall_s = STALL_S
        elif again and len(self) and now - self._rewound_at >= REWIND_EVERY_S:
            self.rewind(now)

    def rewind(self, now: float) -> None:
        """Send again from the oldest kept row: after a connect, or when nothing moves."""
        self._sent = None
        self._rewound_at = now
        if len(self):
            self._moved_at = now

    def holds(self, seq: int) -> bool:
        """Whether a seq of the own stream is still waiting here."""
        oldest = self._oldest()
        return oldest is not None and oldest <= seq

    def next(self, limit: int, now: float) -> list[Row]:
        """The next rows to send, whole payloads, within the window; rewinds by itself on a stall."""
        if self._stalled(now):
            self._stall_s = min(self._stall_s * 2, LONGEST_STALL_S)
            self.rewind(now)
        if self._sent and self._sent.seq >= self._seq:
            return []
        room = min(limit, WINDOW - self._in_flight())
        if room <= 0:
            return []
        rows = self._after(self._sent.seq if self._sent else 0, room)
        before = [self._sent, *rows]
        return [complete(row, previous) for row, previous in zip(rows, before, strict=False)]

    def _after(self, seq: int, limit: int) -> list[Row]:
        rows = self._disk.after(seq, limit) if self._disk else []
        if len(rows) < limit:
            # A crash while moving may leave a row on both shelves.
            rows += self._memory.after(max(seq, rows[-1].seq if rows else 0), limit - len(rows))
        return rows

    def sent(self, row: Row) -> None:
        """The row went to the broker."""
        self._sent = row

    def refuse(self, row: Row, why: str) -> None:
        """The broker will never take this row: it becomes a dead letter, an empty reading keeps its place."""
        self.bury(row.topic, row.payload, why)
        for shelf in filter(None, (self._disk, self._memory)):
            shelf.empty(row.seq)

    def bury(self, topic: str, payload: bytes, why: str) -> None:
        """Keep a message that can never be sent; the newest hundred stay until the machine restarts."""
        self._memory.bury(topic, payload, why)

    def dead(self) -> list[tuple[str, bytes, str]]:
        """The dead letters: topic, payload and why, oldest first."""
        return self._memory.dead()

    def _stalled(self, now: float) -> bool:
        if self._sent is None or self._moved_at is None or not len(self):
            return False
        return now - self._moved_at >= self._stall_s

    def _in_flight(self) -> int:
        oldest = self._oldest()
        if self._sent is None or oldest is None:
            return 0
        return max(0, self._sent.seq - oldest + 1)

    def _oldest(self) -> int | None:
        return (self._disk.oldest() if self._disk else None) or self._memory.oldest()

    def settle(self, now: float) -> None:
        """Move waiting rows to disk when the watermark has stood still; call it about once a second."""
        if not self._memory.count or self._moved_at is None:
            return
        waiting = self.on_disk > 0 or now - self._moved_at >= SPILL_AFTER_S
        if waiting and now - self._spilled_at >= SPILL_EVERY_S:
            self._spilled_at = now
            self._spill()

    def _spill(self) -> None:
        try:
            if self._disk is None:
                self._disk = Shelf(self._disk_path, durable=True)
            while rows := self._memory.after(0, 5000):
                self._disk.add(rows)
                self._memory.remove_up_to(rows[-1].seq)
            self.problem = None
        except (sqlite3.OperationalError, OSError) as error:
            # A full or read-only disk: the rows stay in memory, and the owner is told.
            if self.problem is None:
                log.warning("the outbox cannot move to %s: %s", self._disk_path, error)
            self.problem = f"{self._disk_path}: {error}"

    def close(self) -> None:
        """Close; what no watermark has passed goes to disk first, since /run ends with the machine."""
        if self._memory.count:
            self._spill()
        self._memory.close()
        if self._disk:
            self._disk.close()


def complete(row: Row, previous: Row | None) -> Row:
    """The row as sent: stream and seq added, and `after` where no earlier row of its stream is kept."""
    tail = f'"stream":"{row.stream}","seq":{row.seq}'
    if previous is None or previous.stream != row.stream:
        tail += f',"after":{row.seq - 1}'
    joint = b"" if row.payload == b"{}" else b","
    return Row(row.seq, row.stream, row.topic, row.payload[:-1] + joint + tail.encode() + b"}")
