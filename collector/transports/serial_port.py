"""Serial ports by path or pyserial URL; the only file with pyserial. What goes wrong becomes a LineError."""

import errno
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import serial

from collector.devices.description import LineError

# What an adapter's driver may raise when the cable is pulled, besides pyserial's own errors.
_TROUBLES = (OSError, termios.error)


def open_port(port: str, baudrate: int, *, timeout: float) -> serial.SerialBase:
    """The open port, 8N1, locked against a second reader; reads end after `timeout` s. Raises LineError."""
    try:
        # A network port knows no lock: `exclusive` is for ours only.
        options = {} if "://" in port else {"exclusive": True}
        return serial.serial_for_url(
            port, baudrate=baudrate, timeout=timeout, write_timeout=timeout, **options
        )
    except _TROUBLES as error:
        raise LineError(_advice(port, error)) from error
    except ValueError as error:
        raise LineError(f"{port}: {error}") from error


@contextmanager
def guarded(port: str) -> Iterator[None]:
    """What the port raises inside becomes a LineError: the cable was pulled, or the tunnel ended."""
    try:
        yield
    except _TROUBLES as error:
        raise LineError(_advice(port, error)) from error


def close_port(opened: serial.SerialBase) -> None:
    """Close it, also when its cable is gone."""
    with suppress(*_TROUBLES):
        opened.close()


def _advice(port: str, error: Exception) -> str:
    code = error.errno if isinstance(error, OSError) else error.args[0] if error.args else None
    text = str(error)
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return f"{port} is not there: is the cable plugged in, is the name right?"
    if code in (errno.EACCES, errno.EPERM):
        return f"{port}: permission denied: the user of this service must be in the group dialout"
    if code in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text:
        return f"{port} is in use by another program"
    if "://" in port:
        return f"{port} cannot be reached: {text}"
    return f"{port} was lost: {text}"
