"""What is known of a value, and for how long: null, silence, absence, availability."""

from pathlib import Path

import pytest

from bus import about as about_message
from bus.about import MEASUREMENT, TOTAL, TOTAL_INCREASING, About, Entity
from bus.events import Connected
from statistician.arithmetic import DAY, HOUR, MINUTES_5
from statistician.arithmetic.algorithm import Row, accumulator
from statistician.records import StoreError, Table
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS, Rig


def closed(kind: str, *, heard: int, until: int, expire: int | None) -> Row | None:
    """The row of a period into which 10 is carried, heard again each minute from one time to another."""
    one = accumulator(kind, Row(state=10.0, sum=0.0), expire=expire)
    assert one is not None
    one.carry(0, heard, 10.0, None)
    for ts in range(0, until, MINUTE):
        one.hear(ts)
    return one.close(MINUTES_5)


@pytest.mark.parametrize("kind", [MEASUREMENT, TOTAL, TOTAL_INCREASING])
@pytest.mark.parametrize(
    ("heard", "until", "expire", "coverage"),
    [
        # Without a limit a value is known until the next one.
        (-HOUR, 0, None, 1.0),
        (-MINUTE, 0, 2 * MINUTE, 0.2),
        (-2 * MINUTE, 0, 2 * MINUTE, None),
        # Heard at 0 and 1 minute, known two minutes more.
        (-MINUTE, 2 * MINUTE, 2 * MINUTE, 0.6),
        (-HOUR, MINUTES_5, 2 * MINUTE, 1.0),
        (-HOUR, MINUTES_5, 30 * SECOND, 0.5),
    ],
)
def test_a_value_is_known_as_long_as_its_device_says(
    kind: str, *, heard: int, until: int, expire: int | None, coverage: float | None
) -> None:
    row = closed(kind, heard=heard, until=until, expire=expire)
    assert (None if row is None else row.coverage) == coverage
    if row is not None:
        assert (row.mean, row.state) == ((10.0, None) if kind == MEASUREMENT else (None, 10.0))


def test_a_value_that_has_expired_is_no_extreme() -> None:
    one = accumulator(MEASUREMENT, None, expire=MINUTE)
    assert one is not None
    one.carry(0, -HOUR, 99.0, None)
    one.feed(MINUTE, 12.0, None)
    row = one.close(MINUTES_5)
    assert row is not None
    assert (row.mean, row.min, row.max, row.coverage) == (12.0, 12.0, 12.0, 0.2)


@pytest.mark.parametrize(
    ("heard", "high"), [(-MINUTE + 1, 99.0), (-MINUTE, 12.0)], ids=["known at the start", "just expired"]
)
def test_a_value_that_is_known_when_the_period_starts_is_an_extreme(heard: int, high: float) -> None:
    one = accumulator(MEASUREMENT, None, expire=MINUTE)
    assert one is not None
    one.carry(0, heard, 99.0, None)
    one.feed(2 * MINUTE, 12.0, None)
    row = one.close(MINUTES_5)
    assert row is not None
    assert (row.min, row.max) == (12.0, high)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "s.db")


def describe(rig: Rig, expire: float | None = None, service: str | None = None) -> None:
    """A van with a voltage and a counter."""
    entities = {
        "volt": Entity(name="Volt", state_class=MEASUREMENT),
        "energy": Entity(name="Energy", state_class=TOTAL_INCREASING),
    }
    about = About(name="van", expire_after=expire, entities=entities, service=service)
    rig.message(TOPICS.about("van"), about_message.encode(about))


