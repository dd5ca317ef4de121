"""Readings while the collector, the broker and the statistician are killed: all are in the database."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulators import victron
from tests.journeys.house import COMPANY, House
from tests.rounds import rounds

BATCHES = 50
BATCH = rounds(30, 100)
READINGS = BATCHES * BATCH
# Enough that none speaks twice in a millisecond, when only its last word would count.
DEVICES = 250
KEY = bytes(range(16))
# After how many batches who dies: each of the three, several times, at moments of rest and in full flow.
KILLS = {
    5: "statistician",
    9: "broker",
    13: "collector_ble",
    18: "statistician",
    22: "broker",
    26: "statistician",
    30: "collector_ble",
    34: "broker",
    40: "collector_ble",
    45: "statistician",
}


def settings() -> str:
    tables = [
        f'[device.shunt_{n}]\nkind = "victron_battery_monitor"\n'
        f'address = "{address(n)}"\nkey = "{KEY.hex()}"\n'
        for n in range(DEVICES)
    ]
    return "[publish]\nmin_interval = 0\nscalars = false\n" + "\n".join(tables)


def address(device: int) -> str:
    return f"C0:00:00:00:{device >> 8:02X}:{device & 0xFF:02X}"


def currents() -> Iterator[tuple[int, float]]:
    """A device and a current that no other reading has."""
    for number in range(READINGS):
        yield number % DEVICES, round(0.5 + number * 0.03, 2)


class Air:
    """Says each value until it is heard of, as a device on the air repeats itself until its value changes."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._iv = itertools.count(1)

    def say(self, device: int, current: float) -> None:
        """One advertisement."""
        record = victron.battery_monitor(
            victron.BatteryMonitor(current=current), KEY, iv=next(self._iv) & 0xFFFF
        )
        self._house.bluez.advertise(address(device), {COMPANY: record})


def in_database(house: House) -> set[tuple[int, float]]:
    """Device and current of every state on the statistician's disk."""
    return {
        (number_of(device), value)
        for (device, entity), states in house.stored().items()
        if entity == "current"
        for _, value in states
        if isinstance(value, float)
    }


def kept(house: House) -> set[tuple[int, float]]:
    """What the collector has taken in: what waits in its outbox or stands in the database."""
    return in_database(house) | {(number_of(device), value) for device, value in house.waiting("current")}


def number_of(device: str) -> int:
    return int(device.removeprefix("shunt_"))


def kill(house: House, victim: str) -> None:
    """No goodbye for anyone; the broker's memory goes with it."""
    if victim == "broker":
        house.broker.kill()
    else:
        house.kill(victim)


def revive(house: House, victim: str) -> None:
    """Start it again."""
    if victim == "broker":
        house.broker.start()
    else:
        house.start(victim)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, settings()) as house:
        house.start("statistician", "collector_ble")
        yield house


def test_every_reading_survives_the_death_of_everything(house: House) -> None:
    air = Air(house)
    wanted = list(currents())
    assert len(set(wanted)) == READINGS
    for number, start in enumerate(range(0, READINGS, BATCH)):
        victim = KILLS.get(number) if number <= rounds(30, BATCHES) else None
        for position, reading in enumerate(wanted[start : start + BATCH]):
            if victim and position == BATCH // 2:
                kill(house, victim)
            air.say(*reading)
        if victim:
            revive(house, victim)
        if victim == "collector_ble":
            taken = kept(house)
            for reading in wanted[: start + BATCH]:
                if reading not in taken:
                    air.say(*reading)
    device, current = wanted[-1]
    last = house.client.wait(
        lambda m: (
            m.topic == f"camper/state/shunt_{device}" and json.loads(m.payload).get("current") == current
        )
    )
    reading = json.loads(last.payload)
    house.client.wait(
        lambda m: m.topic == f"camper/watermark/{reading['stream']}" and int(m.payload) >= reading["seq"],
        patience=90,
    )
    assert not set(wanted) - in_database(house)
    assert house.waiting("current") == set()
