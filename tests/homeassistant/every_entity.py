"""Every entity that we can ever announce, as a stranger would describe it: a device for each kind."""

from collections.abc import Mapping

import msgspec

from bus.about import About, Entity, encode
from bus.home_assistant import platform
from bus.messages import ON, Reading, Values, encode_reading
from collector.devices import KINDS
from collector.devices.description import Rows
from collector.devices.modbus import models as modbus

NUMBER, TEXT = 42.5, "HQ2132"


def devices() -> dict[str, About]:
    """By id: every kind and every shipped Modbus profile that has a table of its own."""
    tables: dict[str, Rows] = {name: kind.rows for name, kind in KINDS.items()}
    tables |= {f"profile_{profile.name}": profile.rows() for profile in modbus.shipped()}
    return {
        f"every_{name}": About(
            name=f"Every {name}",
            manufacturer="Boondock",
            model=name,
            discovery=True,
            entities={key: row.entity for key, row in rows.items()},
        )
        for name, rows in tables.items()
        if rows
    }


def each_sort(every: Mapping[str, About], *chosen: str) -> dict[str, About]:
    """Few of the devices, among them those `chosen`, that have together an entity of each sort."""
    left = {sort for device in every.values() for sort in _sorts(device)}
    found = {}
    for one in (*chosen, *every):
        if left & _sorts(every[one]) or one in chosen:
            found[one] = every[one]
            left -= _sorts(every[one])
    return found


def _sorts(device: About) -> set[tuple[object, ...]]:
    return {
        (platform(one), one.device_class, one.unit, one.state_class, one.diagnostic, one.options is None)
        for one in device.entities.values()
    }


def value(entity: Entity) -> float | str:
    """Something that the entity may say."""
    if entity.boolean:
        return ON
    if entity.options:
        return entity.options[-1]
    if entity.range is not None:
        return entity.range[0]
    numeric = (entity.unit, entity.precision, entity.device_class, entity.state_class)
    return TEXT if numeric == (None,) * 4 else NUMBER


def shown(entity: Entity) -> str:
    """How Home Assistant shows it."""
    said = value(entity)
    return str(said).lower() if entity.boolean else str(said)


def about(device: About) -> bytes:
    """The payload of its about."""
    return encode(device)


def reading(entities: Mapping[str, Entity], *, unknown: bool = False) -> bytes:
    """All its values; `unknown`: all null."""
    values: Values = {key: None if unknown else value(entity) for key, entity in entities.items()}
    return encode_reading(Reading(ts=None, values=values))


def only(device: About, *keys: str) -> About:
    """The device with some of its entities."""
    entities = {key: device.entities[key] for key in keys}
    return msgspec.structs.replace(device, entities=entities)
