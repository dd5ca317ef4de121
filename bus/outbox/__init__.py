"""Readings that the statistician has not confirmed: kept in memory, at need on disk, and sent again."""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from bus.clock import Now, Stamp
from bus.outbox.file import FAILURES, OutboxFile, Row, complete

log = logging.getLogger(__name__)

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
# The watermark of a stream that the statistician does not accept: its readings are sent in a new one.
REFUSED = b"-1"
# No new stream is refused at once: more often it is somebody's mischief.
NEW_STREAM_EVERY_S = 3600.0
# Rows of backlog that may be on their way.
WINDOW = 400
# Rows that are moved or dated at once.
_BATCH = 5000
# Watermarks that are remembered; a client might make up any number of streams.
_MOST_SAID = 64
_LARGEST_SEQ = 2**53
_CONSEQUENCES = {
    "memory": "readings that wait do not survive the end of this process",
    "disk": "readings wait in memory until it can be used",
}

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """The most an outbox may hold, in memory and on disk together."""

    rows: int = 500_000
    bytes: int = 64 * 1024 * 1024


class Outbox:
    """Keeps readings until they are on the statistician's disk, and says which to send again.

    `name` starts the stream id. `commit_s` is how often the statistician commits, seconds. Time is the
    caller's monotonic seconds. One owner, one thread.

    The rows of both files have one order of seqs, those on disk first. No failure of a file gets out. No seq
    is given twice in a stream, and none goes on while rows of it are out of reach, for the statistician would
    take those for lost: then the rows in reach move to a new stream.
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
        self.name = name
        self._boot = boot
        self._limits = limits or Limits()
        self._disk_path = state / f"{name}.outbox"
        self._disk: OutboxFile | None = None
        # Whether there is a file on disk that cannot be used now.
        self._hidden = False
        self._failures: dict[str, str] = {}
        self._streams: set[str] = set()
        # The clock that the rows are dated by, and how far that went; None: all are.
        self._dated: tuple[int, bool] | None = None
        self._dated_to: int | None = None
        self._memory = self._open_memory(runtime / f"{name}.outbox")
        # The stream of new readings; it changes when a file fails, or when the statistician refuses it.
        self.stream = str(self._in_memory(OutboxFile.meta, "stream") or "")
        self.dropped = int(self._in_memory(OutboxFile.meta, "dropped") or 0)
        self._streams |= self._in_memory(OutboxFile.ends).keys() | ({self.stream} - {""})
        # The healthy path never writes to the card.
        self._reopen_disk()
        if not self.stream:
            self._begin_stream()
        # Whether rows have appeared before others that may have been sent.
        self._unsorted = False
        # All rows up to this one went out, live or as backlog, since the last rewind.
        self._sent: Row | None = None
        self._said: dict[str, int] = {}
        # Whether the statistician runs; None: not known.
        self._online: bool | None = None
        # When a watermark moved last, or the oldest row came.
        self._moved_at: float | None = None
        self._spill_after_s = max(SPILL_AFTER_S, 2 * commit_s)
        self._stall_s = self.stall_s
        self._appeared_at = self._rewound_at = self._replaced_at = float("-inf")
        self._spilled_at = self._reopened_at = float("-inf")

    @property
    def streams(self) -> frozenset[str]:
        """The streams whose watermarks to listen for: all that have had rows since the start, and the own."""
        return frozenset(self._streams)

    @property
    def problem(self) -> str | None:
        """What is wrong with the files, and what that means; None if nothing is."""
        return "; ".join(self._failures.values()) or None

    @property
    def waiting(self) -> int:
        """How many readings no watermark has passed yet, as far as the file on disk can be used."""
        return self._memory.count + (self._disk.count if self._disk else 0)

    @property
    def on_disk(self) -> int:
        """How many rows moved to disk because the watermark stood still."""
        return self._disk.count if self._disk else 0

    @property
    def size(self) -> int:
        """The bytes of all rows."""
        return self._memory.size + (self._disk.size if self._disk else 0)

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

        def keep(memory: OutboxFile) -> Row:
            row = Row(memory.newest + 1, self.stream, topic, payload, stamp)
            memory.append(row)
            return row

        row = self._in_memory(keep)
        while (waiting := self.waiting) > self._limits.rows or self.size > self._limits.bytes:
            self.dropped += (
                self._with_disk(0, OutboxFile.drop) if self.on_disk else self._in_memory(OutboxFile.drop)
            )
            self._in_memory(OutboxFile.set_meta, "dropped", self.dropped)
        if self._moved_at is None or waiting == 1:
            self._moved_at = now
        return complete(row, None if waiting == 1 else row)

    def sent_live(self, row: Row) -> None:
        """Note that a row went out live: where all before it went out too, it need not go again."""
        before = self._sent.seq if self._sent else 0
        if row.seq == before + 1 or [one.seq for one in self.after(before, 1)] == [row.seq]:
            self._sent = row

    def statistician(self, *, online: bool, kept: bool, now: float) -> None:
        """Note whether the statistician runs; `kept`: the broker had retained it, so it is no news."""
        known, self._online = self._online, online
        if not online:
            self._appeared_at = float("-inf")
            self._spill_at(now)
        elif not kept and (not known or now - self._appeared_at >= REWIND_EVERY_S):
            # What went out before may have reached nobody.
            self._appeared_at = now
            self._stall_s = self.stall_s
            self.rewind(now)

    def hear(self, stream: str, payload: bytes, now: float) -> bool:
        """Take a watermark as it came; False if it is another process's. Raises ValueError."""
        if not stream.startswith(f"{self.name}-"):
            return False
        if payload == REFUSED:
            kept = self._in_memory(OutboxFile.ends) | self._with_disk({}, OutboxFile.ends)
            if stream in (self.stream, *kept) and now - self._replaced_at >= NEW_STREAM_EVERY_S:
                self._replaced_at = now
                self._begin_stream(also_disk=True)
            return True
        self.watermark(stream, self.checked_seq(stream, int(payload)), now)
        return True

    def checked_seq(self, stream: str, seq: int) -> int:
        """Return the seq of a watermark. Raises ValueError for one of a row that was never sent."""
        # The end of an earlier stream is not known here: it may have been lost with the machine's memory.
        if not 0 <= seq <= (self._memory.newest if stream == self.stream else _LARGEST_SEQ):
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
        if self._remove(stream, seq):
            self._moved_at = now
            self._stall_s = self.stall_s
        elif again and self._all_sent and now - self._rewound_at >= REWIND_EVERY_S:
            self.rewind(now)

    @property
    def _all_sent(self) -> bool:
        return self._sent is not None and self._sent.seq >= self._memory.newest

    def rewind(self, now: float) -> None:
        """Send again from the oldest kept row: what went out so far may be lost."""
        self._sent = None
        self._rewound_at = now

    def next(self, limit: int, now: float) -> list[Row]:
        """Return the next rows to send again, whole payloads, in the window; none while nobody takes them."""
        if self._unsorted:
            # Of the rows that came back those that are stored are deleted, and all others go again.
            for stream, seq in self._said.items():
                self._remove(stream, seq)
            self._unsorted = False
            self.rewind(now)
        if not self._online:
            return []
        if self._stalled(now):
            self._stall_s = min(self._stall_s * 2, LONGEST_STALL_S)
            self.rewind(now)
        if self._all_sent:
            return []
        oldest = self._with_disk(None, OutboxFile.oldest) or self._in_memory(OutboxFile.oldest)
        if oldest is None:
            return []
        sent = self._sent.seq if self._sent else 0
        room = min(limit, WINDOW - max(0, sent + 1 - oldest))
        rows = self.after(sent, room) if room > 0 else []
        before = [self._sent if sent >= oldest else None, *rows]
        return [complete(row, previous) for row, previous in zip(rows, before, strict=False)]

    def after(self, seq: int, limit: int) -> list[Row]:
        """Return the next `limit` rows behind `seq`, as they are kept."""
        nothing: list[Row] = []
        rows = self._with_disk(nothing, OutboxFile.after, seq, limit)
        return rows + self._in_memory(OutboxFile.after, seq, limit - len(rows)) if len(rows) < limit else rows

    def sent(self, row: Row) -> None:
        """Note that a row went out as backlog."""
        self._sent = row

    def put_right(self, now: Now) -> bool:
        """Date what waits by the clock as it is now; False while there is more: ask again before you send.

        Costs nothing while neither the clock nor the files have changed.
        """
        dated = now.offset, now.quality == "ok"
        if dated != self._dated:
            self._dated, self._dated_to = dated, 0
        if self._dated_to is not None:
            done = self._with_disk(None, OutboxFile.put_right, self._dated_to, _BATCH, now)
            if done is None:
                done = self._in_memory(OutboxFile.put_right, self._dated_to, _BATCH, now)
            self._dated_to = done
        return self._dated_to is None

    def refuse(self, row: Row, why: str) -> None:
        """Make a dead letter of a row that the broker will never take; an empty reading keeps its place."""
        self.bury(row.topic, row.payload, why)
        self._with_disk(None, OutboxFile.empty, row.seq)
        self._in_memory(OutboxFile.empty, row.seq)

    def bury(self, topic: str, payload: bytes, why: str) -> None:
        """Keep a message that can never be sent; the newest hundred stay until the machine restarts."""
        self._in_memory(OutboxFile.bury, topic, payload, why)

    def dead(self) -> list[tuple[str, bytes, str]]:
        """Return the dead letters: topic, payload and why, oldest first."""
        return self._in_memory(OutboxFile.dead)

    def _stalled(self, now: float) -> bool:
        if self._sent is None or self._moved_at is None or not self.waiting:
            return False
        return now - max(self._moved_at, self._rewound_at) >= self._stall_s

    def settle(self, now: float) -> None:
        """Move rows to disk while the statistician confirms none; call it about once a second."""
        if now - self._reopened_at >= REOPEN_EVERY_S:
            self._reopened_at = now
            self._reopen_disk()
        if self._moved_at is None:
            self._moved_at = now
        silent = self._online is False or now - self._moved_at >= self._spill_after_s
        if (silent or self.on_disk) and now - self._spilled_at >= SPILL_EVERY_S:
            self._spill_at(now)

    def _spill_at(self, now: float) -> None:
        if self._memory.count:
            self._spill()
            self._spilled_at = now

    def close(self) -> None:
        """Close; what no watermark has passed goes to disk first, since /run ends with the machine."""
        self._spill()
        if self._memory.path is None and self._memory.count:
            log.error("%d readings are lost: %s", self._memory.count, self.problem)
        self._memory.close()
        if self._disk:
            self._disk.close()

    def _spill(self) -> None:
        """Move the rows in memory to disk; what it does not take stays, and `problem` says why."""
        if not self._memory.count:
            return
        try:
            if self._disk is None:
                self._open_disk()
            while self._disk and (rows := self._in_memory(OutboxFile.after, 0, _BATCH)):
                self._disk.add(rows)
                self._in_memory(OutboxFile.remove_up_to, rows[-1].seq)
        except FAILURES as error:
            self._note_failure("disk", error)
        else:
            self._failures.pop("disk", None)

    def _remove(self, stream: str, up_to: int) -> int:
        """Delete a stream's rows up to a seq; returns how many there were."""
        gone = self._in_memory(OutboxFile.remove, stream, up_to)
        gone += self._with_disk(0, OutboxFile.remove, stream, up_to)
        if self._disk and not self._disk.count:
            self._with_disk(None, OutboxFile.delete)
            self._disk = None
        return gone

    def _begin_stream(self, *, also_disk: bool = False) -> None:
        """Move the rows in memory to a new stream above all seqs there are, `also_disk` those on disk.

        Those wait while /run fails: what its file says is the end of a stream must stay it, for the next
        process may go on from there.
        """
        self.stream = stream = self._another_stream()
        above = max(self._memory.newest, self._disk.newest if self._disk else 0)
        behind = above + (self.on_disk if also_disk else 0)
        # A memory that fails in between begins one of its own.
        self._in_memory(lambda memory: memory.renumber(self.stream, behind))
        if also_disk and self._memory.path is not None:
            self._with_disk(None, OutboxFile.renumber, stream, above)

    def _another_stream(self) -> str:
        stream = f"{self.name}-{secrets.token_hex(3)}"
        self._streams.add(stream)
        return stream

    def _open_memory(self, path: Path) -> OutboxFile:
        try:
            return OutboxFile(path, durable=False, boot=self._boot)
        except FAILURES as error:
            self._note_failure("memory", error, path)
            return OutboxFile(None, durable=False, boot=self._boot)

    def _in_memory(
        self, work: Callable[Concatenate[OutboxFile, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            return work(self._memory, *args, **kwargs)
        except FAILURES as error:
            if self._memory.path is None:
                raise
            self._note_failure("memory", error, self._memory.path)
            self._go_on_in_memory()
            return work(self._memory, *args, **kwargs)

    def _go_on_in_memory(self) -> None:
        """Go on in this process alone; the file stays as it is, for the next one."""
        outside, inside = self._memory, OutboxFile(None, durable=False, boot=self._boot)
        try:
            while rows := outside.after(inside.newest, _BATCH):
                inside.add(rows)
        except FAILURES as error:
            log.error("%s: readings on it wait for the next start: %s", outside.path, error)  # noqa: TRY400 — the trace says nothing more
        inside.newest = max(inside.newest, outside.newest)
        outside.close()
        self._memory = inside
        # The file may be opened again and go on where it stands.
        self.stream = self._another_stream()

    def _reopen_disk(self) -> None:
        """Open what is on disk if it is not open: what hid it may be over."""
        if self._disk:
            return
        try:
            there = self._disk_path.exists()
            if there:
                self._open_disk()
        except FAILURES as error:
            self._hide(error)
        else:
            if there or self._hidden:
                self._hidden = False
                self._failures.pop("disk", None)

    def _open_disk(self) -> None:
        """Open the disk and put the rows in memory behind those on it. Raises one of FAILURES."""
        disk = OutboxFile(self._disk_path, durable=True, boot=self._boot)
        ends = disk.ends()
        self._disk = disk
        self._hidden = False
        self._streams |= ends.keys()
        for stream, seq in ends.items():
            # A kill between the two halves of a move leaves rows in both files.
            self._in_memory(OutboxFile.remove, stream, seq)
        first = self._in_memory(OutboxFile.oldest) or self._memory.newest + 1
        if disk.newest >= first:
            self._begin_stream()
        if disk.count:
            self._unsorted, self._dated = True, None

    def _with_disk(
        self, otherwise: T, work: Callable[Concatenate[OutboxFile, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._disk is None:
            return otherwise
        try:
            return work(self._disk, *args, **kwargs)
        except FAILURES as error:
            self._disk.close()
            self._disk = None
            self._hide(error)
            return otherwise

    def _hide(self, error: Exception) -> None:
        self._note_failure("disk", error)
        if not self._hidden:
            self._hidden = True
            self._begin_stream()

    def _note_failure(self, which: str, error: Exception, path: Path | None = None) -> None:
        text = f"{path or self._disk_path}: {error}; {_CONSEQUENCES[which]}"
        if which not in self._failures:
            log.error("%s", text)
        self._failures[which] = text
