"""Readings that the statistician has not confirmed: kept in memory, at need on disk, and sent again."""

from dataclasses import dataclass, replace
from pathlib import Path

from bus.clock import Now, Stamp
from bus.outbox.file import Row
from bus.outbox.files import OutboxFiles

# A statistician that has confirmed nothing for so long may be down, unless it commits less often than this.
SPILL_AFTER_S = 10.0
# With the second between two calls of `settle` a reading is on disk within 5 s.
SPILL_EVERY_S = 4.0
# How often it is looked for a disk that could not be used.
REOPEN_EVERY_S = 60.0
# Longest pause before the backlog is sent once more to a statistician that confirms nothing.
LONGEST_STALL_S = 600.0
# A repeated watermark asks to send again, but not more often than this.
REWIND_EVERY_S = 4.0
# The watermark of a stream that the statistician does not checked_seq: its readings are sent in a new one.
REFUSED = b"-1"
# No new stream is refused at once: more often it is somebody's mischief.
NEW_STREAM_EVERY_S = 3600.0
# Rows of backlog that may be on their way.
WINDOW = 400
# Watermarks that are remembered; a client might make up any number of streams.
_MOST_SAID = 64
_LARGEST_SEQ = 2**53


@dataclass(frozen=True, slots=True)
class Limits:
    """The most an outbox may hold, in memory and on disk together."""

    rows: int = 500_000
    bytes: int = 64 * 1024 * 1024


