"""Which readings of a counter count: glitches are left out, real resets and real rises never are."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.about import TOTAL_INCREASING
from statistician.arithmetic import DAY, HOUR
from statistician.arithmetic.algorithm import RESET_BELOW, accumulator
from statistician.arithmetic.counters import Counter, HeldReading, Memory, Verdict
from tests.statistician.rig import MINUTE, SECOND, START

WILD = float(0xFFFFFFFF)
# Two hours, a reading a minute, 1 kWh an hour.
USUAL = [(START + n * MINUTE, round(550 + n / 60, 4)) for n in range(121)]
END, LAST = USUAL[-1]


class Watched:
    """A counter, what counts of it, and what is stored of it."""

    def __init__(self) -> None:
        self.counter = Counter()
        self.values: dict[int, float] = {}
        self.stored: dict[tuple[int, int], HeldReading] = {}
        self.kept = Memory()
        self.since: list[tuple[int, float]] = []
        self.daily = False
        self.newest: float | None = None

    def feed(self, readings: Iterable[tuple[int, float]]) -> "Watched":
        """Take readings."""
        for ts, value in readings:
            self.take(ts, value)
        return self

    def take(self, ts: int, value: float) -> Verdict:
        """Take a reading as a database would that knows the verdicts."""
        value = float(value)
        verdict = self.counter.take(ts, value, daily=self.daily)
        if value != self.newest:
            # A repeat is no news to the database.
            self.values[ts] = self.newest = value
        assert not {one.ts for one in verdict.confirmed} & {one.ts for one in verdict.left_out}
        for key, reading in verdict.changes(7).items():
            self.stored.pop(key, None)
            if reading is not None:
                self.stored[key] = reading
        self.since.append((ts, value))
        if verdict.keep:
            self.kept = msgspec.json.decode(msgspec.json.encode(self.counter.memory), type=Memory)
            self.since = []
        return verdict

    def restart(self) -> None:
        """What was kept, and the readings since."""
        memory = self.counter.memory
        self.counter = Counter(self.kept)
        for ts, value in self.since:
            assert ts > self.counter.heard or value < 0
            assert not self.counter.take(ts, value, daily=self.daily).keep
        assert self.counter.memory == memory

    @property
    def left_out(self) -> list[float]:
        """Values that do not count."""
        return [one.value for one in self.stored.values() if one.verdict == "left_out"]

    @property
    def held(self) -> list[float]:
        """Values that wait for the next."""
        return [one.value for one in self.stored.values() if one.verdict == "held"]

    @property
    def change(self) -> float:
        """The sum of what counts, as rows make it."""
        return total((ts, value) for ts, value in self.values.items() if (7, ts) not in self.stored)


def total(readings: Iterable[tuple[int, float]]) -> float:
    """The sum of a counter's readings, as rows make it."""
    into = accumulator(TOTAL_INCREASING, None)
    assert into is not None
    for ts, value in readings:
        into.feed(ts, value, None)
    row = into.close(2**50)
    assert row is not None
    assert row.sum is not None
    return row.sum


def minutes(values: Sequence[float], since: int = END, every: int = MINUTE) -> list[tuple[int, float]]:
    return [(since + (n + 1) * every, value) for n, value in enumerate(values)]


