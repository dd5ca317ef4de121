"""What is kept how long, when the night's work is due, and what becomes of a full disk."""

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from bus.messages import of_device, to_iso
from bus.outbox import Outbox
from config.model import Statistician as Settings
from statistician import arithmetic as periods
from statistician.arithmetic import DAY, HOUR, MINUTES_5
from statistician.arithmetic.algorithm import Row
from statistician.records import State, StoredRow, Table
from statistician.retention import Pace
from statistician.upkeep import BackUp, Compile, Purge, Schedule
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS, Rig


def purge(rig: Rig) -> None:
    rig.service.handle(Purge())
    rig.settle()


def test_a_month_of_silence_sets_no_sum_back(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db", settings=Settings(keep_days=2))
    rig.about("van", energy="total_increasing", flow="total")
    for n in range(90):
        rig.now = START + n * MINUTE
        rig.reading("van", {"energy": 1000.0 + n, "flow": 50.0 - n})
    rig.run_until(START + 2 * HOUR)
    rig.reading("van", {"energy": None, "flow": None})
    for day in range(1, 31):
        rig.run_until(START + day * DAY)
        purge(rig)
        if day % 7 == 0:
            rig.restart()
    assert rig.rows("energy") == []
    rig.reading("van", {"energy": 1100.0, "flow": -100.0})
    rig.run_until(rig.now + 2 * HOUR)
    sums = [row.row.sum or 0.0 for row in rig.rows("energy", Table.HOUR)]
    assert sums[0] == 59.0
    assert min(b - a for a, b in pairwise(sums)) >= 0.0
    assert sums[-1] == 100.0
    assert rig.rows("flow", Table.HOUR)[-1].row.sum == -150.0


def test_an_entity_may_be_kept_shorter_or_longer(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db", settings=Settings(keep_days=4))
    rig.about("van", short="measurement", usual="measurement", long="measurement")
    rig.commit()
    for key, days in (("short", 1), ("long", 20)):
        rig.store.engine.run("UPDATE entity SET retention_days = ? WHERE entity = ?", (days, key))
    for n in range(8 * 6):
        rig.run_until(START + n * 4 * HOUR)
        rig.reading("van", {"short": float(n), "usual": float(n), "long": float(n)})
    # Whatever about says again, it says nothing of how long.
    rig.about("van", short="total", usual="measurement", long="total")
    rig.run_until(START + 8 * DAY)
    purge(rig)
    keep = {e.entity: e.id for e in rig.store.entities()}
    ages = {
        key: (rig.now - min(s.ts for s in rig.store.states.between(0, None) if s.entity == number)) / DAY
        for key, number in keep.items()
    }
    assert ages["short"] <= 1 < ages["usual"] <= 4 < ages["long"]
    rows = {key: (rig.now - rig.rows(key)[0].start) / DAY for key in keep}
    assert rows["short"] <= 1 < rows["usual"] <= 4 < rows["long"]


def test_a_state_later_than_its_rows_are_kept_changes_no_row(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db", settings=Settings(keep_days=10))
    rig.about("van", energy="total_increasing")
    rig.commit()
    rig.store.engine.run("UPDATE entity SET retention_days = 1")
    for n in range(12):
        rig.run_until(START + n * 6 * HOUR)
        rig.reading("van", {"energy": float(n)})
    purge(rig)
    hours = rig.rows("energy", Table.HOUR)
    rig.reading("van", {"energy": 0.0}, ts=START + 7 * HOUR)
    rig.run_until(rig.now + HOUR)
    assert rig.rows("energy", Table.HOUR)[: len(hours)] == hours


def test_a_purge_holds_up_readings_for_less_than_50_ms(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", volt="measurement")
    rig.commit()
    old = START - 20 * DAY
    with rig.store.transaction():
        rig.store.states.put(State(old + n, n % 50, n / 7, None) for n in range(400_000))
        rows = [StoredRow(1, old + n * MINUTES_5, Row(mean=1.0), 0) for n in range(2000)]
        rig.store.statistics.put(Table.FIVE_MINUTES, rows)
    before = rig.store.spare_pages()[1]
    rig.service.handle(Purge())
    pieces = []
    while rig.service._upkeep.busy:
        began = time.perf_counter()
        rig.service.tick(rig.now / 1000)
        pieces.append(time.perf_counter() - began)
    assert rig.store.states.between(0, None) == []
    assert rig.rows("volt") == []
    assert len(pieces) > 10
    late = sorted(pieces)[int(len(pieces) * 0.95)]
    assert late < 0.05, "measured 0.02; the rest belongs to a machine that does other things"
    spare, pages = rig.store.spare_pages()
    assert pages < before / 4
    assert spare <= pages // 8 + 1


def test_the_size_of_a_piece_follows_the_time_of_the_last() -> None:
    now = [0.0]
    pace = Pace(1000, least=100, most=5000, timer=lambda: now[0])

    def take(seconds: float) -> int:
        with pace:
            now[0] += seconds
        return pace.size

    assert [take(s) for s in (0.01, 0.0, 0.02, 0.08, 0.4, 9.0)] == [2000, 4000, 4000, 1000, 100, 100]
    assert pace.longest == 9.0


def test_more_states_in_a_ms_than_a_piece_takes_go_all_the_same(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", volt="measurement")
    rig.commit()
    with rig.store.transaction():
        rig.store.states.put(State(START - 20 * DAY, n, 1.0, None) for n in range(5000))
    purge(rig)
    assert rig.store.states.between(0, None) == []


def test_a_purge_that_fails_begins_anew(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", volt="measurement")
    rig.commit()
    with rig.store.transaction():
        rig.store.states.put(State(START - 20 * DAY + n, 1, 1.0, None) for n in range(5000))
    rig.store.engine.run("CREATE TRIGGER t BEFORE DELETE ON states BEGIN SELECT RAISE(ABORT, 'no'); END")
    purge(rig)
    assert "database" in rig.journal.problems
    rig.store.engine.run("DROP TRIGGER t")
    rig.now += MINUTE
    rig.settle()
    assert rig.store.states.between(0, None) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB; only root may have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=False)
    yield folder
    if done.returncode == 0:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Publisher:
    """A collector's outbox on another disk, wired to a rig."""

    def __init__(self, folder: Path, rig: Rig) -> None:
        self.outbox = Outbox(folder / "run", folder / "state", "ble")
        self.outbox.statistician(online=True, kept=True, now=rig.now / 1000)
        rig.own("van", "ble")
        rig.commit()
        rig.notes.forget()
        self.rig = rig
        self.first = rig.now
        self.said = 0
        self.heard = 0

    def say(self, count: int) -> None:
        """Measure so many values and send what the window lets through."""
        for _ in range(count):
            self.said += 1
            ts = f'"ts":"{to_iso(self.first + self.said)}"'
            values = ",".join(f'"t{n}":"{self.said}{"x" * 60}"' for n in range(20))
            self.outbox.append(TOPICS.state("van"), f"{{{ts},{values}}}".encode(), self.rig.now / 1000)
        self.flow()

    def flow(self) -> None:
        """Send, listen, until neither moves anything."""
        for _ in range(500):
            rows = self.outbox.next(200, self.rig.now / 1000)
            for row in rows:
                self.outbox.sent(row)
                self.rig.message(TOPICS.backlog("ble", row.stream), of_device("van", row.payload))
            self.rig.commit()
            marks = self.rig.notes.watermarks(self.outbox.stream)
            for mark in marks[self.heard :]:
                self.outbox.watermark(self.outbox.stream, mark, self.rig.now / 1000)
            if not rows and len(marks) == self.heard:
                return
            self.heard = len(marks)


def fill(folder: Path, rig: Rig) -> Path:
    """Take all the room there is; without a disk of its own, forbid the file to grow."""
    ballast = folder / "ballast"
    if os.path.ismount(folder):
        with ballast.open("wb", buffering=0) as file:
            size = 1 << 16
            while size:
                try:
                    file.write(b"\0" * size)
                except OSError:
                    size //= 2
    else:
        rig.store.engine.reserve.release()
        pages = rig.store.spare_pages()[1]
        rig.store.engine.all(f"PRAGMA max_page_count = {pages}")
    return ballast


def test_a_full_disk_stops_writing_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    rig = Rig(small_disk / "s.db")
    publisher = Publisher(tmp_path, rig)
    publisher.say(50)
    ballast = fill(small_disk, rig)
    publisher.say(5000)
    text = rig.journal.problems["database"]
    assert "full" in text
    assert str(rig.path) in text
    assert "bytes are free" in text
    marks = rig.notes.watermarks(publisher.outbox.stream)
    stored = len({s.ts for s in rig.store.states.between(0, None)})
    # Nothing is acknowledged that is not on disk, and what is not waits in the outbox.
    assert marks[-1] == stored < publisher.said
    assert publisher.outbox.waiting == publisher.said - stored
    assert len(rig.notes.acknowledged) == stored
    ballast.unlink(missing_ok=True)
    rig.store.engine.all("PRAGMA max_page_count = 100000000")
    rig.store.engine.all("PRAGMA journal_size_limit = 0")
    for _ in range(40):
        rig.now += MINUTE
        publisher.flow()
        if not publisher.outbox.waiting:
            break
    assert publisher.outbox.waiting == 0
    assert "database" not in rig.journal.problems
    values = {s.value for s in rig.store.states.between(0, None) if isinstance(s.value, str)}
    assert values == {f"{n}{'x' * 60}" for n in range(1, publisher.said + 1)}
    rig.close()


def test_a_full_disk_takes_the_oldest_states_but_not_those_of_the_last_day(
    small_disk: Path, tmp_path: Path
) -> None:
    rig = Rig(small_disk / "s.db", now=START + 9 * DAY)
    rig.about("van", volt="measurement")
    rig.commit()
    with rig.store.transaction():
        states = (State(START + n * 2000, 1, n / 7, None) for n in range(9 * DAY // 2000 // 4 * 4))
        rig.store.states.put(states)
    rig.restart()
    fill(small_disk, rig)
    publisher = Publisher(tmp_path, rig)
    publisher.say(3000)
    assert "database" not in rig.journal.problems
    assert publisher.outbox.waiting == 0
    oldest = rig.store.states.first()
    assert oldest is not None
    assert START < oldest <= START + 8 * DAY
    assert "removed" in rig.journal.facts["disk"]
    publisher.say(8000)
    assert "full" in rig.journal.problems["database"]
    # Down to the floor, and no further.
    kept = [s.ts for s in rig.store.states.between(START + DAY, START + 9 * DAY)]
    assert START + 8 * DAY - HOUR <= min(kept) <= START + 8 * DAY + MINUTE
    rig.close()


def kept_of(rig: Rig) -> list[float]:
    """The age in days of what is stored, by the true time."""
    states = rig.store.states.between(0, None)
    return [round((rig.now - state.ts) / DAY, 1) for state in states if state.value is not None]


def lived(path: Path, days: int) -> Rig:
    """A van of some days, with a purge each night."""
    rig = Rig(path, settings=Settings(keep_days=4))
    rig.about("van", volt="measurement")
    for day in range(days):
        rig.now = START + day * DAY
        rig.reading("van", {"volt": float(day)})
        rig.service.handle(Purge())
        rig.settle()
    rig.now += HOUR
    rig.settle()
    return rig


@pytest.mark.parametrize("quality", ["ok", "estimated"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_is_days_ahead_removes_at_most_a_day_of_what_is_right(
    tmp_path: Path, quality: str, *, restart: bool
) -> None:
    rig = lived(tmp_path / "s.db", 10)
    before = kept_of(rig)
    assert max(before) > 3
    true = rig.now
    rig.quality = quality  # type: ignore[assignment]  # one of the words
    if restart:
        rig.close()
    rig.set_clock(true + 30 * DAY)
    if restart:
        rig.start()
    else:
        rig.service.wait_no_longer()
    rig.service.handle(Purge())
    rig.settle()
    rig.set_clock(true)
    gone = set(before) - set(kept_of(rig))
    assert all(age >= (3 if quality == "ok" else 4) for age in gone), gone


def test_purging_goes_by_running_time_over_restarts_while_the_clock_is_estimated(tmp_path: Path) -> None:
    rig = lived(tmp_path / "s.db", 10)
    rig.quality = "estimated"
    for day in range(10, 20):
        for half in (0, 1):
            rig.now = START + day * DAY + half * 12 * HOUR
            rig.settle()
            rig.restart()
        rig.reading("van", {"volt": float(day)})
        rig.service.handle(Purge())
        rig.settle()
        assert 3 <= max(kept_of(rig)) <= 5


def test_after_a_year_of_absence_the_old_goes_over_some_nights(tmp_path: Path) -> None:
    rig = lived(tmp_path / "s.db", 10)
    rig.close()
    rig.now += 365 * DAY
    rig.start()
    oldest = []
    back = rig.now
    for day in range(12):
        rig.now = back + day * DAY
        rig.reading("van", {"volt": float(day)})
        rig.service.handle(Purge())
        rig.settle()
        oldest.append(max(kept_of(rig)))
    assert oldest[0] > 360, "not all at once"
    assert max(oldest[6:]) <= 5, "and then as ever"


def test_a_boundary_belongs_to_the_period_it_begins() -> None:
    assert periods.period_of(START) == START
    assert periods.period_of(START - 1) == START - MINUTES_5
    assert periods.hour_of(START + HOUR - 1) == START


def test_a_period_is_due_ten_seconds_after_its_end() -> None:
    assert not periods.is_due(START, START + MINUTES_5 + 10 * SECOND - 1)
    assert periods.is_due(START, START + MINUTES_5 + 10 * SECOND)


def test_only_the_last_period_ends_the_hour() -> None:
    assert [m for m in range(12) if periods.ends_hour(START + m * MINUTES_5)] == [11]


@pytest.mark.parametrize(
    ("last_run", "first_state", "first"),
    [
        (START - DAY, None, START - DAY + MINUTES_5),
        (None, START - HOUR + 1, START - HOUR),
        # The period and the hour that an absence has left are finished, however long ago.
        (START - 40 * DAY, START, START - 40 * DAY + MINUTES_5),
        # What is older than states are kept makes no rows.
        (None, START - 40 * DAY, START - 10 * DAY),
        # A first state from the future opens the present period.
        (None, START + HOUR, START),
        (None, None, None),
    ],
)
def test_the_period_to_go_on_with(last_run: int | None, first_state: int | None, first: int | None) -> None:
    assert periods.first_to_compile(last_run, first_state, START + 5 * SECOND, 10) == first


def test_the_jobs_only_emit() -> None:
    events: list[object] = []
    schedule = Schedule(events.append)
    jobs = {job.id: job for job in schedule._scheduler.get_jobs()}
    for job in jobs.values():
        job.func(*job.args)
    assert events == [Compile(), Purge(), BackUp(), Purge(), BackUp()]
    noon = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
    compiled = jobs["compile"].trigger.get_next_fire_time(None, noon)
    assert compiled == datetime(2026, 11, 23, 12, 5, 10, tzinfo=UTC)
    purged = jobs["purge"].trigger.get_next_fire_time(None, noon)
    assert (purged.hour, purged.minute, purged.second) == (4, 12, 0)
