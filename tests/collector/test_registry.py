"""Every kind in the registry describes itself in words that Home Assistant accepts."""

import pytest

from bus.about import MEASUREMENT, TOTAL, TOTAL_INCREASING, Entity
from collector.devices.description import BleKind
from collector.devices.registry import KINDS, kind

# Home Assistant's sensor device classes with their units and state classes, those that we use
# (home-assistant core, components/sensor/const.py).
_CLASSES: dict[str, tuple[str, tuple[str | None, ...]]] = {
    "apparent_power": ("VA", (MEASUREMENT,)),
    "battery": ("%", (MEASUREMENT,)),
    "current": ("A", (MEASUREMENT,)),
    "data_size": ("MB", (MEASUREMENT,)),
    "duration": ("s", (MEASUREMENT, TOTAL, TOTAL_INCREASING)),
    "energy": ("Wh", (TOTAL, TOTAL_INCREASING)),
    "frequency": ("Hz", (MEASUREMENT,)),
    "power": ("W", (MEASUREMENT,)),
    "reactive_power": ("var", (MEASUREMENT,)),
    "signal_strength": ("dBm", (MEASUREMENT,)),
    "temperature": ("°C", (MEASUREMENT,)),
    "voltage": ("V", (MEASUREMENT,)),
    "volume_storage": ("L", (MEASUREMENT,)),
}
# Of values that no class fits: charge, shares, counters, texts.
_CLASSLESS = {
    "Ah": (MEASUREMENT, TOTAL, TOTAL_INCREASING),
    "%": (MEASUREMENT,),
    None: (None, MEASUREMENT, TOTAL_INCREASING),
}
# Binary sensor classes that we use (components/binary_sensor/__init__.py).
_BINARY = (
    None,
    "problem",
    "power",
    "plug",
    "running",
    "connectivity",
    "battery_charging",
    "door",
    "moisture",
)
_ENTITIES = [(name, key, row.entity) for name, of in KINDS.items() for key, row in of.rows.items()]


def test_an_unknown_kind_is_answered_with_the_list() -> None:
    with pytest.raises(ValueError, match=r"victron_battery_monitor, .*victron_solar_charger"):
        kind("victron_toaster")


def test_kinds_are_listed_under_their_own_name() -> None:
    assert {name: of.name for name, of in KINDS.items()} == {name: name for name in KINDS}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_bluetooth_kind_has_a_signal_strength(name: str) -> None:
    of = KINDS[name]
    assert ("rssi" in of.rows) == isinstance(of, BleKind)


@pytest.mark.parametrize(("name", "key", "entity"), _ENTITIES, ids=lambda part: str(part)[:24])
def test_an_entity_is_one_home_assistant_accepts(name: str, key: str, entity: Entity) -> None:
    assert key.replace("_", "").isalnum(), name
    assert key == key.lower()
    if entity.boolean:
        assert (entity.unit, entity.state_class, entity.precision) == (None, None, None)
        assert entity.device_class in _BINARY
    elif entity.options is not None:
        assert (entity.device_class, entity.unit, entity.state_class) == ("enum", None, None)
        assert all(word == word.lower() and word.isascii() for word in entity.options)
        assert len(set(entity.options)) == len(entity.options)
    elif entity.device_class is None:
        assert entity.state_class in _CLASSLESS[entity.unit]
    else:
        unit, state_classes = _CLASSES[entity.device_class]
        assert entity.unit == unit
        assert entity.state_class in state_classes
