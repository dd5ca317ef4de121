"""What two devices cannot share: a pin, a port that speaks to one device, a chip's address."""

from collections.abc import Iterator, Mapping
from typing import Any

from collector.devices import registry
from collector.devices.description import I2cKind, ModbusKind, PolledKind, Poller, SettingError
from collector.ownership import TCP, baudrate
from config.model import Device, Relay

_FIRST_BUS = 1

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
        if _is_serial(device) and device.port == its.port:
            yield from _port(device, other, its)
        if chip is not None and chip == _chip(its) and not _beside(device, its):
            yield "address", f"{other} is the chip at {chip[1]:#04x} already", "one device a chip, or channel"


def taken_by_relays(device: Device, relays: Mapping[str, Relay]) -> Iterator[Wrong]:
    """Pins that the controller switches or watches."""
    for relay, its in relays.items():
        for pin in sorted(_pins(device).intersection({its.pin, its.feedback_pin})):
            yield "pin" if device.pin == pin else "levels", f"relay.{relay} has pin {pin}", "other pins"


def _pins(device: Device) -> set[int]:
    return {*device.levels.values(), *(() if device.pin is None else (device.pin,))}


def _is_serial(device: Device) -> bool:
    kind = registry.KINDS.get(device.kind)
    return isinstance(kind, PolledKind) and device.port is not None and not device.port.startswith(TCP)


def _port(device: Device, other: str, its: Device) -> Iterator[Wrong]:
    # Modbus is a bus: all on it listen, at one speed. Everything else on a port is alone there.
    if not all(isinstance(registry.KINDS.get(one.kind), ModbusKind) for one in (device, its)):
        yield "port", f"{other} has {device.port} for itself", "a port of its own"
    elif (speed := _speed(its)) != _speed(device):
        yield "baudrate", f"{other} is on {device.port} with {speed}", f"{speed} on that port"


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
