"""A machine without a real-time clock: estimated times, steps of the clock, strangers who send no time."""

from pathlib import Path

import pytest

from bus.clock import BUILD_DATE_MS
from bus.messages import Reading, encode_reading
from statistician import ingest
from statistician.arithmetic import DAY, HOUR, MINUTES_5
from statistician.clock import Stepped, Undated, dated
from statistician.records import Table
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", volt="measurement", energy="total_increasing")
    return rig


def no_period_twice_and_none_left_out(rig: Rig) -> None:
    runs = [int(start or 0) for (start,) in rig.store.engine.all("SELECT start FROM runs ORDER BY start")]
    assert runs == list(range(runs[0], runs[-1] + 1, MINUTES_5))
    counters = rig.journal.counters
    assert counters["compiled_periods"] - counters["removed_future_periods"] == len(runs)


@pytest.mark.parametrize("quality", ["estimated", "unset"])
def test_readings_of_an_uncertain_time_are_stored_and_counted(rig: Rig, quality: str) -> None:
    for clock in (quality, "ok"):
        reading = Reading(ts=rig.now, values={"volt": 12.0 if clock == "ok" else 11.0}, clock=clock)  # type: ignore[arg-type]  # one of the words
        rig.message(TOPICS.state("van"), encode_reading(reading))
        rig.now += SECOND
    rig.run_until(START + 6 * MINUTE)
    assert [state.value for state in rig.store.states.between(0, None)] == [11.0, 12.0]
    assert rig.rows("volt")[0].row.min == 11.0
    assert rig.journal.counters[f"readings_{quality}"] == 1


@pytest.mark.parametrize("ts", [BUILD_DATE_MS - 1, 0])
def test_history_from_before_this_software_is_a_dead_letter_and_holds_up_nothing(rig: Rig, ts: int) -> None:
    rig.own("van", "ble")
    rig.reading("van", {"volt": 99.0}, ts=ts, stream="ble-1", seq=1, after=0, late=True)
    rig.reading("van", {"volt": 12.0}, stream="ble-1", seq=2)
    rig.commit()
    assert [state.value for state in rig.store.states.between(0, None)] == [12.0]
    assert ["before this software was made" in letter.error for letter in rig.dead_letters()] == [True]
    assert rig.notes.watermarks("ble-1") == [2]


@pytest.mark.parametrize("ts", [BUILD_DATE_MS - HOUR, 0])
def test_a_strangers_time_before_this_software_is_not_believed_and_health_says_so(rig: Rig, ts: int) -> None:
    for volt in (12.0, 13.0, 14.0):
        rig.reading("van", {"volt": volt}, ts=ts + rig.now - START, late=False)
        rig.now += 30 * SECOND
    assert "days behind ours" in rig.journal.problems["clock.van"]
    rig.reading("van", {"volt": 15.0})
    rig.commit()
    states = rig.store.states.between(0, None)
    assert [(state.ts - START, state.value) for state in states] == [
        (0, 12.0),
        (30 * SECOND, 13.0),
        (60 * SECOND, 14.0),
        (90 * SECOND, 15.0),
    ]
    assert rig.dead_letters() == []
    assert rig.journal.counters["refused_timestamps"] == 3
    assert "clock.van" not in rig.journal.problems


def test_what_earlier_boots_measured_keeps_its_distances_and_ends_before_this_one() -> None:
    waiting = [
        Undated(boot, since, "van", b"")
        for boot, since in (("a", 5), ("a", 900), ("b", 100), ("b", 300), ("c", 7))
    ]
    found = [(ts, one.boot, one.since_boot) for ts, one in dated(waiting, "c", START)]
    assert found == [
        (START - 1 - 300 - 1 - 895, "a", 5),
        (START - 1 - 300 - 1, "a", 900),
        (START - 1 - 200, "b", 100),
        (START - 1, "b", 300),
        (START + 7, "c", 7),
    ]
    assert [ts for ts, _ in dated(waiting[:2], "c", START)] == [START - 1 - 895, START - 1]


