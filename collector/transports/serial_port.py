"""Serial ports by path or pyserial URL; the only file with pyserial. What goes wrong becomes a LineError."""

import errno
import logging
import queue
import socket
import termios
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import serial

from collector.devices.description import LineError
from collector.transports.library import failure

log = logging.getLogger(__name__)

_NO_PORT = "is no port: allowed are a path, socket://host:port and rfc2217://host:port?timeout=seconds"

# What an adapter's driver may raise when the cable is pulled, besides pyserial's own errors.
_TROUBLES = (OSError, termios.error)
_RFC2217 = "rfc2217://"
# What a device says by itself between two polls would else fill the memory.
_MOST_WAITING = 65536


def open_port(port: str, baudrate: int, *, timeout: float) -> serial.SerialBase:
    """Open a port, 8N1, locked against a second reader; reads end after `timeout` s. Raises LineError.

    At rfc2217:// pyserial waits 5 s for the connection and for each of seven answers as long as the URL's
    ?timeout= says, else 3 s; a server that never negotiates is given up at the first.
    """
    try:
        opened = serial.serial_for_url(port, baudrate=baudrate, timeout=timeout, **_options(port, timeout))
    except _TROUBLES as error:
        raise LineError(_advice(port, error)) from error
    except ValueError as error:
        log.debug("%s: %s", port, error)
        raise LineError(f"{port} {_NO_PORT}") from error
    if port.startswith(_RFC2217):
        # Its thread reads on while nobody asks, into a queue without end.
        opened._read_buffer = _Newest()  # noqa: SLF001 — pyserial has no setting for it
    return opened


def _options(port: str, timeout: float) -> dict[str, object]:
    if port.startswith(_RFC2217):
        # pyserial's client refuses a write time-out; its socket has one of 5 s.
        return {}
    # A network port knows no lock: `exclusive` is for ours only.
    return {"write_timeout": timeout} if "://" in port else {"write_timeout": timeout, "exclusive": True}


class _Newest(queue.Queue[bytes | None]):
    """A queue of bytes that forgets the oldest."""

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 — the name is the library's
        self.queue = deque(maxlen=_MOST_WAITING)


def forget_received(opened: serial.SerialBase) -> None:
    """Forget what came and was not read."""
    if str(opened.port).startswith(_RFC2217):
        # pyserial would ask the server to do so too: it keeps nothing, and not every server can.
        opened.read(opened.in_waiting)
    else:
        opened.reset_input_buffer()


def forget_unsent(opened: serial.SerialBase) -> None:
    """Forget what was written and not sent yet."""
    if not str(opened.port).startswith(_RFC2217):
        opened.reset_output_buffer()


def set_timeout(opened: serial.SerialBase, seconds: float) -> None:
    """Let reads end after so many seconds; one by RFC 2217 keeps its own, for it would negotiate anew."""
    if opened.timeout != seconds and not str(opened.port).startswith(_RFC2217):
        opened.timeout = seconds


@contextmanager
def guarded(port: str) -> Iterator[None]:
    """Turn what the port raises inside into a LineError: the cable was pulled, or the tunnel ended."""
    try:
        yield
    except _TROUBLES as error:
        raise LineError(_advice(port, error)) from error


def send(opened: serial.SerialBase, data: bytes) -> None:
    """Write, and wait until it has left the port."""
    opened.write(data)
    opened.flush()


def set_speed(opened: serial.SerialBase, baudrate: int) -> None:
    """Change the speed of an open port, bit/s."""
    opened.baudrate = baudrate


def close_port(opened: serial.SerialBase) -> None:
    """Close it, also when its cable is gone."""
    with suppress(*_TROUBLES):
        opened.close()


def _advice(port: str, error: Exception) -> str:
    # pyserial tells of a network port only in words what the system said.
    cause = error.__context__ if isinstance(error.__context__, OSError) and "://" in port else error
    code = cause.errno if isinstance(cause, OSError) else error.args[0] if error.args else None
    text = str(error)
    if "://" in port:
        return _advice_on_network(port, cause, text)
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return f"{port} is not there: is the cable plugged in, is the name right?"
    if code in (errno.EACCES, errno.EPERM):
        return f"{port}: permission denied: the user of this service must be in the group dialout"
    if code in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text:
        return f"{port} is in use by another program"
    if code == errno.EIO or "device disconnected" in text:
        return f"{port} was lost: was the cable pulled, or does another program use it, too?"
    return (
        f"{port} was lost: {failure('pyserial', error, 'unplug the adapter for a moment, plug it in again')}"
    )


def _advice_on_network(port: str, cause: BaseException, text: str) -> str:
    log.debug("%s: %s", port, text)
    if "support RFC2217" in text:
        return f"{port} does not answer by RFC 2217: if it carries plain bytes, its URL begins with socket://"
    if "expected a string in the form" in text:
        return f"{port} {_NO_PORT}"
    if isinstance(cause, socket.gaierror):
        return f"{port} cannot be reached: there is no such host: is the name right, is the network up?"
    if isinstance(cause, ConnectionRefusedError):
        return f"{port} cannot be reached: it refuses connections: is its program running, is the port right?"
    return f"{port} cannot be reached: is it switched on and in this network?"
