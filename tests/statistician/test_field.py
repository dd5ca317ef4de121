"""Inputs that people met, and their kin, as whole journeys through the service; logs for the replay."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from bus.messages import from_iso, to_iso
from statistician.arithmetic import DAY, HOUR, MINUTES_5
from statistician.records import StoredRow, Table
from statistician.replay import Player
from statistician.replay.lines import parse
from statistician.store import Store
from tests.statistician.rig import MINUTE, SECOND, START

Line = dict[str, object]
FIELD = Path(__file__).parent / "field"


class Played:
    """What a log became: rows by entity, and the last time it names."""

    def __init__(self, path: Path, lines: Iterable[Line], *, keep_days: int = 10) -> None:
        text = [json.dumps(line).encode() for line in lines]
        times = [
            from_iso(str(line[word]))
            for line in map(json.loads, text)
            for word in ("end", "ts", "up")
            if word in line
        ]
        self.end = times[-1]

        def opened() -> Store:
            store = Store(path)
            store.engine.run("PRAGMA synchronous = off")
            return store

        player = Player(opened, keep_days)
        for line in parse(text):
            player.play(line)
        player.finish()
        self.store = opened()

    def rows(self, entity: str, table: Table = Table.FIVE_MINUTES) -> list[StoredRow]:
        """An entity's rows in order of time."""
        device, key = entity.split(".")
        number = next(e.id for e in self.store.entities() if (e.device, e.entity) == (device, key))
        return self.store.statistics.between(table, number, 0, 2**60)

    def hours(self, entity: str) -> dict[str, tuple[float | None, float | None]]:
        """The sum and the coverage of each hour by its start, as 13:00."""
        return {
            to_iso(row.start)[11:16]: (row.row.sum, row.row.coverage) for row in self.rows(entity, Table.HOUR)
        }

    def check(self, entity: str, growth: float) -> None:
        """Hold an entity's rows against what must be so whatever the clocks said."""
        for table in (Table.FIVE_MINUTES, Table.HOUR):
            rows = self.rows(entity, table)
            assert all(row.start < self.end for row in rows), "a row is ahead"
            assert all(0 < (row.row.coverage or 0) <= 1 for row in rows)
            assert {row.row.sum_decrease for row in rows} <= {0.0}
            sums = [row.row.sum for row in rows]
            assert sums == sorted(sums, key=float), "a sum falls"  # type: ignore[arg-type]  # all have one
        last = self.rows(entity)[-1].row
        assert (last.sum, last.sum_increase) == (growth, growth)


def field(name: str) -> list[Line]:
    """A log of the field."""
    return [json.loads(text) for text in (FIELD / f"{name}.jsonl").read_text().splitlines()]


def counter(entity: str) -> Line:
    """The declaration of a counter."""
    return {"entity": entity, "state_class": "total_increasing", "unit": "Wh", "device_class": "energy"}


def readings(stamps: Iterable[int], entity: str = "van.e") -> list[Line]:
    """A counter that grows by 1 with every reading, stamped so (ms)."""
    return [{"entity": entity, "ts": to_iso(ts), "value": 100.0 + n} for n, ts in enumerate(stamps)]


def end(lines: list[Line], minutes: int = 12) -> Line:
    """The end of a log some minutes after its last line, by the clock of that line."""
    last = next(line["ts"] for line in reversed(lines) if "ts" in line)
    return {"end": to_iso(from_iso(str(last)) + minutes * 60_000)}


STEP = 30 * SECOND
Wrong = Callable[[int], int]


def test_a_clock_an_hour_ahead_for_18_minutes(tmp_path: Path) -> None:
    played = Played(tmp_path / "s.db", field("A_clock_1h_ahead_18min"))
    played.check("van.e", 555.0)
    sums = [row.row.sum for row in played.rows("van.e", Table.HOUR)]
    assert sums == [119.0, 239.0, 359.0, 479.0]
    assert {row.row.coverage for row in played.rows("van.e", Table.HOUR)} == {1.0}


def test_a_boot_with_a_clock_43_minutes_behind(tmp_path: Path) -> None:
    played = Played(tmp_path / "s.db", field("B_fake_hwclock_43min_back"))
    played.check("van.e", 239.0)
    # Nobody was there at 13 and 14 o'clock.
    assert played.hours("van.e") == {"12:00": (119.0, 1.0), "15:00": (239.0, 1.0)}