class Outbox:
    """Keeps readings until they are on the statistician's disk, and says which to send again.

    `name` starts the stream id. `commit_s` is how often the statistician commits, seconds. Time is the
    caller's monotonic seconds. One owner, one thread.
    """

    def __init__(
        self,
        runtime: Path,
        state: Path,
        name: str,
        *,
        limits: Limits | None = None,
        boot: str = "",
        commit_s: float = SPILL_AFTER_S / 2,
    ) -> None:
        self._name = name
        self._files = OutboxFiles(runtime, state, name, boot=boot)
        self._limits = limits or Limits()
        self._order = self._files.order
        # The clock and the rows that are dated by it, and how far that went.
        self._dated: tuple[Stamp, int] | None = None
        self._dated_to: int | None = None
        # All rows up to this one went out, live or as backlog, since the last rewind.
        self._sent: Row | None = None
        self._said: dict[str, int] = {}
        # Whether the statistician runs; None: not known.
        self._online: bool | None = None
        self._appeared_at = float("-inf")
        # When a watermark moved last, or the oldest row came.
        self._moved_at: float | None = None
        self._spill_after_s = max(SPILL_AFTER_S, 2 * commit_s)
        self._stall_s = self.stall_s
        self._rewound_at = float("-inf")
        self._replaced_at = float("-inf")
        self._spilled_at = float("-inf")
        self._reopened_at = float("-inf")

    @property
    def name(self) -> str:
        """Return the service whose readings these are."""
        return self._name

    @property
    def stream(self) -> str:
        """The stream of new readings; it changes when a file fails, or when the statistician refuses it."""
        return self._files.stream

    @property
    def streams(self) -> frozenset[str]:
        """The streams whose watermarks to listen for: all that have had rows since the start, and the own."""
        return frozenset(self._files.streams)

    @property
    def problem(self) -> str | None:
        """Say what is wrong with the files, and what that means; None if nothing is."""
        return self._files.problem

    @property
    def dropped(self) -> int:
        """Count the readings that were dropped because there were too many."""
        return self._files.dropped

    @property
    def waiting(self) -> int:
        """Count the readings that no watermark has passed yet."""
        return self._files.waiting

    @property
    def on_disk(self) -> int:
        """Count the rows that moved to disk because the watermark stood still."""
        return self._files.on_disk

    @property
    def stall_s(self) -> float:
        """Seconds until the backlog is sent once more to a statistician that runs and confirms nothing."""
        return self._spill_after_s + SPILL_EVERY_S

    def unconfirmed_s(self, now: float) -> float:
        """Return for how many seconds the statistician has confirmed nothing; 0 if nothing waits."""
        return now - self._moved_at if self._moved_at is not None and self.waiting else 0.0

    def append(self, topic: str, payload: bytes, now: float, stamp: Stamp | None = None) -> Row:
        """Keep a reading (a JSON object without stream, seq and after); returns it as it goes out live.

        `stamp` is of the clock that dated it; None: the device did.
        """
        files = self._files
        if self._moved_at is None or not files.waiting:
            self._moved_at = now
        seq = files.append(topic, payload, stamp)
        while (waiting := files.waiting) > self._limits.rows or files.size > self._limits.bytes:
            files.drop()
        row = Row(seq, files.stream, topic, payload, stamp)
        return complete(row, None if waiting == 1 else row)

    def sent_live(self, row: Row) -> None:
        """Note that a row went out live: where all before it went out too, it need not go again."""
        before = self._sent.seq if self._sent else 0
        if row.seq == before + 1 or [one.seq for one in self._files.after(before, 1)] == [row.seq]:
            self._sent = row

    def statistician(self, *, online: bool, kept: bool, now: float) -> None:
        """Note whether the statistician runs; `kept`: the broker had retained it, so it is no news."""
        known, self._online = self._online, online
        if not online:
            self._appeared_at = float("-inf")
            self._spill(now)
        elif not kept and (not known or now - self._appeared_at >= REWIND_EVERY_S):
            # What went out before may have reached nobody.
            self._appeared_at = now
            self._stall_s = self.stall_s
            self.rewind(now)

    def hear(self, stream: str, payload: bytes, now: float) -> bool:
        """Take a watermark as it came; False if it is another process's. Raises ValueError."""
        if not stream.startswith(f"{self._name}-"):
            return False
        if payload == REFUSED:
            self._replace_stream(stream, now)
            return True
        self.watermark(stream, self.checked_seq(stream, int(payload)), now)
        return True

    def _replace_stream(self, stream: str, now: float) -> None:
        if self._files.has(stream) and now - self._replaced_at >= NEW_STREAM_EVERY_S:
            self._replaced_at = now
            self._files.move_to_new_stream()

    def checked_seq(self, stream: str, seq: int) -> int:
        """Return the seq of a watermark. Raises ValueError for one of a row that was never sent."""
        # The end of an earlier stream is not known here: it may have been lost with the machine's memory.
        if not 0 <= seq <= (self._files.newest if stream == self.stream else _LARGEST_SEQ):
            raise ValueError(f"{stream} never had the seq {seq}")
        return seq

    def watermark(self, stream: str, seq: int, now: float) -> None:
        """Delete the rows of a stream up to this seq: the statistician has them on disk.

        The same watermark again asks for what follows it, unless that is on its way already.
        """
        again = self._said.pop(stream, None) == seq
        self._said[stream] = seq
        if len(self._said) > _MOST_SAID:
            del self._said[next(iter(self._said))]
        if self._files.remove(stream, seq):
            self._moved_at = now
            self._stall_s = self.stall_s
        elif again and self._all_sent and now - self._rewound_at >= REWIND_EVERY_S:
            self.rewind(now)

    @property
    def _all_sent(self) -> bool:
        return self._sent is not None and self._sent.seq >= self._files.newest

    def rewind(self, now: float) -> None:
        """Send again from the oldest kept row: what went out so far may be lost."""
        self._sent = None
        self._rewound_at = now

    def next(self, limit: int, now: float) -> list[Row]:
        """The next rows to send again, whole payloads, within the window; none while nobody takes them."""
        if self._order != self._files.order:
            self._sort(now)
        if not self._online:
            return []
        if self._stalled(now):
            self._stall_s = min(self._stall_s * 2, LONGEST_STALL_S)
            self.rewind(now)
        oldest = self._files.oldest()
        if self._all_sent or oldest is None:
            return []
        sent = self._sent.seq if self._sent else 0
        room = min(limit, WINDOW - max(0, sent + 1 - oldest))
        rows = self._files.after(sent, room) if room > 0 else []
        before = [self._sent if sent >= oldest else None, *rows]
        return [complete(row, previous) for row, previous in zip(rows, before, strict=False)]

    def _sort(self, now: float) -> None:
        """Delete of the rows that came back those that are stored, and send all others again."""
        for stream, seq in self._said.items():
            self._files.remove(stream, seq)
        self._order = self._files.order
        self.rewind(now)

    def sent(self, row: Row) -> None:
        """Note that a row went out as backlog."""
        self._sent = row

    def put_right(self, now: Now) -> bool:
        """Date what waits by the clock as it is now; False while there is more: ask again before you send.

        Costs nothing while neither the clock nor the files have changed.
        """
        dated = now.stamp, self._files.order
        if dated != self._dated:
            self._dated, self._dated_to = dated, 0
        if self._dated_to is not None:
            self._dated_to = self._files.put_right(self._dated_to, now)
        return self._dated_to is None

    def refuse(self, row: Row, why: str) -> None:
        """Make a dead letter of a row that the broker will never take; an empty reading keeps its place."""
        self.bury(row.topic, row.payload, why)
        self._files.empty(row.seq)

    def bury(self, topic: str, payload: bytes, why: str) -> None:
        """Keep a message that can never be sent; the newest hundred stay until the machine restarts."""
        self._files.bury(topic, payload, why)

    def dead(self) -> list[tuple[str, bytes, str]]:
        """Return the dead letters: topic, payload and why, oldest first."""
        return self._files.dead()

    def _stalled(self, now: float) -> bool:
        if self._sent is None or self._moved_at is None or not self.waiting:
            return False
        return now - max(self._moved_at, self._rewound_at) >= self._stall_s

    def settle(self, now: float) -> None:
        """Move rows to disk while the statistician confirms none; call it about once a second."""
        if now - self._reopened_at >= REOPEN_EVERY_S:
            self._reopened_at = now
            self._files.reopen_disk()
        if self._moved_at is None:
            self._moved_at = now
        silent = self._online is False or now - self._moved_at >= self._spill_after_s
        if (silent or self.on_disk) and now - self._spilled_at >= SPILL_EVERY_S:
            self._spill(now)

    def _spill(self, now: float) -> None:
        if self._files.spill():
            self._spilled_at = now

    def close(self) -> None:
        """Close; what no watermark has passed goes to disk first, since /run ends with the machine."""
        self._files.close()


def complete(row: Row, previous: Row | None) -> Row:
    """Return a row as sent: with stream and seq, and `after` where no earlier row of its stream is kept."""
    tail = f'"stream":"{row.stream}","seq":{row.seq}'
    if previous is None or previous.stream != row.stream:
        tail += f',"after":{row.seq - 1}'
    joint = b"" if row.payload == b"{}" else b","
    return replace(row, payload=row.payload[:-1] + joint + tail.encode() + b"}")
