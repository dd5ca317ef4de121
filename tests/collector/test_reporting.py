"""When a device's values are worth a reading: steps, interval, heartbeat, silence."""

import math

import pytest

from collector.devices.description import Values
from collector.schedule import Cadence, Report, Reporter

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
