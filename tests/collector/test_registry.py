"""Every kind in the registry describes itself in words that Home Assistant accepts, and in our units."""

import re

import pytest

from bus.about import Entity
from collector.devices.description import BleKind
from collector.devices.registry import KINDS, kind
from tests.home_assistant import faults

# The contract's units: never kilo, never milli; the rest is arithmetic of the device.
_UNITS = {"V", "A", "W", "Wh", "Ah", "°C", "%", "Hz", "s", "L", "VA", "var", "dBm", "MB", None}
_ENTITIES = [(name, key, row.entity) for name, of in KINDS.items() for key, row in of.rows.items()]


def test_an_unknown_kind_is_answered_with_the_list() -> None:
    with pytest.raises(ValueError, match=r"victron_battery_monitor, .*victron_solar_charger"):
        kind("victron_toaster")


def test_kinds_are_listed_under_their_own_name() -> None:
    assert {name: of.name for name, of in KINDS.items()} == {name: name for name in KINDS}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_bluetooth_kind_has_a_signal_strength(name: str) -> None:
    of = KINDS[name]
    assert ("rssi" in of.rows) == isinstance(of, BleKind) or name == "route_b_meter"


@pytest.mark.parametrize(("name", "key", "entity"), _ENTITIES, ids=lambda part: str(part)[:24])
def test_an_entity_is_one_home_assistant_accepts(name: str, key: str, entity: Entity) -> None:
    assert re.fullmatch(r"[a-z0-9_]+", key), name
    assert list(faults(entity)) == []
    assert entity.unit in _UNITS


def test_the_lists_find_faults() -> None:
    wrong = [
        Entity(name="x", unit="kW", device_class="energy", state_class="total"),
        Entity(name="x", unit="Wh", device_class="energy", state_class="measurement"),
        Entity(name="x", unit="degC", device_class="temperature"),
        Entity(name="x", device_class="charge"),
        Entity(name="x", boolean=True, device_class="voltage"),
        Entity(name="x", device_class="enum", options=("On",)),
    ]
    assert [len(list(faults(entity))) for entity in wrong] == [1] * len(wrong)
