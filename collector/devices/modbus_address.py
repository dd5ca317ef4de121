"""How the port of a Modbus TCP device is written: tcp://host or tcp://host:port."""

from urllib.parse import urlsplit

TCP_SCHEME = "tcp"
DEFAULT_PORT = 502
FORM = "tcp://192.168.1.20, tcp://inverter.local:1502, or the path of a serial port"


def is_tcp(port: str) -> bool:
    """Whether a `port` setting means Modbus TCP."""
    return port.startswith(f"{TCP_SCHEME}://")


def tcp_address(port: str) -> tuple[str, int]:
    """Host and port number of a tcp:// setting. Raises ValueError saying what is wrong."""
    parts = urlsplit(port)
    number = parts.port
    if parts.scheme != TCP_SCHEME or not parts.hostname:
        raise ValueError(f"{port!r} names no host")
    if parts.path.strip("/") or parts.query or parts.username:
        raise ValueError(f"{port!r} has more than host and port")
    return parts.hostname, DEFAULT_PORT if number is None else number