def test_off_for_8_hours(tmp_path: Path) -> None:
    played = Played(tmp_path / "s.db", field("D_off_8_hours"))
    hours = played.rows("van.v", Table.HOUR)
    assert [(to_iso(row.start)[11:16], row.row.coverage) for row in hours] == [("12:00", 0.5), ("20:00", 0.5)]
    assert [row.row.mean for row in hours] == pytest.approx([13.205, 12.105])
    starts = [row.start for row in played.rows("van.v")]
    assert {to_iso(start)[11:13] for start in starts} == {"12", "20", "21"}


def test_off_for_15_days_from_the_middle_of_an_hour(tmp_path: Path) -> None:
    played = Played(tmp_path / "s.db", field("E_off_15_days_mid_hour"))
    first = [row for row in played.rows("van.e", Table.HOUR) if row.start < START + DAY]
    assert [(to_iso(row.start)[11:16], row.row.sum) for row in first] == [("12:00", 59.0), ("13:00", 86.0)]
    assert [row.start for row in played.rows("van.v", Table.HOUR)][:2] == [START, START + HOUR]
    played.check("van.e", 144.0)


def test_one_zero_of_a_counter(tmp_path: Path) -> None:
    played = Played(tmp_path / "s.db", field("F_one_zero"))
    last = played.rows("plug.e")[-1].row
    assert [last.sum, last.sum_increase, last.sum_decrease] == pytest.approx([1.4833, 1.4833, 0.0])


@pytest.mark.parametrize(("daily", "second_day"), [(True, 600.0), (False, 200.0)])
def test_a_daily_yield_that_nobody_heard_at_night(tmp_path: Path, second_day: float, *, daily: bool) -> None:
    lines = field("G_daily_yield_night_missing")
    if daily:
        lines[0]["daily"] = True
    played = Played(tmp_path / "s.db", lines)
    played.check("mppt.y", 400.0 + second_day)
    of_first = [row.row.sum for row in played.rows("mppt.y") if row.start < START + 12 * HOUR]
    assert of_first[-1] == 400.0


def test_a_lifetime_counter_that_says_zero_in_one_poll(tmp_path: Path) -> None:
    told = json.loads((FIELD / "counter_zero_glitch.json").read_text())
    before, zero, after = told["input"]["sequence_Wh"]
    poll = told["input"]["poll_s"] * SECOND
    assert (zero, after - before, poll) == (0, 4, 2 * SECOND)
    at = START + 2 * HOUR + 2 * MINUTE
    # It grows by 2 Wh in two polls as told, rounded: 60 Wh a minute.
    lines = [counter("meter.e")]
    for ts in range(START, at + 10 * MINUTE, poll):
        value = zero if ts == at else before + round((ts - at + poll) / MINUTE * 60)
        lines.append({"entity": "meter.e", "ts": to_iso(ts), "value": value})
    played = Played(tmp_path / "s.db", [*lines, end(lines)])
    rows = {row.start: row.row for row in played.rows("meter.e")}
    period = START + 2 * HOUR
    for name in ("sum", "sum_increase"):
        change = getattr(rows[period], name) - getattr(rows[period - MINUTES_5], name)
        assert change == pytest.approx(told["right"]["change_5min_Wh"], abs=2)
    assert rows[period].sum_decrease == 0


def lasting(by: int, since: int, until: int) -> Wrong:
    """A clock that is wrong by so much from one minute to another."""
    return lambda ts: by if START + since * MINUTE <= ts < START + until * MINUTE else 0


def local_time(ts: int) -> int:
    """Summer time, stamped as if it were UTC, until it ends."""
    return 2 * HOUR if ts < START + 70 * MINUTE else HOUR


def stamps(wrong: Wrong, *, minutes: int = 240) -> list[int]:
    return [ts + wrong(ts) for ts in range(START, START + minutes * MINUTE, STEP)]


