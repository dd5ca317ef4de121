"""A certificate of somebody else's, such as Let's Encrypt: checked, and copied for the broker."""

import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli import openssl
from cli.broker_error import BrokerError
from cli.broker_files import put
from cli.broker_tls import ends_soon, server_pem
from config.addresses import is_address

_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_CURE = "renew it where it comes from, then run boondock broker --reload"


@dataclass(frozen=True, slots=True)
class Given:
    """`certificate` holds the broker's and those above it, `key` is its key; `wanted` are `lan.names`."""

    folder: Path
    certificate: Path
    key: Path
    wanted: Sequence[str] = ()

    @property
    def names(self) -> Sequence[str]:
        """What the broker is called, the name to show to people first. Raises BrokerError."""
        return self.wanted or [name for name in self._certified() if not name.startswith("*")]

    def _certified(self) -> list[str]:
        # Where the file is gone meanwhile, its copy tells.
        found = openssl.names(self.certificate) or openssl.names(server_pem(self.folder))
        return [name.partition(":")[2] for name in found]

    def lacks(self) -> list[str]:
        """What must be copied, in words; nothing if the broker has it, or if this one is of no use.

        Raises BrokerError if it is of no use and the broker has no other.
        """
        wrong = self.wrong()
        if wrong is not None:
            if server_pem(self.folder).exists():
                return []
            raise BrokerError(wrong)
        try:
            old = server_pem(self.folder).read_bytes()
        except FileNotFoundError:
            old = b""
        return [] if old == self._pem() else [f"a copy of {self.certificate} and its key"]

    def wrong(self) -> str | None:
        """Why the broker or a phone could not use it, and what to do. Raises BrokerError."""
        return next(self._wrong(), None)

    def _pem(self) -> bytes:
        return self.key.read_bytes().rstrip(b"\n") + b"\n" + self.certificate.read_bytes()

    def _wrong(self) -> Iterator[str]:
        for name, path in (("certificate", self.certificate), ("private_key", self.key)):
            try:
                path.read_bytes()
            except OSError as error:
                yield f"lan.{name}: {path} cannot be read: {error.strerror}; run this as root"
        if openssl.certified(self.certificate) is None:
            yield f"lan.certificate: {self.certificate} holds no certificate in PEM, such as fullchain.pem"
        yield from self._wrong_key()
        begin = openssl.date(self.certificate, "startdate")
        if begin > f"{datetime.now(UTC):%Y-%m-%d}":
            yield f"lan.certificate: it begins on {begin}: is the clock of this machine right?"
        if not openssl.lasts(self.certificate, 0):
            yield f"lan.certificate: it has ended on {openssl.date(self.certificate, 'enddate')}; {_CURE}"
        purpose = openssl.ask("x509", "-noout", "-purpose", "-in", str(self.certificate)) or ""
        if "SSL server : Yes" not in purpose:
            yield "lan.certificate: it is not for a server; one for TLS servers is needed"
        for name in self.wanted:
            if not self._is_for(name):
                yield f"lan.names: {name} is not in lan.certificate, which is for {self._said()}"
        if not self.names:
            yield f"lan.names is needed: the certificate is for {self._said()}; say how to call it"

    def _wrong_key(self) -> Iterator[str]:
        if openssl.public(self.key) is None:
            yield f"lan.private_key: {self.key} holds no key without a passphrase, such as privkey.pem"
        elif openssl.certified(self.certificate) != openssl.public(self.key):
            yield f"lan.private_key: {self.key} is not the key of {self.certificate}: they are made together"
        try:
            # What OpenSSL holds to be too weak would keep the broker from starting.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key)
        except ssl.SSLError as error:
            yield f"lan.certificate: OpenSSL refuses it: {error.reason or error}"

    def _is_for(self, name: str) -> bool:
        flag = "-checkip" if is_address(name) else "-checkhost"
        said = openssl.ask("x509", "-noout", flag, name, "-in", str(self.certificate)) or ""
        return "does match" in said

    def _said(self) -> str:
        return ", ".join(self._certified()) or "no name at all"

    def make(self) -> list[str]:
        """Copy what is new; returns what was copied. Raises BrokerError, OSError."""
        lacking = self.lacks()
        if lacking:
            # Where it comes from only root may read.
            put(server_pem(self.folder), self._pem(), private=True)
        return lacking

    def warnings(self) -> Iterator[str]:
        """What a person must do, in a sentence each. Raises BrokerError."""
        yield from ends_soon(server_pem(self.folder), _CURE)
        text = self.certificate.read_text(encoding="ascii", errors="replace")
        issuer, subject = (
            re.sub(r"^\w+=", "", openssl.ask("x509", "-noout", flag, "-in", str(self.certificate)) or "")
            for flag in ("-issuer", "-subject")
        )
        if text.count(_CERTIFICATE) == 1 and issuer != subject:
            yield f"{self.certificate} lacks the certificates above it, which phones need: take fullchain.pem"
