"""`boondock scan lan`: brokers, Home Assistant, Shelly, Victron and Modbus servers on the local network."""

import json
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from urllib.parse import urlsplit

from cli.install.system import System
from cli.progress import Progress
from cli.scan.found import Found
from cli.scan.mdns import Announced, browse

MODBUS = 502
SECONDS = 4.0
_TYPES = (
    "_mqtt._tcp",
    "_secure-mqtt._tcp",
    "_modbus._tcp",
    "_http._tcp",
    "_shelly._tcp",
    "_home-assistant._tcp",
)
_MODBUS_TYPE = "_modbus._tcp"
_SMALLEST = 24
_AT_ONCE, _CONNECT_S = 64, 0.8
# Networks inside this machine.
_INNER = ("docker", "br-", "veth", "virbr", "lxc")


@dataclass(frozen=True, slots=True)
class _What:
    """What a service is, by its type or by a word in its name, and what to do with it."""

    title: str
    advice: str


_BY_TYPE = {
    "_mqtt._tcp": _What("MQTT broker", "boondock configure broker"),
    "_secure-mqtt._tcp": _What("MQTT broker with TLS", "boondock configure broker"),
    "_home-assistant._tcp": _What("Home Assistant", "docs/home-assistant.md"),
    "_shelly._tcp": _What("Shelly", "docs/bring-your-own.md"),
}
# Of those that only say that they have a page.
_MAKERS = {
    "shelly": _BY_TYPE["_shelly._tcp"],
    "venus": _What("Victron GX", "docs/bring-your-own.md"),
    "victron": _What("Victron GX", "docs/bring-your-own.md"),
}


def scan(
    system: System,
    devices: Mapping[str, Mapping[str, object]],
    seconds: float = SECONDS,
    interfaces: Sequence[str] | None = None,
    port: int = MODBUS,
) -> list[Found]:
    """Listen for announcements, then try the Modbus port of every address of the own networks."""
    known = dict(_configured(devices))
    progress = Progress()
    try:
        heard = browse(_TYPES, seconds, lambda s: progress.show(s / seconds, "listening (mDNS)"), interfaces)
    except OSError as error:
        print(f"mDNS cannot be heard: {error.strerror or error}", file=sys.stderr)
        heard = []
    found = [one for one in map(_announced, heard) if one is not None]
    answers = {(one.address, one.port) for one in heard if one.service == _MODBUS_TYPE}
    for network in networks(system):
        answers |= {(address, port) for address in _answering(network, port, progress)}
    progress.done()
    for address, number in sorted(answers):
        names = sorted({one.host for one in heard if one.address == address})
        found.append(_modbus(address, number, names, known))
    return found


def _announced(one: Announced) -> Found | None:
    """A row of a service that somebody can do something with."""
    words = f"{one.name} {one.host}".lower()
    what = _BY_TYPE.get(one.service) or next((w for word, w in _MAKERS.items() if word in words), None)
    if what is None:
        return None
    return Found(address=f"{one.address}:{one.port}", name=one.name, what=what.title, advice=what.advice)


def _modbus(
    address: str, number: int, names: Sequence[str], known: Mapping[tuple[str, int], list[str]]
) -> Found:
    """A row of a Modbus server; which units it has, its collector asks."""
    port = f"tcp://{address}" + ("" if number == MODBUS else f":{number}")
    ours = [device for host in (address, *names) for device in known.get((host, number), [])]
    step = f"boondock scan modbus --port {port}"
    return Found(port=port, what=" ".join(("Modbus TCP", *names)), configured=ours, advice=step)


def _configured(devices: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[tuple[str, int], list[str]]]:
    """The devices of boondock.toml by host and port of their Modbus server."""
    found: dict[tuple[str, int], list[str]] = {}
    for name, one in devices.items():
        try:
            url = urlsplit(str(one.get("port", "")))
            if url.scheme == "tcp" and url.hostname:
                found.setdefault((url.hostname, url.port or MODBUS), []).append(name)
        except ValueError:  # no port's number; `boondock check` tells
            continue
    return iter(found.items())


def networks(system: System) -> list[IPv4Network]:
    """The private networks of this machine, of each at most the 256 addresses around its own."""
    found = []
    for link in json.loads(system.ask("ip", "-4", "-json", "address", "show", "up") or "[]"):
        name = str(link.get("ifname", ""))
        if "LOOPBACK" in link.get("flags", []) or name.startswith(_INNER):
            continue
        for one in link.get("addr_info", []):
            at = IPv4Interface(f"{one['local']}/{max(int(one['prefixlen']), _SMALLEST)}")
            if at.ip.is_private and not at.ip.is_link_local:
                found.append(at.network)
    return list(dict.fromkeys(found))


def _answering(network: IPv4Network, port: int, progress: Progress) -> Iterable[str]:
    """The addresses of a network that take a connection; nothing is sent."""
    hosts = [str(one) for one in network.hosts()]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting = {pool.submit(_takes, host, port): host for host in hosts}
        for done, job in enumerate(as_completed(waiting), 1):
            progress.show(done / len(hosts), f"port {port} of {network}: {done} of {len(hosts)}")
            if job.result():
                yield waiting[job]


def _takes(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except OSError:  # nobody there, or nothing that listens
        return False
    return True
