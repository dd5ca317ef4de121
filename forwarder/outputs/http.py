"""HTTP for all outputs that send by it: one kept connection, bounded in time and size, never redirected."""

import http.client
import io
import logging
import re
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit

from bus.reach import Named, trust, unreachable
from config.model import Output
from config.urls import HTTP, Url, UrlError, parse
from forwarder.outputs import RefusedError, SendError, TooLargeError

log = logging.getLogger(__name__)

TIMEOUT_S = 30.0
"""For an answer, unless the settings say otherwise."""
LONGEST_WAIT_S = 900.0
"""Of what the other side asks us to wait, so much is believed."""
_CONNECT_S = 15.0
# Of an answer: bytes that are read, characters that are shown.
_MOST_READ, _MOST_SHOWN = 65536, 200
# Bytes that are sent with one look at the time; one record of TLS.
_CHUNK = 16384
_AGAIN = frozenset({408, 425, 429})
# What to do, by status.
_HINTS: Mapping[int, str] = {
    400: "it cannot read what we send; check format, template and headers",
    401: "it does not know us; check token, or username and password",
    403: "we have no right to it; check token, or username and password",
    404: "there is nothing at this path; check url",
    405: "it wants another method; check method and url",
    407: "a proxy wants a login; outputs use no proxy, so check url",
    410: "it is gone for good; ask its owner for the new address",
    413: "we send too much at once; lower batch",
    415: "it wants another type; check format, or give Content-Type in headers",
    422: "it can read what we send, but does not take it; check template and format",
    426: "it wants another protocol; try https:// in url",
    429: "it wants less at once; it is sent again later",
}
_NAMED = Named(
    what="server",
    host="url",
    tls_ca="tls_ca",
    login="check username and password",
    closed="nothing listens there; is it running, and is the port in url right?",
    unknown="nobody knows this name here; check url, and whether there is Internet",
    plain="does it want https:// in url?",
    encrypted="is this its port for https, often 443?",
    no_tls="this port speaks no TLS; write the port that does into url, often 443, or http://",
)
# What may be a secret: so long, or shorter with a digit. A word of fewer characters hides nothing.
_LONG, _MIDDLE, _SHORT = 16, 6, 4
_OPEN_HEADERS = frozenset({"accept", "content-type", "user-agent", "host"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `text` is its beginning for people, without secrets."""

    status: int
    headers: Message
    text: str

    @property
    def taken(self) -> bool:
        """Whether the other side has what was sent."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True)
class _Server:
    host: str
    port: int
    tls: bool
    tls_ca: str | None
    named: Named = _NAMED


class _HungUpError(SendError):
    """The connection ended before an answer began."""


class Http:
    """Sends to the address of one output; every wait ends after its `timeout`.

    `scheme` stands before the token in the header Authorization. `path` is what is asked for, with its query.
    """

    def __init__(
        self,
        settings: Output,
        *,
        scheme: str = "Bearer",
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take its settings. Raises RefusedError where the address cannot be used."""
        try:
            self.url = parse(settings.url or "", HTTP)
        except UrlError as error:
            raise RefusedError(f"url: {error}") from error
        self.path = self.url.path
        self._clock, self._now = clock, now
        self._timeout = settings.timeout or TIMEOUT_S
        self._server = _Server(self.url.host, self.url.port, self.url.scheme == "https", settings.tls_ca)
        self._verify = settings.verify is not False
        self._headers = _headers(settings, self.url, scheme)
        secrets = {
            mask for secret in _secrets(settings, self.url) for mask in (secret, quote(secret, safe=""))
        }
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._context: ssl.SSLContext | None = None
        self._link: _Connection | None = None
        if self._server.tls and not self._verify:
            log.warning("%s: verify = false: who is in between can read and change it", self.url.place)

    def send(self, body: bytes, headers: Mapping[str, str], *, method: str = "POST") -> Answer:
        """Send a body; the other side has taken it when this returns. Raises SendError."""
        answer = self.ask(body, headers, method=method)
        if not answer.taken:
            raise self.refusal(answer)
        return answer

    def ask(self, body: bytes, headers: Mapping[str, str], *, method: str = "POST") -> Answer:
        """Send a body and return the answer, whatever it is. Raises SendError if there is none."""
        # Those of the settings count, however they are written.
        own = {name.lower() for name in self._headers}
        merged = {name: value for name, value in headers.items() if name.lower() not in own} | self._headers
        kept = self._link is not None
        try:
            return self._exchange(method, body, merged)
        except _HungUpError:
            if not kept:
                raise
            # Servers close a connection that nobody has used for a while.
            return self._exchange(method, body, merged)

    def refusal(self, answer: Answer) -> SendError:
        """Return the error that an answer means which has not taken what was sent."""
        status = answer.status
        said = f"{self.url.place} answers {_words(status)}"
        where = answer.headers.get("Location")
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST and where:
            return RefusedError(f"{said}: {self._leads(where)}")
        again = status in _AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        hint = (
            "the other side has trouble; it is sent again later" if again else "ask its owner what it wants"
        )
        said += f": {_HINTS.get(status, hint)}" + (f"; it says: {answer.text}" if answer.text else "")
        if again:
            return SendError(said, after=asked_to_wait(answer.headers, self._now()))
        return (TooLargeError if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else RefusedError)(said)

    def close(self) -> None:
        """End the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _exchange(self, method: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        link = self._link or self._connect()
        # It is kept once its answer is whole.
        self._link = None
        try:
            link.allow(self._timeout)
            response = self._begin(link, method, body, headers)
            text, whole = self._read(response)
            if whole and not response.will_close:
                self._link = link
            return Answer(response.status, response.headers, text)
        finally:
            if self._link is None:
                link.close()

    def _begin(
        self, link: "_Connection", method: str, body: bytes, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        place = self.url.place
        try:
            link.say(method, self.path, body, headers)
            response = link.getresponse()
        except TimeoutError as error:
            raise SendError(self._slow()) from error
        except (ConnectionError, ssl.SSLEOFError) as error:
            hint = "" if self._server.tls else "; perhaps it wants https:// in url"
            raise _HungUpError(f"{place} hung up before it answered; it is sent again later{hint}") from error
        except (OSError, http.client.HTTPException) as error:
            asked = f"is this its port for {self.url.scheme}?"
            raise SendError(
                f"{place} gives no answer of HTTP ({self._shown(str(error))}); {asked}"
            ) from error
        except ValueError as error:
            raise RefusedError(f"headers: {self._shown(str(error))}; write them in plain letters") from error
        if link.ended:
            # http.client takes headers that are cut for whole ones.
            response.close()
            raise SendError(self._cut())
        return response

    def _read(self, response: http.client.HTTPResponse) -> tuple[str, bool]:
        """Return an answer's body for people, and whether it is whole; one that takes must be, or be long.

        Raises SendError.
        """
        body, failure = b"", None
        try:
            while len(body) <= _MOST_READ and (part := response.read1(_CHUNK)):
                body += part
        except (OSError, http.client.HTTPException) as error:
            failure = error
        long = len(body) > _MOST_READ
        whole = not long and failure is None and not response.length
        response.close()
        if response.status < HTTPStatus.MULTIPLE_CHOICES and not whole and not long:
            if isinstance(failure, TimeoutError):
                raise SendError(self._slow()) from failure
            raise SendError(self._cut())
        return self._shown(body.decode(errors="replace")), whole

    def _slow(self) -> str:
        slow = f"{self.url.place} did not answer in {self._timeout:g} s"
        return f"{slow}; it is sent again later; where that is always so, raise timeout"

    def _cut(self) -> str:
        return f"{self.url.place} hung up in the middle of its answer; it is sent again later"

    def _connect(self) -> "_Connection":
        link = _Connection(self.url, self._clock)
        try:
            link.allow(min(self._timeout, _CONNECT_S))
            link.open(self._trusted() if self._server.tls else None)
        except (OSError, UnicodeError) as error:
            link.close()
            # The file of its authority may be another by now.
            self._context = None
            raise SendError(unreachable(self._server, error)) from error
        return link

    def _trusted(self) -> ssl.SSLContext:
        if self._context is None:
            context = trust(self._server.tls_ca)
            if not self._verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._context = context
        return self._context

    def _leads(self, location: str) -> str:
        try:
            to = urlsplit(urljoin(f"{self.url.place}{self.path}", location))
            host, port = to.hostname or "", to.port
        except ValueError:
            return "it leads to an address that cannot be read; ask its owner for the right one"
        host = f"[{host}]" if ":" in host else host
        path = to.path
        for part in self.path.partition("?")[0].split("/"):
            if len(part) >= _SHORT:
                path = path.replace(f"/{part}", "/…")
        where = f"{to.scheme}://{host}{f':{port}' if port else ''}{path}{'?…' if to.query else ''}"
        advice = "write that address into url"
        if host != self.url.host:
            advice += ", unless it is a Wi-Fi that wants a login first"
        same = " (… is as in url)" if "…" in where else ""
        return f"it leads to {self._shown(where)}{same}; {advice}"

    def _shown(self, text: str) -> str:
        """Make text of others one short line without secrets."""
        if text.lstrip()[:1] == "<":
            text = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", text, flags=re.IGNORECASE | re.DOTALL)
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_MOST_SHOWN]


def asked_to_wait(headers: Message, now: float) -> float | None:
    """Return the seconds of a Retry-After (RFC 9110, 10.2.3), at most 15 minutes; None: it asks for none.

    A date counts from that of the answer, since our clock may be wrong.
    """
    said = headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdecimal():
        seconds = float(said)
    else:
        then, here = _moment(said), _moment(headers.get("Date", ""))
        seconds = 0.0 if then is None else then - (now if here is None else here)
    return min(seconds, LONGEST_WAIT_S) if seconds > 0 else None


def _moment(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _words(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _headers(settings: Output, url: Url, scheme: str) -> dict[str, str]:
    """Return those that each request has."""
    found = {"Host": url.netloc, "User-Agent": "Boondock"}
    user = settings.username if settings.username is not None else url.username
    password = settings.password if settings.password is not None else url.password
    if settings.token is not None:
        found["Authorization"] = f"{scheme} {settings.token}"
    elif user is not None or password is not None:
        login = f"{user or ''}:{password or ''}".encode()
        found["Authorization"] = f"Basic {b64encode(login).decode()}"
    own = {name.lower() for name in settings.headers}
    return {name: value for name, value in found.items() if name.lower() not in own} | settings.headers


def _secrets(settings: Output, url: Url) -> Iterator[str]:
    """Find what is shown to nobody, though the other side may repeat it."""
    path, _, query = url.path.partition("?")
    given = [settings.token, settings.password, settings.sign, url.username, url.password]
    given += [value for _, value in parse_qsl(query)]
    for name, value in _headers(settings, url, "").items():
        if name.lower() not in _OPEN_HEADERS:
            given += value.split()
    yield from (secret for secret in given if secret and len(secret) >= _SHORT)
    for part in unquote(path).split("/"):
        if len(part) >= _LONG or (len(part) >= _MIDDLE and re.search(r"\d", part)):
            yield part


class _Connection(http.client.HTTPConnection):
    """A connection whose every wait ends when what was allowed is over."""

    auto_open = 0

    def __init__(self, url: Url, clock: Callable[[], float]) -> None:
        super().__init__(url.host, url.port)
        self._clock, self._until = clock, 0.0
        # Whether the other side has said all that it will ever say.
        self.ended = False

    def allow(self, seconds: float) -> None:
        """Give what follows so much time."""
        self._until = self._clock() + seconds

    def left(self) -> float:
        """Return the seconds that are left. Raises TimeoutError."""
        left = self._until - self._clock()
        if left <= 0:
            raise TimeoutError("the time is over")
        return left

    def open(self, context: ssl.SSLContext | None) -> None:
        """Connect, with TLS if there is a context. Raises OSError, UnicodeError."""
        wire = self._dial()
        # Headers and body are two writes, and the second would wait for an acknowledgement.
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            try:
                wire.settimeout(self.left())
                wire = context.wrap_socket(wire, server_hostname=self.host.partition("%")[0])
            except (OSError, ValueError):
                wire.close()
                raise
        self.sock = _Timed(wire, self)

    def say(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a request. Raises OSError, ValueError."""
        try:
            self.request(method, path, body, {name: value.encode() for name, value in headers.items()})
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            # Who refuses what is too large answers before all of it has come, and hangs up.
            log.debug("%s hangs up while we send; it may have answered", self.host)

    def _dial(self) -> socket.socket:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        failures: list[OSError] = []
        for number, (family, kind, protocol, _, address) in enumerate(found):
            wire = socket.socket(family, kind, protocol)
            try:
                # One that does not answer leaves time for the others.
                wire.settimeout(self.left() / (len(found) - number))
                wire.connect(address)
            except OSError as error:
                wire.close()
                failures.append(error)
            else:
                return wire
        # The system puts the most promising first.
        raise failures[0]


class _Timed:
    """What http.client uses of a socket, each use within the time that is left."""

    def __init__(self, wire: socket.socket, link: _Connection) -> None:
        self._wire, self._link = wire, link

    def sendall(self, data: bytes) -> None:
        for at in range(0, len(data), _CHUNK):
            self._wire.settimeout(self._link.left())
            self._wire.sendall(data[at : at + _CHUNK])

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedFile(self._wire, self._link))

    def close(self) -> None:
        self._wire.close()


class _TimedFile(io.RawIOBase):
    def __init__(self, wire: socket.socket, link: _Connection) -> None:
        super().__init__()
        self._wire, self._link = wire, link
        # It keeps the socket open until it is closed itself.
        self._file = wire.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int | None:  # type: ignore[override]  # typeshed's Buffer needs Python 3.12
        self._wire.settimeout(self._link.left())
        count = self._file.readinto(buffer)
        self._link.ended = count == 0
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
