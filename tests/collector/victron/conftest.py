"""A collector that reads a device on a pseudo terminal."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from collector.device import Owned
from collector.devices.lines import Line
from collector.transports.vedirect import VeDirectCable
from config.model import Device
from tests.clock import FakeTime
from tests.collector.rig import Rig
from tests.collector.victron.hex_rig import Start
from tests.emulators.vedirect_hex import HexDevice


def impatient(device: Owned) -> tuple[str, Callable[[], Line]]:
    """As line_of, but silence is known after half a second."""
    port = str(device.settings.port)
    return port, lambda: VeDirectCable(port, patience=0.5)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def start(tmp_path: Path, time: FakeTime, stack: ExitStack) -> Start:
    def start(device: HexDevice, *, allow_write: bool = False, **settings: float) -> Rig:
        stack.enter_context(device)
        its = Device(kind="vedirect", port=device.path, allow_write=allow_write, **settings)  # type: ignore[arg-type]  # numbers, as TOML gives them
        rig = Rig(tmp_path, time, {"van": its}, "serial", impatient)
        stack.callback(rig.close)
        return rig

    return start
