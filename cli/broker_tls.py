"""The broker's certificate, made by an authority of the house's own."""

import hashlib
import secrets
import ssl
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from bus import state_files
from bus.clock import BUILD_DATE_MS
from cli import openssl
from cli.broker_error import BrokerError
from cli.broker_files import put
from config.addresses import is_address

CA_DAYS = 3650
AUTHORITY, RENEWED, CERTIFICATE = (
    "a certificate authority",
    "the same certificate authority with new dates and names",
    "a certificate",
)
# No certificate that is made meanwhile outlives it: they last 825 days at most.
_RENEW_CA_DAYS = 900
_RENEW_DAYS = 30
_WARN_DAYS = 21
_WARN_PHONES_DAYS = 365
_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256")
_REQUEST = "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN={name}\n"
_CA = """[ca]
basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
nameConstraints=critical,@permitted
[permitted]
{permitted}
"""
_SERVER = """basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
subjectAltName={names}
"""
# RFC 1918, link-local and loopback; then the same of IPv6, as openssl prints them.
_PRIVATE = tuple(
    IPv4Network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8")
)
_PRIVATE_6 = ("IP:FD00:0:0:0:0:0:0:0/FF00:0:0:0:0:0:0:0", "IP:FE80:0:0:0:0:0:0:0/FFC0:0:0:0:0:0:0:0")


def server_pem(folder: Path) -> Path:
    """The broker's key and certificates in one file: a power cut leaves none without the other."""
    return folder / "server.pem"