class Unset(Rig):
    """A machine whose raw clock begins at 1970, with our own collector on it."""

    def __init__(self, path: Path) -> None:
        self.seq = 0
        super().__init__(path, now=10 * SECOND)

    def measure(self, volt: float, *, ago: int = 0) -> int:
        """Our own collector stamps a reading by the clock as it is, and it comes `ago` ms later."""
        self.seq += 1
        reading = Reading(
            ts=self.now - ago, values={"volt": volt}, clock=self.quality, stream="ble-1", seq=self.seq
        )
        return self.message(TOPICS.state("van"), encode_reading(reading))


@pytest.mark.parametrize("died", [None, "restart", "crash"])
@pytest.mark.parametrize("early", [False, True])
def test_what_our_own_measured_before_the_clock_was_set_is_dated_once_it_is(
    tmp_path: Path, died: str | None, *, early: bool
) -> None:
    rig = Unset(tmp_path / "s.db")
    rig.quality = "unset"
    rig.restart()
    rig.about("van", volt="measurement")
    rig.own("van", "ble")
    for volt in (11.0, 12.0):
        rig.measure(volt, ago=2 * SECOND)
        rig.now += 10 * SECOND
    rig.commit()
    assert rig.notes.watermarks("ble-1") == [2]
    assert rig.store.states.between(0, None) == []
    if died is not None:
        getattr(rig, died)()
    rig.measure(13.0)
    rig.now += SECOND
    rig.set_clock(START)
    rig.quality = "ok"
    if early:
        # Before anybody has looked at the clock.
        rig.measure(14.0)
    rig.settle()
    if not early:
        rig.measure(14.0)
    rig.commit()
    states = rig.store.states.between(0, None)
    numbers = [(state.ts - START, state.value) for state in states if state.value is not None]
    assert numbers == [(-29_000, 11.0), (-19_000, 12.0), (-SECOND, 13.0), (0, 14.0)]
    assert rig.dead_letters() == []
    assert rig.store.undated() == []
    assert rig.notes.watermarks("ble-1")[-1] == 4


def test_the_edges_of_what_is_possible_are_stored(rig: Rig) -> None:
    for ts in (BUILD_DATE_MS, START + MINUTE):
        rig.reading("van", {"volt": float(ts)}, ts=ts)
    rig.commit()
    assert rig.dead_letters() == []
    assert [state.ts for state in rig.store.states.between(0, None)] == [BUILD_DATE_MS, START + MINUTE]


@pytest.mark.parametrize("ahead", [MINUTE + 1, HOUR, 30 * DAY])
def test_a_time_ahead_of_ours_is_not_believed_and_health_says_so(rig: Rig, ahead: int) -> None:
    for volt in (12.0, 13.0, 14.0):
        rig.reading("van", {"volt": volt}, ts=rig.now + ahead)
        rig.now += 30 * SECOND
    rig.reading("van", {"volt": 15.0})
    rig.commit()
    states = rig.store.states.between(0, None)
    assert [(state.ts - START, state.value) for state in states] == [
        (0, 12.0),
        (30 * SECOND, 13.0),
        (60 * SECOND, 14.0),
        (90 * SECOND, 15.0),
    ]
    assert rig.journal.counters["refused_timestamps"] == 3
    assert f"{ahead // 1000} s ahead of ours" in (rig.journal.last_error or pytest.fail("silence")).message
    assert "clock.van" not in rig.journal.problems


