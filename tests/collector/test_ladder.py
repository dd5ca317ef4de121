"""The restart ladder, with time as an argument."""

import pytest

from collector.transports.ble.radio import Ladder, Step


def _started(now: float = 0.0) -> Ladder:
    ladder = Ladder()
    assert ladder.step(now) is Step.START
    ladder.started(now)
    return ladder


def test_a_radio_that_hears_is_left_alone() -> None:
    ladder = _started()
    for second in range(1000):
        ladder.heard(second)
        assert ladder.step(second + 0.5) is Step.WAIT
    assert ladder.rung == 0


def test_silence_climbs_new_scanner_then_power_cycle_then_exit() -> None:
    ladder = _started()
    seen = []
    for second in range(1, 400):
        step = ladder.step(second)
        if step is not Step.WAIT:
            seen.append((second, step))
            if step is Step.EXIT:
                break
            ladder.started(second)
    assert seen == [(90, Step.START), (180, Step.POWER_CYCLE), (270, Step.EXIT)]


def test_an_advertisement_brings_it_back_to_the_ground() -> None:
    ladder = _started()
    assert ladder.step(90) is Step.START
    ladder.started(90)
    assert ladder.step(180) is Step.POWER_CYCLE
    ladder.started(180)
    ladder.heard(200)
    assert ladder.rung == 0
    assert ladder.step(289.9) is Step.WAIT
    assert ladder.step(290) is Step.START


def test_failed_starts_are_retried_later_and_later_up_to_the_cap() -> None:
    ladder = Ladder(silence=10_000)
    now, delays = 0.0, []
    for _ in range(8):
        assert ladder.step(now) is Step.START
        delays.append(ladder.failed(now))
        assert ladder.step(now + delays[-1] * 0.99) is Step.WAIT
        now += delays[-1]
    assert delays == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_successful_start_forgets_the_failures() -> None:
    ladder = Ladder()
    for now in (0, 10, 20):
        ladder.step(now)
        ladder.failed(now)
    ladder.started(30)
    assert ladder.failed(31) == 1


def test_failing_starts_climb_by_the_same_clock() -> None:
    ladder = Ladder()
    now = 0.0
    seen: list[tuple[float, Step]] = []
    while not seen or seen[-1][1] is not Step.EXIT:
        step = ladder.step(now)
        if step in (Step.POWER_CYCLE, Step.EXIT):
            seen.append((now, step))
        if step in (Step.START, Step.POWER_CYCLE):
            ladder.failed(now)
        now += ladder.wait(now)
        assert now < 1000
    assert seen == [(180, Step.POWER_CYCLE), (270, Step.EXIT)]


def test_a_start_after_an_outage_has_the_whole_silence_to_hear_something() -> None:
    ladder = Ladder()
    ladder.step(0)
    ladder.failed(0)
    ladder.step(80)
    ladder.started(80)
    assert ladder.step(169) is Step.WAIT
    assert ladder.step(170) is Step.START


@pytest.mark.parametrize("heard", [0.1, 33.3, 1e6 + 0.7])
def test_after_the_named_wait_there_is_something_to_do(heard: float) -> None:
    ladder = _started()
    ladder.heard(heard)
    wait = ladder.wait(heard)
    assert wait == pytest.approx(90)
    assert ladder.step(heard + wait) is Step.START