# After two usual hours that end at 552: a value a minute, what is left out, what is held, the change.
CASES: dict[str, tuple[list[float], list[float], list[float], float]] = {
    "zero": ([552.02, 0, 552.05], [0], [], 0.05),
    "zero, then the value before": ([0, 552.0], [0], [], 0),
    "slip down": ([55.2, 552.02], [55.2], [], 0.02),
    "slip up": ([5520.2, 552.03], [5520.2], [], 0.03),
    "slip up, then the value before": ([5520.2, 552.0], [5520.2], [], 0),
    "all ones": ([WILD, 552.03], [WILD], [], 0.03),
    "leap, then a small dip": ([WILD, 551.99], [WILD], [551.99], 0),
    "leap, then a small dip that comes back": ([WILD, 551.99, 552.01], [551.99, WILD], [], 0.01),
    "small dip that comes back": ([551.99, 552.02], [551.99], [], 0.02),
    "small dip that stays": ([551.99, 551.99, 552.01], [], [], 0.01),
    "reset that stays": ([0, 0, 0], [], [], 0),
    "reset and on": ([0, 0.02, 0.05], [], [], 0.05),
    "reset at once by a little": ([0.01, 0.02], [], [], 0.02),
    "reset, the last not decided": ([0], [], [0], 0),
    "leap, the last not decided": ([5000], [], [5000], 0),
    "leap that stays": ([5000, 5000], [], [], 4448),
    "leap that goes on": ([5000, 5000.02], [], [], 4448.02),
    "leap, then a dip from it": ([5000, 4999.9, 5000.1], [4999.9], [], 4448.1),
    "leap, then a reset": ([WILD, 0, 0.01], [WILD], [], 0.01),
    "leap, then zero, then back": ([WILD, 0, 552.1], [0, WILD], [], 0.1),
    "zero, then a leap, then back": ([0, WILD, 552.1], [0, WILD], [], 0.1),
    "a smaller leap contradicts the leap": ([5000, 700, 700.1], [5000], [], 148.1),
    "a larger leap confirms the leap": ([700, 5000, 5000.1], [], [], 4448.1),
    "two zeros": ([0, 0, 552.06], [0], [], 0.06),
    "many zeros": ([0] * 30 + [552.5], [0], [], 0.5),
    "two zeros, then a small dip": ([0, 0, 551.9, 552.06], [0, 551.9], [], 0.06),
    "zero, then a small dip": ([0, 551.9, 552.06], [0, 551.9], [], 0.06),
    "from zero on, then back": ([0, 0, 0.01, 0.02, 552.1], [0, 0.01, 0.02], [], 0.1),
    "slip, then zero": ([55.2, 0, 552.1], [0, 55.2], [], 0.1),
    "slips, then zeros": ([55.2, 55.2, 0, 0, 552.1], [55.2, 0], [], 0.1),
    "zeros, then a slip, then back": ([0, 0, 55.2, 552.1], [0, 55.2], [], 0.1),
    "all ones twice": ([WILD, WILD, 552.1], [WILD], [], 0.1),
    "all ones twice, then a reset": ([WILD, WILD, 552.1, 0, 0.01], [WILD], [], 0.11),
    "zeros, then all ones, then back": ([0, 0, WILD, WILD, 552.1], [0, WILD], [], 0.1),
    "reset twice": ([0, 0.05, 0.01, 0.02], [], [], 0.07),
    "small leap, then a reset": ([560, 0, 0.01], [], [], 8.01),
    "negative": ([-1, 552.01, -5, -5], [], [], 0.01),
    "negative does not decide": ([0, -1, 552.01], [0], [], 0.01),
    "minus zero is zero": ([-0.0, 552.01], [0], [], 0.01),
    "float noise": ([552.0 - 2**-43, 552.0, 552.0 - 2**-43, 552.0 - 2**-43], [552.0 - 2**-43], [], 0),
}


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_the_next_value_decides(case: str, *, restart: bool) -> None:
    values, left_out, held, change = CASES[case]
    watched = Watched().feed(USUAL)
    for ts, value in minutes(values):
        watched.take(ts, value)
        if restart:
            watched.restart()
    # Of equal values in a row the first stands in the database.
    assert sorted(set(watched.left_out)) == sorted(left_out)
    assert watched.held == held
    assert watched.change == pytest.approx(total(USUAL) + change, abs=1e-6)


