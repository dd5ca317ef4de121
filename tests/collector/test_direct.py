"""One device that a command reads by itself."""

import threading
from collections.abc import Callable

import pytest

from collector.devices.description import Decoded
from collector.devices.lines import Line
from collector.direct import Direct, EndedError, open_device
from config.mistakes import ConfigError
from config.model import Device, Settings
from tests.emulators.vedirect import Cable, SmartShunt, Talker


def direct(port: str, **settings: object) -> Direct:
    device = Device(kind="vedirect", port=port, **settings)  # type: ignore[arg-type]  # as the tests give them
    return open_device(Settings(), "shunt", device, where="here", table="device.shunt.")


class Broken:
    """A device whose reading has an error of ours."""

    rows: dict[str, object] = {}  # noqa: RUF012 — never written

    def poll(self, _line: Line, _now: float) -> Decoded:
        """Fail."""
        raise ZeroDivisionError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_of_ours_is_told_and_the_next_reading_is_tried() -> None:
    cable = Cable()
    with Talker(cable.write, SmartShunt(volts=12.5)), direct(cable.path) as device:
        whole = device.owned.poller
        device.owned.poller = Broken()  # type: ignore[assignment]  # it stands for one that is wrong
        failed = device.read()
        device.owned.poller = whole
        got = device.read()
    assert failed.found is None
    assert failed.why == f"the thread of VE.Direct at {cable.path} died: see the traceback above"
    assert got.found is not None
    assert got.found.values["voltage"] == 12.5


@pytest.mark.parametrize("work", [lambda device: device.rest(60), Direct.read])
def test_an_end_is_heard_while_it_rests_and_while_it_reads(work: Callable[[Direct], object]) -> None:
    with direct(Cable().path) as device:
        threading.Timer(0.05, device.end).start()
        with pytest.raises(EndedError):
            work(device)


def test_settings_that_the_kind_does_not_take_are_mistakes() -> None:
    with pytest.raises(
        ConfigError, match=r"^here: device\.shunt\.unit: a device of kind vedirect has no such"
    ):
        direct("/dev/ttyUSB0", unit=1)
