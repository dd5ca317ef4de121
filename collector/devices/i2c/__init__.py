"""Chips on an I2C bus, one file per kind or family; here what they share: addresses and registers.

Registers have 16 bits unless said otherwise, and go high byte first.
"""

from collector.devices.description import BadRecordError, SettingError
from collector.devices.lines import I2cLine
from config.model import Device


def chip_address(device: Device, addresses: range) -> int:
    """Read the setting `address`, a number or a text such as "0x40"; the chip's first is the default.

    Raises SettingError.
    """
    given = addresses[0] if device.address is None else device.address
    try:
        address = int(given, 0) if isinstance(given, str) else given
    except ValueError:
        address = -1
    if address not in addresses:
        shown = given if isinstance(given, str) else f"{given:#04x}"
        allowed = f"{addresses[0]:#04x} to {addresses[-1]:#04x}"
        raise SettingError("address", f"{shown} is none of this chip's", allowed)
    return address


def read_number(line: I2cLine, address: int, register: int, size: int, *, signed: bool = False) -> int:
    """Read a register of `size` bytes. Raises DecodeError or LineError."""
    data = line.read(address, register, size)
    if len(data) != size:
        raise BadRecordError(f"{address:#04x} sent {len(data)} bytes instead of {size}")
    return int.from_bytes(data, "big", signed=signed)


def read_word(line: I2cLine, address: int, register: int) -> int:
    """Read a register, 0 to 65535. Raises DecodeError or LineError."""
    return read_number(line, address, register, 2)


def write_word(line: I2cLine, address: int, register: int, value: int) -> None:
    """Set a register. Raises DecodeError or LineError."""
    line.write(address, register, value.to_bytes(2, "big"))


def signed(word: int) -> int:
    """Read a register in two's complement as a number."""
    return word - 0x10000 if word & 0x8000 else word
