"""Readings, watermarks, moves to disk, kills, failing files in any order: no seq twice, no reading lost."""

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bus import outbox as module
from bus.outbox import (
    NEW_STREAM_EVERY_S,
    REFUSED,
    REOPEN_EVERY_S,
    SPILL_AFTER_S,
    SPILL_EVERY_S,
    Outbox,
)
from bus.outbox.file import OutboxFile
from statistician.streams import Spot, StreamPlace, Streams
from tests.rounds import rounds

NAME = "collector_ble"
TOPIC = "camper/state/mppt"


class Statistician:
    """Takes readings as the real one does; `watermarks` are what the broker retains of it."""

    def __init__(self) -> None:
        self.streams = Streams([])
        self.stored: set[int] = set()
        self.watermarks: dict[str, int] = {}
        self._batch: set[int] = set()

    def take(self, payload: bytes) -> None:
        """A reading came."""
        reading = json.loads(payload)
        # The value is the time, too: each is measured later than the one before.
        spot = Spot(reading["stream"], reading["seq"], reading.get("after"), reading["v"])
        place = self.streams.place(spot, 0)
        if place is StreamPlace.NEXT:
            self._batch.add(reading["v"])

    def commit(self) -> dict[str, int]:
        """Put them on disk; returns the watermarks to be told."""
        self.stored |= self._batch
        self._batch = set()
        said = {stream: seq for stream, seq in self.streams.committed().items() if seq is not None}
        self.watermarks |= said
        return said

    def restart(self) -> None:
        """Forget what was not on disk; say everything else again."""
        self._batch = set()
        self.streams = Streams(self.streams.known(0))


def rows_in(folder: Path) -> set[tuple[str, int, int]]:
    """Stream, seq and value of the rows in a folder's file."""
    path = folder / f"{NAME}.outbox"
    if not path.is_file():
        return set()
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT stream, seq, payload FROM outbox").fetchall()
    return {(stream, seq, json.loads(payload)["v"]) for stream, seq, payload in rows}


