"""Addresses of servers as people write them: their parts, and what is wrong with others."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from config.addresses import is_good_host

# The port of each scheme.
HTTP: Mapping[str, int] = {"https": 443, "http": 80}
MQTT: Mapping[str, int] = {"mqtts": 8883, "mqtt": 1883}
_PORTS = {**HTTP, **MQTT}
_STRANGE = re.compile(r"[\s\x00-\x1f\x7f\\]")
_PATH, _QUERY = "/%:@!$&'()*+,;=~", "/%:@!$&'()*+,;=~?"


class UrlError(ValueError):
    """An address that cannot be used: what is `wrong`, without secrets, and what is `allowed`."""

    def __init__(self, wrong: str, allowed: str) -> None:
        super().__init__(f"{wrong}; {allowed}")
        self.wrong = wrong
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class Url:
    """An address: `host` in ASCII, `path` with its query, as they are sent."""

    scheme: str
    host: str
    port: int
    path: str = "/"
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"Url({self.place!r})"

    @property
    def netloc(self) -> str:
        """Host and port, as a server is named in HTTP; a usual port is left out."""
        name = self.host.partition("%")[0]
        name = f"[{name}]" if ":" in name else name
        return name if self.port == _PORTS[self.scheme] else f"{name}:{self.port}"

    @property
    def place(self) -> str:
        """The part that holds no secret: scheme, host and port."""
        return f"{self.scheme}://{self.netloc}"


def parse(text: str, ports: Mapping[str, int]) -> Url:
    """Read an address; `ports` are the schemes it may have. Raises UrlError."""
    schemes = " or ".join(f"{scheme}://" for scheme in ports)
    if strange := _STRANGE.search(text):
        raise UrlError(f"it has {_NAMES.get(strange[0], repr(strange[0]))} in it", "an address without it")
    scheme, colon, _ = text.partition("://")
    if not colon or scheme.lower() not in ports:
        raise UrlError("this is no address", f"one that begins with {schemes}")
    if "#" in text:
        raise UrlError("what follows a # is never sent", "write %23 for a # that belongs to it")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UrlError(*_PORT) from error
    if port == 0:
        raise UrlError(*_PORT)
    query = f"?{quote(parts.query, safe=_QUERY)}" if parts.query else ""
    return Url(
        parts.scheme,
        _host(unquote(parts.hostname or "")),
        port or ports[parts.scheme],
        (quote(parts.path, safe=_PATH) or "/") + query,
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
    )


_NAMES = {" ": "a space", "\n": "a line end", "\r": "a line end", "\t": "a tab", "\\": "a backslash"}
_PORT = (
    "its port is no number from 1 to 65535, or its password has a character that must be written as %XX",
    "such as https://example.org:8443/readings; in a password %2F for /, %3F for ?, %5B for [",
)
_NO_HOST = (
    "it names no machine",
    "a name or an address, as in https://example.org/readings; an IPv6 address in [ ]",
)


def _host(name: str) -> str:
    try:
        if is_good_host(name):
            return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError as error:
        raise UrlError(*_NO_HOST) from error
    raise UrlError(*_NO_HOST)
