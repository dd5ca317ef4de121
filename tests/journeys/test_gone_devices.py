"""What a device has left at the broker is taken back, also if its collector has no other device any more."""

import signal
from pathlib import Path

import pytest

from tests.client import Client
from tests.journeys import house as journey
from tests.journeys.house import House

SETTINGS = """
[device.pi]
kind = "raspberry_pi"
every = 1.0
"""
LEFT = (
    "homeassistant/device/camper_pi/config",
    "camper/about/pi",
    "camper/state/pi",
    "camper/availability/pi",
)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setitem(journey.PROCESSES, "collector_host", ("collector", "host"))
    return House(tmp_path, SETTINGS)


def test_the_last_device_of_a_collector_leaves_nothing_behind(house: House) -> None:
    with house:
        everything = Client(house.broker.port, "#")
        house.start("collector_host")
        for topic in LEFT:
            everything.on(topic)
        house.end("collector_host", signal.SIGTERM)
        (house.folder / "boondock.toml").write_text("", encoding="utf-8")
        since = len(everything.messages)
        house.start("collector_host")
        order = [everything.wait(lambda m, t=t: (m.topic, m.payload) == (t, b""), since=since) for t in LEFT]  # type: ignore[misc]  # a bound default
        places = [everything.messages.index(message) for message in order]
        assert places[0] < min(places[1:]), "Home Assistant first: it takes an emptied state for an error"
        everything.close()


def test_a_collector_that_never_had_a_device_ends_at_once(house: House) -> None:
    (house.folder / "boondock.toml").write_text("", encoding="utf-8")
    with house:
        process = house._spawn("collector_host")
        assert process.wait(journey.PATIENCE) == 0