def covered(rig: Rig, key: str = "volt") -> dict[int, float | None]:
    """Coverage by minute of the start."""
    return {(row.start - START) // MINUTE: row.row.coverage for row in rig.rows(key)}


def feed(rig: Rig, minutes: range, **more: object) -> None:
    """A reading a minute, twelve volts and one watt hour more each time."""
    for minute in minutes:
        rig.run_until(START + minute * MINUTE)
        rig.reading("van", {"volt": 12.0, "energy": float(minute)}, **more)  # type: ignore[arg-type]  # as it takes them


def test_silence_ends_a_value_and_repeats_keep_it(rig: Rig) -> None:
    describe(rig, expire=120)
    feed(rig, range(13))
    rig.run_until(START + 31 * MINUTE)
    assert covered(rig) == {0: 1.0, 5: 1.0, 10: 0.8}
    # The same after a restart in between and after all is made again.
    rig.restart()
    rig.reading("van", {"volt": 12.0, "energy": 12.0}, ts=START + 11 * MINUTE + 30 * SECOND)
    rig.commit()
    assert covered(rig) == {0: 1.0, 5: 1.0, 10: 0.8}


def test_a_late_repeat_makes_a_value_known_again(rig: Rig) -> None:
    describe(rig, expire=120)
    feed(rig, range(7))
    rig.run_until(START + 21 * MINUTE)
    assert covered(rig) == {0: 1.0, 5: 0.6}
    rig.reading("van", {"volt": 12.0, "energy": 6.0}, ts=START + 9 * MINUTE)
    rig.commit()
    assert covered(rig) == {0: 1.0, 5: pytest.approx(0.8), 10: pytest.approx(0.2)}


def test_a_device_described_again_is_not_heard(rig: Rig) -> None:
    describe(rig, expire=120)
    feed(rig, range(6))
    for minute in range(6, 20):
        rig.run_until(START + minute * MINUTE)
        describe(rig, expire=120)
    rig.run_until(START + 21 * MINUTE)
    assert covered(rig) == {0: 1.0, 5: 0.4}


def test_an_availability_that_died_ends_the_values_of_a_stranger(rig: Rig) -> None:
    describe(rig)
    feed(rig, range(7))
    rig.run_until(START + 8 * MINUTE)
    rig.message(TOPICS.availability("van"), b"offline")
    rig.run_until(START + 21 * MINUTE)
    assert covered(rig) == {0: 1.0, 5: 0.6}
    rig.message(TOPICS.availability("van"), b"online")
    rig.reading("van", {"volt": 12.0, "energy": 30.0})
    rig.run_until(START + 31 * MINUTE)
    assert covered(rig)[25] == 1.0
    assert rig.rows("energy")[-1].row.sum == 30.0


@pytest.mark.parametrize("end", [Rig.restart, Rig.crash])
@pytest.mark.parametrize("away", [8 * HOUR, 20 * DAY, 330 * DAY])
def test_nothing_is_known_of_an_absence_and_no_hour_is_lost(rig: Rig, *, end: object, away: int) -> None:
    describe(rig)
    feed(rig, range(28))
    rig.service._commit()
    if end is Rig.restart:
        rig.close()
    else:
        rig.store.close()
    rig.now += away
    rig.start()
    back = rig.now
    rig.reading("van", {"volt": 13.0, "energy": 50.0})
    rig.run_until(rig.now + 2 * HOUR)
    starts = [row.start for row in rig.rows("volt")]
    assert [start for start in starts if START + 30 * MINUTE <= start < back - MINUTES_5] == []
    first, *_ = rig.rows("volt", Table.HOUR)
    assert (first.start, first.row.mean) == (START, 12.0)
    assert first.row.coverage == pytest.approx(27 / 60, abs=0.02)
    assert rig.rows("energy", Table.HOUR)[0].row.sum == 27.0
    assert rig.rows("energy", Table.HOUR)[-1].row.sum == 50.0


def test_a_short_restart_ends_nothing(rig: Rig) -> None:
    describe(rig)
    feed(rig, range(7))
    rig.close()
    rig.now += 50 * SECOND
    rig.start()
    rig.run_until(START + 21 * MINUTE)
    assert set(covered(rig).values()) == {1.0}


def test_the_backlog_of_a_collector_fills_an_absence(rig: Rig) -> None:
    describe(rig, expire=120, service="collector_x")
    for minute in range(8):
        rig.run_until(START + minute * MINUTE)
        numbered = {"stream": "collector_x-1", "seq": minute + 1}
        rig.reading("van", {"volt": 12.0, "energy": float(minute)}, **numbered)  # type: ignore[arg-type]  # stream and seq
    rig.close()
    rig.now = START + 40 * MINUTE
    rig.start()
    for minute in range(8, 41):
        numbered = {"ts": START + minute * MINUTE, "stream": "collector_x-1", "seq": minute + 1}
        rig.reading("van", {"volt": 12.0, "energy": float(minute)}, **numbered)  # type: ignore[arg-type]  # ts, stream and seq
    rig.run_until(START + 51 * MINUTE)
    assert covered(rig) == {**dict.fromkeys(range(0, 40, 5), 1.0), 40: 0.4}


def test_what_the_broker_kept_meanwhile_ends_nothing(rig: Rig) -> None:
    describe(rig)
    feed(rig, range(7))
    rig.close()
    rig.now += 30 * MINUTE
    rig.start()
    rig.service.handle(Connected(1, resumed=True))
    rig.run_until(START + 51 * MINUTE)
    assert set(covered(rig).values()) == {1.0}
    assert len(covered(rig)) == 10


def test_an_absence_that_the_database_refuses_is_noted_when_it_takes_it(rig: Rig) -> None:
    describe(rig)
    feed(rig, range(7))
    rig.close()
    rig.now += 30 * MINUTE
    rig.broker_tells = True
    rig.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig.store, "commit", lambda _: (_ for _ in ()).throw(StoreError("disk full")))
        rig.service.handle(Connected(1, resumed=False))
        rig.service.tick(rig.monotonic)
    assert "database" in rig.journal.problems
    rig.run_until(START + 51 * MINUTE)
    assert list(covered(rig)) == [0, 5]


def test_another_boot_is_an_absence_however_short_it_looks(rig: Rig) -> None:
    describe(rig)
    feed(rig, range(7))
    rig.boot = "another"
    rig.close()
    rig.now += 20 * SECOND
    rig.start()
    rig.service.handle(Connected(1, resumed=True))
    rig.run_until(START + 21 * MINUTE)
    assert list(covered(rig)) == [0, 5]


def test_what_was_missing_before_an_absence_leaves_its_end_to_be_filled(rig: Rig) -> None:
    describe(rig, service="collector_x")
    for minute, seq in ((0, 1), (1, 2), (3, 4)):
        rig.run_until(START + minute * MINUTE)
        rig.reading("van", {"volt": 12.0}, stream="collector_x-1", seq=seq)
    rig.commit()
    rig.close()
    rig.now = START + 40 * MINUTE
    rig.start()
    # The third reading was lost; the fourth was stored ahead of it.
    for seq in range(3, 42):
        ts = START + (seq - 1) * MINUTE
        rig.reading("van", {"volt": 12.0}, ts=ts, stream="collector_x-1", seq=seq, again=True)
    rig.run_until(START + 51 * MINUTE)
    assert covered(rig) == dict.fromkeys(range(0, 50, 5), 1.0)