@pytest.mark.parametrize("behind", [2 * MINUTE, 5 * HOUR, 3 * DAY])
def test_a_clock_that_stays_behind_ours_is_slow(rig: Rig, behind: int) -> None:
    """As of one that stamps the local time of a zone west of Greenwich as UTC."""
    for n in range(240):
        if n == 120:
            rig.commit()
            rig.restart()
        rig.reading("van", {"volt": 12.0, "energy": 100.0 + n}, ts=rig.now - behind, late=False)
        rig.run_until(rig.now + 30 * SECOND)
    rig.run_until(rig.now + MINUTE)
    found = rig.rows("energy")
    assert [row.start for row in found] == list(range(START, START + 2 * HOUR, MINUTES_5))
    assert found[-1].row.sum == 239.0
    assert [row.row.coverage for row in found] == [1.0] * len(found)
    assert f"{behind // 1000} s behind ours" in rig.journal.problems["clock.van"]
    # The first one counted for a while when it said.
    assert rig.journal.counters["corrected_rows"] < 12 + behind // MINUTES_5 * 4
    rig.reading("van", {"energy": 339.0}, ts=rig.now, late=False)
    assert "clock.van" not in rig.journal.problems


def test_history_of_a_slow_clock_is_dated_as_its_readings_are(rig: Rig) -> None:
    for n in range(4):
        rig.reading("van", {"energy": 100.0 + n}, ts=rig.now - 5 * HOUR, late=False)
        rig.run_until(rig.now + 30 * SECOND)
    rig.run_until(rig.now + 10 * MINUTE)
    rig.reading("van", {"energy": 110.0}, ts=rig.now - 5 * HOUR - 4 * MINUTE, late=True)
    rig.reading("van", {"energy": 120.0}, ts=rig.now - 5 * HOUR, late=False)
    rig.commit()
    times = [state.ts - rig.now for state in rig.store.states.between(START, None)]
    assert times[-2:] == [-4 * MINUTE - 6 * SECOND, -6 * SECOND]


def test_what_a_broker_has_kept_counts_when_it_was_measured(rig: Rig) -> None:
    """It comes faster than the time passes, however long its clock and ours are apart."""
    for n in range(480):
        rig.reading("van", {"energy": 100.0 + n}, ts=START - 8 * HOUR + n * MINUTE, late=False)
        rig.now += 100
    rig.commit()
    found = [state.ts for state in rig.store.states.between(0, None)]
    assert found == [START - 8 * HOUR + n * MINUTE for n in range(480)]
    assert "clock.van" not in rig.journal.problems


def test_a_clock_that_was_wrong_within_what_a_broker_has_kept(rig: Rig) -> None:
    """It was an hour ahead for 20 minutes, 8 hours ago."""
    for n in range(480):
        ahead = HOUR if 60 <= n < 80 else 0
        ts = START - 8 * HOUR + n * MINUTE + ahead
        rig.reading("van", {"energy": 100.0 + n}, ts=ts, late=False)
        rig.now += 100
    rig.run_until(START + 6 * MINUTE)
    found = [state.ts for state in rig.store.states.between(0, None)]
    assert len(found) == 480
    assert all(abs(ts - (START - 8 * HOUR + n * MINUTE)) <= MINUTE for n, ts in enumerate(found))
    last = rig.rows("energy", Table.HOUR)[-1].row
    assert (last.sum, last.sum_decrease) == (479.0, 0.0)


def in_order(path: Path, until: int) -> list[tuple[float | None, ...]]:
    """The rows had the clock been right: a reading every 4 minutes."""
    rig = Rig(path)
    rig.about("van", volt="measurement", energy="total_increasing")
    for ts in range(START, until, 4 * MINUTE):
        rig.run_until(ts)
        send(rig, ts)
    rig.run_until(until)
    return rows(rig)


def send(rig: Rig, ts: int) -> None:
    step = (ts - START) / MINUTE
    rig.reading("van", {"volt": 12 + step % 7, "energy": step}, ts=ts)


def rows(rig: Rig) -> list[tuple[float | None, ...]]:
    return [
        (row.start, row.row.mean, row.row.max, row.row.sum)
        for key in ("volt", "energy")
        for row in rig.rows(key)
    ]


