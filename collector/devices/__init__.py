"""The kinds of device there are: one line each. A kind's file is loaded when it is first asked for."""

import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property

from collector.devices.description import Kind, Wire

BLE, I2C, GPIO, HOST, KERNEL = Wire.BLE, Wire.I2C, Wire.GPIO, Wire.HOST, Wire.KERNEL
MODBUS, ROUTE_B, VE_DIRECT = Wire.MODBUS, Wire.ROUTE_B, Wire.VE_DIRECT

# Name of the kind, what its devices hang on (as its own row says), the file that describes it. Each of
# Victron's records is one more.
LINES: tuple[tuple[str, Wire, str], ...] = (
    ("ads1115_voltage", I2C, "i2c.ads1115"),
    ("bme280", I2C, "i2c.climate"),
    ("ds18b20", KERNEL, "kernel.one_wire"),
    ("epever_tracer", MODBUS, "modbus.device"),
    ("gpio_input", GPIO, "gpio"),
    ("ina219", I2C, "i2c.ina"),
    ("ina226", I2C, "i2c.ina"),
    ("ina228", I2C, "i2c.ina"),
    ("ina3221", I2C, "i2c.ina"),
    ("kernel_sensor", KERNEL, "kernel.sensor"),
    ("modbus", MODBUS, "modbus.device"),
    ("pulse_counter", GPIO, "gpio"),
    ("raspberry_pi", HOST, "raspberry_pi"),
    ("route_b_meter", ROUTE_B, "route_b"),
    ("sht3x", I2C, "i2c.climate"),
    ("sunspec", MODBUS, "modbus.sunspec"),
    ("tank_sender", I2C, "i2c.ads1115"),
    ("tank_switches", GPIO, "gpio"),
    ("vedirect", VE_DIRECT, "victron.vedirect"),
    ("victron", BLE, "victron.ble"),
)
_WIRES = {name: wire for name, wire, _ in LINES}
_FILES = {name: file for name, _, file in LINES}


class _Kinds(Mapping[str, Kind]):
    """The kinds by name; a process pays only for those it asks for."""

    def __init__(self) -> None:
        self._loaded: dict[str, Kind] = {}

    @cached_property
    def _records(self) -> Mapping[str, object]:
        # A table of its own size: only for whoever asks for a kind that no line names.
        from collector.devices.victron.records import RECORDS  # noqa: PLC0415 — as above

        return RECORDS

    def __getitem__(self, name: str) -> Kind:
        if name not in self:
            raise KeyError(name)
        if name not in self._loaded:
            module = importlib.import_module(f"{__name__}.{_FILES.get(name, 'victron.ble')}")
            self._loaded[name] = module.KINDS[name] if hasattr(module, "KINDS") else module.KIND
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in _FILES or name in self._records

    def __iter__(self) -> Iterator[str]:
        return iter((*_FILES, *self._records))

    def __len__(self) -> int:
        return len(_FILES) + len(self._records)


KINDS: Mapping[str, Kind] = _Kinds()


def wire_of(name: str) -> Wire:
    """Return what a kind's devices hang on, without loading it. Raises KeyError."""
    if name not in KINDS:
        raise KeyError(name)
    return _WIRES.get(name, BLE)


def find_kind(name: str) -> Kind:
    """Return the kind of that name. Raises ValueError listing the names that exist."""
    found = KINDS.get(name)
    if found is None:
        raise ValueError(f"there is no kind of device {name!r}: allowed are {', '.join(sorted(KINDS))}")
    return found
