"""What is announced on wish only, and the house itself."""

import json
from pathlib import Path

from bus.about import About, Entity
from bus.announcer import Announcer
from bus.home_assistant import house
from bus.topics import HOUSE, Topics
from tests.fake_bus import FakeBus

TOPIC = "homeassistant/device/camper_mppt/config"
ABOUT = About(
    name="Solar charger",
    entities={
        "v": Entity(name="Voltage", unit="V", device_class="voltage", state_class="measurement"),
        "rssi": Entity(name="Signal", unit="dBm", diagnostic=True),
    },
)


def announcer(bus: FakeBus, path: Path, *, details: bool) -> Announcer:
    """A run of a collector."""
    return Announcer(bus, Topics(), service="collector_ble", path=path, details=details)


def test_details_that_an_earlier_run_announced_are_taken_back(tmp_path: Path) -> None:
    bus, path = FakeBus(), tmp_path / "announced.json"
    earlier = announcer(bus, path, details=True)
    earlier.about("mppt", ABOUT)
    earlier.file.close()
    whole = json.loads(bus.on(TOPIC)[0])["components"]
    assert whole.keys() == {"v", "rssi", "device_last_seen", "device_problem"}
    bus.published.clear()
    again = announcer(bus, path, details=False)
    again.about("mppt", ABOUT)
    again.tidy({"mppt": set(ABOUT.entities)})
    reduced, after = (json.loads(payload)["components"] for payload in bus.on(TOPIC))
    assert reduced["rssi"] == reduced["device_last_seen"] == {"platform": "sensor"}
    assert after.keys() == {"v", "device_problem"}


def test_the_house_is_announced_on_the_topic_of_the_base_and_deleted_with_it(
    tmp_path: Path,
) -> None:
    bus, path = FakeBus(), tmp_path / "announced.json"
    topic = "homeassistant/device/camper/config"
    one = Announcer(bus, Topics(), path=path, page="http://van.local/")
    one.about(HOUSE, house("1.2"), availability=False)
    assert json.loads(bus.on(topic)[0])["device"]["configuration_url"] == "http://van.local/"
    one.tidy({HOUSE: None})
    one.file.close()
    off = Announcer(bus, Topics(), path=path, enabled=False)
    off.about(HOUSE, house("1.2"), availability=False)
    off.tidy({HOUSE: None})
    assert [payload == b"" for payload in bus.on(topic)] == [False, True]
