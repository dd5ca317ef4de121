"""mosquitto.conf from the templates in mosquitto/, and which Mosquitto it is for."""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Literal, get_args

from cli.broker_error import BrokerError
from config.addresses import is_address
from config.model import Settings

TEMPLATES = Path(__file__).parents[1] / "mosquitto"
Version = Literal["2.0", "2.1"]
VERSIONS: tuple[Version, ...] = get_args(Version)
# In mosquitto.conf what follows this line holds for every broker of ours.
_SHARED = "# Below: for every broker."
# In lan.nft what stands before this line removes the table.
_TABLE = "\n# At most"
_SIOCGIFADDR = 0x8915
# A connection takes 46 KB before it has said who it is, and the unit allows 1024 of them to all listeners.
# So many may come from the network; the others are for this machine.
_MOST_CONNECTIONS = 600
# Of one address; the kernel counts them: Mosquitto cannot, and 2.0.11 counts two down for each that ends.
_MOST_OF_ONE = 20
_ANYWHERE = "0.0.0.0"  # noqa: S104 — compared with, not bound to
# Settings that a reload does not take up: mosquitto.conf(5), "Not reloaded on reload signal".
_LISTENING: tuple[str, ...] = (
    "listener",
    "socket_domain",
    "protocol",
    "certfile",
    "keyfile",
    "ciphers",
    "tls_version",
    "max_connections",
)
_LISTENING += ("listener_allow_anonymous",)


def version() -> Version:
    """Which of VERSIONS is installed. Raises BrokerError."""
    program = binary()
    if program is None:
        raise BrokerError("mosquitto is not installed; --mosquitto says for which version to write")
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout  # noqa: S603 — the broker, by its full path
    words = said.split()
    number = words[2] if words[:2] == ["mosquitto", "version"] and len(words) > 2 else "unknown"
    parts = number.split(".")
    if parts[0] != "2" or len(parts) < 2:
        raise BrokerError(f"this is Mosquitto {number}; known are {' and '.join(VERSIONS)}")
    return VERSIONS[0] if parts[1] == "0" else VERSIONS[1]


def binary(name: str = "mosquitto") -> str | None:
    """Where a program of the system is; Debian keeps it where an ordinary user's PATH may not look."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    return shutil.which(name, path=path)


def addresses(listen: tuple[str, ...]) -> list[str]:
    """The addresses that `lan.listen` means now. Raises BrokerError for an interface without one."""
    return list(dict.fromkeys(one if is_address(one) else _address_of(one) for one in listen))


def _address_of(interface: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        except OSError as error:
            raise BrokerError(f"lan.listen: {interface} has no IPv4 address now: {error.strerror}") from error
    return socket.inet_ntoa(answer[20:24])


def names(settings: Settings, hostname: str) -> list[str]:
    """Names and addresses for the certificate, the one to show to people first."""
    mine = [one for one in addresses(settings.lan.listen) if one != _ANYWHERE]
    return list(dict.fromkeys((*settings.lan.names, *mine, f"{hostname.partition('.')[0]}.local", hostname)))


def render(settings: Settings, folder: Path, mosquitto: str) -> str:
    """The configuration of a broker whose files are in `folder`. Raises BrokerError."""
    if "\n" in str(folder):
        raise BrokerError("--out: a path of one line, please")
    marker = {"2.0": "", "2.1": "listener_allow_anonymous false"}[mosquitto]
    words = {
        "folder": folder,
        "local_port": settings.broker.port,
        "anonymous": marker,
        "mosquitto": mosquitto,
    }
    parts = [_fill("users.conf", words)]
    listeners = [
        {"address": address, "port": port, "protocol": protocol}
        for address in addresses(settings.lan.listen)
        for protocol, port in _ports(settings).items()
    ]
    parts += [
        _fill("lan.conf", words | listener | {"most": _MOST_CONNECTIONS // len(listeners)})
        for listener in listeners
    ]
    _, found, shared = _template("mosquitto.conf").partition(_SHARED)
    if not found:
        raise BrokerError(f"{TEMPLATES / 'mosquitto.conf'} lacks the line {_SHARED!r}")
    return "\n".join((*parts, shared.lstrip("\n")))


def _ports(settings: Settings) -> dict[str, int]:
    lan = settings.lan
    return {"mqtt": lan.port} | ({} if lan.websockets is None else {"websockets": lan.websockets})


def firewall(settings: Settings) -> str:
    """What keeps one address from taking all connections, for nft; without [lan] it removes that."""
    if not settings.lan.listen:
        return _template("lan.nft").partition(_TABLE)[0]
    ports = ", ".join(map(str, _ports(settings).values()))
    return _fill("lan.nft", {"ports": ports, "most": _MOST_OF_ONE})


def _fill(name: str, words: Mapping[str, object]) -> str:
    text = Template(_template(name)).substitute({key: str(value) for key, value in words.items()})
    return text.rstrip("\n") + "\n"


def _template(name: str) -> str:
    try:
        return (TEMPLATES / name).read_text(encoding="utf-8")
    except OSError as error:
        raise BrokerError(f"the template {TEMPLATES / name} cannot be read: {error.strerror}") from error


def needs_restart(old: str, new: str) -> bool:
    """Whether the listeners changed: a running broker keeps those it has."""
    return _listening(old) != _listening(new)


def _listening(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line.split(" ")[0] in _LISTENING]
