"""A van at the real Home Assistant: what it lists and switches, and what it sees when something restarts."""

import itertools
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bus.health import VERSION
from bus.home_assistant import CALM_S
from tests.client import Client
from tests.emulators import victron
from tests.homeassistant.installed import installed
from tests.homeassistant.running import HomeAssistant
from tests.journeys.house import COMPANY, House

pytestmark = pytest.mark.homeassistant

PROCESSES = ("statistician", "controller", "collector_ble")
KEY = bytes(range(16))
SHUNT, MPPT = "C0:00:00:00:00:01", "C0:00:00:00:00:02"
WEATHER = {
    "name": "Weather",
    "discovery": True,
    "entities": {"outside": {"name": "Outside", "unit": "°C", "device_class": "temperature"}},
}


MPPT_TABLE = f"""
[device.mppt]
kind = "victron_solar_charger"
address = "{MPPT}"
key = "{KEY.hex()}"
timeout = 100
"""
SETTINGS = f"""
[publish]
min_interval = 0
timeout = 600
[statistician]
commit_interval = 0.2
[controller]
pins = "simulated"
[relay.pump]
pin = 27
[relay.lamp]
pin = 17
[device.shunt]
kind = "victron_battery_monitor"
address = "{SHUNT}"
key = "{KEY.hex()}"
{MPPT_TABLE}[device.solar]
kind = "integral"
source = "mppt.power"
"""
BASE = "vans/one"
MOVED = SETTINGS + f'[broker]\nbase = "{BASE}"\n'
SILENT = SETTINGS.replace("[publish]", "[publish]\ndiscovery = false")
DEVICES = ("shunt", "mppt", "relay", "solar")


@dataclass(frozen=True)
class Van:
    """A house, a stranger in it, and Home Assistant on its broker."""

    house: House
    home: HomeAssistant
    everything: Client

    def weather(self, base: str = "camper") -> None:
        """The stranger says all it has to say."""
        self.house.client.publish(f"{base}/about/weather", json.dumps(WEATHER), retain=True)
        self.house.client.publish(f"{base}/state/weather", '{"outside": 21.5}', retain=True)

    def rerun(self, settings: str, base: str = "camper") -> None:
        """All processes again, with other settings."""
        for name in PROCESSES:
            self.house.end(name, signal.SIGTERM)
        (self.house.folder / "boondock.toml").write_text(settings, encoding="utf-8")
        since = len(self.everything.messages)
        for name in PROCESSES:
            self.house._running[name] = self.house._spawn(name)
        for name in PROCESSES:
            topic = f"{base}/service/{name}"
            self.everything.wait(
                lambda m, t=topic: (m.topic, m.payload) == (t, b"online"),  # type: ignore[misc]  # a bound default
                since=since,
            )


@contextmanager
def air(house: House) -> Iterator[None]:
    """What the two Victron devices say, five times a second."""
    stop = threading.Event()

    def advertise() -> None:
        for iv in itertools.count(1):
            shunt = victron.battery_monitor(victron.BatteryMonitor(), KEY, iv & 0xFFFF)
            mppt = victron.solar_charger(victron.SolarCharger(), KEY, iv & 0xFFFF)
            house.bluez.advertise(SHUNT, {COMPANY: shunt})
            house.bluez.advertise(MPPT, {COMPANY: mppt})
            if stop.wait(0.2):
                return

    thread = threading.Thread(target=advertise)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def states(base: str = "camper", pump: str = "off") -> dict[str, str]:
    """One entity of each device as Home Assistant should see it."""
    return {
        f"{base}_shunt_voltage": "13.2",
        f"{base}_mppt_charge_state": "bulk",
        f"{base}_relay_pump": pump,
        f"{base}_relay_lamp": "off",
        f"{base}_weather_outside": "21.5",
    }


def devices(base: str = "camper") -> set[str]:
    """The identifiers of all devices, the house itself among them."""
    return {base, *(f"{base}_{name}" for name in (*DEVICES, "weather"))}


@pytest.fixture(scope="module")
def van(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Van]:
    python = installed()
    with House(tmp_path_factory.mktemp("van"), SETTINGS) as house:
        folder: Path = tmp_path_factory.mktemp("home")
        house.start(*PROCESSES)
        everything = Client(house.broker.port, "#")
        with HomeAssistant(python, folder, house.broker.port) as home:
            van = Van(house, home, everything)
            van.weather()
            with air(house):
                home.sees(states())
                yield van
        everything.close()


