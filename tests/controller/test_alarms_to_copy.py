"""The alarms that docs/alarms.md gives to copy: each begins when it should, and ends."""

import json
import tomllib
from pathlib import Path

import pytest

from config.load import load
from config.model import Alarm
from tests.controller.conftest import MakeRig
from tests.controller.rig import Rig

PAGE = Path(__file__).parents[2] / "docs" / "alarms.md"
TOML = PAGE.read_text(encoding="utf-8").partition("## Alarms to copy")[2].split("```")[1].removeprefix("toml")
_HOUR_S = 3600.0

# What is said when all is well, and what makes the alarm; None: nothing is said any more.
WORDS: dict[str, tuple[dict[str, object], dict[str, object] | None]] = {
    "battery_low": ({"smartshunt": {"soc": 80}}, {"smartshunt": {"soc": 19}}),
    "fresh_water_low": ({"fresh_water": {"level": 50}}, {"fresh_water": {"level": 14}}),
    "fresh_water_full": ({"fresh_water": {"level": 50}}, {"fresh_water": {"level": 96}}),
    "waste_water_full": ({"waste_water": {"level": 10}}, {"waste_water": {"level": 75}}),
    "fridge_silent": ({"fridge": {"temperature": 5}}, None),
    "shore_power_lost": ({"shore": {"input": "ON"}}, {"shore": {"input": "OFF"}}),
    "pump_fault": ({"relay": {"pump_fault": "OFF"}}, {"relay": {"pump_fault": "ON"}}),
    "water_runs": (
        {"fresh_water": {"level": 60}, "relay": {"pump": "OFF"}},
        {"fresh_water": {"level": 45}, "relay": {"pump": "OFF"}},
    ),
    "card_full": ({"pi": {"disk_used": 40}}, {"pi": {"disk_used": 95}}),
    "card_wear": ({"pi": {"card_written": 100}}, {"pi": {"card_written": 1200}}),
    "clock_unknown": ({"pi": {"clock_synchronised": "ON"}}, {"pi": {"clock_synchronised": "OFF"}}),
    "no_backup": ({"problem": {}}, {"problem": {"backup": "there is no new copy"}}),
}


@pytest.fixture(scope="module")
def alarms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Alarm]:
    path = tmp_path_factory.mktemp("copied") / "boondock.toml"
    path.write_text(TOML, encoding="utf-8")
    return load(path).alarm


def say(rig: Rig, words: dict[str, object], seconds: float) -> None:
    """Let devices say the same for a while, as they do, and services how they are."""
    for _ in range(int(seconds / 60)):
        for device, values in words.items():
            if device == "problem":
                rig.receive("camper/health/statistician", json.dumps({"problems": values}).encode())
            elif isinstance(values, dict):
                rig.say(device, **values)
        rig.pass_(60)


def test_each_is_tried_here() -> None:
    assert set(tomllib.loads(TOML)["alarm"]) == set(WORDS)


@pytest.mark.parametrize("name", WORDS)
def test_an_alarm_to_copy_begins_and_ends(name: str, alarms: dict[str, Alarm], make: MakeRig) -> None:
    rig = make(alarm={name: alarms[name]})
    well, ill = WORDS[name]
    say(rig, well, 300)
    assert rig.alarms(name)[-1]["state"] == "ok"
    say(rig, ill or {}, _HOUR_S + 300) if ill is None or name == "clock_unknown" else say(rig, ill, 240)
    assert rig.alarms(name)[-1]["state"] == "active"
    say(rig, well, 2 * 24 * _HOUR_S if name == "card_wear" else 900)
    assert rig.alarms(name)[-1]["state"] == "ok"
