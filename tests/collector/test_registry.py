"""Every kind in the registry describes itself in words that Home Assistant accepts."""

import pytest

from bus.about import MEASUREMENT, TOTAL_INCREASING, Entity
from collector.devices.registry import KINDS, kind

# Home Assistant's sensor device classes with their units and state classes, those that we use.
_CLASSES = {
    "voltage": ("V", MEASUREMENT),
    "current": ("A", MEASUREMENT),
    "power": ("W", MEASUREMENT),
    "battery": ("%", MEASUREMENT),
    "duration": ("s", MEASUREMENT),
    "temperature": ("°C", MEASUREMENT),
    "signal_strength": ("dBm", MEASUREMENT),
    "energy": ("Wh", TOTAL_INCREASING),
}
_ENTITIES = [(name, key, row.entity) for name, of in KINDS.items() for key, row in of.rows.items()]


def test_an_unknown_kind_is_answered_with_the_list() -> None:
    with pytest.raises(ValueError, match="victron_battery_monitor, victron_solar_charger"):
        kind("victron_toaster")


def test_kinds_are_listed_under_their_own_name() -> None:
    assert {name: of.name for name, of in KINDS.items()} == {name: name for name in KINDS}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_bluetooth_kind_has_a_signal_strength(name: str) -> None:
    of = KINDS[name]
    assert ("rssi" in of.rows) == (of.transport == "ble")


@pytest.mark.parametrize(("name", "key", "entity"), _ENTITIES, ids=lambda part: str(part)[:24])
def test_an_entity_is_one_home_assistant_accepts(name: str, key: str, entity: Entity) -> None:
    assert key.replace("_", "").isalnum(), name
    assert key == key.lower()
    if entity.boolean:
        assert (entity.unit, entity.state_class, entity.precision) == (None, None, None)
        assert entity.device_class in (None, "problem")
    elif entity.options is not None:
        assert (entity.device_class, entity.unit, entity.state_class) == ("enum", None, None)
        assert all(word == word.lower() and word.isascii() for word in entity.options)
        assert len(set(entity.options)) == len(entity.options)
    elif entity.device_class is None:
        assert entity.unit == "Ah"
        assert entity.state_class == MEASUREMENT
    else:
        assert (entity.unit, entity.state_class) == _CLASSES[entity.device_class]