@pytest.mark.parametrize("step", [3 * HOUR, -20 * MINUTE, -3 * HOUR, 7 * MINUTE])
@pytest.mark.parametrize("restart", [False, True])
def test_a_step_of_our_clock_and_back(rig: Rig, tmp_path: Path, step: int, *, restart: bool) -> None:
    until = START + 6 * HOUR + MINUTE
    for ts in range(START, until, 4 * MINUTE):
        # Our clock is wrong for an hour; the readings' times are right.
        wrong = step if START + HOUR <= ts < START + 2 * HOUR else 0
        rig.now = ts + rig.stepped
        if wrong != rig.stepped:
            rig.set_clock(ts + wrong)
        rig.settle()
        if restart and ts in (START + 64 * MINUTE, START + 2 * HOUR):
            counted = rig.journal.counters
            rig.restart()
            for what in ("compiled_periods", "removed_future_periods"):
                rig.journal.count(what, counted[what])
        send(rig, ts)
        rig.commit()
    rig.run_until(until)
    no_period_twice_and_none_left_out(rig)
    wanted = in_order(tmp_path / "twin.db", until)
    assert rows(rig)[-1] == pytest.approx(wanted[-1])
    if restart and step < 0:
        # A process that starts meanwhile believes the clock: what lies ahead of it goes back.
        return
    assert [r[:1] for r in rows(rig)] == [r[:1] for r in wanted]
    for got, right in zip(rows(rig), wanted, strict=True):
        assert got == pytest.approx(right)


def test_a_clock_set_years_ahead_fills_no_years_with_rows(rig: Rig) -> None:
    rig.reading("van", {"volt": 12.0, "energy": 1.0})
    rig.run_until(START + 11 * MINUTE)
    rig.set_clock(START + 5 * 365 * DAY)
    rig.settle()
    rig.now += 11 * MINUTE
    rig.settle()
    rig.now += 11 * MINUTE
    rig.settle()
    assert rig.store.statistics.last_run() == rig.now - rig.now % MINUTES_5 - MINUTES_5
    # No time has passed: nothing is known of those years.
    assert [row.start for row in rig.rows("volt")] == [START, START + MINUTES_5, START + 2 * MINUTES_5]
    assert [row.start for row in rig.rows("volt", Table.HOUR)] == [START]


def test_a_boot_long_ago_compiles_nothing_until_the_clock_is_set(rig: Rig) -> None:
    rig.reading("van", {"volt": 12.0, "energy": 1.0})
    rig.run_until(START + 11 * MINUTE)
    rig.close()
    rig.quality = "unset"
    rig.now = 3 * HOUR
    rig.start()
    compiled = rig.store.statistics.last_run()
    rig.now += HOUR
    rig.settle()
    rig.reading("van", {"volt": 14.0, "energy": 3.0}, ts=START + 21 * MINUTE)
    rig.commit()
    assert rig.store.statistics.last_run() == compiled
    rig.quality = "ok"
    rig.now = START + 31 * MINUTE
    rig.settle()
    # Between the end of the process and the first reading nothing is known.
    assert [row.row.max for row in rig.rows("volt")] == [12.0] * 3 + [14.0] * 2
    assert [row.row.sum for row in rig.rows("energy")] == [0.0] * 3 + [2.0] * 2