# From the very first reading, a minute apart: no rate is known yet.
FIRST_HOUR: dict[str, tuple[list[float], list[float], float]] = {
    "begins at zero": ([0, 0.5, 1, 1.5], [], 1.5),
    "begins below zero": ([-10, -5, 5, -1, 6], [], 16),
    "zero": ([550, 0, 550.1], [0], 0.1),
    "zeros": ([550, 550.1, 0, 0, 550.2], [0], 0.2),
    "zeros, then a small dip": ([550, 550.1, 0, 0, 550, 550.2], [0, 550], 0.2),
    "a rise of any size counts at once": ([550, 5000], [], 4450),
    "a leap that stays": ([550, 5000, 5001], [], 4451),
    "slip up": ([550, 550.1, 5501, 550.2], [5501], 0.2),
    "all ones": ([550, WILD, 550.2], [WILD], 0.2),
    "all ones twice": ([550, WILD, WILD, 550.2], [WILD], 0.2),
    "all ones soon after a reset": ([550, 0, 0.5, WILD, 1.0], [WILD], 1.0),
    "all ones soon after zero": ([0, 0.5, WILD, 1.0], [WILD], 1.0),
    "reset": ([550, 0, 0, 0.5, 1], [], 1),
    "reset soon after a first rise": ([0, 5, 0, 0.2, 0.4], [], 5.4),
}


@pytest.mark.parametrize("case", FIRST_HOUR)
def test_in_the_first_hour_no_rise_is_held_but_what_goes_on_from_before_it_takes_it_back(case: str) -> None:
    values, left_out, change = FIRST_HOUR[case]
    watched = Watched()
    for ts, value in minutes(values):
        verdict = watched.take(ts, value)
        assert verdict.held is None or verdict.held.why == "fall"
        watched.restart()
    assert sorted(set(watched.left_out)) == sorted(left_out)
    assert watched.change == pytest.approx(change)


def verdicts(readings: Iterable[tuple[int, float]]) -> tuple[Watched, list[int]]:
    """The readings that were held, by their place."""
    watched = Watched()
    return watched, [n for n, (ts, value) in enumerate(readings) if watched.take(ts, value).held is not None]


