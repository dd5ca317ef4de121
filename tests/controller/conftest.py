"""A board and the controller on it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.model import Alarm, BatteryGuard, Relay, Rule
from tests.clock import FakeTime
from tests.controller.gpio import Gpio, plug_in
from tests.controller.rig import Rig

MakeRig = Callable[..., Rig]


@pytest.fixture
def gpio(monkeypatch: pytest.MonkeyPatch) -> Gpio:
    return plug_in(monkeypatch)


@pytest.fixture
def make(tmp_path: Path, time: FakeTime, gpio: Gpio) -> MakeRig:
    def start(
        guard: BatteryGuard | None = None,
        alarm: dict[str, Alarm] | None = None,
        rule: dict[str, Rule] | None = None,
        **relays: Relay,
    ) -> Rig:
        return Rig(tmp_path, time, gpio, guard=guard, alarm=alarm, rule=rule, **relays)

    return start
