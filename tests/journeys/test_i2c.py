"""Chips on an I2C bus, from the kernel's ioctls to the database row: real processes, real smbus2."""

import json
import os
from collections.abc import Iterator

import pytest

from tests.emulators.i2c_child import Bed, needs_bed, running
from tests.journeys import house as houses
from tests.journeys.house import PATIENCE, House

pytestmark = needs_bed

CHIPS = ("ina219 0x40 volts=13.2 amps=1.5", "ads1115 0x48 0=2.2 1=1.72")
SETTINGS = """
[publish]
timeout = 3
heartbeat = 1

[statistician]
commit_interval = 0.2

[device.fridge]
kind = "ina219"
address = 0x40
every = 0.5

[device.fridge_energy]
kind = "integral"
source = "fridge.power"

[device.starter]
kind = "ads1115_voltage"
address = "0x48"
channel = 0
divider = 5.7
every = 0.5

[device.fresh_water]
kind = "tank_sender"
channel = 1
pull_up = 220
supply = 3.3
calibration = [[240, 0], [103, 50], [33, 100]]
capacity = 100
every = 0.5
"""
COLLECTOR = "collector_i2c"


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Bed]]:
    with running(*CHIPS) as (bed, environment), House(tmp_path_factory.mktemp("i2c"), SETTINGS) as house:
        house.start("statistician")
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(houses.PROCESSES, COLLECTOR, ("collector", "i2c"))
            # Only the collector sees the bus.
            for name, value in environment.items():
                patch.setitem(os.environ, name, value)
            house.start(COLLECTOR)
        yield house, bed


def _reading(
    house: House, device: str, entity: str, value: float | None, since: int = 0
) -> dict[str, object]:
    """The first reading in which the entity has the value, to a hundredth."""

    def matches(payload: bytes | bytearray) -> bool:
        said = json.loads(payload).get(entity, "absent")
        return said is None if value is None else isinstance(said, float | int) and abs(said - value) < 0.01

    topic = f"camper/state/{device}"
    message = house.client.wait(
        lambda m: m.topic == topic and matches(m.payload), patience=PATIENCE, since=since
    )
    found: dict[str, object] = json.loads(message.payload)
    return found


def test_an_appliance_has_watts_and_its_energy_is_derived(journey: tuple[House, Bed]) -> None:
    house, _ = journey
    reading = _reading(house, "fridge", "power", 19.8)
    assert reading["voltage"] == 13.2
    assert reading["current"] == pytest.approx(1.5, abs=0.0002)
    topic = "camper/state/fridge_energy"
    message = house.client.wait(
        lambda m: m.topic == topic and json.loads(m.payload).get("energy", 0) > 0.001, patience=PATIENCE
    )
    assert json.loads(message.payload)["energy"] < 19.8


def test_a_starter_battery_and_a_tank_share_a_chip(journey: tuple[House, Bed]) -> None:
    house, _ = journey
    assert _reading(house, "starter", "voltage", 12.54)
    # 220 ohms * 1.72 V / (3.3 V - 1.72 V) are 239.5 ohms: nearly empty.
    level = _reading(house, "fresh_water", "level", 0.2)
    assert level["volume"] == pytest.approx(0.2, abs=0.1)
    about = json.loads(house.client.on("camper/about/fresh_water"))
    assert about["entities"]["volume"]["unit"] == "L"
    assert about["entities"]["raw"]["diagnostic"] is True


def test_readings_become_rows(journey: tuple[House, Bed]) -> None:
    house, _ = journey
    reading = _reading(house, "starter", "voltage", 12.54)
    topic = f"camper/watermark/{reading['stream']}"
    house.client.wait(lambda m: m.topic == topic and int(m.payload) >= int(str(reading["seq"])))
    rows = house.stored()["starter", "voltage"]
    assert rows[0][1] == pytest.approx(12.54, abs=0.01)


def test_saturation_is_null_with_a_reason_in_health(journey: tuple[House, Bed]) -> None:
    house, bed = journey
    since = len(house.client.messages)
    bed.tell("ina219 0x40 amps=9")
    reading = _reading(house, "fridge", "current", None, since)
    assert reading["power"] is None
    assert reading["voltage"] == 13.2
    message = house.client.wait(
        lambda m: (
            m.topic == f"camper/health/{COLLECTOR}"
            and "entity.fridge.current" in json.loads(m.payload)["problems"]
        )
    )
    assert "above 3.2 A" in json.loads(message.payload)["problems"]["entity.fridge.current"]
    bed.tell("ina219 0x40 amps=1.5")
    _reading(house, "fridge", "power", 19.8, since)


def test_a_chip_that_is_pulled_goes_offline_alone_and_comes_back(journey: tuple[House, Bed]) -> None:
    house, bed = journey
    since = len(house.client.messages)
    bed.tell("gone 0x40")
    topic = "camper/availability/fridge"
    house.client.wait(lambda m: m.topic == topic and m.payload == b"offline", since=since)
    _reading(house, "fridge", "power", None, since)
    assert house.client.on("camper/availability/starter") == b"online"
    message = house.client.wait(
        lambda m: (
            m.topic == f"camper/health/{COLLECTOR}" and "device.fridge" in json.loads(m.payload)["problems"]
        )
    )
    assert "i2cdetect -y 1" in json.loads(message.payload)["problems"]["device.fridge"]
    bed.tell("back 0x40")
    since = len(house.client.messages)
    house.client.wait(lambda m: m.topic == topic and m.payload == b"online", since=since, patience=PATIENCE)
    _reading(house, "fridge", "power", 19.8, since)


def test_the_log_tells_of_the_chip_and_of_no_fault_of_ours(journey: tuple[House, Bed]) -> None:
    house, _ = journey
    assert "fridge is well again" in house.log(COLLECTOR)
    assert "Traceback" not in house.log(COLLECTOR)