@dataclass(frozen=True, slots=True)
class Papers:
    """The authority and its certificate; `ca_key` is kept apart from the broker, which never needs it.

    `again` names what shall be made again although it is good: RENEWED, CERTIFICATE.
    """

    folder: Path
    ca_key: Path
    names: Sequence[str]
    days: int
    again: frozenset[str] = frozenset()

    @property
    def ca(self) -> Path:
        """The authority's certificate: what phones are given."""
        return self.folder / "ca.crt"

    @property
    def _before(self) -> Path:
        """The authority's certificate before it was renewed: some phones may have this one."""
        return self.folder / "ca-before.crt"

    def lacks(self) -> list[str]:
        """What must be made, in words; nothing if all is good. Raises BrokerError."""
        if not _fits(self.ca, self.ca_key):
            return [AUTHORITY, CERTIFICATE]
        good = openssl.lasts(self.ca, _RENEW_CA_DAYS) and set(_permitted(self.names)) <= _allowed(self.ca)
        lacking = [] if good and RENEWED not in self.again else [RENEWED]
        if CERTIFICATE in self.again or not self._certificate_is_good():
            lacking.append(CERTIFICATE)
        return lacking

    def _certificate_is_good(self) -> bool:
        """Whether it lasts, is for these names, has the authority's signature and its own key."""
        pem = server_pem(self.folder)
        return (
            _fits(pem, pem)
            and openssl.lasts(pem, _RENEW_DAYS)
            and openssl.names(pem) == sorted(_names(self.names))
            and openssl.ask("verify", "-CAfile", str(self.ca), str(pem)) is not None
        )

    def make(self) -> list[str]:
        """Make what is missing; returns what was made. Raises BrokerError, OSError."""
        lacking = self.lacks()
        if lacking and time.time() * 1000 < BUILD_DATE_MS:
            raise BrokerError(
                "the clock of this machine is not set: a certificate made now would not be valid"
            )
        steps = {
            AUTHORITY: self._make_ca,
            RENEWED: self._renew_ca,
            CERTIFICATE: self._make_certificate,
        }
        with tempfile.TemporaryDirectory() as folder:
            for what in lacking:
                steps[what](Path(folder))
        return lacking

    def _ca_conf(self, work: Path) -> Path:
        conf = work / "ca.cnf"
        permitted = enumerate(_permitted(self.names))
        lines = (f"permitted;{one.replace(':', f'.{number}=', 1)}" for number, one in permitted)
        name = f"Boondock {self.names[0]} {secrets.token_hex(3)}"[:64]
        conf.write_text(_REQUEST.format(name=name) + _CA.format(permitted="\n".join(lines)))
        return conf

    def _make_ca(self, work: Path) -> None:
        key, ca = work / "ca.key", work / "ca.crt"
        asked = ("req", "-x509", "-config", str(self._ca_conf(work)), "-extensions", "ca", *_EC)
        openssl.do(*asked, "-days", str(CA_DAYS), "-keyout", str(key), "-out", str(ca))
        self.ca_key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        state_files.write(self.ca_key, key.read_bytes())
        put(self.ca, ca.read_bytes(), private=False)
        self._before.unlink(missing_ok=True)

    def _renew_ca(self, work: Path) -> None:
        """Sign the authority's certificate again, name and key as before: phones may keep theirs."""
        made = work / "ca.crt"
        asked = ("x509", "-in", str(self.ca), "-signkey", str(self.ca_key), "-clrext", "-sha256")
        lasting = ("-days", str(CA_DAYS), "-extfile", str(self._ca_conf(work)), "-extensions", "ca")
        openssl.do(*asked, *lasting, "-set_serial", _serial(), "-out", str(made))
        put(self._before, self.ca.read_bytes(), private=False)
        put(self.ca, made.read_bytes(), private=False)

    def _make_certificate(self, work: Path) -> None:
        conf, extensions, asked = work / "server.cnf", work / "server.ext", work / "server.csr"
        conf.write_text(_REQUEST.format(name=self.names[0][:64]))
        extensions.write_text(_SERVER.format(names=",".join(_names(self.names))))
        key, made = work / "server.key", work / "server.crt"
        openssl.do("req", "-new", "-config", str(conf), *_EC, "-keyout", str(key), "-out", str(asked))
        signing = ("-CA", str(self.ca), "-CAkey", str(self.ca_key), "-set_serial", _serial(), "-sha256")
        lasting = ("-days", str(self.days), "-extfile", str(extensions))
        openssl.do("x509", "-req", "-in", str(asked), *signing, *lasting, "-out", str(made))
        put(server_pem(self.folder), key.read_bytes() + made.read_bytes(), private=True)

    def warnings(self) -> Iterator[str]:
        """What a person must do about dates, in a sentence each. Raises BrokerError."""
        yield from ends_soon(server_pem(self.folder), "run boondock broker --reload")
        if self._before.exists() and not openssl.lasts(self._before, _WARN_PHONES_DAYS):
            since, end = openssl.date(self.ca, "startdate"), openssl.date(self._before, "enddate")
            yield f"phones that got the authority before {since} need the new one, {self.ca}, by {end}"

    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate, as phones and browsers show it. Raises OSError."""
        der = ssl.PEM_cert_to_DER_cert(self.ca.read_text(encoding="ascii"))
        digest = hashlib.sha256(der).hexdigest().upper()
        return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def ends_soon(pem: Path, cure: str) -> Iterator[str]:
    """Say so if the broker's certificate is close to its end, or past it. Raises BrokerError."""
    if not openssl.lasts(pem, _WARN_DAYS):
        verb = "ends" if openssl.lasts(pem, 0) else "has ended"
        yield f"the broker's certificate {verb} on {openssl.date(pem, 'enddate')}: {cure}"


def _fits(certificate: Path, key: Path) -> bool:
    public = openssl.certified(certificate)
    return public is not None and public == openssl.public(key)


def _names(names: Sequence[str]) -> list[str]:
    return [f"IP:{name}" if is_address(name) else f"DNS:{name}" for name in names]


def _permitted(names: Sequence[str]) -> list[str]:
    """What the authority may speak for, as openssl prints it: private addresses, .local and these names."""
    addresses = [IPv4Address(name) for name in names if is_address(name)]
    others = [one for one in addresses if not any(one in network for network in _PRIVATE)]
    networks = (*_PRIVATE, *map(IPv4Network, others))
    local = [name.lower() for name in names if not is_address(name) and not name.lower().endswith(".local")]
    numbers = [f"IP:{one.network_address}/{one.netmask}" for one in networks]
    return [f"DNS:{name}" for name in ("local", *local)] + numbers + list(_PRIVATE_6)


def _allowed(ca: Path) -> set[str]:
    """What an authority may speak for; nothing if that is not limited."""
    said = openssl.ask("x509", "-noout", "-ext", "nameConstraints", "-in", str(ca)) or ""
    return {line.strip() for line in said.splitlines()} if "critical" in said else set()


def _serial() -> str:
    return f"0x{secrets.token_hex(16)}"
