"""When a device is asked, and when what it says is worth a reading: time is what the test says."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.schedule import BadCronError, Cron, check_cron
from collector.devices.description import Values
from collector.schedule import Cadence, Coalescer, Report, Reporter, longest_interval, timer
from config.model import Device

NOON_MS = int(datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()) * 1000


def _never() -> float:
    return 0.0


def _fired(device: Device, seconds: int, *, every: float = 60.0, chance: float = 0.0) -> list[int]:
    """The seconds after the start at which the device is asked, looked at once a second."""
    clock = timer(device, every, lambda: chance)
    return [s for s in range(seconds) if clock.due(1000.0 + s, NOON_MS + s * 1000)]


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


@pytest.mark.parametrize(
    ("device", "seconds", "times"),
    [
        (Device(kind="x"), 200, [0, 60, 120, 180]),
        (Device(kind="x", every=25), 100, [0, 25, 50, 75]),
        (Device(kind="x", every=0.5), 4, [0, 1, 2, 3]),
        (Device(kind="x", cron="*/2 * * * *"), 500, [0, 120, 240, 360, 480]),
        (Device(kind="x", cron="1,3 12 * * *"), 400, [0, 60, 180]),
    ],
)
def test_a_device_is_asked_at_the_start_and_then_on_its_grid(
    device: Device, seconds: int, times: list[int]
) -> None:
    assert _fired(device, seconds) == times


def test_jitter_comes_on_top_and_does_not_add_up() -> None:
    assert _fired(Device(kind="x", every=10, jitter=4), 45, chance=0.5) == [0, 12, 22, 32, 42]
    assert _fired(Device(kind="x", cron="* * * * *", jitter=30), 200, chance=0.5) == [0, 75, 135, 195]


def test_polls_missed_in_a_sleep_are_not_made_up() -> None:
    clock = timer(Device(kind="x", every=10), 60, _never)
    assert clock.due(1000, 0)
    assert clock.due(1075, 0)
    assert not clock.due(1079.9, 0)
    assert clock.due(1080, 0), "the grid is still the one of the start"


def test_a_clock_set_back_does_not_silence_a_crontab_line() -> None:
    clock = timer(Device(kind="x", cron="0 * * * *"), 60, _never)
    assert clock.due(0, NOON_MS)
    assert not clock.due(1, NOON_MS - 9_000_000), "half past nine"
    assert clock.wait(1, NOON_MS - 9_000_000) == 1800
    assert clock.due(1801, NOON_MS - 7_200_000)


def test_a_clock_set_forward_makes_a_crontab_line_due_once() -> None:
    clock = timer(Device(kind="x", cron="0 * * * *"), 60, _never)
    assert clock.due(0, 0)
    assert clock.due(1, NOON_MS)
    assert not clock.due(2, NOON_MS + 1000)


@given(every=st.floats(0.05, 1000), steps=st.lists(st.floats(0.001, 5000), max_size=60))
def test_a_device_is_never_asked_twice_in_one_interval_and_never_forgotten(
    every: float, steps: list[float]
) -> None:
    clock = timer(Device(kind="x", every=every), 60, _never)
    now, cells = 0.0, []
    for step in [0.0, *steps]:
        now += step
        if clock.due(now, 0):
            cells.append(int(now / every + 1e-6))
        assert 0 <= clock.wait(now, 0) <= every * (1 + 1e-6)
    assert len(cells) == len(set(cells))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("*/5 * * *", "Wrong number of fields"),
        ("61 * * * *", "higher than the maximum"),
        ("x * * * *", "Unrecognized expression"),
        ("0 0 30 2 *", "never comes"),
        ("", "Wrong number of fields"),
    ],
)
def test_a_wrong_crontab_line_is_explained(text: str, says: str) -> None:
    with pytest.raises(BadCronError, match=says):
        check_cron(text)


@pytest.mark.parametrize(
    ("device", "seconds"),
    [
        (Device(kind="x"), 60),
        (Device(kind="x", every=5, jitter=2), 7),
        (Device(kind="x", cron="*/5 * * * *"), 300),
        (Device(kind="x", cron="0 8,20 * * *"), 43_200),
        # To the hour where only a night is longer than the first pauses.
        (Device(kind="x", cron="*/10 6-18 * * *"), 39_600),
        (Device(kind="x", cron="0 0 1 * *"), 31 * 86_400),
        (Device(kind="x", cron="0 0 29 2 *"), 31 * 86_400),
    ],
)
def test_the_longest_pause_between_two_polls(device: Device, seconds: float) -> None:
    assert longest_interval(device, 60) == seconds


def test_apscheduler_is_asked_for_crontab_lines_only() -> None:
    assert isinstance(timer(Device(kind="x", cron="* * * * *"), 60, _never), Cron)
    assert not isinstance(timer(Device(kind="x"), 60, _never), Cron)


CADENCE = Cadence(min_interval=1.0, heartbeat=30.0, timeout=60.0)
FIRST: Values = {"voltage": 13.2, "state": "bulk"}


def reporter(**steps: float) -> Reporter:
    return Reporter(CADENCE, {"voltage": 0.05, **steps}, started=0.0)


def told(subject: Reporter, values: Values, now: float) -> bool:
    subject.offer(values, int(now * 1000), now)
    return subject.due(now) is not None


def test_the_first_values_go_out_at_once() -> None:
    subject = reporter()
    subject.offer(FIRST, 1234, 10.0)
    assert subject.due(10.0) == Report(FIRST, 1234, 10.0)
    assert subject.due(10.0) is None


@pytest.mark.parametrize(
    ("values", "goes_out"),
    [
        (FIRST, False),
        ({"voltage": 13.24, "state": "bulk"}, False),
        ({"voltage": 13.25, "state": "bulk"}, True),
        ({"voltage": 13.15, "state": "bulk"}, True),
        ({"voltage": 13.2, "state": "float"}, True),
        ({"voltage": None, "state": "bulk"}, True),
        ({"voltage": 13.2, "state": "bulk", "load": 1.0}, True),
        ({"voltage": 13.2}, False),
    ],
)
def test_a_step_makes_a_reading(values: Values, *, goes_out: bool) -> None:
    subject = reporter()
    assert told(subject, FIRST, 0.0)
    assert told(subject, values, 5.0) is goes_out


def test_small_moves_add_up_from_what_was_told() -> None:
    subject = reporter()
    told(subject, {"voltage": 13.0}, 0.0)
    assert not told(subject, {"voltage": 13.03}, 2.0)
    assert told(subject, {"voltage": 13.06}, 4.0)
    assert not told(subject, {"voltage": 13.03}, 6.0)


def test_without_a_step_any_change_counts_and_an_endless_step_never() -> None:
    subject = reporter(power=0.0, rssi=math.inf)
    told(subject, {"power": 1.0, "rssi": -60.0}, 0.0)
    assert not told(subject, {"power": 1.0, "rssi": -90.0}, 2.0)
    assert told(subject, {"power": 1.001, "rssi": -90.0}, 4.0)


def test_readings_keep_their_distance_and_the_last_of_a_burst_is_not_lost() -> None:
    subject = reporter()
    told(subject, {"voltage": 13.0}, 0.0)
    assert not told(subject, {"voltage": 14.0}, 0.4)
    assert not told(subject, {"voltage": 15.0}, 0.9)
    assert subject.due(1.0) == Report({"voltage": 15.0}, 900, 0.9)


def test_an_unchanged_device_still_has_its_heartbeat() -> None:
    subject = reporter()
    told(subject, FIRST, 0.0)
    times = [now for now in range(1, 100) if told(subject, FIRST, float(now))]
    assert times == [30, 60, 90]


def test_no_heartbeat_for_a_device_that_said_nothing() -> None:
    subject = reporter()
    told(subject, FIRST, 0.0)
    assert subject.due(45.0) is None


def test_silence_makes_the_values_unknown_once() -> None:
    subject = reporter()
    told(subject, {"voltage": 13.2, "load": None}, 0.0)
    assert subject.silent(59.9) is None
    assert subject.silent(60.0) == ["voltage"]
    assert subject.silent(61.0) is None
    assert told(subject, FIRST, 70.0), "back again, at once"
    assert subject.online is True
    assert subject.silent(130.0) == ["voltage", "state"]


def test_a_device_never_heard_is_silent_too() -> None:
    subject = reporter()
    assert subject.silent(59.0) is None
    assert subject.silent(60.0) == []
    assert subject.silent(61.0) is None


def _published(subject: Reporter, offers: list[tuple[int, float]], *, sleeps: bool) -> list[Report]:
    """What goes out in two minutes of quarters of a second, looked at in each or only when it is time."""
    found, due = [], -math.inf
    for quarter in range(480):
        now = quarter / 4
        for at, value in offers:
            if at == quarter:
                subject.offer({"voltage": value}, None, now)
                due = now
        if (not sleeps or now >= due) and (report := subject.due(now)) is not None:
            found.append(report)
        if not sleeps or now >= due:
            due = now + subject.wait(now)
    return found


@given(
    offers=st.lists(
        st.tuples(st.integers(0, 479), st.sampled_from((13.0, 13.01, 13.1, 14.0))), unique_by=lambda o: o[0]
    ),
    least=st.sampled_from((0.0, 0.5, 1.0, 40.0)),
    kind=st.sampled_from((Reporter, Coalescer)),
)
def test_nothing_is_missed_by_sleeping_until_it_is_due(
    offers: list[tuple[int, float]], least: float, kind: type[Reporter]
) -> None:
    cadence = Cadence(least, heartbeat=30.0, timeout=600.0)
    often, seldom = (kind(cadence, {"voltage": 0.05}, started=0.0) for _ in range(2))
    assert _published(often, offers, sleeps=False) == _published(seldom, offers, sleeps=True)


def test_a_value_that_comes_back_to_what_was_told_waits_no_longer_than_another() -> None:
    subject = Coalescer(CADENCE, {}, started=0.0)
    assert told(subject, {"lamp": "OFF"}, 0.0)
    assert not told(subject, {"lamp": "ON"}, 0.25)
    assert not told(subject, {"lamp": "OFF"}, 0.5)
    assert subject.wait(0.5) == 0.5
    assert subject.due(1.0) == Report({"lamp": "OFF"}, 500, 0.5)
