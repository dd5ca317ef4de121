"""A board and the controller on it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.model import Relay
from tests.clock import FakeTime
from tests.controller.gpio import Gpio, plug_in
from tests.controller.rig import Rig

MakeRig = Callable[..., Rig]


@pytest.fixture
def gpio(monkeypatch: pytest.MonkeyPatch) -> Gpio:
    return plug_in(monkeypatch)


@pytest.fixture
def make(tmp_path: Path, time: FakeTime, gpio: Gpio) -> MakeRig:
    def start(**relays: Relay) -> Rig:
        return Rig(tmp_path, time, gpio, **relays)

    return start
