"""Which line a device hangs on: its name, shared by all on it, and how it is made."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from collector.device import TCP, Owned, baudrate
from collector.devices.description import Line, Wire
from config.model import Controller

log = logging.getLogger(__name__)

# Transports are imported in the functions: a process carries only the libraries of its own lines.


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a line may know of its process: folders of data and of what a boot forgets, how the broker is.

    `controller` says how the board's pins are reached; what they turn out to be is told to `tell_pins`.
    """

    state: Path = Path("/")
    runtime: Path | None = None
    broker_up: Callable[[], bool | None] | None = None
    controller: Controller = field(default_factory=Controller)
    tell_pins: Callable[[str], None] = log.debug


Named = tuple[str, Callable[[], Line]]
_NOWHERE = Surroundings()


def line_of(device: Owned, around: Surroundings = _NOWHERE) -> Named:
    """The name of the device's line, and what makes the line.

    The name holds all that the line is made of: with other settings it is another line.
    """
    return _LINES[device.kind.wire](device, around)


def _i2c(device: Owned, _around: Surroundings) -> Named:
    from collector.transports.board import I2cBus  # noqa: PLC0415 — see above

    bus = device.settings.bus if device.settings.bus is not None else 1
    return f"i2c-{bus}", lambda: I2cBus(bus)


def _modbus(device: Owned, around: Surroundings) -> Named:
    over_tcp = (device.settings.port or "").startswith(TCP)
    return (_modbus_tcp if over_tcp else _modbus_rtu)(device, around)


def _modbus_rtu(device: Owned, _around: Surroundings) -> Named:
    from collector.transports.modbus_rtu import ModbusRtu  # noqa: PLC0415 — see above

    port, speed = device.settings.port or "", baudrate(device.settings, device.poller)
    return f"{port} at {speed} baud", lambda: ModbusRtu(port, speed)


def _modbus_tcp(device: Owned, _around: Surroundings) -> Named:
    from collector.devices.modbus import tcp_address  # noqa: PLC0415 — see above
    from collector.transports.modbus_tcp import ModbusTcp  # noqa: PLC0415 — see above

    host, port = tcp_address(device.settings.port or "")
    return f"{host}:{port}", lambda: ModbusTcp(host, port)


def _gpio(_device: Owned, around: Surroundings) -> Named:
    from bus.pins import make_inputs  # noqa: PLC0415 — see above
    from collector.transports.board import Gpio  # noqa: PLC0415 — see above

    return "gpio", lambda: Gpio(make_inputs(around.controller, "boondock collector_gpio"), around.tell_pins)


def _host(_device: Owned, around: Surroundings) -> Named:
    from collector.transports.board import Host  # noqa: PLC0415 — see above

    return "host", lambda: Host(state=around.state, runtime=around.runtime, broker_up=around.broker_up)


def _route_b(device: Owned, _around: Surroundings) -> Named:
    from collector.transports.route_b import RouteB  # noqa: PLC0415 — see above

    settings = device.settings
    port, who, password = settings.port or "", settings.route_b_id or "", settings.route_b_password or ""
    # Hashes of texts are salted anew by each process: this one tells nothing of the secrets.
    return f"route B at {port}, session {hash((who, password)):x}", lambda: RouteB(port, who, password)


def _vedirect(device: Owned, _around: Surroundings) -> Named:
    from collector.transports.vedirect import VeDirect  # noqa: PLC0415 — see above

    port = device.settings.port or ""
    return f"VE.Direct at {port}", lambda: VeDirect(port)


_LINES: Mapping[Wire, Callable[[Owned, Surroundings], Named]] = {
    Wire.GPIO: _gpio,
    Wire.HOST: _host,
    Wire.I2C: _i2c,
    Wire.MODBUS: _modbus,
    Wire.ROUTE_B: _route_b,
    Wire.VE_DIRECT: _vedirect,
}
