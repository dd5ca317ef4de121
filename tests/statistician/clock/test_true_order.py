"""Whatever clocks, absences, restarts, late history and glitches do: sums and coverage are the true ones."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statistician.arithmetic import DAY, HOUR
from tests.statistician.rig import MINUTE, START
from tests.statistician.truth import House

Deed = tuple[str, Callable[[House], None]]

LEAPS = st.sampled_from([7 * MINUTE, 20 * MINUTE, HOUR, 3 * HOUR, 3 * DAY])
BY = st.tuples(LEAPS, st.sampled_from([-1, 1])).map(lambda pair: pair[0] * pair[1])
GLITCHES = st.sampled_from([0.0, 0.1, 10.0, 1e5])


class Deeds:
    """What may happen; every deed ends with some minutes in which all goes well."""

    @staticmethod
    def live(minutes: float) -> Deed:
        """All goes well."""
        return f"live {minutes} min", lambda house: house.live(minutes)

    @staticmethod
    def crash() -> Deed:
        """The process is killed."""

        def do(house: House) -> None:
            house.crash()
            house.live(2)

        return "crash", do

    @staticmethod
    def restart() -> Deed:
        """The process ends and starts."""

        def do(house: House) -> None:
            house.restart()
            house.live(2)

        return "restart", do

    @staticmethod
    def wrong_for(by: int, minutes: float) -> Deed:
        """The machine's clock is wrong for some minutes."""

        def do(house: House) -> None:
            house.step(by)
            house.live(minutes)
            house.step(0)
            house.live(3)

        return f"clock {by // 1000} s for {minutes} min", do

    @staticmethod
    def stays_wrong(by: int) -> Deed:
        """The machine's clock is set wrong."""

        def do(house: House) -> None:
            house.step(by)
            house.live(14)

        return f"clock {by // 1000} s", do

    @staticmethod
    def stranger(by: int, minutes: float, *, back: bool) -> Deed:
        """The stranger's own clock is wrong."""

        def do(house: House) -> None:
            house.devices[1].ahead = by
            house.steps += 2
            house.live(minutes)
            if back:
                house.devices[1].ahead = 0
                house.live(3)

        return f"stranger {by // 1000} s for {minutes} min, back {back}", do

    @staticmethod
    def stop(minutes: float, *, backlog: bool) -> Deed:
        """The process is away."""

        def do(house: House) -> None:
            house.stop(minutes, backlog=backlog)
            house.live(4)

        return f"stop {minutes} min, backlog {backlog}", do

    @staticmethod
    def glitch(at: int, times: float) -> Deed:
        """One reading of the counters is wrong, by a factor."""
        return f"glitch {times}", lambda house: house.live(4, {at: times})

    @staticmethod
    def lose(minutes: float) -> Deed:
        """A reading is lost, and those after it come twice: live, and in their order."""

        def do(house: House) -> None:
            house.lose(minutes)
            house.live(4)

        return f"lost {minutes} min", do

    @staticmethod
    def lose_over_a_step(by: int, minutes: float) -> Deed:
        """The same while the machine's clock is set wrong, and right afterwards."""

        def do(house: House) -> None:
            house.lose(minutes, by)
            house.live(3)
            house.lose(minutes, 0)
            house.live(3)

        return f"lost {minutes} min, clock {by // 1000} s", do

    @staticmethod
    def remember(minutes: float) -> Deed:
        """What was measured comes late."""

        def do(house: House) -> None:
            house.remember(minutes)
            house.live(4)

        return f"late {minutes} min", do


PLAIN = st.one_of(
    st.just(Deeds.crash()),
    st.just(Deeds.restart()),
    st.builds(Deeds.stop, st.sampled_from([0.9, 3, 12, 75]), backlog=st.booleans()),
    st.builds(Deeds.glitch, st.integers(0, 3), GLITCHES),
    st.builds(Deeds.remember, st.sampled_from([2, 8, 70])),
    st.builds(Deeds.live, st.sampled_from([2, 6, 65])),
    st.builds(Deeds.lose, st.sampled_from([2, 8, 40])),
)
STEPS = st.one_of(
    st.builds(Deeds.wrong_for, BY, st.sampled_from([0.5, 5, 9, 14, 70])),
    st.builds(Deeds.stays_wrong, BY),
    st.builds(Deeds.lose_over_a_step, BY, st.just(4)),
    st.builds(Deeds.stranger, BY, st.sampled_from([0.5, 5, 30]), back=st.booleans()),
)


@contextmanager
def house_of(*, expire: float | None = None, estimated: int | None = None) -> Iterator[House]:
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder) / "s.db", expire=expire, estimated=estimated)
        yield house
        house.rig.close()


def run(deeds: list[Deed], *, expire: float | None, estimated: int | None = None) -> None:
    with house_of(expire=expire, estimated=estimated) as house:
        house.live(6)
        for _, deed in deeds:
            deed(house)
        if house.rig.quality != "ok":
            house.synchronise()
        finish(house)


def finish(house: House) -> None:
    """Go on until every step of the clock is believed, and hold the rows against the truth."""
    house.live(14)
    house.pass_time(7 * MINUTE)
    house.check()


@pytest.mark.parametrize("ahead", [3 * HOUR, 3 * DAY])
def test_a_clock_that_is_believed_takes_no_reading_away(ahead: int) -> None:
    """What is known ends where it stepped, not in place of a reading since."""
    run([Deeds.remember(8), Deeds.wrong_for(ahead, 14)], expire=None)


