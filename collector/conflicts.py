"""What two devices cannot share: a pin, a port that speaks to one device, a chip's address."""

from collections.abc import Iterator, Mapping
from typing import Any

from collector.device import TCP, baudrate
from collector.devices import registry
from collector.devices.description import I2cKind, ModbusKind, PolledKind, Poller, SettingError
from config.model import Device, Relay, Settings

_FIRST_BUS = 1
_MODBUS_TCP = 502
# BCM numbers that a bus takes: I2C 0 and 1, and the board's own serial port under all its names.
_I2C_PINS = {0: {0: "SDA", 1: "SCL"}, 1: {2: "SDA", 3: "SCL"}}
_SERIAL_PINS = {14: "TXD", 15: "RXD"}
_SERIAL_PORTS = ("/dev/serial0", "/dev/ttyAMA0", "/dev/ttyS0")

Wrong = tuple[str, str, str]


def conflicts(name: str, device: Device, others: Mapping[str, Device]) -> Iterator[Wrong]:
    """Where a device needs what another one has: field, what is wrong, what is allowed.

    All of them have passed `checking.mistakes`.
    """
    chip = _chip(device)
    for other, its in others.items():
        if other == name:
            continue
        for pin in sorted(_pins(device) & _pins(its)):
            yield "pin" if device.pin == pin else "levels", f"{other} has pin {pin} already", "one use a pin"
        if device.port is not None and _place(device.port) == _place(its.port):
            yield from _port(device, other, its)
        if chip is not None and chip == _chip(its) and not _beside(device, its):
            yield "address", f"{other} is the chip at {chip[1]:#04x} already", "one device a chip, or channel"


def bus_pins(devices: Mapping[str, Device]) -> dict[int, str]:
    """The pins that buses of these devices take, each with what it is and for whom."""
    found: dict[int, str] = {}
    for name, device in devices.items():
        if isinstance(registry.KINDS.get(device.kind), I2cKind):
            bus = _FIRST_BUS if device.bus is None else device.bus
            for pin, line in _I2C_PINS.get(bus, {}).items():
                found.setdefault(pin, f"{line} of I2C bus {bus}, which {name} uses")
        if device.port in _SERIAL_PORTS:
            for pin, line in _SERIAL_PINS.items():
                found.setdefault(pin, f"{line} of {device.port}, which {name} uses")
    return found


def on_bus_pins(settings: Settings) -> Iterator[Wrong]:
    """Relays and inputs on a pin that a bus takes: key, what is wrong, what is allowed."""
    taken = bus_pins(settings.device)
    uses = [(f"relay.{name}.pin", relay.pin) for name, relay in settings.relay.items()]
    uses += [
        (f"relay.{name}.feedback_pin", relay.feedback_pin)
        for name, relay in settings.relay.items()
        if relay.feedback_pin is not None
    ]
    for name, device in settings.device.items():
        uses += [(f"device.{name}.pin", device.pin)] if device.pin is not None else []
        uses += [(f"device.{name}.levels.{level}", pin) for level, pin in device.levels.items()]
    for key, pin in uses:
        if pin in taken:
            yield key, f"pin {pin} is {taken[pin]}", "another pin"


def taken_by_relays(device: Device, relays: Mapping[str, Relay]) -> Iterator[Wrong]:
    """Pins that the controller switches or watches, also those that this device's bus takes."""
    taken = bus_pins({"it": device})
    for relay, its in relays.items():
        for pin in sorted(_pins(device).intersection({its.pin, its.feedback_pin})):
            yield "pin" if device.pin == pin else "levels", f"relay.{relay} has pin {pin}", "other pins"
        for pin in sorted(set(taken) & {its.pin, its.feedback_pin} - {None}):
            field = "port" if device.port in _SERIAL_PORTS else "bus"
            yield (
                field,
                f"relay.{relay} has pin {pin}, which the bus needs",
                "another bus, or another relay pin",
            )


def _pins(device: Device) -> set[int]:
    return {*device.levels.values(), *(() if device.pin is None else (device.pin,))}


def _is_serial(device: Device) -> bool:
    kind = registry.KINDS.get(device.kind)
    return isinstance(kind, PolledKind) and device.port is not None and not device.port.startswith(TCP)


def _port(device: Device, other: str, its: Device) -> Iterator[Wrong]:
    # Modbus is a bus: all on it listen, at one speed. Everything else on a port is alone there.
    if not all(isinstance(registry.KINDS.get(one.kind), ModbusKind) for one in (device, its)):
        yield "port", f"{other} has {device.port} for itself", "a port of its own"
        return
    if _is_serial(device) and (speed := _speed(its)) != _speed(device):
        yield "baudrate", f"{other} is on {device.port} with {speed}", f"{speed} on that port"
    if (unit := _unit(device)) is not None and unit == _unit(its):
        yield "unit", f"{other} is unit {unit} on {device.port} already", "one device a unit"


def _place(port: str | None) -> str | None:
    """A port in one spelling: that of Modbus TCP is 502 unless it is said."""
    if port is None or not port.startswith(TCP):
        return port
    host = port.removeprefix(TCP).rstrip("/").lower()
    return f"{TCP}{host}" if ":" in host else f"{TCP}{host}:{_MODBUS_TCP}"


def _unit(device: Device) -> int | None:
    return device.unit or getattr(_made(device), "unit", None)


def _speed(device: Device) -> int:
    return baudrate(device, _made(device))


def _made(device: Device) -> Poller[Any] | None:
    """The device; None if it cannot be made, such as one that an earlier version took."""
    kind = registry.KINDS.get(device.kind)
    try:
        return kind.make(device) if isinstance(kind, PolledKind) else None
    except SettingError:
        return None


def _chip(device: Device) -> tuple[int, int] | None:
    if not isinstance(registry.KINDS.get(device.kind), I2cKind):
        return None
    # As the kind has it: most owners leave it out.
    address = getattr(_made(device), "address", None)
    return None if address is None else (_FIRST_BUS if device.bus is None else device.bus, address)


def _beside(device: Device, its: Device) -> bool:
    """Whether they are two channels of one chip, such as a tank's sender beside a battery's voltage."""
    channels = (device.channel, its.channel)
    return None not in channels and device.channel != its.channel