def test_strangers_without_a_time_wait_until_the_clock_is_set(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db", now=HOUR)
    rig.quality = "unset"
    rig.about("van", volt="measurement")
    mid = rig.message("camper/state/van", b'{"volt": 12.0}')
    rig.now += 10 * SECOND
    rig.message("camper/state/van", b'{"volt": 13.0}')
    rig.commit()
    assert mid in rig.notes.acknowledged
    assert rig.store.states.between(0, None) == []
    assert rig.dead_letters() == []
    rig.set_clock(START)
    rig.quality = "ok"
    rig.message("camper/state/van", b'{"volt": 14.0}')
    rig.commit()
    states = rig.store.states.between(0, None)
    assert [(state.ts - START, state.value) for state in states] == [
        (-16_000, 12.0),
        (-6_000, 13.0),
        (0, 14.0),
    ]
    assert rig.journal.counters["delayed_undated_readings"] == 2


def test_too_many_undated_readings_give_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "MOST_UNDATED", 1000)
    rig = Rig(tmp_path / "s.db", now=HOUR)
    rig.quality = "unset"
    for number in range(1100):
        rig.message("camper/state/van", b'{"volt": %d}' % number)
    rig.commit()
    rig.set_clock(START)
    rig.quality = "ok"
    rig.commit()
    assert [state.value for state in rig.store.states.between(0, None)] == [*range(100, 1100)]
    assert rig.journal.counters["delayed_undated_readings"] == 1100
    assert rig.journal.counters["dropped_undated_readings"] == 100


def test_readings_without_a_time_that_come_in_one_millisecond_are_all_kept(rig: Rig) -> None:
    """So they come when the broker held them while the statistician was away."""
    peaks = [12.0, 15.5, 11.0, 12.5]
    for device in ("van", "boat"):
        for volt in peaks:
            rig.message(TOPICS.state(device), b'{"volt": %f}' % volt)
    rig.run_until(START + 6 * MINUTE)
    states = rig.store.states.between(0, None)
    assert sorted((state.ts - START, state.value) for state in states) == sorted(2 * [*enumerate(peaks)])
    row = rig.rows("volt")[0].row
    assert (row.min, row.max) == (11.0, 15.5)


def test_a_reading_without_a_time_is_not_dated_by_a_clock_that_was_wrong(rig: Rig) -> None:
    rig.set_clock(START + HOUR)
    rig.message(TOPICS.state("van"), b'{"volt": 12.0}')
    rig.set_clock(START)
    rig.message(TOPICS.state("van"), b'{"volt": 13.0}')
    rig.commit()
    assert sorted(state.ts - START for state in rig.store.states.between(0, None)) == [0, 1]


@pytest.mark.parametrize("step", [2 * HOUR, -2 * HOUR])
@pytest.mark.parametrize("after", [0, 20])
def test_a_reading_that_was_on_its_way_when_the_clock_was_set(tmp_path: Path, step: int, after: int) -> None:
    rig = Unset(tmp_path / "s.db")
    rig.set_clock(START)
    rig.quality = "estimated"
    rig.restart()
    rig.about("van", volt="measurement")
    rig.own("van", "ble")
    rig.measure(11.0)
    rig.commit()
    rig.set_clock(rig.now + step)
    rig.quality = "ok"
    rig.settle()
    rig.now += after * SECOND
    # It was stamped before its collector knew.
    reading = Reading(
        ts=rig.now - step - SECOND, values={"volt": 12.0}, clock="estimated", stream="ble-1", seq=2
    )
    rig.message(TOPICS.state("van"), encode_reading(reading))
    # And this one is as old as it says.
    rig.seq = 2
    rig.measure(13.0)
    rig.commit()
    states = rig.store.states.between(0, None)
    found = [(state.ts - START - step, state.value) for state in states if state.value in {12.0, 13.0}]
    came = 6 * SECOND + after * SECOND
    assert found == [(came - SECOND, 12.0), (came, 13.0)]
    assert rig.journal.counters["refused_timestamps"] == 0


def test_what_is_not_on_its_way_from_before_a_step_keeps_its_time() -> None:
    stepped = Stepped()
    assert stepped.put_right(START - HOUR, START, 10.0) == START - HOUR, "no step"
    stepped.note(HOUR, 10.0)
    assert stepped.put_right(START - HOUR - SECOND, START, 40.0) == START - SECOND
    assert stepped.put_right(START - HOUR - SECOND, START, 41.0) == START - HOUR - SECOND, "long after"
    for ts in (START, START - 10 * SECOND, START - HOUR - 10 * SECOND, START - 30 * MINUTE):
        assert stepped.put_right(ts, START, 11.0) == ts
