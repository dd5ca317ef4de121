"""Scanning an I2C bus: chips by their addresses, and those that say what they are."""

from pathlib import Path

from collector.devices.description import (
    NoAnswerError,
)
from collector.scan import I2cScan
from tests.clock import FakeTime
from tests.collector.clients import Json, LineHouse
from tests.collector.fake_i2c import FakeI2c
from tests.emulators.ina_chips import Ina226, Ina228, Ina3221


class Chips:
    """An I2C bus on which these addresses answer."""

    def open(self) -> None:
        """There is nothing to open."""

    def close(self) -> None:
        """Nor to close."""

    def scan(self) -> list[int]:
        """The addresses that answer."""
        return [0x20, 0x40, 0x48]

    def read(self, address: int, register: int, count: int) -> bytes:
        """They say no more."""
        raise NoAnswerError(f"{address:#04x} is silent about {count} bytes at {register}")

    def write(self, address: int, register: int, data: bytes) -> None:
        """They take nothing either."""
        raise NoAnswerError(f"{address:#04x} takes no {data!r} at {register}")


def test_chips_are_found_by_their_addresses(tmp_path: Path, time: FakeTime) -> None:
    house = LineHouse(
        tmp_path, time, {}, "i2c", lines=lambda one: (f"i2c-{one.settings.bus}", Chips), scan=I2cScan
    )
    _, answer = house.scan(bus=3)
    found = answer["data"]["found"]
    assert [(one["bus"], one["address"], one["kinds"], one["configured"]) for one in found] == [
        (3, "0x20", [], []),
        (3, "0x40", ["ina219"], []),
        (3, "0x48", ["ads1115_voltage", "ina219", "tank_sender"], []),
    ]
    assert "dtoverlay=mcp23017,addr=0x20," in found[0]["note"]
    assert "note" not in found[1]
    proposed = [one for of in found for one in of["proposals"]]
    assert [one["kind"] for one in proposed] == ["ina219", "ads1115_voltage", "ina219", "tank_sender"]
    missing: dict[str, Json] = {
        "ads1115_voltage": {"channel": 0},
        "tank_sender": {"channel": 1, "calibration": [[0, 0], [3, 100]]},
    }
    # The chip at 0x48 is one of two makes.
    for number, one in enumerate((proposed[0], proposed[1], proposed[3])):
        asked = {"device": f"new_{number}", "kind": one["kind"], **missing.get(one["kind"], {})}
        added = house.data("device_add", **asked, **one["settings"])
        assert added["settings"]["address"] == one["settings"]["address"]


class FamilyBus(FakeI2c):
    """A bus with one of each chip that says what it is, beside chips that do not."""

    def __init__(self) -> None:
        super().__init__()
        self.chips.at |= {
            0x41: Ina226(lambda: self.now),
            0x42: Ina3221(lambda: self.now),
            0x49: Ina228(lambda: self.now),
        }

    def scan(self) -> list[int]:
        """The addresses that answer."""
        return sorted(self.chips.at)


def test_chips_that_say_what_they_are_are_known_for_sure(tmp_path: Path, time: FakeTime) -> None:
    bus = FamilyBus()
    house = LineHouse(tmp_path, time, {}, "i2c", lines=lambda _one: ("i2c-1", lambda: bus), scan=I2cScan)
    _, answer = house.scan(bus=1)
    assert {one["address"]: one["kinds"] for one in answer["data"]["found"]} == {
        "0x40": ["ina219"],
        "0x41": ["ina226"],
        "0x42": ["ina3221"],
        "0x48": ["ads1115_voltage", "ina219", "tank_sender"],
        "0x49": ["ina228"],
    }
    assert bus.written == [], "a scan writes to no register"
