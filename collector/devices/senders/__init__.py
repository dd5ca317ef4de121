"""Sensors and tanks that advertise. Most are not encrypted: anybody near can send in their name."""

from collector.devices.description import BadRecordError
from config.model import Device

SILENCE_S = 600.0
"""Seconds between two frames that are no silence yet: batteries must last, and BlueZ repeats nothing."""
_TAIL = 3


def address_of(device: Device) -> bytes:
    """Return the Bluetooth address in the order in which it is written; nothing if it is none."""
    return _bytes_of(str(device.address).replace(":", ""))


def key_of(device: Device) -> bytes:
    """Return the encryption key; nothing if there is none."""
    return _bytes_of(device.key or "")


def _bytes_of(text: str) -> bytes:
    # What is no address and no key config/rules.py tells its owner, in better words.
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def require_own(tail: bytes, address: bytes) -> None:
    """Raise BadRecordError unless a frame's three bytes are the end of the address that it came from."""
    if tail != address[-_TAIL:]:
        raise BadRecordError(f"it names another device, with the address …{tail.hex(':').upper()}")


def require_length(frame: bytes, length: int, what: str) -> None:
    """Raise BadRecordError for a frame that is shorter than what it says it is."""
    if len(frame) < length:
        raise BadRecordError(f"{what} has {length} bytes, this frame {len(frame)}")
