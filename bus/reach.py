"""Why a server cannot be reached, in words, and whom TLS trusts: the broker, and whatever outputs send to."""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Named:
    """What a server is, and what its settings are called in sentences that say what to do."""

    what: str = "broker"
    host: str = "[broker] host"
    tls_ca: str = "[broker] tls_ca"
    login: str = "check [broker] username and the secret file broker__password"
    closed: str = "nothing listens there; is it running, and is [broker] port right?"
    unknown: str = "nobody knows this name here; check [broker] host, or use the address"
    # It hangs up before it answers: without TLS, with it; and its port speaks none.
    plain: str = "is this its MQTT port, and does it want TLS ([broker] tls_ca)?"
    encrypted: str = "is this its port for MQTT with TLS, often 8883?"
    no_tls: str = "this port speaks no TLS; use the port that does, often 8883, or take [broker] tls_ca out"


BROKER = Named()


class Server(Protocol):
    """What can be reached: where, whether with TLS, and which file has its authority."""

    @property
    def host(self) -> str:
        """Its name or address."""

    @property
    def port(self) -> int:
        """Its TCP port."""

    @property
    def tls(self) -> bool:
        """Whether with TLS."""

    @property
    def tls_ca(self) -> str | None:
        """The file of its authority; None: those that this machine knows."""

    @property
    def named(self) -> Named:
        """What its settings are called."""


_ERRORS: Mapping[type[Exception], str] = {
    socket.gaierror: "{named.unknown}",
    UnicodeError: "{named.unknown}",
    ConnectionRefusedError: "{named.closed}",
    TimeoutError: "no answer; is that machine on and on this network, and no firewall between?",
}


def trust(tls_ca: str | None) -> ssl.SSLContext:
    """Trust the authorities of a file, None: of this machine.

    Raises OSError, whose filename is the file if it cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=tls_ca)
    except ssl.SSLError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, tls_ca) from error


def unreachable(server: Server, error: Exception) -> str:
    """Say why no connection to a server came about."""
    if isinstance(error, ConnectionResetError | BrokenPipeError) or "EOF" in str(error):
        return hung_up(server)
    return f"no {server.named.what} at {place(server)}{_why(server, error)}"


def place(server: Server) -> str:
    """Write host and port."""
    return f"[{server.host}]:{server.port}" if ":" in server.host else f"{server.host}:{server.port}"


def hung_up(server: Server) -> str:
    """Say what an end of the connection before the first answer means."""
    asked = server.named.encrypted if server.tls else server.named.plain
    return f"no {server.named.what} at {place(server)}: it hangs up before it answers; {asked}"


def _why(server: Server, error: Exception) -> str:
    named = server.named
    if isinstance(error, ssl.SSLCertVerificationError):
        return f" that can be trusted: {_certificate(server, error)}"
    if isinstance(error, ssl.SSLError):
        return f" with TLS: {_tls(server, error)}"
    for kind, why in _ERRORS.items():
        if isinstance(error, kind):
            return f": {why.format(named=named)}"
    if isinstance(error, OSError) and error.filename is not None and error.filename == server.tls_ca:
        return f" is asked: {named.tls_ca}: {server.tls_ca}: {error.strerror}"
    return f": {getattr(error, 'strerror', None) or error}; check {named.host} and the network"


def _certificate(server: Server, error: ssl.SSLCertVerificationError) -> str:
    why, named = error.verify_message, server.named
    if "mismatch" in why or "not valid for" in why:
        return (
            f"its certificate is for another name than {server.host}; set {named.host} to a name that it has"
        )
    if "expired" in why or "not yet valid" in why:
        return f"its {why}; renew it, or set the clock of this machine"
    if server.tls_ca is None:
        known = "an authority that this machine knows"
        return f"its certificate is not from {known}: {why}; {named.tls_ca} takes the file of another"
    return f"its certificate is not from the authority in {named.tls_ca} ({server.tls_ca}): {why}"


def _tls(server: Server, error: ssl.SSLError) -> str:
    if error.reason in ("NO_CERTIFICATE_OR_CRL_FOUND", "PEM_LIB") or "no certificate" in str(error).lower():
        return f"{server.named.tls_ca}: {server.tls_ca} holds no certificate (PEM)"
    if error.reason in (
        "WRONG_VERSION_NUMBER",
        "RECORD_LAYER_FAILURE",
        "UNEXPECTED_MESSAGE",
        "UNEXPECTED_EOF_WHILE_READING",
    ):
        return server.named.no_tls
    return f"{error.reason or error}; the {server.named.what}'s log says more"