def test_a_coarse_counter_is_held_at_its_first_step_only() -> None:
    # Whole kWh, one in three hours, heard every 10 s.
    steps = [(START + n * 10 * SECOND, 100.0 + n // 1080) for n in range(4 * 1080)]
    watched, held = verdicts(steps)
    assert held == [1080]
    # A reading may be missed.
    assert watched.take(START + 20 * HOUR, 105.0).accepted
    assert (watched.left_out, watched.held) == ([], [])


def test_a_counter_that_stood_still_for_days_goes_on() -> None:
    still = [(START + n * MINUTE, 550.0) for n in range(3 * 24 * 60)]
    watched, held = verdicts([*still, *minutes([550.01 + n / 100 for n in range(120)], since=still[-1][0])])
    assert held == [len(still)]
    assert watched.change == pytest.approx(1.2)


def test_a_load_that_is_switched_on_is_soon_known() -> None:
    # 1 W for a day, then 2 kW, each Wh.
    standby = [(START + n * MINUTE, float(n // 60)) for n in range(24 * 60)]
    boiler = minutes([23 + 33.0 * (n + 1) for n in range(90)], since=standby[-1][0])
    watched, held = verdicts([*standby, *boiler])
    assert held == [24 * 60]
    assert watched.change == 23 + 33 * 90


def test_a_counter_that_is_heard_once_an_hour() -> None:
    hours = [(START + n * HOUR, 550.0 + n) for n in range(10)]
    watched, held = verdicts(hours)
    assert held == []
    assert watched.take(START + 10 * HOUR, 5600.0).held is not None
    assert watched.take(START + 11 * HOUR, 561.0).left_out
    assert watched.take(START + 12 * HOUR, 0.0).held is not None
    assert watched.take(START + 13 * HOUR, 1.0).confirmed
    assert watched.change == pytest.approx(11 + 1)


def test_little_has_to_be_taken_again_after_a_restart() -> None:
    watched = Watched().feed(USUAL)
    assert len(watched.since) < 60
    # A repeat is not among the stored states.
    assert [watched.take(ts, 0.0).keep for ts, _ in minutes([0, 0])] == [True, True]
    watched.feed(minutes([0.0] * 130, since=END + 2 * MINUTE))
    assert len(watched.since) < 60


def test_after_a_gap_what_the_rate_allows_for_all_of_it_counts_at_once() -> None:
    watched = Watched().feed(USUAL)
    for night in (1, 2, 3, 4):
        back = END + night * 8 * HOUR
        assert watched.take(back, LAST + night * 8).accepted
    # Those were no ordinary steps.
    assert watched.take(back + MINUTE, LAST + 32 + 5).held is not None
    assert watched.take(back + 2 * MINUTE, LAST + 32).left_out
    assert watched.take(back + 8 * HOUR, LAST + 32 + 8 * 19).accepted
    assert watched.take(back + 16 * HOUR, LAST + 32 + 8 * 19 + 8 * 20 * 20).held is not None


@pytest.mark.parametrize("gap", [MINUTE, 8 * HOUR, 20 * HOUR])
def test_zeros_for_a_night_are_taken_back(gap: int) -> None:
    watched = Watched().feed(USUAL)
    watched.feed([(END + MINUTE, 0.0), (END + 2 * MINUTE, 0.0), (END + gap, 0.0)])
    # 20 kWh for each hour could be.
    night = 100 * (gap >= 8 * HOUR)
    watched.take(END + gap + MINUTE, LAST + 0.1 + night)
    watched.take(END + gap + 2 * MINUTE, LAST + 0.2 + night)
    assert watched.left_out == [0.0]
    assert watched.change == pytest.approx(2.2 + night)


@pytest.mark.parametrize(("values", "apart"), [([0.01 * n for n in range(40)], MINUTE), ([0, 0], 25 * HOUR)])
def test_what_was_confirmed_long_ago_stays(values: list[float], apart: int) -> None:
    watched = Watched().feed([*USUAL, *minutes([0, 0])])
    later = minutes(values, since=END + 2 * MINUTE, every=apart)
    watched.feed(later)
    watched.feed(minutes([LAST + 1, LAST + 1.1], since=later[-1][0]))
    assert watched.left_out == []
    assert watched.change == pytest.approx(2 + LAST + 1.1)


def test_a_leap_that_was_confirmed_does_not_allow_all_that_follow() -> None:
    watched = Watched().feed([*USUAL, *minutes([9000, 9000.02, 9000.04])])
    later = END + 4 * MINUTE
    assert watched.take(later, 20000.6).held is not None
    assert watched.take(later + MINUTE, 9000.08).left_out


@pytest.mark.parametrize("daily", [False, True])
def test_only_the_falls_of_a_daily_counter_count_at_once(*, daily: bool) -> None:
    watched = Watched()
    watched.daily = daily
    watched.feed(USUAL)
    verdict = watched.take(END + 8 * HOUR, 0.2)
    assert verdict.accepted == daily
    watched.take(END + 8 * HOUR + MINUTE, 0.22)
    assert watched.change == pytest.approx(2.22)
    # A leap is checked, and zeros that cannot be a new day are taken back.
    assert watched.take(END + 8 * HOUR + 2 * MINUTE, WILD).held is not None
    watched.take(END + 8 * HOUR + 3 * MINUTE, 0.26)
    assert watched.change == pytest.approx(2.26)
    watched.feed(minutes([0.26 + n / 60 for n in range(600)], since=END + 9 * HOUR))
    before = watched.change
    watched.feed(minutes([0.0, 0.0, 10.3], since=END + 19 * HOUR))
    assert watched.change == pytest.approx(before + 10.3 - 0.26 - 599 / 60)


def test_a_new_value_at_the_same_moment_takes_the_place_of_the_held_one() -> None:
    watched = Watched().feed(USUAL)
    assert watched.take(END + MINUTE, 0.0).held is not None
    assert watched.take(END + MINUTE, 552.02).accepted
    assert watched.stored == {}
    watched.feed([(END + 2 * MINUTE, 0.0), (END + 3 * MINUTE, 0.01), (END + 3 * MINUTE, 552.05)])
    assert watched.left_out == [0.0]
    assert watched.change == pytest.approx(2.05)


def test_a_clock_that_was_set_back_and_ahead_leaves_no_trace() -> None:
    watched = Watched().feed(USUAL)
    ahead = minutes([LAST + n / 60 for n in range(30)], since=END + 3 * DAY)
    watched.feed([*ahead, *minutes([LAST + 0.5 + n / 60 for n in range(120)])])
    assert (watched.left_out, watched.held) == ([], [])
    assert watched.take(END + 121 * MINUTE, 5520.0).held is not None
    marks = watched.counter.memory.marks
    assert marks is not None
    # The rate is learned again.
    assert marks.window_ts < END + 2 * HOUR


gaps = st.lists(st.sampled_from([10 * SECOND, MINUTE, 10 * MINUTE, HOUR, 8 * HOUR]), min_size=8, max_size=120)
WATTS = st.sampled_from([0.0, 5.0, 100.0, 2000.0])
GLITCHES: dict[str, Callable[[float], float]] = {
    "zero": lambda _: 0.0,
    "dip": lambda value: value - 0.01,
    "ulp": lambda value: value * (1 - 2**-52),
    "slip down": lambda value: value / 10,
    "slip up": lambda value: value * 10,
    "all ones": lambda _: WILD,
}


class Life(NamedTuple):
    """True readings, glitches by place, places of resets, places before which there was a restart."""

    readings: list[tuple[int, float]]
    glitches: dict[int, float]
    resets: set[int]
    restarts: set[int]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Any counter; between two glitches, and between a glitch and a reset, lie at least two true readings."""
    ts, value = START, float(draw(st.integers(1000, 100_000)))
    digits = draw(st.integers(0, 4))
    life = Life([], {}, set(), set())
    quiet = 2
    for place, gap in enumerate(draw(gaps)):
        ts += gap
        value += draw(WATTS) / 1000 * gap / HOUR
        event = draw(st.sampled_from([None] * 8 + ["reset", *GLITCHES])) if place > quiet else None
        # What a counter has soon after a reset may be a glitch as well as a reset: nobody could tell.
        if event is not None and value < (1000 if event == "slip up" else 50):
            event = None
        if event == "reset":
            value = 0.0
            life.resets.add(place)
        shown = round(value, digits)
        if event in GLITCHES:
            # A dip that is no fall from the reading before is no glitch.
            shown_before = life.readings[-1][1]
            life.glitches[place] = GLITCHES[event](min(shown, shown_before) if "slip" not in event else shown)
        life.readings.append((ts, shown))
        if event is not None:
            quiet = place + 2
    # Each has a next value.
    life.readings.extend((ts + n * MINUTE, round(value, digits)) for n in (1, 2))
    life.restarts.update(draw(st.sets(st.integers(0, len(life.readings) - 1), max_size=3)))
    return life


@settings(deadline=None, max_examples=300)
@given(lives())
def test_glitches_are_left_out_and_resets_count(life: Life) -> None:
    watched = Watched()
    for place, (ts, value) in enumerate(life.readings):
        if place in life.restarts:
            watched.restart()
        watched.take(ts, life.glitches.get(place, value))
    readings = [one for place, one in enumerate(life.readings) if place not in life.glitches]
    assert watched.held == []
    truth = sum(max(0.0, b - a) if b >= RESET_BELOW * a else b for (_, a), (_, b) in pairwise(readings))
    assert watched.change == pytest.approx(truth, abs=1e-6)
    told_of = {
        place
        for place, (ts, _) in enumerate(life.readings)
        if (7, ts) in watched.stored and watched.stored[7, ts].verdict == "left_out"
    }
    # A glitch may contradict the first step of a counter that stood still.
    assert told_of <= {one for place in life.glitches for one in (place, place - 1)} - life.resets


def test_the_first_reading_and_each_new_hour_are_kept() -> None:
    counter = Counter()
    minutes = (0, 59, 60, 119, 120)
    said = [counter.take(START + n * MINUTE, 100 + n / 60) for n in minutes]
    assert [one.keep for one in said] == [True, False, True, False, True]
    assert all(one.accepted for one in said)


@pytest.mark.parametrize("waits", [False, True])
def test_a_clock_that_was_set_moves_all_that_is_known(*, waits: bool) -> None:
    counter, moved = Counter(), Counter()
    readings = [*USUAL, (END + MINUTE, 0.0)] if waits else USUAL
    for ts, value in readings:
        counter.take(ts, value)
        moved.take(ts + HOUR, value)
    counter.move(HOUR)
    assert counter.memory == moved.memory
    assert (counter.memory.held is not None) == waits
