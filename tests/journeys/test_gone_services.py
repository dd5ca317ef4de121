"""A collector that hangs or is killed: its devices are offline until it says otherwise itself."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulators import victron
from tests.journeys.house import COMPANY, House, secured_house

SETTINGS = """
[publish]
timeout = 600
[statistician]
commit_interval = 0.2
[controller]
pins = "simulated"
[device.mppt]
kind = "victron_solar_charger"
address = "C0:11:22:33:44:66"
key = "ffffffffffffffffffffffffffffffff"
[device.solar_energy]
kind = "integral"
source = "mppt.power"
"""
ROOF = ("C0:11:22:33:44:66", bytes([255] * 16))
COLLECTOR = "camper/service/collector_ble"
MPPT, ENERGY = "camper/availability/mppt", "camper/availability/solar_energy"
PROCESSES = ("statistician", "controller", "collector_ble")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """The real processes as their users; the broker misses a client after 15 s."""
    with secured_house(tmp_path, SETTINGS, *PROCESSES, keepalive=10) as house:
        yield house


def shine(house: House, iv: int = 1) -> None:
    """The charger is heard."""
    record = victron.solar_charger(victron.SolarCharger(), ROOF[1], iv=iv)
    assert house.bluez.advertise(ROOF[0], {COMPANY: record}, name="Roof")


def says(house: House, topic: str, word: str, since: int = 0) -> None:
    house.client.wait(lambda m: (m.topic, m.payload) == (topic, word.encode()), since=since)


def said(house: House, topic: str, since: int) -> list[bytes]:
    return [bytes(m.payload) for m in house.client.messages[since:] if m.topic == topic]


def test_devices_of_a_collector_that_hangs_are_offline_until_it_goes_on(house: House) -> None:
    house.start(*PROCESSES)
    shine(house)
    for topic in (MPPT, ENERGY):
        says(house, topic, "online")
    hung = since = len(house.client.messages)
    os.kill(house.pids()["collector_ble"], signal.SIGSTOP)
    says(house, COLLECTOR, "offline", since)
    says(house, MPPT, "offline", since)
    house.client.wait(
        lambda m: (
            m.topic == "camper/health/controller"
            and "service.collector_ble" in json.loads(m.payload)["problems"]
        ),
        since=since,
    )
    since = len(house.client.messages)
    os.kill(house.pids()["collector_ble"], signal.SIGCONT)
    says(house, COLLECTOR, "online", since)
    says(house, MPPT, "online", since)
    assert b"offline" not in said(house, ENERGY, hung), "the statistician lives"


def test_a_controller_that_comes_later_finds_who_was_killed_and_does_not_repeat_it(house: House) -> None:
    house.start("statistician", "collector_ble")
    shine(house)
    says(house, MPPT, "online")
    since = len(house.client.messages)
    house.kill("collector_ble")
    says(house, COLLECTOR, "offline", since)
    house.start("controller")
    says(house, MPPT, "offline", since)
    since = len(house.client.messages)
    house.start("collector_ble")
    shine(house, iv=2)
    says(house, MPPT, "online", since)
    # On a new connection it says again what is its own, and nothing else.
    since = len(house.client.messages)
    house.broker.kill()
    house.broker.start()
    says(house, "camper/service/controller", "online", since)
    says(house, MPPT, "online", since)
    assert b"offline" not in said(house, MPPT, since)


def test_who_lives_says_online_again_whoever_said_offline(house: House) -> None:
    house.start(*PROCESSES)
    shine(house)
    for topic in (MPPT, ENERGY):
        says(house, topic, "online")
    for topic in (*(f"camper/service/{name}" for name in PROCESSES), MPPT, ENERGY):
        since = len(house.client.messages)
        house.client.publish(topic, "offline", retain=True)
        says(house, topic, "online", since)
