"""What announces itself on the local network by mDNS (RFC 6762, RFC 6763); the only file with zeroconf."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zeroconf import (
    DNSQuestionType,
    Error,
    InterfaceChoice,
    ServiceBrowser,
    ServiceInfo,
    ServiceListener,
    Zeroconf,
)

_STEP_S = 0.25
_ASK_MS = 1000
# A network may hold anything.
_MOST = 200


@dataclass(frozen=True, slots=True)
class Announced:
    """One service: its type, what it is called, its host name, address and port."""

    service: str
    name: str
    host: str
    address: str
    port: int


class _Heard(ServiceListener):
    """Notes the names of services, on the browser's thread."""

    def __init__(self) -> None:
        self.names: list[tuple[str, str]] = []

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """Take a new one."""
        del zc
        if len(self.names) < _MOST and (type_, name) not in self.names:
            self.names.append((type_, name))

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """It is asked for at the end."""

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """It was there a moment ago."""


def browse(
    types: Sequence[str],
    seconds: float,
    tell: Callable[[float], None],
    interfaces: Sequence[str] | None = None,
) -> list[Announced]:
    """Listen for services of these types; `tell` gets the seconds so far. Raises OSError."""
    heard = _Heard()
    network = Zeroconf(interfaces=InterfaceChoice.All if interfaces is None else list(interfaces))
    try:
        # Answers to all: what is sent to this machine alone may go to another program, such as avahi.
        names = [f"{one}.local." for one in types]
        browser = ServiceBrowser(network, names, heard, question_type=DNSQuestionType.QM)
        _wait(seconds, tell)
        browser.cancel()
        infos = [info for one in list(heard.names) for info in _named(*one)]
        # Those that are silent come last: they may take all the time there is.
        infos.sort(key=lambda info: not info.load_from_cache(network))
        end = time.monotonic() + seconds
        found = [one for info in infos for one in _asked(network, info, end)]
    finally:
        network.close()
    return sorted(set(found), key=lambda one: (one.address, one.port, one.service))


def _wait(seconds: float, tell: Callable[[float], None]) -> None:
    began = time.monotonic()
    never = threading.Event()
    while (done := time.monotonic() - began) < seconds:
        tell(done)
        never.wait(min(_STEP_S, seconds - done))


def _named(service: str, name: str) -> list[ServiceInfo]:
    """What is to be learned of a service; nothing if its name is one that none may have."""
    try:
        return [ServiceInfo(service, name)]
    except Error:
        return []


def _asked(network: Zeroconf, info: ServiceInfo, end: float) -> list[Announced]:
    """Address and port of a service, from what was heard, else asked for; IPv4 alone."""
    left = min(_ASK_MS, max(0, (end - time.monotonic()) * 1000))
    if not info.addresses and not info.request(network, left, DNSQuestionType.QM):
        return []
    service, host = info.type.removesuffix(".local."), (info.server or "").rstrip(".")
    name = info.name.removesuffix(f".{info.type}")
    addresses = (one for one in info.parsed_addresses() if ":" not in one)
    return [Announced(service, name, host, one, info.port or 0) for one in addresses]
