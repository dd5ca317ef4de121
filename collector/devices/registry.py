"""The kinds of device there are: one line each. A kind's file is loaded when it is first asked for."""

import importlib
from collections.abc import Iterator, Mapping

from collector.devices.description import Kind, Wire

BLE, I2C, GPIO, HOST = Wire.BLE, Wire.I2C, Wire.GPIO, Wire.HOST
MODBUS, ROUTE_B, VE_DIRECT = Wire.MODBUS, Wire.ROUTE_B, Wire.VE_DIRECT

# Name of the kind, what its devices hang on (as its own row says), the file that describes it.
LINES: tuple[tuple[str, Wire, str], ...] = (
    ("ads1115_voltage", I2C, "ads1115"),
    ("epever_tracer", MODBUS, "modbus.device"),
    ("gpio_input", GPIO, "gpio_input"),
    ("ina219", I2C, "ina219"),
    ("modbus", MODBUS, "modbus.device"),
    ("raspberry_pi", HOST, "raspberry_pi"),
    ("route_b_meter", ROUTE_B, "route_b_meter"),
    ("sunspec", MODBUS, "modbus.sunspec"),
    ("tank_sender", I2C, "tank_sender"),
    ("tank_switches", GPIO, "tank_switches"),
    ("vedirect", VE_DIRECT, "vedirect"),
    ("victron", BLE, "victron_auto"),
    ("victron_ac_charger", BLE, "victron_ac_charger"),
    ("victron_battery_monitor", BLE, "victron_battery_monitor"),
    ("victron_battery_sense", BLE, "victron_battery_sense"),
    ("victron_dc_dc_converter", BLE, "victron_dc_dc_converter"),
    ("victron_dc_energy_meter", BLE, "victron_dc_energy_meter"),
    ("victron_inverter", BLE, "victron_inverter"),
    ("victron_lynx_bms", BLE, "victron_lynx_bms"),
    ("victron_multi_rs", BLE, "victron_multi_rs"),
    ("victron_orion_xs", BLE, "victron_orion_xs"),
    ("victron_smart_battery_protect", BLE, "victron_smart_battery_protect"),
    ("victron_smart_lithium", BLE, "victron_smart_lithium"),
    ("victron_solar_charger", BLE, "victron_solar_charger"),
    ("victron_ve_bus", BLE, "victron_ve_bus"),
)


class _Kinds(Mapping[str, Kind]):
    """The kinds by name; a process pays only for those it asks for."""

    def __init__(self) -> None:
        self._files = {name: file for name, _, file in LINES}
        self._loaded: dict[str, Kind] = {}

    def __getitem__(self, name: str) -> Kind:
        if name not in self._loaded:
            module = importlib.import_module(f"{__package__}.{self._files[name]}")
            self._loaded[name] = module.KINDS[name] if hasattr(module, "KINDS") else module.KIND
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


KINDS: Mapping[str, Kind] = _Kinds()
_WIRES = {name: wire for name, wire, _ in LINES}


def wire(name: str) -> Wire:
    """Return what a kind's devices hang on, without loading it. Raises KeyError."""
    return _WIRES[name]


def kind(name: str) -> Kind:
    """The kind of that name. Raises ValueError listing the names that exist."""
    found = KINDS.get(name)
    if found is None:
        raise ValueError(f"there is no kind of device {name!r}: allowed are {', '.join(sorted(KINDS))}")
    return found
