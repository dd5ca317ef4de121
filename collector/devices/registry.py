"""The kinds of device there are: one line each. A kind's file is loaded when it is first asked for."""

import importlib
from collections.abc import Iterator, Mapping

from collector.devices.description import Kind, Wire
from collector.devices.victron.records import RECORDS

BLE, I2C, GPIO, HOST = Wire.BLE, Wire.I2C, Wire.GPIO, Wire.HOST
MODBUS, ROUTE_B, VE_DIRECT = Wire.MODBUS, Wire.ROUTE_B, Wire.VE_DIRECT

# Name of the kind, what its devices hang on (as its own row says), the file that describes it.
LINES: tuple[tuple[str, Wire, str], ...] = (
    ("ads1115_voltage", I2C, "i2c.ads1115"),
    ("epever_tracer", MODBUS, "modbus.device"),
    ("gpio_input", GPIO, "gpio"),
    ("ina219", I2C, "i2c.ina219"),
    ("modbus", MODBUS, "modbus.device"),
    ("raspberry_pi", HOST, "raspberry_pi"),
    ("route_b_meter", ROUTE_B, "route_b"),
    ("sunspec", MODBUS, "modbus.sunspec"),
    ("tank_sender", I2C, "i2c.ads1115"),
    ("tank_switches", GPIO, "gpio"),
    ("vedirect", VE_DIRECT, "vedirect.engine"),
    ("victron", BLE, "victron.engine"),
    *((name, BLE, "victron.engine") for name in RECORDS),
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
    """Return the kind of that name. Raises ValueError listing the names that exist."""
    found = KINDS.get(name)
    if found is None:
        raise ValueError(f"there is no kind of device {name!r}: allowed are {', '.join(sorted(KINDS))}")
    return found
