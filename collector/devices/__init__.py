"""The kinds of device there are: one line each. A kind's file is loaded when it is first asked for."""

import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from collector.devices.description import Kind, Origin, Recognised, Wire

BLE, BLE_GATT, I2C, GPIO = Wire.BLE, Wire.BLE_GATT, Wire.I2C, Wire.GPIO
HOST, KERNEL = Wire.HOST, Wire.KERNEL
MODBUS, ROUTE_B, VE_DIRECT = Wire.MODBUS, Wire.ROUTE_B, Wire.VE_DIRECT
METER = Wire.METER

_VICTRON = "victron.ble"
# Name of the kind, what its devices hang on (as its own row says), the file that describes it. Each of
# Victron's records is one more.
LINES: tuple[tuple[str, Wire, str], ...] = (
    ("ads1115_voltage", I2C, "i2c.ads1115"),
    ("bme280", I2C, "i2c.climate"),
    ("bms_daly", BLE_GATT, "bms.daly"),
    ("bms_jbd", BLE_GATT, "bms.jbd"),
    ("bms_jk", BLE_GATT, "bms.jk"),
    ("bms_litime", BLE_GATT, "bms.litime"),
    ("bms_renogy", BLE_GATT, "bms.renogy"),
    ("bms_topband", BLE_GATT, "bms.topband"),
    ("bthome", BLE, "senders.bthome"),
    ("ds18b20", KERNEL, "kernel.one_wire"),
    ("epever_tracer", MODBUS, "modbus.device"),
    ("gobius", BLE, "senders.tanks"),
    ("gpio_input", GPIO, "gpio"),
    ("iec62056_meter", METER, "meters"),
    ("ina219", I2C, "i2c.ina"),
    ("ina226", I2C, "i2c.ina"),
    ("ina228", I2C, "i2c.ina"),
    ("ina3221", I2C, "i2c.ina"),
    ("kernel_sensor", KERNEL, "kernel.sensor"),
    ("modbus", MODBUS, "modbus.device"),
    ("mopeka", BLE, "senders.tanks"),
    ("p1_meter", METER, "meters"),
    ("pulse_counter", GPIO, "gpio"),
    ("raspberry_pi", HOST, "raspberry_pi"),
    ("route_b_meter", ROUTE_B, "route_b"),
    ("ruuvi", BLE, "senders.ruuvi"),
    ("sht3x", I2C, "i2c.climate"),
    ("sml_meter", METER, "meters"),
    ("sunspec", MODBUS, "modbus.sunspec"),
    ("tank_sender", I2C, "i2c.ads1115"),
    ("tank_switches", GPIO, "gpio"),
    ("vedirect", VE_DIRECT, "victron.vedirect"),
    ("victron", BLE, _VICTRON),
)
# What a radio listens for, and the file that reads it. The companies: Bluetooth SIG, Assigned Numbers; 0x0059
# is Nordic Semiconductor's, whose chips send as it if nobody tells them otherwise.
ORIGINS: Mapping[Origin, str] = {
    0x02E1: _VICTRON,
    0x0499: "senders.ruuvi",
    0x0059: "senders.tanks",
    0x0F53: "senders.tanks",
    "0000fcd2-0000-1000-8000-00805f9b34fb": "senders.bthome",
}
_WIRES = {name: wire for name, wire, _ in LINES}
_FILES = {name: file for name, _, file in LINES}


def _module(file: str) -> Any:  # noqa: ANN401 — each file has the names that its lines ask for
    return importlib.import_module(f"{__name__}.{file}")


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
            module = _module(_FILES.get(name, _VICTRON))
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


def recognise(origin: Origin, data: bytes, address: str) -> Recognised | None:
    """Guess without a key whose data this is; None: it is of no maker that we know."""
    found: Recognised | None = _module(ORIGINS[origin]).recognise(origin, data, address)
    return found