def test_all_devices_are_listed_with_their_entities_and_nothing_is_warned_of(van: Van) -> None:
    assert van.home.devices() == devices()
    found = van.home.entities()
    problem = found["camper_shunt_device_problem"]
    assert (problem["state"], problem["category"]) == ("none", "diagnostic")
    details = {"camper_shunt_rssi", "camper_shunt_device_last_seen", "camper_shunt_alarm_low_soc"}
    assert not details & found.keys()
    assert {"camper_shunt_alarm", "camper_mppt_charger_error", "camper_weather_outside"} <= found.keys()
    van.home.sees({"camper_statistician": "on", "camper_device_problem": "none"})
    assert (found["camper_solar_energy"]["name"], found["camper_shunt_voltage"]["name"]) == (None, "Voltage")
    assert found["camper_solar_energy"]["attributes"]["device_class"] == "energy"
    assert van.home.ask("log") == []


def test_our_devices_hang_on_the_house_and_say_what_they_are(van: Van) -> None:
    found = {identity: one for one in van.home.ask("devices") for identity in one["identifiers"]}
    assert {one: device["via"] for one, device in found.items()} == {
        **{f"camper_{name}": ["camper"] for name in DEVICES},
        "camper": [],
        # A stranger's.
        "camper_weather": [],
    }
    assert found["camper_shunt"]["model_id"].startswith("0x")
    assert found["camper"]["sw_version"] == found["camper_relay"]["sw_version"] == VERSION


def test_a_value_that_hardly_moves_is_taken_later_and_a_leap_at_once(van: Van) -> None:
    def says(current: float, state: str) -> None:
        payload = json.dumps({"current": current, "charge_state": state})
        van.house.client.publish("camper/state/mppt", payload)

    says(40, "float")
    van.home.sees({"camper_mppt_current": "40", "camper_mppt_charge_state": "float"})
    says(40.5, "absorption")
    van.home.sees({"camper_mppt_current": "40", "camper_mppt_charge_state": "absorption"})
    says(55, "bulk")
    van.home.sees({"camper_mppt_current": "55", "camper_mppt_charge_state": "bulk"})
    wanted = {"camper_mppt_current": "55.5"}
    for _ in range(2 * CALM_S):
        says(55.5, "bulk")
        if van.home.ask("wait", states=wanted, patience=1.0) == wanted:
            break
    van.home.sees(wanted, patience=0)
    assert van.home.ask("log") == []


def test_a_switch_turns_on_and_off_and_follows_what_others_do(van: Van) -> None:
    pump = "camper_relay_pump"
    for service, word in (("turn_on", "ON"), ("turn_off", "OFF")):
        since = len(van.house.client.messages)
        van.home.switch(pump, service)
        answer = json.loads(van.house.client.on("camper/result/relay/pump", since=since))
        assert (answer["status"], answer["actual"]) == ("ok", word)
        van.home.sees(states(pump=word.lower()))
    for word in ("ON", "OFF"):
        van.house.client.publish("camper/set/relay/pump", word)
        van.home.sees(states(pump=word.lower()))
    assert van.home.ask("log") == []


def test_home_assistant_restarts_and_has_everything_again(van: Van) -> None:
    before, pids = van.home.entities().keys(), van.house.pids()
    since = len(van.everything.messages)
    van.home.stop()
    van.home.start()
    van.home.sees(states())
    assert van.home.entities().keys() == before
    # Its birth is answered even though the broker has retained all of it.
    topic = "homeassistant/device/camper_shunt/config"
    van.everything.wait(lambda m: m.topic == topic and not m.retain, since=since)
    van.home.sees(states())
    assert van.house.pids() == pids
    assert van.home.ask("log") == []


def test_the_broker_restarts_empty_and_everything_comes_again(van: Van) -> None:
    before = van.home.entities().keys()
    since = len(van.house.client.messages)
    van.house.broker.kill()
    van.home.sees(dict.fromkeys(states(), "unavailable"))
    van.house.broker.start()
    # Who hears this is connected again.
    assert van.house.client.on("camper/service/statistician", since=since) == b"online"
    van.weather()
    van.home.sees(states())
    assert van.home.entities().keys() == before
    assert van.home.devices() == devices()


