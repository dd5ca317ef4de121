"""Samples: what was in force at fixed times, complete over restarts, absences and late readings."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bus.schedule import instants
from config.model import Output
from forwarder.feed import Gap
from forwarder.outputs import SendError
from forwarder.records import Reading, Record, Removed, Sample, StatisticsRow
from forwarder.samples import Sampler
from tests.clock import NOON_MS
from tests.forwarder.feeds import Bench, reading

MINUTE = 60_000
SETTINGS = Output(kind="stdout", start="all", records=("samples",), interval=60.0, batch=7)


def values(bench: Bench) -> list[tuple[float, dict[str, object]]]:
    return [
        ((one.ts - NOON_MS) / 1000, dict(one.values))
        for one in bench.taken.records
        if isinstance(one, Sample)
    ]


def test_a_sample_has_what_is_in_force_at_its_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SETTINGS)
    bench.feed.changes += [
        reading(1, 90.0),
        reading(30, "on", "relay.pump"),
        reading(60, 89.0),
        reading(61, 88.0),
        reading(150, None),
    ]
    bench.feed.until = NOON_MS + 181_000
    bench.run(1)
    assert values(bench) == [
        (60, {"relay.pump": "on", "smartshunt.soc": 89.0}),
        (120, {"relay.pump": "on", "smartshunt.soc": 88.0}),
        (180, {"relay.pump": "on", "smartshunt.soc": None}),
    ]


def test_a_sample_waits_until_all_readings_of_its_time_are_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SETTINGS)
    bench.feed.changes += [reading(1, 90.0)]
    bench.feed.until = NOON_MS + 59_999
    bench.run(70)
    assert values(bench) == []
    bench.feed.changes += [reading(59.5, 80.0)]
    bench.feed.until = NOON_MS + 60_000
    bench.run(6)
    assert values(bench) == [(60, {"smartshunt.soc": 80.0})]


def test_columns_choose_and_name_the_values(tmp_path: Path) -> None:
    columns = {"battery": "smartshunt.soc", "tank": "fresh_water.level"}
    bench = Bench(
        tmp_path, Output(kind="stdout", start="all", records=("samples",), interval=60.0, columns=columns)
    )
    bench.feed.changes += [reading(1, 90.0), reading(1, 1.0, "relay.pump")]
    bench.feed.until = NOON_MS + 60_000
    bench.run(1)
    assert values(bench) == [(60, {"battery": 90.0, "tank": None})]
    assert bench.feed.asked[0]["entities"] == ("fresh_water.level", "smartshunt.soc")


def test_a_new_output_learns_what_is_in_force(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Output(kind="stdout", records=("samples",), interval=60.0))
    bench.feed.changes += [reading(-9000, 1.0, "slow.one"), reading(-700, 80.0), reading(-600, 90.0)]
    bench.feed.until = NOON_MS
    bench.run(30)
    assert values(bench) == []
    bench.feed.until = NOON_MS + 60_000
    bench.run(40)
    assert values(bench) == [(60, {"slow.one": 1.0, "smartshunt.soc": 90.0})]


def test_samples_that_were_missed_are_made_later(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SETTINGS)
    bench.feed.changes += [reading(60 * n + 1, float(n)) for n in range(100)]
    bench.feed.until = NOON_MS + 100 * MINUTE
    bench.taken.error = SendError("no network")
    bench.run(3600)
    bench.taken.error = None
    bench.run(900)
    assert values(bench) == [(60 * n + 60, {"smartshunt.soc": float(n)}) for n in range(100)]


def test_a_kill_at_any_batch_makes_the_same_samples(tmp_path: Path) -> None:
    for killed_at in range(12):
        bench = Bench(tmp_path / str(killed_at), SETTINGS)
        bench.feed.changes += [reading(600 * n + 1, float(n)) for n in range(5)]
        bench.feed.until = NOON_MS + 50 * MINUTE
        bench.taken.batches_until_error = killed_at
        bench.worker.step()
        bench.taken.batches_until_error = None
        bench.start()
        bench.run(5)
        assert values(bench) == [(60 * n + 60, {"smartshunt.soc": float(n // 10)}) for n in range(50)]


def test_a_clock_that_was_a_year_ahead_stops_no_samples(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Output(kind="stdout", records=("samples",), interval=60.0))
    bench.time.wall_ms += 365 * 86_400_000
    bench.start()
    bench.feed.until = NOON_MS
    bench.run(1)
    bench.time.wall_ms = NOON_MS + 1000
    bench.feed.changes += [reading(2, 90.0)]
    bench.feed.until = NOON_MS + 90_000
    bench.run(1000)
    assert values(bench)[0] == (60, {"smartshunt.soc": 90.0})


def test_a_late_reading_does_not_take_the_place_of_a_newer_one() -> None:
    sampler = Sampler(instants(60.0, None), {})
    list(sampler.take([reading(1, 1.0), reading(50, 2.0)], None))
    assert [one.values for one in sampler.take([reading(20, 9.0)], NOON_MS + MINUTE)] == [
        {"smartshunt.soc": 2.0}
    ]


def test_a_value_that_is_void_is_unknown_until_the_next() -> None:
    sampler = Sampler(instants(60.0, None), {})
    other = reading(1, 5.0, "relay.pump")
    list(sampler.take([reading(1, 1.0), other], None))
    void = Removed("smartshunt.soc", "reading", NOON_MS, NOON_MS + 2000)
    found = list(sampler.take([void, reading(61, 3.0)], NOON_MS + 2 * MINUTE))
    assert [one.values["smartshunt.soc"] for one in found] == [None, 3.0]


def test_in_a_gap_hourly_rows_stand_for_readings_and_then_nothing_is_known() -> None:
    sampler = Sampler(instants(1800.0, None), {})
    hour = 60 * MINUTE
    rows = [
        StatisticsRow("smartshunt.soc", "hour", NOON_MS, {"mean": 50.0}),
        StatisticsRow("smartshunt.energy", "hour", NOON_MS + hour, {"state": 7.0, "sum": 1.0}),
    ]
    changes: list[Record | Gap] = [
        reading(-3599, 90.0),
        reading(-1801, "OFF", "relay.pump"),
        Gap("reading", NOON_MS, NOON_MS + 2 * hour),
        *rows,
        reading(3 * 3600, 60.0),
    ]
    found = [
        ((one.ts - NOON_MS) // MINUTE, dict(one.values)) for one in sampler.take(changes, NOON_MS + 3 * hour)
    ]
    assert found == [
        (-30, {"relay.pump": "OFF", "smartshunt.soc": 90.0}),
        (0, {"smartshunt.soc": 50.0}),
        (30, {"smartshunt.soc": 50.0}),
        (60, {"smartshunt.energy": 7.0, "smartshunt.soc": 50.0}),
        (90, {"smartshunt.energy": 7.0, "smartshunt.soc": 50.0}),
        (180, {"smartshunt.soc": 60.0}),
    ]


def test_years_without_a_value_take_no_time() -> None:
    sampler = Sampler(instants(1.0, None), {})
    list(sampler.take([reading(1, 1.0)], None))
    far = NOON_MS + 100 * 365 * 86_400_000
    found = list(sampler.take([reading(2, None), Reading("smartshunt.soc", far, 2.0)], far + 1000))
    assert [(one.ts - NOON_MS, one.values["smartshunt.soc"]) for one in found] == [
        (1000, 1.0),
        (far - NOON_MS, 2.0),
        (far + 1000 - NOON_MS, 2.0),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 600), st.sampled_from("ab"), st.sampled_from([None, 1.0, 2.0]))),
    st.lists(st.integers(0, 600), max_size=4),
)
def test_samples_are_the_same_however_the_feed_is_cut(
    said: list[tuple[int, str, float | None]], cuts: list[int]
) -> None:
    said = sorted(said, key=lambda one: one[0])
    records = [reading(second, value, f"van.{key}") for second, key, value in said]

    def made(pieces: list[int]) -> list[Sample]:
        sampler = Sampler(instants(7.0, None), {"a": "van.a", "b": "van.b"})
        sampler.sampled = NOON_MS - 1
        found: list[Sample] = []
        before = 0
        for cut in [*sorted(pieces), 601]:
            piece = [one for one in records if before <= (one.ts - NOON_MS) // 1000 < cut]
            before = cut
            found += sampler.take(piece, NOON_MS + cut * 1000 - 1)
        return found

    whole = made([])
    assert made(cuts) == whole
    for sample in whole:
        for key in "ab":
            last = [one.value for one in records if one.entity == f"van.{key}" and one.ts <= sample.ts]
            assert sample.values[key] == (last[-1] if last else None)