KIN = {
    "an hour ahead for one reading": lambda ts: HOUR if ts == START + 70 * MINUTE else 0,
    "an hour behind for one reading": lambda ts: -HOUR if ts == START + 70 * MINUTE else 0,
    "2 hours ahead for 10 minutes": lasting(2 * HOUR, 70, 80),
    "2 hours behind for 10 minutes": lasting(-2 * HOUR, 130, 140),
    "20 minutes ahead for an hour": lasting(20 * MINUTE, 70, 130),
    "20 minutes behind for an hour": lasting(-20 * MINUTE, 70, 130),
    "3 days ahead for half an hour": lasting(3 * DAY, 70, 100),
    "30 days ahead for half an hour": lasting(30 * DAY, 70, 100),
    "twice": lambda ts: lasting(HOUR, 30, 40)(ts) + lasting(3 * HOUR, 70, 75)(ts),
    "ahead from the start": lasting(HOUR, 0, 70),
    "the end of summer time": local_time,
}


@pytest.mark.parametrize("kind", KIN)
def test_a_clock_that_steps_changes_no_sum(tmp_path: Path, kind: str) -> None:
    lines = [counter("van.e"), *readings(stamps(KIN[kind]))]
    played = Played(tmp_path / "s.db", [*lines, end(lines)])
    played.check("van.e", 479.0)
    no_hole(played)
    if kind not in ("the end of summer time", "ahead from the start"):
        known = sum(row.row.coverage or 0 for row in played.rows("van.e")) * MINUTES_5
        assert known == pytest.approx(250 * MINUTE, abs=4 * STEP)


def no_hole(played: Played) -> None:
    runs = [int(start or 0) for (start,) in played.store.engine.all("SELECT start FROM runs ORDER BY start")]
    assert runs == list(range(runs[0], runs[-1] + 1, MINUTES_5))
    assert runs[-1] < played.end


@pytest.mark.parametrize("ahead", [HOUR, 3 * DAY, 30 * DAY])
def test_a_clock_ahead_that_a_restart_puts_right(tmp_path: Path, ahead: int) -> None:
    all_stamps = stamps(lasting(ahead, 70, 100))
    states = readings(all_stamps)
    at = 200
    assert all_stamps[at] < all_stamps[at - 1]
    stopped: Line = {"down": to_iso(all_stamps[at - 1]), "up": to_iso(all_stamps[at - 1])}
    lines = [counter("van.e"), *states[:at], stopped, *states[at:]]
    played = Played(tmp_path / "s.db", [*lines, end(lines)])
    played.check("van.e", 479.0)


@pytest.mark.parametrize("behind", [10 * MINUTE, 43 * MINUTE, 5 * HOUR])
@pytest.mark.parametrize("right_after", [5, 60])
def test_a_boot_with_a_clock_behind_that_jumps_right(tmp_path: Path, behind: int, right_after: int) -> None:
    """Off for an hour; the clock goes on from `behind` before the end, and is right some minutes later."""
    off, up = START + 2 * HOUR, START + 3 * HOUR
    before = list(range(START, off, STEP))
    after = [
        ts if ts >= up + right_after * MINUTE else ts - up + off - behind
        for ts in range(up, up + 2 * HOUR, STEP)
    ]
    states = readings([*before, *after])
    stopped: Line = {"down": to_iso(off), "up": to_iso(off - behind)}
    stopped["up"] = stopped["down"]
    lines = [counter("van.e"), *states[: len(before)], stopped, *states[len(before) :]]
    played = Played(tmp_path / "s.db", [*lines, end(lines)])
    played.check("van.e", 479.0)


@pytest.mark.parametrize("kind", ["2 hours ahead for 10 minutes", "3 days ahead for half an hour"])
def test_many_entities_in_one_log(tmp_path: Path, kind: str) -> None:
    names = ["van.e", "van.f", "boat.e"]
    at = stamps(KIN[kind])
    mixed = [line for lines in zip(*(readings(at, name) for name in names), strict=True) for line in lines]
    lines = [*map(counter, names), *mixed]
    played = Played(tmp_path / "s.db", [*lines, end(lines)])
    for name in names:
        played.check(name, 479.0)
    no_hole(played)


def test_a_log_that_is_sorted_by_entity_is_no_clock_that_steps(tmp_path: Path) -> None:
    names = ["van.e", "van.f", "boat.e"]
    at = stamps(lambda _: 0)
    lines = [*map(counter, names), *(line for name in names for line in readings(at, name))]
    played = Played(tmp_path / "s.db", [*lines, end(lines)])
    alike = [played.rows(name) for name in names]
    for name, rows in zip(names, alike, strict=True):
        played.check(name, 479.0)
        assert [row[1:3] for row in rows] == [row[1:3] for row in alike[0]]
        assert {row.row.coverage for row in rows} == {1.0}
    no_hole(played)
