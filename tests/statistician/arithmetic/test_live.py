"""One entity: what is stored of its states, what is left out as a repeat, and since when about says what."""

from dataclasses import replace

import pytest

from bus.about import TOTAL_INCREASING
from statistician.arithmetic import MINUTES_5
from statistician.arithmetic.algorithm import Row
from statistician.arithmetic.live import LiveEntity, open_period
from statistician.records import EntityRecord, Since, State, StoredRow

ENTITY = 7


def entity() -> LiveEntity:
    return LiveEntity(EntityRecord(id=ENTITY, device="van", entity="volt", first=0))


def state(ts: int, value: float = 1.0) -> State:
    return State(ts, ENTITY, value, None)


def fed(live: LiveEntity, *states: State) -> list[list[State]]:
    """What is to be stored because of each."""
    return [live.news(one) for one in states]


def test_the_first_and_every_other_value_are_news_and_a_repeat_is_not() -> None:
    live = entity()
    assert fed(live, state(0), state(1), state(2, 2.0)) == [[state(0)], [], [state(2, 2.0)]]
    assert live.newest == state(2, 2.0)


def test_another_value_in_the_same_ms_replaces_the_newest() -> None:
    live = entity()
    assert fed(live, state(5), state(5, 2.0), state(5, 2.0)) == [[state(5)], [state(5, 2.0)], []]
    assert (live.newest, live.heard, list(live.repeats)) == (state(5, 2.0), 5, [])


@pytest.mark.parametrize(
    ("repeats", "late", "uncovered", "left"),
    [
        # The first that follows becomes news; the others go on repeating.
        ((10, 20, 30), 15, [20], [10, 30]),
        ((10, 20, 30), 5, [10], [20, 30]),
        ((10, 20, 30), 35, [], [10, 20, 30]),
        # In whatever order they were heard.
        ((30, 10, 20), 15, [20], [10, 30]),
        # One of the same time is what it was.
        ((10, 20), 20, [], [10]),
    ],
)
def test_a_late_state_makes_the_repeat_behind_it_news(
    repeats: tuple[int, ...], late: int, uncovered: list[int], left: list[int]
) -> None:
    live = entity()
    fed(live, state(0), *map(state, repeats))
    assert live.heard == max(repeats)
    assert live.news(state(late, 9.0)) == [state(late, 9.0), *map(state, uncovered)]
    assert [one.ts for one in live.repeats] == left
    assert live.newest == (state(uncovered[0]) if uncovered else state(late, 9.0))


def test_a_repeat_is_kept_once() -> None:
    live = entity()
    fed(live, state(0), state(10), state(10))
    assert [one.ts for one in live.repeats] == [10]
    fed(live, state(5), state(5), state(0))
    assert [one.ts for one in live.repeats] == [5, 10]


@pytest.mark.parametrize(
    ("stored", "repeated", "known"),
    [
        ([state(10, 3.0), state(20, 4.0)], [15, 25], [state(15, 3.0), state(25, 4.0)]),
        # Nobody knows what was said before the first that is stored.
        ([state(10, 3.0)], [5, 15], [state(15, 3.0)]),
        ([], [5], []),
        # One that is stored is none.
        ([state(20, 4.0), state(10, 3.0)], [10, 20, 21], [state(21, 4.0)]),
    ],
)
def test_repeats_are_known_again_after_a_restart(
    stored: list[State], repeated: list[int], known: list[State]
) -> None:
    live = entity()
    live.remember(stored, repeated)
    assert list(live.repeats) == known


def described(live: LiveEntity, unit: str, now: int) -> tuple[Since, ...]:
    live.describe({"unit": unit}, now, expire=None, daily=False)
    return live.record.units


def test_the_first_unit_was_in_force_from_the_beginning() -> None:
    assert described(entity(), "V", 1000) == (Since(0, "V"),)


def test_another_unit_is_in_force_after_the_newest_state_and_never_before_the_one_it_follows() -> None:
    live = entity()
    described(live, "V", 0)
    fed(live, state(5000))
    assert described(live, "mV", 6000) == (Since(0, "V"), Since(5001, "mV"))
    # Nothing was heard in between: it was never in force.
    assert described(live, "kV", 7000) == (Since(0, "V"), Since(5001, "kV"))
    assert described(live, "kV", 8000) == (Since(0, "V"), Since(5001, "kV"))


def test_the_times_of_a_device_itself_are_remembered() -> None:
    live = entity()
    live.note_own_time(3)
    live.note_own_time(MINUTES_5)
    assert list(live.own_times) == [3, MINUTES_5]


COUNTER = EntityRecord(id=ENTITY, device="van", entity="yield", first=0, state_class=TOTAL_INCREASING)


def test_what_another_counter_says_is_no_repeat() -> None:
    live = LiveEntity(replace(COUNTER, renewals=(50,)))
    said = fed(live, state(0), state(49), state(50), state(60), state(70))
    assert said == [[state(0)], [], [], [state(60)], []]


@pytest.mark.parametrize(("renewed", "total"), [(100, 5.0), (99, 5.0 + 2995.0), (101, 5.0)])
def test_a_counter_is_another_one_after_the_state_that_was_said_then(renewed: int, total: float) -> None:
    start = 2 * MINUTES_5
    base = StoredRow(ENTITY, 0, Row(state=5.0, sum=5.0), 0)
    carried = State(100, ENTITY, 5.0, None)
    record = replace(COUNTER, renewals=(renewed,))
    into = open_period(record, start, base, carried, heard=start - 1, new_day=lambda *_: False)
    assert into is not None
    into.feed(start + 7, 3000.0, None)
    row = into.close(start + MINUTES_5)
    assert row is not None
    assert row.sum == total


def test_a_daily_counter_was_known_until_the_end_of_the_row_before() -> None:
    start = 3 * MINUTES_5
    asked: list[tuple[int, int]] = []

    def new_day(since: int, ts: int) -> bool:
        asked.append((since, ts))
        return False

    record = replace(COUNTER, daily=True)
    base = StoredRow(ENTITY, start - 2 * MINUTES_5, Row(state=5.0, sum=5.0), 0)
    into = open_period(record, start, base, None, heard=0, new_day=new_day)
    assert into is not None
    into.feed(start + 7, 6.0, None)
    assert asked == [(start - MINUTES_5, start + 7)]
