"""The points of pysunspec2's models as values of entities. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from collector.devices.description import Row, Value, Values
from collector.devices.modbus_words import rounded
from collector.devices.rows import SERIAL_NUMBER, common, measured, serial_number, status
from collector.devices.sunspec_models import (
    CHARGE_STATES,
    INTO_BATTERY,
    INVERTERS,
    OUT_OF_BATTERY,
    STATES,
    TRACKERS,
)

# The library ships no types: what it makes is Any.
Model = Any
_F32_DIGITS = 7
_LARGEST = 10**18
OWN_ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "dc_voltage": measured("DC voltage", "V", optional=True),
        "dc_power": measured("DC power", "W", optional=True),
        SERIAL_NUMBER: serial_number(),
    }
)


def number(model: Model, name: str, group: Model = None) -> Decimal | None:
    """A point with its scale factor, None if it is not implemented or not a finite number."""
    point = (group or model).points.get(name)
    if point is None or not isinstance(point.value, int | float):
        return None
    value = Decimal(f"{point.value:.{_F32_DIGITS}g}" if isinstance(point.value, float) else point.value)
    if not value.is_finite():
        return None
    scale = point.pdef.get("sf")
    if scale is None:
        return value
    power = model.points.get(scale)
    return (
        None if power is None or power.value is None or abs(power.value) > 10 else value.scaleb(power.value)
    )


def text(model: Model, name: str) -> str | None:
    """A text point, None if it is empty."""
    value = model.points[name].value if name in model.points else None
    return value.strip() or None if isinstance(value, str) else None


def directed(model: Model, name: str) -> float | None:
    """Power or current of a battery whose state of charge says which way it flows."""
    value, code = number(model, name), number(model, "ChaSt")
    if value is None or code is None:
        return None
    sign = {"charging": 1, "discharging": -1}.get(CHARGE_STATES.get(int(code), ""))
    if sign is None:
        return 0 if value == 0 else None
    return shown("battery_power" if name == "W" else "battery_current", abs(value) * sign)


def trackers(models: tuple[Model, ...], *, storage: bool, dc_power: Value) -> Values:
    """PV power and what each tracker says; trackers that are a battery are told by their names."""
    values: Values = {}
    into = out = None
    pv: list[Decimal] = []
    modules = [
        (model, module)
        for model in models
        if model.model_id == TRACKERS
        for module in model.groups.get("module", [])
    ]
    for place, (model, module) in enumerate(modules, 1):
        name, power = text(module, "IDStr") or "", number(model, "DCW", module)
        if name.startswith(INTO_BATTERY):
            into = power
        elif name.startswith(OUT_OF_BATTERY):
            out = power
        else:
            pv += [] if power is None else [max(power, Decimal(0))]
            for entity, point in (("pv_voltage", "DCV"), ("pv_current", "DCA"), ("pv_power", "DCW")):
                value = number(model, point, module)
                values[f"{entity}_{place}"] = None if value is None else shown(entity, value)
    if into is not None and out is not None:
        values["battery_power"] = shown("battery_power", into - out)
    if pv and (not storage or into is not None):
        values["pv_power"] = shown("pv_power", sum(pv, Decimal(0)))
    elif not storage and isinstance(dc_power, int | float) and any(m.model_id in INVERTERS for m in models):
        values["pv_power"] = max(dc_power, 0)
    return values


def row(entity: str) -> Row:
    """The row of an entity that this kind can have."""
    for name, _, words in STATES.values():
        if entity == name:
            title = "Status" if entity == "status" else "Battery charge state"
            return status(title, tuple(words.values()), optional=True)
    return common(entity, optional=True) or OWN_ROWS[entity]


def shown(entity: str, value: Decimal) -> float | None:
    """The value with its row's decimals, None if it cannot be meant."""
    if abs(value) > _LARGEST:
        return None
    return rounded(value, row(entity).entity.precision or 0)
