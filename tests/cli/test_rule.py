"""`boondock rule try` on a real statistician with six hours of a solar charger."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.messages import Value
from config.model import Alarm, Rule
from controller.conditions import Turn, rehearse
from tests.broker import Mosquitto
from tests.cli.test_export import boondock
from tests.statistician.asked import statistician

Past = list[tuple[float, str, dict[str, Value]]]
DAY = ("--from", "2026-11-20", "--to", "2026-11-20 11:59:30", "--time-zone", "UTC")
TABLES = """
[relay.fan]
pin = 27
[rule.fan]
output = "relay.fan"
when = "mppt.yield_today >= 100"
for = 90
until = "mppt.yield_today >= 300"
until_for = 0
[alarm.high]
when = "mppt.voltage > 30"
for = 0
[alarm.never]
when = "mppt.voltage > 300"
[alarm.silent]
when = "mppt silent for 60"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rule")


@pytest.fixture(scope="module", autouse=True)
def broker(folder: Path) -> Iterator[Mosquitto]:
    with statistician(folder) as running:
        with (folder / "boondock.toml").open("a", encoding="utf-8") as file:
            file.write(TABLES)
        yield running


def test_a_rule_is_tried_on_what_is_stored(folder: Path) -> None:
    done = boondock(folder, "rule", "try", "fan", *DAY)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    # 100 Wh are reached at 07:40:00; it is looked every ten seconds.
    assert lines[0] == "2026-11-20 07:41:30 to 2026-11-20 11:00:00  3 h"
    assert lines[1] == "relay.fan would have been turned on 1 times, for 3 h in all."


def test_an_alarm_is_tried_too_and_drawn(folder: Path) -> None:
    turns = json.loads(boondock(folder, "rule", "try", "alarm.high", *DAY, "--json").stdout)
    assert turns == [
        {"ts": "2026-11-20T09:20:00.000Z", "active": True},
        {"ts": "2026-11-20T09:21:00.000Z", "active": False},
    ]
    drawn = boondock(folder, "rule", "try", "high", *DAY, "--plot").stdout
    assert "high: minutes" in drawn
    assert "1 times" in drawn
    assert "active 0 times" in boondock(folder, "rule", "try", "alarm.never", *DAY).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rule", "try", "pump"), "there are: rule.fan, alarm.high, alarm.never, alarm.silent"),
        (("rule", "try", "alarm.silent"), "this cannot be tried, for only values are stored"),
        (("rule", "try", "fan", "--from", "2026-11-01", "--to", "2026-11-02"), "nothing is stored"),
    ],
)
def test_what_cannot_be_tried_is_told(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = boondock(folder, *arguments)
    assert done.returncode == 1
    assert said in done.stderr


def test_a_rehearsal_keeps_the_least_times() -> None:
    rule = Rule(output="relay.x", when="a.b == ON", for_=0, until_for=0, min_on=100, min_off=50)
    past: Past = [
        (0.0, "a", {"b": "OFF"}),
        (10.0, "a", {"b": "ON"}),
        (20.0, "a", {"b": "OFF"}),
        (115.0, "a", {"b": "ON"}),
    ]
    turns = list(rehearse(rule, past, 300.0))
    assert turns == [Turn(10.0, active=True), Turn(110.0, active=False), Turn(165.0, active=True)]


def test_a_value_counts_until_it_is_unknown() -> None:
    alarm = Alarm(when="a.b < 5", for_=100, within=10)
    past: Past = [(0.0, "a", {"b": 4.0}), (50.0, "a", {"b": None}), (60.0, "a", {"b": 4.0})]
    assert list(rehearse(alarm, past, 500.0)) == [Turn(160.0, active=True)]
    assert list(rehearse(alarm, past, 150.0)) == []
