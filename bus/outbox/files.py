"""Where an outbox keeps its rows: in memory, at need on disk; when a file fails it goes on without it."""

import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bus.clock import Now, Stamp
from bus.outbox.file import FAILURES, OutboxFile, Row

log = logging.getLogger(__name__)

_BATCH = 5000

T = TypeVar("T")


class OutboxFiles:
    """The rows of both files in one order of seqs, those on disk first. No failure of a file gets out.

    `stream` is that of new rows. No seq is given twice in a stream. None goes on while rows of it are out of
    reach, for the statistician would take those for lost: the rows in reach move to a new stream.
    """

    def __init__(self, runtime: Path, state: Path, name: str, *, boot: str = "") -> None:
        self._name = name
        self._boot = boot
        self._disk_path = state / f"{name}.outbox"
        self._disk: OutboxFile | None = None
        # Whether there is a file on disk that cannot be used now.
        self._hidden = False
        self._failures: dict[str, str] = {}
        # Every stream there was since the start, of rows of an earlier one too.
        self.streams: set[str] = set()
        # Changes when rows appear before others that may have been sent.
        self.order = 0
        self._memory = self._open_memory(runtime / f"{name}.outbox")
        self.stream = str(self._in_memory(lambda memory: memory.meta("stream")) or "")
        self.dropped = int(self._in_memory(lambda memory: memory.meta("dropped")) or 0)
        self.streams |= self._in_memory(OutboxFile.ends).keys() | ({self.stream} - {""})
        # The healthy path never writes to the card.
        self.reopen_disk()
        if not self.stream:
            self._begin_stream()

    @property
    def problem(self) -> str | None:
        """Say what is wrong with the files, and what that means; None if nothing is."""
        return "; ".join(self._failures.values()) or None

    @property
    def newest(self) -> int:
        """Return the highest seq given."""
        return self._memory.newest

    @property
    def waiting(self) -> int:
        """Rows in both files, as far as the one on disk can be used."""
        return self._memory.count + (self._disk.count if self._disk else 0)

    @property
    def on_disk(self) -> int:
        """Count the rows on disk, as far as it can be used."""
        return self._disk.count if self._disk else 0

    @property
    def size(self) -> int:
        """Count the bytes of all rows."""
        return self._memory.size + (self._disk.size if self._disk else 0)

    def append(self, topic: str, payload: bytes, stamp: Stamp | None) -> int:
        """Keep a new row and return its seq."""
        self._in_memory(
            lambda memory: memory.append(Row(memory.newest + 1, self.stream, topic, payload, stamp))
        )
        return self._memory.newest

    def put_right(self, after: int, now: Now) -> int | None:
        """Date rows behind seq `after` by the clock as it is now; returns as the files do."""
        nothing: int | None = None
        done = self._with_disk(lambda disk: disk.put_right(after, _BATCH, now), nothing)
        if done is not None:
            return done
        return self._in_memory(lambda memory: memory.put_right(after, _BATCH, now))

    def after(self, seq: int, limit: int) -> list[Row]:
        """Return the next `limit` rows behind `seq`."""
        nothing: list[Row] = []
        rows = self._with_disk(lambda disk: disk.after(seq, limit), nothing)
        if len(rows) < limit:
            rows += self._in_memory(lambda memory: memory.after(seq, limit - len(rows)))
        return rows

    def oldest(self) -> int | None:
        """Return the lowest seq kept."""
        return self._with_disk(OutboxFile.oldest, None) or self._in_memory(OutboxFile.oldest)

    def remove(self, stream: str, up_to: int) -> int:
        """Delete a stream's rows up to a seq; returns how many there were."""
        gone = self._in_memory(lambda memory: memory.remove(stream, up_to))
        gone += self._with_disk(lambda disk: disk.remove(stream, up_to), 0)
        if self._disk and not self._disk.count:
            self._with_disk(OutboxFile.delete, None)
            self._disk = None
        return gone

    def drop(self) -> None:
        """Delete the oldest rows, a hundredth of their file, and count them."""
        gone = self._with_disk(_drop, 0) if self.on_disk else self._in_memory(_drop)
        self.dropped += gone
        self._in_memory(lambda memory: memory.set_meta("dropped", self.dropped))

    def has(self, stream: str) -> bool:
        """Return whether it is the stream of new rows, or one of rows that are kept."""
        nothing: dict[str, int] = {}
        kept = self._in_memory(OutboxFile.ends) | self._with_disk(OutboxFile.ends, nothing)
        return stream == self.stream or stream in kept

    def move_to_new_stream(self) -> None:
        """Move the rows in reach to a new stream, in their order; those on disk wait while /run fails.

        What the file in /run says is the end of a stream must stay it: the next process may go on from there.
        """
        self.stream = stream = self._another()
        above = max(self.newest, self._disk.newest if self._disk else 0)
        behind = above + self.on_disk
        self._in_memory(lambda memory: memory.renumber(stream, behind))
        if self._memory.path is not None:
            self._with_disk(lambda disk: disk.renumber(stream, above), None)

    def empty(self, seq: int) -> None:
        """Replace a row's payload by an empty object."""
        self._with_disk(lambda disk: disk.empty(seq), None)
        self._in_memory(lambda memory: memory.empty(seq))

    def bury(self, topic: str, payload: bytes, why: str) -> None:
        """Keep a message that can never be sent."""
        self._in_memory(lambda memory: memory.bury(topic, payload, why))

    def dead(self) -> list[tuple[str, bytes, str]]:
        """Return what was buried: topic, payload and why, oldest first."""
        return self._in_memory(OutboxFile.dead)

    def reopen_disk(self) -> None:
        """Open what is on disk if it is not open; call it now and then, for what hid it may be over."""
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

    def spill(self) -> bool:
        """Move the rows in memory to disk, if there are any, which is returned.

        What it does not take stays in memory, and `problem` says why.
        """
        if not self._memory.count:
            return False
        try:
            if self._disk is None:
                self._open_disk()
            while self._disk and (rows := self._in_memory(lambda memory: memory.after(0, _BATCH))):
                self._disk.add(rows)
                self._in_memory(lambda memory, seq=rows[-1].seq: memory.remove_up_to(seq))  # type: ignore[misc]  # a bound default
        except FAILURES as error:
            self._note_failure("disk", error)
        else:
            self._failures.pop("disk", None)
        return True

    def close(self) -> None:
        """Close; what waits in memory goes to disk first, since /run ends with the machine."""
        self.spill()
        if self._memory.path is None and self._memory.count:
            log.error("%d readings are lost: %s", self._memory.count, self.problem)
        self._memory.close()
        if self._disk:
            self._disk.close()

    def _open_memory(self, path: Path) -> OutboxFile:
        try:
            return OutboxFile(path, durable=False, boot=self._boot)
        except FAILURES as error:
            self._note_failure("memory", error, path)
            return OutboxFile(None, durable=False, boot=self._boot)

    def _in_memory(self, work: Callable[[OutboxFile], T]) -> T:
        try:
            return work(self._memory)
        except FAILURES as error:
            if self._memory.path is None:
                raise
            self._note_failure("memory", error, self._memory.path)
            self._go_on_in_memory()
            return work(self._memory)

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
        self.stream = self._another()

    def _open_disk(self) -> None:
        """Open the disk and put the rows in memory behind those on it. Raises one of FAILURES."""
        disk = OutboxFile(self._disk_path, durable=True, boot=self._boot)
        ends = disk.ends()
        self._disk = disk
        self._hidden = False
        self.streams |= ends.keys()
        for stream, seq in ends.items():
            # A kill between the two halves of a move leaves rows in both files.
            self._in_memory(lambda memory, stream=stream, seq=seq: memory.remove(stream, seq))  # type: ignore[misc]  # bound defaults
        first = self._in_memory(OutboxFile.oldest) or self.newest + 1
        if disk.newest >= first:
            self._begin_stream()
        if disk.count:
            self.order += 1

    def _with_disk(self, work: Callable[[OutboxFile], T], otherwise: T) -> T:
        if self._disk is None:
            return otherwise
        try:
            return work(self._disk)
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

    def _begin_stream(self) -> None:
        """Move the rows in memory to a new stream, above all seqs there are."""
        self.stream = self._another()
        above = max(self.newest, self._disk.newest if self._disk else 0)
        self._in_memory(lambda memory: memory.renumber(self.stream, above))

    def _another(self) -> str:
        stream = f"{self._name}-{secrets.token_hex(3)}"
        self.streams.add(stream)
        return stream

    def _note_failure(self, which: str, error: Exception, path: Path | None = None) -> None:
        text = f"{path or self._disk_path}: {error}; {_CONSEQUENCES[which]}"
        if which not in self._failures:
            log.error("%s", text)
        self._failures[which] = text


_CONSEQUENCES = {
    "memory": "readings that wait do not survive the end of this process",
    "disk": "readings wait in memory until it can be used",
}


def _drop(file: OutboxFile) -> int:
    oldest = file.after(0, max(1, file.count // 100))
    return file.remove_up_to(oldest[-1].seq)
