"""States that come late or out of order: the rows are those had they come in time, with a higher rev."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.about import Entity
from bus.messages import Value
from config.model import Statistician
from statistician.arithmetic import DAY, HOUR, MINUTES_5
from statistician.arithmetic.algorithm import Row
from statistician.corrections import Corrected, Correction
from statistician.records import Span, Table
from tests.rounds import rounds
from tests.statistician.rig import MINUTE, SECOND, START, Rig

CLASSES = {
    "volt": "measurement",
    "wind": "measurement_angle",
    "yield": "total_increasing",
    "flow": "total",
}
END = START + 2 * HOUR


@dataclass(frozen=True)
class Late:
    """A state at `at` (s after the start) that arrives `delay` s later."""

    entity: str
    at: int
    value: Value
    last_reset: int | None
    delay: int


states = st.builds(
    Late,
    entity=st.sampled_from(sorted(CLASSES)),
    at=st.integers(0, 360).map(lambda tens: tens * 10),
    value=st.one_of(st.none(), st.sampled_from([0.0, 1.0, 5.0, 9.5, 10.0, 12.0, -3.0])),
    last_reset=st.sampled_from([None, 1, 2]),
    delay=st.one_of(st.just(0), st.integers(0, 3000)),
)
histories = st.lists(states, min_size=1, max_size=25, unique_by=lambda s: (s.entity, s.at))
# What happens before the state of a history that arrives as the n-th: nothing, SIGTERM, or a power cut.
lives = st.lists(st.sampled_from([None, None, Rig.restart, Rig.crash]), min_size=25, max_size=25)
Found = dict[tuple[str, Table, int], Row]


def rows_of(
    history: list[tuple[int, Late]], ends: Sequence[Callable[[Rig], None] | None] = (None,) * 25
) -> Found:
    """The rows after these (arrival in s, state) pairs; before each the process may end and start again."""
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder) / "s.db")
        # Only what is heard of: an entity without a state makes a start look further back.
        rig.about("van", **{late.entity: CLASSES[late.entity] for _, late in history})
        rig.service._commit()
        sent: dict[int, Late] = {}
        for (arrival, late), end in zip(sorted(history, key=lambda pair: pair[0]), ends, strict=False):
            rig.run_until(START + arrival * SECOND)
            if end is not None:
                before = rig.notes
                end(rig)
                # What was not acknowledged the broker delivers again, in its order.
                lost = [one for mid, one in sent.items() if mid not in before.acknowledged]
                sent = {deliver(rig, one): one for one in lost}
            sent[deliver(rig, late)] = late
        rig.run_until(max(END, rig.now) + MINUTE)
        found = {
            (key, table, row.start): row.row
            for key in CLASSES
            for table in Table
            for row in rig.rows(key, table)
            if row.start < END
        }
        rig.close()
        return found


def deliver(rig: Rig, late: Late) -> int:
    resets = {late.entity: late.last_reset} if late.last_reset is not None else {}
    # History, whenever it comes: of what comes in its order a counter holds falls and leaps, and a restart
    # makes it learn anew from what is stored. That is not what is tested here.
    return rig.reading(
        "van",
        {late.entity: late.value},
        ts=START + late.at * SECOND,
        last_reset=resets,
        late=late.delay > 0 or late.entity == "yield",
    )


def same(one: Row, other: Row) -> bool:
    return all(
        a == b or (a is not None and b is not None and a == pytest.approx(b, rel=1e-9, abs=1e-9))
        for a, b in zip(one, other, strict=True)
    )


def check_same(found: Found, wanted: Found) -> None:
    assert found.keys() == wanted.keys()
    assert [key for key, row in found.items() if not same(row, wanted[key])] == []


@settings(max_examples=rounds(15, 40), deadline=None, suppress_health_check=list(HealthCheck))
@given(histories)
def test_late_or_in_time_is_the_same(history: list[Late]) -> None:
    in_time = rows_of([(late.at, late) for late in history])
    check_same(rows_of([(late.at + late.delay, late) for late in history]), in_time)


@settings(max_examples=rounds(15, 40), deadline=None, suppress_health_check=list(HealthCheck))
@given(histories, lives)
def test_restarts_and_crashes_between_late_states_change_nothing(
    history: list[Late], ends: list[Callable[[Rig], None] | None]
) -> None:
    in_time = rows_of([(late.at, late) for late in history])
    check_same(rows_of([(late.at + late.delay, late) for late in history], ends), in_time)


class HourByHour(Correction):
    """Comes no further than an hour at a time, as on a busy machine."""

    def work(self, before: int, budget_s: float, *, also: dict[int, Span]) -> Corrected:  # type: ignore[override]  # nobody gives it a timer
        """One hour."""
        del budget_s
        return super().work(before, 0.0, also=also)


def away(rig: Rig, ms: int = 55 * SECOND) -> None:
    """A power cut right after a commit, and nobody there for a while: so short that what was known stays."""
    if rig.store.statistics.last_run() is None:
        # Only a late reading would tell when it was last at work, and the absence would look longer.
        return
    rig.service._commit()
    rig.store.close()
    rig.now += ms
    rig.start()


absences = st.lists(st.sampled_from([None, Rig.restart, away, away]), min_size=25, max_size=25)


@settings(max_examples=rounds(20, 60), deadline=None, suppress_health_check=list(HealthCheck))
@given(histories, absences)
def test_periods_that_close_between_the_slices_of_a_correction(
    history: list[Late], ends: list[Callable[[Rig], None] | None]
) -> None:
    # No repeats: after a start those of more than an hour ago are known no more.
    history = [replace(late, value=float(n * n % 31)) for n, late in enumerate(history)]
    in_time = rows_of([(late.at, late) for late in history])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("statistician.corrections.Correction", HourByHour)
        late = rows_of([(late.at + late.delay, late) for late in history], ends)
    check_same(late, in_time)


# A boat comes home: what waited comes in its order, at a few moments, and the process may end in the midst.
waited = st.lists(
    st.tuples(st.integers(0, 240), st.sampled_from([None, 11.0, 12.0]), st.integers(2, 5)),
    min_size=8,
    max_size=25,
    unique_by=lambda one: one[0],
)


@settings(max_examples=rounds(20, 60), deadline=None, suppress_health_check=list(HealthCheck))
@given(waited, lives)
def test_a_crowd_in_its_order_and_the_end_of_the_process(
    waited: list[tuple[int, Value, int]], ends: list[Callable[[Rig], None] | None]
) -> None:
    moments = sorted(1200 * crowd for _, _, crowd in waited)
    history = [
        (moment, Late("volt", 10 * tens, value, None, 0))
        for moment, (tens, value, _) in zip(moments, sorted(waited, key=lambda one: one[0]), strict=True)
    ]
    in_time = rows_of([(late.at, late) for _, late in history])
    check_same(rows_of(history, ends), in_time)


@pytest.mark.parametrize("end", [None, Rig.restart, Rig.crash])
def test_a_repeat_is_remembered_over_the_end_of_the_process(end: Callable[[Rig], None] | None) -> None:
    first = [Late("volt", 10 * n, 1.0, None, 0) for n in range(6)]
    late = Late("volt", 15, 4.0, None, 600)
    history = [(one.at + one.delay, one) for one in (*first, late)]
    check_same(rows_of(history, [*[None] * 6, end]), rows_of([(one.at, one) for one in (*first, late)]))


@pytest.mark.parametrize("end", [Rig.restart, Rig.crash])
def test_what_came_late_is_the_newest_after_the_end_of_the_process(
    tmp_path: Path, end: Callable[[Rig], None]
) -> None:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", volt=CLASSES["volt"])
    rig.reading("van", {"volt": 13.0}, ts=START)
    rig.run_until(START + 2 * HOUR + MINUTE)
    rig.reading("van", {"volt": 11.0}, ts=START + 30 * MINUTE)
    rig.service._commit()
    end(rig)
    # Equal to what was in force at the last full hour before the late one came.
    rig.reading("van", {"volt": 13.0}, ts=START + 31 * MINUTE)
    rig.commit()
    rig.commit()
    (hour, _) = rig.rows("volt", Table.HOUR)
    assert hour.row.mean == pytest.approx((59 * 13.0 + 11.0) / 60)
    assert [state.value for state in rig.store.states.between(START, None)] == [13.0, 11.0, 13.0]
    rig.close()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "s.db")
    rig.about("van", **CLASSES)
    return rig


def test_a_late_state_corrects_its_period_its_hour_and_every_later_sum(rig: Rig) -> None:
    rig.reading("van", {"yield": 100.0})
    rig.run_until(START + 30 * MINUTE)
    rig.reading("van", {"yield": 110.0})
    rig.run_until(START + 61 * MINUTE)
    before = {row.start: row for row in rig.rows("yield")}
    assert rig.rows("yield", Table.HOUR)[0].row.sum == 10.0
    # A reset nobody had heard of: 100 -> 2 -> 110.
    rig.reading("van", {"yield": 2.0}, ts=START + 12 * MINUTE)
    rig.commit()
    after = {row.start: row for row in rig.rows("yield")}
    changed = [start for start in after if after[start] != before[start]]
    assert min(changed) == START + 10 * MINUTE
    assert max(changed) == START + 55 * MINUTE
    assert {after[start].rev for start in changed} == {1}
    assert after[START + 10 * MINUTE].row.sum == 2.0
    assert after[START + 55 * MINUTE].row.sum == 110.0
    hour = rig.rows("yield", Table.HOUR)[0]
    assert (hour.row.sum, hour.rev) == (110.0, 1)
    said = rig.notes.statistics("van", "hour")
    assert [(m.rev, m.entities["yield"].sum) for m in said] == [(0, 10.0), (1, 110.0)]
    newest = rig.notes.statistics("van", "5minute")[-1]
    assert (newest.rev, newest.entities["yield"].sum) == (1, 110.0)


def counter(rig: Rig, hours: int) -> None:
    """A counter that grows by one every half hour."""
    for half in range(2 * hours):
        rig.run_until(START + half * 30 * MINUTE + SECOND)
        rig.reading("van", {"yield": 100.0 + half})
    rig.run_until(START + hours * HOUR + MINUTE)


def test_later_hours_are_corrected_though_their_states_are_the_same(rig: Rig) -> None:
    counter(rig, 4)
    rig.reading("van", {"yield": 2.0}, ts=START + 12 * MINUTE)
    rig.commit()
    assert [row.row.sum for row in rig.rows("yield", Table.HOUR)] == [101.0, 103.0, 105.0, 107.0]


def test_a_correction_in_slices_survives_a_crash(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    counter(rig, 6)
    monkeypatch.setattr("statistician.service._SLICE_S", 0.0)
    rig.reading("van", {"yield": 2.0}, ts=START + 12 * MINUTE)
    rig.now += 6 * SECOND
    for _ in range(3):
        assert rig.service.tick(rig.now / 1000) == 0.0
    assert [row.rev for row in rig.rows("yield", Table.HOUR)] == [1, 1, 1, 0, 0, 0]
    rig.crash()
    assert [row.row.sum for row in rig.rows("yield", Table.HOUR)] == [
        101.0,
        103.0,
        105.0,
        107.0,
        109.0,
        111.0,
    ]


def test_a_unit_that_a_slice_settles_stays_though_about_came_before_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe(name: str) -> None:
        rig.describe("van", {**entities, "new": Entity(name=name, unit="V", state_class="measurement")})

    entities = {key: Entity(name=key, state_class=kind) for key, kind in CLASSES.items()}
    describe("New")
    counter(rig, 6)
    monkeypatch.setattr("statistician.service._SLICE_S", 0.0)
    rig.reading("van", {"yield": 2.0}, ts=START + 12 * MINUTE)
    rig.reading("van", {"new": 12.0}, ts=START + 2 * HOUR + 12 * MINUTE)
    rig.now += 6 * SECOND
    rig.service.tick(rig.now / 1000)
    # Its record waits for the next commit while the third hour is made again.
    describe("Newer")
    for _ in range(5):
        rig.service.tick(rig.now / 1000)
    assert rig.rows("new")
    rig.commit()
    (kept,) = [one for one in rig.store.entities() if one.entity == "new"]
    assert (kept.name, kept.kept_unit) == ("Newer", "V")


def test_a_period_closed_in_the_middle_of_a_correction_is_right_in_the_end(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter(rig, 6)
    monkeypatch.setattr("statistician.service._SLICE_S", 0.0)
    rig.reading("van", {"yield": 2.0}, ts=START + 12 * MINUTE)
    rig.now += 6 * SECOND
    for _ in range(3):
        rig.service.tick(rig.now / 1000)
    rig.now = START + 6 * HOUR + 5 * MINUTE + 10 * SECOND
    rig.service.tick(rig.now / 1000)
    rig.run_until(START + 6 * HOUR + 21 * MINUTE)
    assert {row.row.sum for row in rig.rows("yield") if row.start >= START + 5 * HOUR + 30 * MINUTE} == {
        111.0
    }


def test_an_hour_that_goes_on_is_corrected_to_its_open_period(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statistician.corrections.Correction", HourByHour)
    counter(rig, 1)
    rig.run_until(START + 80 * MINUTE)
    rig.reading("van", {"yield": 110.0})
    rig.run_until(START + 96 * MINUTE)
    rig.reading("van", {"yield": 2.0}, ts=START + 72 * MINUTE)
    # What is missed meanwhile is compiled right after the first slice.
    away(rig)
    rig.run_until(START + 2 * HOUR + MINUTE)
    assert [row.row.sum for row in rig.rows("yield")][-8:] == [111.0] * 8
    assert [row.row.sum for row in rig.rows("yield", Table.HOUR)] == [1.0, 111.0]


def test_a_correction_fills_no_time_that_was_left_out(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "s.db", settings=Statistician(keep_days=1))
    rig.about("van", **CLASSES)
    rig.reading("van", {"yield": 100.0, "volt": 12.0})
    rig.run_until(START + 30 * MINUTE)
    rig.reading("van", {"yield": 110.0})
    rig.run_until(START + 66 * MINUTE)
    rig.reading("van", {"yield": 2.0, "volt": 13.0}, ts=START + 12 * MINUTE)
    away(rig, 3 * DAY)
    rig.run_until(rig.now + HOUR)
    for key in ("yield", "volt"):
        hours = [(row.start - START) // HOUR for row in rig.rows(key, Table.HOUR)]
        assert hours == [0, 1]
    assert {row.row.sum for row in rig.rows("yield", Table.HOUR)} == {110.0}


def test_a_state_without_a_class_is_carried_where_it_came_late(rig: Rig) -> None:
    rig.reading("van", {"plain": 1.0})
    rig.run_until(START + 3 * HOUR + MINUTE)
    rig.reading("van", {"plain": 7.0}, ts=START + 10 * MINUTE)
    rig.commit()
    rig.about("van", **CLASSES, plain="measurement")
    rig.run_until(START + 3 * HOUR + 6 * MINUTE)
    rig.restart()
    rig.run_until(START + 3 * HOUR + 11 * MINUTE)
    assert {row.row.max for row in rig.rows("plain")} == {7.0}


def test_a_late_measurement_touches_only_the_rows_it_was_in_force_for(rig: Rig) -> None:
    for minute in range(0, 180, 10):
        rig.run_until(START + minute * MINUTE)
        rig.reading("van", {"volt": float(minute)})
    rig.run_until(START + 185 * MINUTE)
    said = len(rig.notes.statistics("van", "5minute"))
    rig.reading("van", {"volt": 1000.0}, ts=START + 52 * MINUTE)
    rig.commit()
    assert [row.start for row in rig.rows("volt") if row.rev] == [START + m * MINUTE for m in (50, 55, 60)]
    assert [row.start for row in rig.rows("volt", Table.HOUR) if row.rev] == [START, START + HOUR]
    # None of them is the newest, so there is nothing new to say.
    assert len(rig.notes.statistics("van", "5minute")) == said


def test_many_late_readings_are_one_correction(rig: Rig) -> None:
    rig.reading("van", {"volt": 1.0})
    rig.run_until(START + 61 * MINUTE)
    for minute in range(30):
        rig.reading("van", {"volt": float(minute)}, ts=START + minute * MINUTE + SECOND)
    rig.commit()
    assert {row.rev for row in rig.rows("volt")} <= {0, 1}
    assert rig.rows("volt")[3].rev == 1


def test_a_crowd_without_an_end_is_corrected_all_the_same(rig: Rig) -> None:
    rig.reading("van", {"volt": 1.0})
    rig.run_until(START + 61 * MINUTE)
    seconds = 0
    while not any(row.rev for row in rig.rows("volt")):
        rig.reading("van", {"volt": float(seconds)}, ts=START + seconds * SECOND)
        rig.now += SECOND // 2
        rig.settle()
        seconds += 1
        assert seconds < 100
    # It begins with the first commit.
    assert 60 <= seconds <= 72


def test_what_awaits_correction_survives_a_crash(rig: Rig) -> None:
    rig.reading("van", {"volt": 1.0})
    rig.run_until(START + 20 * MINUTE)
    rig.reading("van", {"volt": 5.0}, ts=START + 7 * MINUTE)
    rig.service._commit()
    rig.crash()
    assert [row.row.max for row in rig.rows("volt")][:3] == [1.0, 5.0, 5.0]
    assert rig.store.statistics.dirty() == {}


def test_a_late_unknown_takes_a_row_away(rig: Rig) -> None:
    rig.reading("van", {"volt": 1.0})
    rig.run_until(START + 20 * MINUTE)
    rig.reading("van", {"volt": None}, ts=START + 4 * MINUTE)
    rig.commit()
    assert [row.start for row in rig.rows("volt")] == [START]


def test_a_state_of_the_next_period_before_the_compile_goes_to_the_next_period(rig: Rig) -> None:
    rig.reading("van", {"volt": 1.0})
    rig.run_until(START + MINUTES_5 + 5 * SECOND)
    rig.reading("van", {"volt": 9.0})
    rig.run_until(START + 2 * MINUTES_5 + 11 * SECOND)
    first, second = (row.row for row in rig.rows("volt"))
    assert (first.max, second.max, second.min) == (1.0, 9.0, 1.0)
    assert second.mean == pytest.approx((1 * 5 + 9 * 295) / 300)


def test_the_last_to_arrive_counts_at_one_moment(rig: Rig) -> None:
    for value in (10.0, 50.0, 20.0):
        rig.reading("van", {"volt": value}, ts=START + MINUTE)
    rig.run_until(START + MINUTES_5 + 11 * SECOND)
    assert [(row.row.min, row.row.max) for row in rig.rows("volt")] == [(20.0, 20.0)]


def test_a_repeat_that_was_left_out_is_news_after_a_late_state(rig: Rig) -> None:
    rig.reading("van", {"volt": 1.0})
    rig.run_until(START + 2 * MINUTE)
    rig.reading("van", {"volt": 1.0})
    rig.reading("van", {"volt": 4.0}, ts=START + MINUTE)
    rig.run_until(START + MINUTES_5 + 11 * SECOND)
    assert rig.journal.counters["unchanged_states"] == 1
    assert rig.rows("volt")[0].row.mean == pytest.approx((1 + 4 + 3) / 5)
