"""Two processes of one name on two machines: who ends, when, and who does not."""

import pytest

from bus.process import AGAIN_S, PATIENCE_S, Duplicates, Step

OLD, YOUNG = "000000000000100-aa", "000000000000200-bb"


def talk(seconds: int, *, stops: str | None = None, after: float = 0.0) -> tuple[Duplicates, Duplicates]:
    """Both of them, told each other's word each second that it is due; `stops` says no more after a time."""
    old, young = Duplicates(OLD), Duplicates(YOUNG)
    for now in range(seconds):
        for one, other in ((young, old), (old, young)):
            silent = one.mine == stops and now > after
            if (now == 0 or one.due(now)) and not silent and not one.lost:
                other.hear(one.mine, now)
                one.hear(one.mine, now)
    return old, young


def test_the_younger_leaves_within_ten_seconds_and_the_older_stays() -> None:
    assert PATIENCE_S + AGAIN_S <= 10
    old, young = talk(int(PATIENCE_S))
    assert (old.lost, young.lost) == (False, False)
    old, young = talk(int(PATIENCE_S) + 2)
    assert (old.lost, young.lost) == (False, True)


@pytest.mark.parametrize("dead", [OLD, YOUNG])
def test_what_a_dead_one_left_behind_ends_nobody(dead: str) -> None:
    old, young = talk(600, stops=dead, after=PATIENCE_S - AGAIN_S)
    left = young if dead == OLD else old
    assert (left.lost, left.present(599)) == (False, False)


def test_its_own_word_is_no_rival() -> None:
    alone = Duplicates(OLD)
    for now in range(200):
        alone.hear(OLD, now)
    assert (alone.present(200), alone.due(200), alone.lost) == (False, False, False)


def test_two_rivals_one_after_the_other_are_not_one_that_stays() -> None:
    young = Duplicates(YOUNG)
    for now in range(0, 60, 2):
        young.hear(f"00000000000010{now // 6}-cc", now)
        assert not young.lost


def test_one_that_is_heard_again_after_an_hour_begins_anew() -> None:
    young = Duplicates(YOUNG)
    for now in (0, 3_600, 3_610):
        young.hear(OLD, now)
    assert (young.present(3_611), young.lost) == (True, False)


def test_words_with_long_pauses_between_them_are_not_one_that_stays() -> None:
    young = Duplicates(YOUNG)
    for now in range(0, 300, int(PATIENCE_S) + 1):
        young.hear(OLD, now)
        assert not young.lost


def test_who_is_not_answered_is_silent_soon_until_the_other_speaks() -> None:
    one = Duplicates(YOUNG)
    one.hear(OLD, 0)
    assert [now for now in range(20) if one.due(now)] == [0, 2, 4, 6, 8]
    one.hear(OLD, 30)
    assert one.due(30)
    assert one.present(80), "health tells of it until what stays away has looked again"


def test_they_do_not_shout_at_each_other() -> None:
    one = Duplicates(YOUNG)
    said = 0
    for now in range(50):
        one.hear(OLD, now)
        said += one.due(now)
    assert said == 50 / AGAIN_S


def test_who_left_looks_every_half_minute_and_comes_back_once_nobody_answers() -> None:
    young = Duplicates(YOUNG)
    young.leave(100)
    assert {young.step(now, there=False) for now in range(100, 130)} == {Step.WAIT}
    assert (young.step(130, there=False), young.step(131, there=True)) == (Step.LOOK, Step.WAIT)
    young.hear(OLD, 132)
    assert (young.step(132, there=True), young.step(133, there=False)) == (Step.LEAVE, Step.WAIT)
    assert young.step(162, there=False) is Step.LOOK
    # The broker is away for an hour: that is no silence of the other.
    assert {young.step(now, there=False) for now in range(163, 3_763)} == {Step.WAIT}
    assert [young.step(now, there=True) for now in range(3_763, 3_769)] == [Step.WAIT] * 5 + [Step.ENTER]
    assert not young.away
