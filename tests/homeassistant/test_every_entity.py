"""Entities in the registry of the real Home Assistant: each sort that we have; with --all each one."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from bus.about import Entity
from bus.home_assistant import platform
from bus.messages import to_iso
from tests import rounds
from tests.homeassistant import every_entity
from tests.homeassistant.installed import installed
from tests.homeassistant.running import HomeAssistant
from tests.journeys.house import House

pytestmark = pytest.mark.homeassistant

EVERY = every_entity.devices()
LITHIUM, INA219 = "every_victron_smart_lithium", "every_ina219"
DEVICES = EVERY if rounds.whole else every_entity.each_sort(EVERY, LITHIUM, INA219)
ENTITIES = {
    f"camper_{device}_{key}": entity
    for device, about in DEVICES.items()
    for key, entity in about.entities.items()
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    installed()
    with House(tmp_path_factory.mktemp("every"), "[statistician]\ncommit_interval = 0.2\n") as house:
        house.start("statistician")
        yield house


@pytest.fixture(scope="module")
def home(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeAssistant]:
    with HomeAssistant(installed(), tmp_path_factory.mktemp("home"), house.broker.port) as home:
        for device, about in DEVICES.items():
            house.client.publish(f"camper/availability/{device}", "online", retain=True)
            house.client.publish(f"camper/about/{device}", every_entity.about(about), retain=True)
        home.sees(dict.fromkeys(ENTITIES, "unknown"))
        yield home


@pytest.fixture(scope="module")
def registered(home: HomeAssistant) -> dict[str, dict[str, Any]]:
    return home.entities()


def test_there_are_entities_of_all_kinds_and_nothing_is_warned_of(home: HomeAssistant) -> None:
    assert len(EVERY) > 30
    assert len(ENTITIES) > rounds.rounds(200, 700)
    assert home.ask("log") == []
    assert home.devices() == {"camper", *(f"camper_{device}" for device in DEVICES)}


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_is_registered_as_it_describes_itself(
    home: HomeAssistant, registered: dict[str, dict[str, Any]], device: str
) -> None:
    for key, entity in DEVICES[device].entities.items():
        found = registered[f"camper_{device}_{key}"]
        assert found["device"] == [f"camper_{device}"]
        setting = "config" if entity.command else "diagnostic"
        assert found["category"] == (setting if entity.diagnostic else None)
        domain, name = found["entity_id"].split(".")
        assert domain == platform(entity)
        # Before 2025.10 its own word for the entity's id was another one.
        assert home.release < (2025, 10) or name == f"camper_{device}_{key}"
        wanted = _wanted(entity)
        assert {word: found["attributes"].get(word) for word in wanted} == wanted, key


def _wanted(entity: Entity) -> dict[str, object]:
    if platform(entity) == "select":
        return {"options": list(entity.options or ())}
    if platform(entity) == "number":
        least, most = entity.range or (None, None)
        return {"unit_of_measurement": entity.unit, "min": least, "max": most}
    return {
        "device_class": entity.device_class,
        "unit_of_measurement": entity.unit,
        "state_class": entity.state_class,
        "options": None if entity.options is None else list(entity.options),
    }


def test_every_value_arrives_and_unknown_is_unknown(home: HomeAssistant, house: House) -> None:
    for said, states in (
        (False, {one: every_entity.shown(entity) for one, entity in ENTITIES.items()}),
        (True, dict.fromkeys(ENTITIES, "unknown")),
    ):
        for device, about in DEVICES.items():
            payload = every_entity.reading(about.entities, unknown=said)
            house.client.publish(f"camper/state/{device}", payload, retain=True)
        home.sees(states)
    assert home.ask("log") == []


def _of_class(name: str) -> list[str]:
    return [one for one, entity in ENTITIES.items() if entity.device_class == name and entity.state_class]


def test_the_energy_dashboard_takes_every_energy_and_water_entity(
    home: HomeAssistant, house: House, registered: dict[str, dict[str, Any]]
) -> None:
    for device, about in DEVICES.items():
        house.client.publish(f"camper/state/{device}", every_entity.reading(about.entities), retain=True)
    home.sees({one: every_entity.shown(entity) for one, entity in ENTITIES.items()})
    energies, waters = ([registered[one]["entity_id"] for one in _of_class(c)] for c in ("energy", "water"))
    assert len(energies) > rounds.rounds(10, 80)
    start = time.time_ns() // 1_000_000 // 300_000 * 300_000
    # Until the first five minutes are compiled it says that there are no statistics.
    assert len(home.ask("statistics", starts=[to_iso(start)], ids=energies)) == len(energies)
    sources = [
        {"type": "solar", "stat_energy_from": one, "config_entry_solar_forecast": None} for one in energies
    ]
    sources += [{"type": "battery", "stat_energy_from": one, "stat_energy_to": one} for one in energies]
    sources += [{"type": "water", "stat_energy_from": one, "stat_cost": None} for one in waters]
    for source in sources:
        source |= {"entity_energy_price": None, "number_energy_price": None}
    devices = [{"stat_consumption": one} for one in energies]
    said = home.ask("energy", preferences={"energy_sources": sources, "device_consumption": devices})
    assert len(said["energy_sources"]) == len(sources)
    assert [issues for issues in (*said["energy_sources"], *said["device_consumption"]) if issues] == []


def test_who_is_offline_is_unavailable_and_comes_back(home: HomeAssistant, house: House) -> None:
    entities = DEVICES[LITHIUM].entities
    ids = {key: f"camper_{LITHIUM}_{key}" for key in entities}
    values = {ids[key]: every_entity.shown(entity) for key, entity in entities.items()}
    payload = every_entity.reading(entities)
    house.client.publish(f"camper/state/{LITHIUM}", payload, retain=True)
    home.sees(values)
    for word, states in (("offline", dict.fromkeys(values, "unavailable")), ("online", values)):
        house.client.publish(f"camper/availability/{LITHIUM}", word, retain=True)
        home.sees(states)


def test_an_entity_that_a_device_has_no_more_is_gone_and_so_is_a_device(
    home: HomeAssistant, house: House
) -> None:
    device = INA219
    about = DEVICES[device]
    kept, *gone = about.entities
    shorter = every_entity.about(every_entity.only(about, kept))
    house.client.publish(f"camper/about/{device}", shorter, retain=True)
    home.sees({f"camper_{device}_{key}": None for key in gone})
    assert f"camper_{device}_{kept}" in home.entities()
    assert not home.entities().keys() & {f"camper_{device}_{key}" for key in gone}
    house.client.publish(f"camper/about/{device}", "", retain=True)
    home.forgets([f"camper_{device}"])
    assert home.ask("log") == []