def test_a_second_step_takes_back_only_what_is_wrong() -> None:
    """It stepped back to the right time, and in probation further."""
    run([Deeds.wrong_for(HOUR, 70), Deeds.wrong_for(-3 * HOUR, 70)], expire=None)


def test_a_clock_that_is_set_right_before_it_is_known_to_be_synchronised() -> None:
    with house_of(estimated=-20 * MINUTE) as house:
        house.live(6)
        house.set_estimated(0)
        house.live(6)
        house.synchronise()
        finish(house)
        assert house.rig.rows("v")[0].start == START


@pytest.mark.parametrize("estimated", [-7 * MINUTE, -3 * DAY])
@pytest.mark.parametrize("restart", [False, True])
def test_readings_of_an_estimated_time_come_right(estimated: int, *, restart: bool) -> None:
    """Also those of a stranger, whose right time was not believed."""
    with house_of(estimated=estimated) as house:
        house.live(6)
        if restart:
            house.restart()
        house.synchronise()
        finish(house)
        for device in ("van", "box"):
            assert house.rig.rows("v", device=device)[0].start == START


def test_a_stranger_ahead_is_dated_by_its_arrival_after_a_start() -> None:
    with house_of() as house:
        house.live(6)
        house.devices[1].ahead = HOUR
        house.steps += 1
        house.stop(75, backlog=False)
        house.live(4)
        house.devices[1].ahead = 0
        finish(house)


@pytest.mark.parametrize(
    "deeds",
    [
        # A stranger stays right while the house's clock is wrong.
        [Deeds.stays_wrong(3 * HOUR)],
        [Deeds.stays_wrong(7 * MINUTE), Deeds.stop(75, backlog=True)],
        [Deeds.stays_wrong(20 * MINUTE), Deeds.stop(75, backlog=False)],
        [Deeds.stays_wrong(HOUR), Deeds.stranger(3 * DAY, 0.5, back=True)],
        [Deeds.stays_wrong(3 * HOUR), Deeds.stranger(3 * HOUR, 30, back=True)],
        # The machine's clock is wrong again before it has been right for long enough.
        [Deeds.wrong_for(3 * DAY, 70), Deeds.stays_wrong(3 * DAY)],
        [Deeds.wrong_for(HOUR, 14), Deeds.stays_wrong(3 * DAY)],
        [Deeds.wrong_for(-HOUR, 70), Deeds.wrong_for(-3 * DAY, 14)],
        [Deeds.wrong_for(-3 * DAY, 14), Deeds.wrong_for(-20 * MINUTE, 70), Deeds.wrong_for(-3 * DAY, 9)],
        [Deeds.wrong_for(HOUR, 70), Deeds.remember(2), Deeds.glitch(0, 0.0), Deeds.stays_wrong(HOUR)],
        # A stranger's clock is wrong, too, and goes on to be so after an absence.
        [
            Deeds.wrong_for(-3 * DAY, 14),
            Deeds.stranger(20 * MINUTE, 0.5, back=False),
            Deeds.stop(75, backlog=True),
        ],
        [Deeds.stranger(-3 * DAY, 0.5, back=False), Deeds.crash(), Deeds.stays_wrong(3 * HOUR)],
        # What a device remembers comes before it has.
        [Deeds.stays_wrong(7 * MINUTE), Deeds.wrong_for(HOUR, 9), Deeds.remember(2)],
        [Deeds.wrong_for(HOUR, 70), Deeds.remember(2)],
        [Deeds.remember(2), Deeds.wrong_for(-7 * MINUTE, 70)],
        [Deeds.remember(8), Deeds.stays_wrong(-20 * MINUTE)],
        [Deeds.stays_wrong(-3 * DAY), Deeds.wrong_for(20 * MINUTE, 14), Deeds.remember(2)],
        [Deeds.wrong_for(7 * MINUTE, 14), Deeds.remember(70)],
    ],
    ids=lambda deeds: ", ".join(name for name, _ in deeds),
)
def test_clocks_that_do_not_agree(deeds: list[Deed]) -> None:
    run(deeds, expire=None)


@pytest.mark.parametrize("by", [-3 * DAY, -HOUR, -20 * MINUTE, -7 * MINUTE, 7 * MINUTE, HOUR])
def test_what_is_live_ahead_of_a_gap_leaves_nothing_behind_when_the_clock_is_set(by: int) -> None:
    run([Deeds.lose_over_a_step(by, 4)], expire=None)


def test_a_stranger_that_was_silent_when_the_clock_went_on_without_it() -> None:
    with house_of() as house:
        house.live(6)
        # Nobody knows then whether it goes with ours: what was known of it ends with what was sure.
        house.steps += 4
        box = house.devices.pop()
        house.step(3 * HOUR)
        house.live(14)
        house.devices.append(box)
        finish(house)


QUICK = settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(st.lists(PLAIN, min_size=1, max_size=5), st.sampled_from([None, 40.0, 130.0]))
def test_without_steps_of_a_clock(deeds: list[Deed], expire: float | None) -> None:
    run(deeds, expire=expire)


@QUICK
@given(
    st.lists(st.one_of(PLAIN, STEPS), min_size=1, max_size=5),
    st.sampled_from([None, None, 130.0]),
    st.one_of(st.none(), st.none(), BY),
)
def test_with_steps_of_clocks(deeds: list[Deed], expire: float | None, estimated: int | None) -> None:
    run(deeds, expire=expire, estimated=estimated)
