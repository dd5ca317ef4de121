"""What is wrong with [lan] and [page]: where this machine is open to others, and which port is whose."""

import re
from collections.abc import Iterable, Iterator

from config.addresses import is_address, is_here, wrong_host
from config.model import Settings

_INTERFACE = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_.-]{1,15}\Z")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")
# Key, what is wrong, what is allowed.
Wrong = tuple[str, str, str]


def network(settings: Settings) -> Iterator[Wrong]:
    """All mistakes of both tables."""
    yield from _lan(settings)
    yield from _page(settings)


def _lan(settings: Settings) -> Iterator[Wrong]:
    lan = settings.lan
    if not lan.listen and (lan.names or lan.websockets is not None or lan.certificate is not None):
        yield "lan.listen", "it is missing", 'addresses or interfaces, such as ["192.168.1.10"]'
    yield from _places("lan.listen", lan.listen)
    for name in lan.names:
        if not _NAME.match(name):
            allowed = "names such as van.local, and IPv4 addresses"
            yield "lan.names", f"{name!r} is no name", _alone(name, allowed)
    yield from _files(lan.certificate, lan.private_key)
    if lan.websockets == lan.port:
        yield "lan.websockets", f"{lan.port} is lan.port already", "one use a port"
    if lan.listen and settings.broker.port in (lan.port, lan.websockets):
        yield "lan.port", f"{settings.broker.port} is broker.port already", "one use a port"


def _places(key: str, listen: Iterable[str]) -> Iterator[Wrong]:
    """Find what is neither an address nor an interface."""
    for place in listen:
        if not (is_address(place) or _INTERFACE.match(place)):
            allowed = "IPv4 addresses and interfaces such as wlan0"
            yield key, f"{place!r} is neither", _alone(place, allowed)


def _page(settings: Settings) -> Iterator[Wrong]:
    page, lan, broker = settings.page, settings.lan, settings.broker
    yield from _places("page.listen", page.listen)
    if not _NAME.match(page.name) or is_address(page.name):
        yield "page.name", f"{page.name!r} is no name", _alone(page.name, "a name, such as boondock.local")
    if not page.enabled:
        return
    if not is_here(broker.host):
        wrong = f"the broker is {broker.host}, and the page is served beside the broker"
        yield "page.enabled", wrong, "false, or a broker on this machine"
    ports = {"broker.port": broker.port}
    if lan.listen:
        ports |= {"lan.port": lan.port} | ({"lan.websockets": lan.websockets} if lan.websockets else {})
    mine = {"page.websockets": page.websockets, "page.port": page.opened_port}
    for key, port in mine.items():
        for other, taken in ports.items():
            if taken == port:
                yield key, f"{port} is {other} already", "one use a port"
        ports[key] = port


def _alone(text: str, otherwise: str) -> str:
    """Suggest the name alone, of one with a scheme or a port; else what is allowed."""
    host = wrong_host(text)
    return f'did you mean "{host.bare}"?' if host is not None and host.bare else otherwise


def _files(certificate: str | None, private_key: str | None) -> Iterator[Wrong]:
    for key, path, other in (
        ("certificate", certificate, private_key),
        ("private_key", private_key, certificate),
    ):
        if path is None and other is not None:
            yield f"lan.{key}", "it is missing", "both files: certificate and private_key"
        elif path is not None and not path.startswith("/"):
            yield f"lan.{key}", f"{path!r} does not begin with /", "the whole path of a file in PEM"
