"""Which point of which SunSpec model is which entity: SunSpec Information Model Reference. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

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
