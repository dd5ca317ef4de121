"""docs/relays.md: every example is a good boondock.toml, every setting and default is there."""

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from config.model import BatteryGuard, Relay
from tests.config.conftest import Machine

PAGE = (Path(__file__).parents[2] / "docs" / "relays.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_is_good(machine: Machine, block: str) -> None:
    named = {"kettle": 7, "household_power": 8} if "never_with" in block or "battery_guard" in block else {}
    machine.says(block + "".join(f"\n[relay.{name}]\npin = {pin}\n" for name, pin in named.items()))
    settings = machine.settings()
    assert tomllib.loads(block).get("relay", {}).keys() <= settings.relay.keys()


@pytest.mark.parametrize("table", [Relay, BatteryGuard])
def test_every_setting_is_named(table: type[Relay | BatteryGuard]) -> None:
    missing = [field.name for field in dataclasses.fields(table) if not re.search(rf"\b{field.name}\b", PAGE)]
    assert missing == []