def test_a_killed_collector_makes_its_own_entities_unavailable(van: Van) -> None:
    van.house.kill("collector_ble")
    gone = {"camper_shunt_voltage": "unavailable", "camper_mppt_charge_state": "unavailable"}
    van.home.sees(states() | gone)
    van.house.start("collector_ble")
    van.home.sees(states())


def test_a_device_and_a_relay_that_the_settings_no_longer_have_are_gone(van: Van) -> None:
    without = SETTINGS.replace(MPPT_TABLE, "").replace("[relay.lamp]\npin = 17\n", "")
    van.rerun(without.split("[device.solar]")[0])
    van.home.forgets(["camper_mppt"])
    van.home.sees({"camper_relay_lamp": None, "camper_relay_pump": "off"})
    assert not {"camper_relay_lamp", "camper_mppt_power"} & van.home.entities().keys()
    van.rerun(SETTINGS)
    van.home.sees(states())


@contextmanager
def while_away(van: Van) -> Iterator[None]:
    """What happens while Home Assistant is stopped; then it starts."""
    van.home.stop()
    yield
    van.home.start()


def test_what_goes_while_home_assistant_looks_on_is_no_error_in_its_log(van: Van) -> None:
    van.home.ask("log")
    van.house.client.publish("camper/state/mppt", '{"power": 5}')
    van.home.sees(states() | {"camper_mppt_power": "5"})
    # Whoever leaves does not know in which order.
    for verb in ("state", "about"):
        van.house.client.publish(f"camper/{verb}/weather", b"", retain=True)
    van.rerun(SETTINGS.replace(MPPT_TABLE, "").split("[device.solar]")[0])
    van.home.forgets({"camper_mppt", "camper_solar", "camper_weather"})
    assert van.home.ask("log") == []
    van.rerun(SETTINGS)
    van.weather()
    van.home.sees(states())


def test_details_come_and_go_with_their_setting(van: Van) -> None:
    van.home.ask("log")
    wanted = {"camper_shunt_rssi": "-60", "camper_shunt_alarm_low_soc": "off"}
    van.rerun(SETTINGS.replace("[publish]", "[publish]\ndetails = true"))
    van.home.sees(states() | wanted)
    assert van.home.entities()["camper_shunt_device_last_seen"]["state"].startswith("20")
    van.rerun(SETTINGS)
    van.home.sees(states() | dict.fromkeys(wanted) | {"camper_shunt_device_last_seen": None})
    assert not van.home.entities().keys() & wanted.keys()
    assert van.home.ask("log") == []


@pytest.mark.long
def test_what_went_while_home_assistant_was_away_is_forgotten_when_it_is_back(van: Van) -> None:
    without = SETTINGS.replace(MPPT_TABLE, "").replace("[relay.lamp]\npin = 17\n", "")
    van.home.ask("log")
    with while_away(van):
        van.rerun(without.split("[device.solar]")[0])
        van.house.client.publish("camper/about/weather", b"", retain=True)
    gone = {"camper_mppt", "camper_solar", "camper_weather"}
    van.home.forgets(gone)
    van.home.sees({"camper_relay_lamp": None, "camper_relay_pump": "off", "camper_shunt_voltage": "13.2"})
    left = set(van.home.entities())
    assert not {one for one in left if one.startswith(tuple(gone)) or "lamp" in one}, left
    assert van.home.ask("log") == []
    van.rerun(SETTINGS)
    van.weather()
    van.home.sees(states())
    assert van.home.devices() == devices()


@pytest.mark.long
def test_another_base_topic_leaves_nothing_of_the_old_one(van: Van) -> None:
    van.rerun(MOVED, BASE)
    van.weather(BASE)
    van.home.sees(states("vans_one"))
    van.home.forgets(devices())
    assert van.home.devices() == devices("vans_one")
    assert not [one for one in van.home.entities() if one.startswith("camper_")]
    van.rerun(SETTINGS)
    van.home.sees(states())
    van.home.forgets(devices("vans_one"))


def test_discovery_switched_off_takes_everything_back_and_on_gives_it_again(van: Van) -> None:
    van.rerun(SILENT)
    van.home.forgets(devices() | devices("vans_one"))
    assert van.home.entities() == {}
    van.rerun(SETTINGS)
    van.home.sees(states())
    assert van.home.devices() == devices()
