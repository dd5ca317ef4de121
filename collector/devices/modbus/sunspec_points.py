"""Which point of which SunSpec model is which entity, and its value: SunSpec Model Reference. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from collector.devices.description import Row, Value, Values
from collector.devices.modbus.words import rounded
from collector.devices.rows import SERIAL_NUMBER, common, measured, serial_number, status

# The library ships no types: what it makes is Any.
Model = Any
_F32_DIGITS = 7
_LARGEST = 10**18
INVERTERS = (101, 102, 103, 111, 112, 113)
TRACKERS = 160
METERS = (201, 202, 203, 204, 211, 212, 213, 214)
STORAGE = (124, 713, 802)
DER = 701
BATTERY = 802

_INVERTER: Mapping[str, str] = MappingProxyType(
    {
        "power": "W",
        "apparent_power": "VA",
        "reactive_power": "VAr",
        "frequency": "Hz",
        "voltage_l1": "PhVphA",
        "voltage_l2": "PhVphB",
        "voltage_l3": "PhVphC",
        "current": "A",
        "current_l1": "AphA",
        "current_l2": "AphB",
        "current_l3": "AphC",
        "energy_total": "WH",
        "dc_voltage": "DCV",
        "dc_power": "DCW",
        "temperature": "TmpCab",
    }
)
_METER: Mapping[str, str] = MappingProxyType(
    {
        "grid_power": "W",
        "grid_power_l1": "WphA",
        "grid_power_l2": "WphB",
        "grid_power_l3": "WphC",
        "grid_voltage_l1": "PhVphA",
        "grid_voltage_l2": "PhVphB",
        "grid_voltage_l3": "PhVphC",
        "grid_import_energy": "TotWhImp",
        "grid_export_energy": "TotWhExp",
        "frequency": "Hz",
    }
)
# 802's current and power have no sign that makers agree on: ChaSt says the direction, see sunspec.py.
POINTS: Mapping[int, Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(INVERTERS, _INVERTER),
        **dict.fromkeys(METERS, _METER),
        124: {"battery_soc": "ChaState", "battery_voltage": "InBatV"},
        DER: {
            "power": "W",
            "apparent_power": "VA",
            "reactive_power": "Var",
            "frequency": "Hz",
            "voltage_l1": "VL1",
            "voltage_l2": "VL2",
            "voltage_l3": "VL3",
            "current": "A",
            "current_l1": "AL1",
            "current_l2": "AL2",
            "current_l3": "AL3",
            "energy_total": "TotWhInj",
            "temperature": "TmpCab",
        },
        713: {"battery_soc": "SoC", "battery_soh": "SoH"},
        BATTERY: {"battery_soc": "SoC", "battery_soh": "SoH", "battery_voltage": "V"},
    }
)
_STATES: Mapping[int, str] = MappingProxyType(
    {
        1: "off",
        2: "sleeping",
        3: "starting",
        4: "producing",
        5: "throttled",
        6: "shutting_down",
        7: "fault",
        8: "standby",
    }
)
CHARGE_STATES: Mapping[int, str] = MappingProxyType(
    {1: "off", 2: "empty", 3: "discharging", 4: "charging", 5: "full", 6: "holding", 7: "testing"}
)
# Entity, point and words by model.
STATES: Mapping[int, tuple[str, str, Mapping[int, str]]] = MappingProxyType(
    {
        **dict.fromkeys(INVERTERS, ("status", "St", _STATES)),
        # 701 counts from 0 and calls producing running: the same words.
        DER: ("status", "InvSt", {code - 1: word for code, word in _STATES.items()}),
        124: ("battery_charge_state", "ChaSt", CHARGE_STATES),
        BATTERY: ("battery_charge_state", "ChaSt", CHARGE_STATES),
    }
)
KNOWN = (*INVERTERS, TRACKERS, *METERS, *STORAGE, DER)
# Its meters count export positive (SolarEdge, SunSpec Implementation Technical Note; evcc, solaredge-hybrid).
EXPORT_POSITIVE = ("SolarEdge",)
# How Fronius names the two trackers that are the battery (GEN24 Modbus manual; model 160, IDStr).
INTO_BATTERY, OUT_OF_BATTERY = "StCha", "StDisCha"
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
