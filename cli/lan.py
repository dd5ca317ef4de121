"""What a scan finds, and how it is shown; what is on the local network.

There it finds brokers, Home Assistant, Shelly, Victron, Modbus servers and Solarman data loggers: by mDNS
(RFC 6762, RFC 6763), by the port of Modbus, and by asking for loggers.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from cli import terminal
from cli.install import System
from cli.install.kinds import id_for
from cli.loggers import find_loggers
from cli.terminal import Progress
from config.addresses import NETWORK, SOLARMAN, TCP

if TYPE_CHECKING:
    from zeroconf import ServiceInfo

_KEY = "VictronConnect shows the key: Settings, Product info, Instant readout via Bluetooth"

Value = str | int | None


class Guess(msgspec.Struct):
    """What it may be."""

    kind: str
    profile: str | None = None
    confidence: str | None = None
    model: str | None = None


class Proposal(msgspec.Struct):
    """A kind and its settings, as a collector proposes them."""

    kind: str
    settings: dict[str, Value]


class Found(msgspec.Struct):
    """Whatever is found; what does not apply is absent. `advice` is a command or a page."""

    address: str | None = None
    name: str | None = None
    what: str | None = None
    model: str | None = None
    kind: str | None = None
    rssi: int | None = None
    configured: str | list[str] | None = None
    port: str | None = None
    baudrate: int | None = None
    unit: int | None = None
    guesses: list[Guess] = []
    proposals: list[Proposal] = []
    note: str | None = None
    bus: int | None = None
    kinds: list[str] = []
    usb: str | None = None
    advice: str | None = None


def lines(found: Sequence[Found], tried: str) -> Iterator[str]:
    """Show a table for people, the lines for boondock.toml, and what to do next.

    Without a find it is what was `tried`, and what to do then.
    """
    if not found:
        yield "Nothing answered."
        yield tried
        return
    rows = [[cell or "-" for cell in row(one)] for one in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
    tables = list(_tables([one for one in found if not one.configured]))
    if tables:
        yield "\n# For boondock.toml, if they are yours:"
        yield from tables
    if steps := list(dict.fromkeys(one.advice for one in found if one.advice and not one.configured)):
        yield "\n# Next:"
        yield from steps


def row(found: Found) -> list[str]:
    """Say what it is, in cells for people; a name from the air may hold anything."""
    if found.port is not None:
        place = [found.port, found.usb or ""]
        if found.unit is not None:
            place = [f"unit {found.unit}", f"{found.baudrate} baud" if found.baudrate else ""]
        guess = found.guesses[0] if found.guesses else None
        what = [found.note or found.what or "unknown", ""]
        if guess is not None:
            what = [_title(guess), ", ".join(filter(None, (guess.model, found.note)))]
        cells = [*place, *what]
    elif found.bus is not None:
        cells = [found.address or "", " or ".join(found.kinds) or found.note or "unknown"]
    else:
        signal = "" if found.rssi is None else f"{found.rssi} dBm"
        cells = [found.address or "", signal, found.name or "", found.model or found.what or ""]
    ours = found.configured if isinstance(found.configured, str) else ", ".join(found.configured or ())
    return [terminal.plain(cell) for cell in (*cells, f"is {ours}" if ours else "new")]


def _title(guess: Guess) -> str:
    name = f"{guess.kind} {guess.profile}" if guess.profile else guess.kind
    return f"{name} ({guess.confidence})" if guess.confidence else name


def _tables(found: Sequence[Found]) -> Iterator[str]:
    taken: set[str] = set()
    for one in found:
        # What this command has found by itself has guesses alone.
        proposals = one.proposals or [Proposal(guess.kind, {"port": one.port}) for guess in one.guesses]
        if not proposals:
            continue
        kind, settings = proposals[0].kind, proposals[0].settings
        name = id_for(one.name or str(settings.get("profile", kind)), taken)
        yield f"\n[device.{name}]"
        for key, value in {"kind": kind, **settings}.items():
            # A chip's address is a number; JSON's escapes are also TOML's.
            bare = key == "address" and one.bus is not None
            yield f"{key} = {value if bare else json.dumps(value)}"
        if one.rssi is not None:
            yield f"# key: best in the secret file device__{name}__key; {_KEY}"
        if len(one.kinds) > 1:
            yield f"# or kind = {' or '.join(map(json.dumps, one.kinds[1:]))}: both use this address"


MODBUS = NETWORK[TCP]
SECONDS = 4.0
_MODBUS_TYPE = "_modbus._tcp"
_SMALLEST = 24
_AT_ONCE, _CONNECT_S = 64, 0.8
# Networks inside this machine.
_INNER = ("docker", "br-", "veth", "virbr", "lxc")

_Known = Mapping[tuple[str, int], list[str]]


@dataclass(frozen=True, slots=True)
class Announced:
    """One service: its type, what it is called, its host name, address and port."""

    service: str
    name: str
    host: str
    address: str
    port: int


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
_TYPES = (*_BY_TYPE, _MODBUS_TYPE, "_http._tcp")
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
    *,
    every_address: bool = False,
) -> list[Found]:
    """Listen for announcements, ask for data loggers; on wish try the Modbus port of all addresses around."""
    known = _configured(devices)
    progress = Progress()
    try:
        heard = browse(_TYPES, seconds, lambda s: progress.show(s / seconds, "listening (mDNS)"), interfaces)
    except OSError as error:
        print(f"mDNS cannot be heard: {error.strerror or error}", file=sys.stderr)
        heard = []
    found = [one for one in map(_announced, heard) if one is not None]
    answers = {(one.address, one.port) for one in heard if one.service == _MODBUS_TYPE}
    around = networks(system)
    progress.show(1.0, "asking for data loggers")
    loggers = find_loggers(around) if around else {}
    for network in around if every_address else ():
        answers |= {(address, port) for address in _answering(network, port, progress)}
    progress.done()
    for address, number in sorted(answers):
        names = sorted({one.host for one in heard if one.address == address})
        found.append(_modbus(address, number, names, known))
    return [*found, *(_logger(address, serial, known) for address, serial in sorted(loggers.items()))]


def _announced(one: Announced) -> Found | None:
    """Make a row of a service that somebody can do something with; None of another."""
    words = f"{one.name} {one.host}".lower()
    what = _BY_TYPE.get(one.service) or next((w for word, w in _MAKERS.items() if word in words), None)
    if what is None:
        return None
    return Found(address=f"{one.address}:{one.port}", name=one.name, what=what.title, advice=what.advice)


def _modbus(address: str, number: int, names: Sequence[str], known: _Known) -> Found:
    """Make a row of a Modbus server; which units it has, its collector asks."""
    port = f"tcp://{address}" + ("" if number == MODBUS else f":{number}")
    ours = [device for host in (address, *names) for device in known.get((host, number), [])]
    step = f"boondock scan modbus --port {port}"
    return Found(port=port, what=" ".join(("Modbus TCP", *names)), configured=ours, advice=step)


def _logger(address: str, serial: int, known: _Known) -> Found:
    """Make a row of a data logger; what is behind it, its collector asks."""
    port = f"{SOLARMAN}{address}"
    step = f"boondock scan modbus --port {port} --units 1"
    ours = known.get((address, NETWORK[SOLARMAN]), [])
    return Found(port=port, what=f"Solarman data logger {serial}", configured=ours, advice=step)


def _configured(devices: Mapping[str, Mapping[str, object]]) -> _Known:
    """Group the devices of boondock.toml by host and port of their Modbus server or data logger."""
    found: dict[tuple[str, int], list[str]] = {}
    for name, one in devices.items():
        # No port's number: `boondock check` tells.
        with suppress(ValueError):
            url = urlsplit(str(one.get("port", "")))
            usual = NETWORK.get(f"{url.scheme}://")
            if usual is not None and url.hostname:
                found.setdefault((url.hostname, url.port or usual), []).append(name)
    return found


def networks(system: System) -> list[IPv4Network]:
    """List the private networks of this machine, of each at most the 256 addresses around its own."""
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
    """Try the addresses of a network, and yield those that take a connection; nothing is sent."""
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


_STEP_S = 0.25
_ASK_MS = 1000
# A network may hold anything.
_MOST = 200


def browse(
    types: Sequence[str],
    seconds: float,
    tell: Callable[[float], None],
    interfaces: Sequence[str] | None = None,
) -> list[Announced]:
    """Listen for services of these types; `tell` gets the seconds so far. Raises OSError."""
    import zeroconf as mdns  # noqa: PLC0415 — it takes long to load

    heard: dict[tuple[str, str], None] = {}

    def note(zeroconf: object, service_type: str, name: str, state_change: object) -> None:
        del zeroconf, state_change
        if len(heard) < _MOST:
            heard[service_type, name] = None

    network = mdns.Zeroconf(interfaces=mdns.InterfaceChoice.All if interfaces is None else list(interfaces))
    try:
        # Answers to all: what is sent to this machine alone may go to another program, such as avahi.
        names = [f"{one}.local." for one in types]
        browser = mdns.ServiceBrowser(network, names, [note], question_type=mdns.DNSQuestionType.QM)
        _wait(seconds, tell)
        browser.cancel()
        infos = []
        for one in list(heard):
            # A name that no service may have is nobody's.
            with suppress(mdns.Error):
                infos.append(mdns.ServiceInfo(*one))
        # Those that are silent come last: they may take all the time there is.
        infos.sort(key=lambda info: not info.load_from_cache(network))
        end = time.monotonic() + seconds
        found: list[Announced] = []
        for info in infos:
            left = min(_ASK_MS, max(0, (end - time.monotonic()) * 1000))
            if info.addresses or info.request(network, left, mdns.DNSQuestionType.QM):
                found += _announcements(info)
    finally:
        network.close()
    return sorted(set(found), key=lambda one: (one.address, one.port, one.service))


def _wait(seconds: float, tell: Callable[[float], None]) -> None:
    began = time.monotonic()
    never = threading.Event()
    while (done := time.monotonic() - began) < seconds:
        tell(done)
        never.wait(min(_STEP_S, seconds - done))


def _announcements(info: "ServiceInfo") -> Iterator[Announced]:
    """Take name, host, addresses and port out of what is known of a service; IPv4 alone."""
    service, host = info.type.removesuffix(".local."), (info.server or "").rstrip(".")
    name = info.name.removesuffix(f".{info.type}")
    for address in info.parsed_addresses():
        if ":" not in address:
            yield Announced(service, name, host, address, info.port or 0)
