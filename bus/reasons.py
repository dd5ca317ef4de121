"""Why the broker refused or ended something, in words and with the next step; and whom to trust."""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from bus.events import Link

_LOGIN = "check [broker] username and the secret file broker__password"
_TAKEN = "another client has our client id: was this card, or the state folder, copied to another machine?"
# What ends sooner than that, in seconds, and so often in a row, is not the network's doing.
_PERHAPS = f"perhaps {_TAKEN} From now on ours is a new one"
_SOON_S = 20.0
_OFTEN = 3
# MQTT 5, 2.4, by code: what its name leaves open, and what to do.
_WORDS: Mapping[int, str] = {
    0x04: "that client asked for it",
    0x80: "the broker gives no reason; its log may",
    0x81: "the broker could not read what we sent; its log says more",
    0x82: "the broker could not accept what we sent; its log says more",
    0x83: "the broker's own limit; its log says more",
    0x84: "it must speak MQTT 5, as Mosquitto does from 1.6 on",
    0x85: "the broker does not accept our client id; its log says more",
    0x86: _LOGIN,
    0x87: f"{_LOGIN}, and the broker's ACL",
    0x88: "the broker is not ready yet",
    0x89: "it has too much to do, or too many clients",
    0x8A: "the broker's owner has banned this client",
    0x8B: "the broker is being stopped or restarted",
    0x8C: "the broker wants another way to log in than user name and password",
    0x8D: "nothing came from us in time: this machine, or the network, was too slow",
    0x8E: _TAKEN,
    0x93: "we sent more at once than the broker takes",
    0x95: "see max_packet_size of the broker",
    0x96: "the broker limits messages per time",
    0x97: "the broker's limit for this user or for its memory is reached",
    0x98: "the broker's owner has ended it, or the password was changed",
    0x9C: "set [broker] host to that one",
    0x9D: "set [broker] host to its new place",
    0x9A: "retained messages are needed: allow them in the broker",
    0x9B: "QoS 1 is needed: allow it in the broker",
    0x9F: "the broker limits connections per time",
    0xA0: "the broker limits how long a connection lasts",
    0xA2: "wildcards are needed: allow them in the broker",
}
# The same, where it is about one topic of a client that is in.
_TOPIC: Mapping[int, str] = {0x87: "the broker's ACL gives this user no right to it"}
_UNKNOWN = "nobody knows this name here; check [broker] host, or use the address"
_ERRORS: Mapping[type[Exception], str] = {
    socket.gaierror: _UNKNOWN,
    UnicodeError: _UNKNOWN,
    ConnectionRefusedError: "nothing listens there; is it running, and is [broker] port right?",
    TimeoutError: "no answer; is that machine on and on this network, and no firewall between?",
}


def words(code: int, name: str, *, topic: bool = False) -> str:
    """Say a reason code by its name in the standard, what it means and what to do; `topic`: of one topic."""
    more = (_TOPIC.get(code) if topic else None) or _WORDS.get(code)
    return f"{name} ({more})" if more else name


def trust(tls_ca: str) -> ssl.SSLContext:
    """Trust the authorities of a file. Raises OSError, whose filename is the file if it cannot be read."""
    try:
        return ssl.create_default_context(cafile=tls_ca)
    except ssl.SSLError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, tls_ca) from error


def unreachable(link: Link, error: Exception) -> str:
    """Say why no connection to the broker came about."""
    if isinstance(error, ConnectionResetError | BrokenPipeError) or "EOF" in str(error):
        return hung_up(link)
    return f"no broker at {link.host}:{link.port}{_why(link, error)}"


def _why(link: Link, error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f" that can be trusted: {_certificate(link, error)}"
    if isinstance(error, ssl.SSLError):
        return f" with TLS: {_tls(link, error)}"
    for kind, why in _ERRORS.items():
        if isinstance(error, kind):
            return f": {why}"
    if isinstance(error, OSError) and error.filename is not None and error.filename == link.tls_ca:
        return f" is asked: [broker] tls_ca: {link.tls_ca}: {error.strerror}"
    return f": {getattr(error, 'strerror', None) or error}; check [broker] host and the network"


def hung_up(link: Link) -> str:
    """Say what an end of the connection before the first answer means."""
    asked = "is this its port for MQTT with TLS, often 8883?"
    if link.tls_ca is None:
        asked = "is this its MQTT port, and does it want TLS ([broker] tls_ca)?"
    return f"no broker at {link.host}:{link.port}: it hangs up before it answers; {asked}"


@dataclass(slots=True)
class Cuts:
    """Connections that were cut without a word soon after they began, one after the other."""

    often: bool = False
    _count: int = 0

    def words(self, lived_s: float) -> str:
        """Say that a connection was cut after so many seconds, and what it means if that goes on.

        Mosquitto 2.0 gives no reason to a client that another of the same id throws out.
        """
        self._count = self._count + 1 if lived_s < _SOON_S else 0
        self.often = self._count >= _OFTEN
        return f"was cut again and again: {_PERHAPS}" if self.often else "was cut"


def _certificate(link: Link, error: ssl.SSLCertVerificationError) -> str:
    why = error.verify_message
    if "mismatch" in why or "not valid for" in why:
        return (
            f"its certificate is for another name than {link.host}; set [broker] host to a name that it has"
        )
    if "expired" in why or "not yet valid" in why:
        return f"its {why}; renew it, or set the clock of this machine"
    return f"its certificate is not from the authority in [broker] tls_ca ({link.tls_ca}): {why}"


def _tls(link: Link, error: ssl.SSLError) -> str:
    if error.reason in ("NO_CERTIFICATE_OR_CRL_FOUND", "PEM_LIB") or "no certificate" in str(error).lower():
        return f"[broker] tls_ca: {link.tls_ca} holds no certificate (PEM)"
    if error.reason in (
        "WRONG_VERSION_NUMBER",
        "RECORD_LAYER_FAILURE",
        "UNEXPECTED_MESSAGE",
        "UNEXPECTED_EOF_WHILE_READING",
    ):
        return "this port speaks no TLS; use the port that does, often 8883, or take [broker] tls_ca out"
    return f"{error.reason or error}; the broker's log says more"
