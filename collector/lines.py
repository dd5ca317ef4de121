"""The lines of devices: which one a device hangs on by its settings, and what makes it."""

# ruff: noqa: PLC0415 — a process carries only the libraries of its own lines

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collector.device import Owned
from collector.devices.description import GattKind, Poller, Wire
from collector.devices.lines import Line, MeterPlace
from config.addresses import BLE, SOLARMAN, TCP
from config.model import Controller, Device

if TYPE_CHECKING:
    from collector.transports.gatt import Connections

log = logging.getLogger(__name__)

# Modbus over Serial Line V1.02, 3.2: 9600 must be supported by all.
_BAUDRATE = 9600


def baudrate(device: Device, poller: Poller[Any] | None) -> int:
    """Return a Modbus device's speed on a serial port: as set, else its kind's, else the standard's."""
    return device.baudrate or int(getattr(poller, "baudrate", _BAUDRATE))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a line may know of its process: folders of data and of what a boot forgets, how the broker is.

    `controller` says how the board's pins are reached; what they turn out to be is told to `tell_pins`. Steps
    that take long are told to `tell`; a smart meter at a known `meter_place` is not searched for. With
    `detail` each word on the line is logged, where its library can.
    """

    state: Path = Path("/")
    runtime: Path | None = None
    broker_up: Callable[[], bool | None] | None = None
    controller: Controller = field(default_factory=Controller)
    tell_pins: Callable[[str], None] = log.debug
    tell: Callable[[str], None] = log.debug
    meter_place: MeterPlace | None = None
    detail: bool = False
    # Of the radio of this process, if it has one.
    connections: "Connections | None" = None


Named = tuple[str, Callable[[], Line]]
_NOWHERE = Surroundings()


def line_of(device: Owned, around: Surroundings = _NOWHERE) -> Named:
    """Return the name of the device's line, and what makes the line.

    The name holds all that the line is made of: with other settings it is another line.
    """
    return _LINES[device.kind.wire](device, around)


def _i2c(device: Owned, _around: Surroundings) -> Named:
    from collector.transports.board import I2cBus

    bus = 1 if device.settings.bus is None else device.settings.bus
    return f"i2c-{bus}", lambda: I2cBus(bus)


def _gpio(device: Owned, around: Surroundings) -> Named:
    chip = device.settings.chip
    return f"gpio {chip}" if chip else "gpio", partial(_pins, around, chip)


def _pins(around: Surroundings, chip: str | None) -> Line:
    from bus.pins import make_inputs
    from collector.transports.board import Gpio
    from collector.transports.counts import CountFiles

    pins = make_inputs(around.controller, "boondock collector_gpio").on(chip)
    counts = None if around.runtime is None else CountFiles(around.runtime, around.state, chip)
    return Gpio(pins, around.tell_pins, counts)


def _host(_device: Owned, around: Surroundings) -> Named:
    from collector.transports.board import Host

    state, runtime, up = around.state, around.runtime, around.broker_up
    return "host", lambda: Host(state=state, runtime=runtime, broker_up=up)


def _kernel(device: Owned, _around: Surroundings) -> Named:
    from collector.transports.kernel import KernelFiles

    # A conversion on 1-Wire takes most of a second, which nobody else need wait for.
    return f"kernel files of {device.kind.name}", KernelFiles


def _modbus(device: Owned, around: Surroundings) -> Named:
    settings, port = device.settings, device.settings.port or ""
    if port.startswith(BLE):
        return _modbus_over_ble(device, around)
    if port.startswith(SOLARMAN):
        from collector.devices.modbus import tcp_address
        from collector.transports.solarman import SolarmanV5

        (host, number), logger = tcp_address(port), settings.logger
        return f"data logger {logger or ''} at {host}:{number}", lambda: SolarmanV5(host, number, logger)
    if port.startswith(TCP):
        from collector.devices.modbus import tcp_address
        from collector.transports.modbus_tcp import ModbusTcp

        host, number = tcp_address(port)
        return f"{host}:{number}", lambda: ModbusTcp(host, number)
    from collector.transports.modbus_rtu import ModbusRtu

    speed = baudrate(settings, device.poller)
    return f"{port} at {speed} baud", lambda: ModbusRtu(port, speed)


def _modbus_over_ble(device: Owned, around: Surroundings) -> Named:
    from collector.devices.bms.renogy import CHANNEL
    from collector.transports.gatt import GattConnection, GattModbus

    address = (device.settings.port or "").removeprefix(BLE).upper()
    make = partial(GattConnection, address, (CHANNEL,), _connections(around))
    return f"Modbus through {address}", lambda: GattModbus(make())


def _gatt(device: Owned, around: Surroundings) -> Named:
    from collector.transports.gatt import GattConnection

    kind, address = device.kind, str(device.settings.address).upper()
    assert isinstance(kind, GattKind)  # noqa: S101 — by its wire
    return f"connection to {address}", partial(GattConnection, address, kind.channels, _connections(around))


def _connections(around: Surroundings) -> "Connections":
    assert around.connections is not None  # noqa: S101 — the collector of such devices has a radio
    return around.connections


def _vedirect(device: Owned, _around: Surroundings) -> Named:
    from collector.transports.vedirect import VeDirectCable

    port = device.settings.port or ""
    return f"VE.Direct at {port}", lambda: VeDirectCable(port)


def _meter(device: Owned, _around: Surroundings) -> Named:
    from collector.devices.meters import way_of
    from collector.transports.meter_port import MeterPort

    port, way = device.settings.port or "", way_of(device.settings)
    return f"meter at {port}, {way}", lambda: MeterPort(port, way)


def _route_b(device: Owned, around: Surroundings) -> Named:
    from collector.transports.route_b import BAUDRATE, RouteB

    settings, port = device.settings, device.settings.port or ""
    who = (settings.route_b_id or "", settings.route_b_password or "")
    make = partial(RouteB, place=around.meter_place, tell=around.tell, detail=around.detail)
    speed = settings.baudrate or BAUDRATE
    # Hashes of texts are salted anew by each process: this one tells nothing of the secrets.
    session = hash((*who, speed))
    return f"route B at {port}, session {session:x}", lambda: make(port, *who, baudrate=speed)


_LINES: Mapping[Wire, Callable[[Owned, Surroundings], Named]] = {
    Wire.I2C: _i2c,
    Wire.GPIO: _gpio,
    Wire.HOST: _host,
    Wire.KERNEL: _kernel,
    Wire.MODBUS: _modbus,
    Wire.BLE_GATT: _gatt,
    Wire.VE_DIRECT: _vedirect,
    Wire.METER: _meter,
    Wire.ROUTE_B: _route_b,
}
