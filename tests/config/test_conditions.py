"""The words of conditions, and the mistakes that tables of alarms and rules may have."""

import re

import pytest

from config.conditions import Change, Comparison, Condition, Problem, Silence, parse_condition
from tests.config.conftest import Machine

RELAY = "[relay.pump]\npin = 27\n"


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("a.b<5", Comparison("a", "b", "<", 5.0)),
        (" a.b  >=  -1.5 ", Comparison("a", "b", ">=", -1.5)),
        ("a.b == bulk", Comparison("a", "b", "==", "bulk")),
        ("fridge silent for 600", Silence("fridge", None, 600)),
        ("fridge silent for 10min", Silence("fridge", None, 600)),
        ("fridge.temperature silent for 2 h", Silence("fridge", "temperature", 7200)),
        ("tank.level falls by 10 in 5 min", Change("tank", "level", "falls", 10, 300)),
        ("tank.level rises by 0.5 in 90 s", Change("tank", "level", "rises", 0.5, 90)),
        ("tank.level changes by 3 in 1 d", Change("tank", "level", "changes", 3, 86_400)),
        ("problem statistician", Problem("statistician", None)),
        ("problem statistician.backup", Problem("statistician", "backup")),
        ("problem collector_ble.device.mppt", Problem("collector_ble", "device.mppt")),
    ],
)
def test_a_condition_is_read_and_written_alike(text: str, condition: Condition) -> None:
    assert parse_condition(text) == condition
    assert parse_condition(str(condition)) == condition


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no condition"),
        ("soc < 20", "no condition"),
        ("a.b = 5", "no condition"),
        ("a.b < ON", "which has no <"),
        ("a.b < 5 V", "no condition"),
        ("fridge silent for ever", "ever is no time"),
        ("fridge silent for 0", "0 is no time"),
        ("fridge silent for 2 weeks", "2 weeks is no time"),
        ("tank.level falls by -3 in 5 min", "-3 is no number above 0"),
        ("tank.level falls by ten in 5 min", "ten is no number above 0"),
        ("tank.level falls by 10", "no condition"),
        ("tank falls by 10 in 5 min", "no condition"),
        ("problem", "no condition"),
    ],
)
def test_a_text_that_is_none_is_refused_in_words(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)):
        parse_condition(text)


def test_an_alarm_may_have_one_condition_or_a_list(machine: Machine) -> None:
    machine.says('[alarm.a]\nwhen = "x.y < 5"\nfor = 30\n[alarm.b]\nwhen = ["x.y < 5", "x.z == ON"]\n')
    settings = machine.settings()
    assert settings.alarm["a"].when == "x.y < 5"
    assert settings.alarm["a"].for_ == 30
    assert settings.alarm["b"].when == ("x.y < 5", "x.z == ON")


@pytest.mark.parametrize(
    ("text", "key", "wrong"),
    [
        ("[alarm.a]\n", "alarm.a.when", "missing"),
        ("[alarm.a]\nwhen = []\n", "alarm.a.when", "no condition"),
        ('[alarm.a]\nwhen = "x.y << 5"\n', "alarm.a.when", "no condition"),
        ('[alarm.a]\nwhen = "x.y < 5"\nuntil = ["x"]\n', "alarm.a.until", "no condition"),
        ('[alarm.a]\nwhen = "x.y < 5"\nfor = -1\n', "alarm.a.for", "-1"),
        ('[alarm.a]\nwhen = "x.y < 5"\nfor_ = 1\n', "alarm.a.for_", "no such setting"),
        ('[alarm.a]\nwhen = "x.y < 5"\nfro = 1\n', "alarm.a.fro", "no such setting"),
        ('[alarm.A]\nwhen = "x.y < 5"\n', "alarm.A", "no id"),
        (RELAY + '[rule.r]\nwhen = "x.y < 5"\n', "rule.r.output", "missing"),
        (RELAY + '[rule.r]\noutput = "relay.lamp"\nwhen = "x.y < 5"\n', "rule.r.output", "no relay"),
        (
            RELAY
            + '[rule.r]\noutput = "relay.pump"\nwhen = "x.y < 5"\n'
            + '[rule.s]\noutput = "pump"\nwhen = "x.y < 5"\n',
            "rule.s.output",
            "rule r switches relay.pump already",
        ),
    ],
)
def test_a_mistake_names_its_key(machine: Machine, text: str, key: str, wrong: str) -> None:
    machine.says(text)
    found = [line for line in machine.mistakes() if f"{key}:" in line]
    assert len(found) == 1, machine.mistakes()
    assert wrong in found[0]


def test_a_condition_of_a_relay_compares_only(machine: Machine) -> None:
    machine.says('[relay.pump]\npin = 27\nonly_if = ["fridge silent for 60"]\n')
    (line,) = machine.mistakes()
    assert line.startswith("relay.pump.only_if: 'fridge silent for 60' is no condition; ")
    assert "silent" not in line.partition("; ")[2]


def test_the_environment_calls_for_by_its_name(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.says('[alarm.a]\nwhen = "x.y < 5"\n')
    monkeypatch.setenv("BOONDOCK_ALARM__A__FOR", "12")
    assert machine.settings().alarm["a"].for_ == 12