class _Life(RuleBasedStateMachine):
    """An outbox on real files, whose process dies again and again."""

    def __init__(self) -> None:
        super().__init__()
        # Names by chance would make one example differ from its repetition: streams are taken in their order.
        names = count(1)
        self.names = patch.object(
            module, "secrets", SimpleNamespace(token_hex=lambda _: f"{next(names):06x}")
        )
        self.names.start()
        self.folder = Path(tempfile.mkdtemp())
        self.now = 0.0
        self.statistician = Statistician()
        self.measured = 0
        self.given: dict[tuple[str, int], int] = {}
        # What no file held when its process or the machine ended: nobody can have it.
        self.gone: set[int] = set()
        self.dead: list[Outbox] = []
        self.start()

    def start(self) -> None:
        """A process starts and connects."""
        self.outbox = Outbox(self.folder / "run", self.folder / "state", NAME)
        self.listened = self.outbox.streams
        self.outbox.rewind(self.now)
        self.outbox.statistician(online=True, kept=True, now=self.now)
        self.hear(self.statistician.watermarks)
        self.measure(2)

    def hear(self, watermarks: dict[str, int]) -> None:
        """Watermarks come from the broker, those that were asked for."""
        for stream, seq in watermarks.items():
            if stream in self.listened:
                self.outbox.hear(stream, str(seq).encode(), self.now)

    def teardown(self) -> None:
        self.names.stop()
        self.is_killed()
        for _ in range(20):
            self.pass_time(self.outbox.stall_s)
            self.send(10_000, 1.0)
            self.commit()
        assert self.outbox.waiting == 0
        assert set(range(1, self.measured + 1)) - self.statistician.stored <= self.gone
        assert self.statistician.streams.lost == 0, "said to be lost what was not"
        for outbox in (*self.dead, self.outbox):
            outbox._memory.close()
            if outbox._disk:
                outbox._disk.close()
        shutil.rmtree(self.folder)

    @invariant()
    def the_count_is_right(self) -> None:
        assert len(self.outbox.after(0, 10_000)) == self.outbox.waiting

    @rule(count=st.integers(1, 5), goes=st.booleans(), arrives=st.booleans())
    def measure(self, count: int, goes: bool = False, arrives: bool = False) -> None:  # noqa: FBT001, FBT002 — hypothesis gives them
        """Readings that go out live or not; those that go may be lost, or be ahead of the backlog."""
        arrives = arrives and goes
        for _ in range(count):
            self.measured += 1
            row = self.outbox.append(TOPIC, json.dumps({"v": self.measured}).encode(), self.now)
            assert (row.stream, row.seq) not in self.given, "a seq was given twice"
            self.given[row.stream, row.seq] = self.measured
            if goes:
                self.outbox.sent_live(row)
            if arrives:
                self.statistician.take(row.payload)

    @rule(limit=st.integers(1, 10), arrive=st.floats(0.0, 1.0))
    def send(self, limit: int, arrive: float) -> None:
        rows = self.outbox.next(limit, self.now)
        for number, row in enumerate(rows):
            self.outbox.sent(row)
            if number <= arrive * len(rows):
                self.statistician.take(row.payload)

    @rule()
    def commit(self) -> None:
        self.hear(self.statistician.commit())

    @rule()
    def the_statistician_restarts(self) -> None:
        self.outbox.statistician(online=False, kept=False, now=self.now)
        self.statistician.restart()
        self.outbox.statistician(online=True, kept=False, now=self.now)
        self.hear(self.statistician.watermarks)

    @rule()
    def the_statistician_forgets(self) -> None:
        """A month of silence, or a database that was lost; what it had stored is told elsewhere."""
        self.statistician.streams = Streams([])
        self.statistician.commit()

    @rule(which=st.integers(0, 5))
    def a_stream_is_refused(self, which: int) -> None:
        streams = sorted(self.listened)
        self.outbox.hear(streams[which % len(streams)], REFUSED, self.now)
        self.listen()

    @rule(seconds=st.sampled_from([1.0, SPILL_EVERY_S, SPILL_AFTER_S, REOPEN_EVERY_S, NEW_STREAM_EVERY_S]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.outbox.settle(self.now)
        self.listen()

    def listen(self) -> None:
        """Ask for the watermarks of streams that are new; the broker says what it retains of them."""
        new = self.outbox.streams - self.listened
        self.listened |= new
        self.hear({stream: seq for stream, seq in self.statistician.watermarks.items() if stream in new})

    @rule()
    def connect(self) -> None:
        self.outbox.rewind(self.now)
        self.hear(self.statistician.watermarks)

    @rule()
    def all_arrives(self) -> None:
        self.send(10_000, 1.0)
        self.commit()

    @rule()
    def is_killed(self) -> None:
        self.die()

    @rule(which=st.sampled_from(["run", "state"]))
    def dies_and_a_file_with_it(self, which: str) -> None:
        self.die(which)

    @rule()
    def the_power_fails(self) -> None:
        self.die(power=True)

    def die(self, which: str = "", *, power: bool = False) -> None:
        """No close; then one of the files is out of reach, and that of the death before is back."""
        self.dead.append(self.outbox)
        for folder in ("run", "state"):
            self.mend(self.folder / folder)
        if power:
            shutil.rmtree(self.folder / "run", ignore_errors=True)
        held = {value for folder in ("run", "state") for *_, value in rows_in(self.folder / folder)}
        self.gone |= set(range(1, self.measured + 1)) - self.statistician.stored - held
        if which:
            self.take_away(self.folder / which)
        self.start()

    @rule()
    def stop_in_peace(self) -> None:
        before = self.outbox.problem
        self.outbox.close()
        self.die(power=before is None)

    def take_away(self, folder: Path) -> None:
        away = folder.with_suffix(".away")
        folder.mkdir(exist_ok=True)
        folder.rename(away)
        (folder / f"{NAME}.outbox").mkdir(parents=True)

    def mend(self, folder: Path) -> None:
        away = folder.with_suffix(".away")
        if away.exists():
            shutil.rmtree(folder)
            away.rename(folder)

    @rule()
    def the_state_folder_is_mended(self) -> None:
        self.mend(self.folder / "state")

    @rule(which=st.sampled_from(["_memory", "_disk"]))
    @precondition(lambda self: self.outbox._disk is not None)
    def a_file_becomes_read_only(self, which: str) -> None:
        kept: OutboxFile = getattr(self.outbox, which)
        if kept.path is not None:
            kept._db.execute("PRAGMA query_only = 1")


# On a busy machine the health checks of time fail, and say nothing of the outbox.
_Life.TestCase.settings = settings(
    max_examples=rounds(40, 200),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestAnyOrder = _Life.TestCase
