"""The `openssl` command: what is asked of it, and what it makes."""

import hashlib
import re
import secrets
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from bus import state_files
from bus.clock import BUILD_DATE_MS
from cli.broker.files import put_broker_file
from cli.terminal import CommandError
from config.addresses import is_address

_DAY_S = 86_400


def run_openssl(*arguments: str) -> None:
    """Have something made. Raises CommandError with what openssl says."""
    done = _run(*arguments)
    if done.returncode != 0:
        raise CommandError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


def ask_openssl(*arguments: str) -> str | None:
    """Return what openssl says, None if it says no. Raises CommandError if there is no openssl."""
    done = _run(*arguments)
    return done.stdout if done.returncode == 0 else None


def lasts(certificate: Path, days: int) -> bool:
    """Whether a certificate can be read and is valid for so many days from now on."""
    return ask_openssl("x509", "-noout", "-checkend", str(days * _DAY_S), "-in", str(certificate)) is not None


def public_key(key: Path) -> str | None:
    """Extract the public half of a key; None if the file holds none that is open to us."""
    return ask_openssl("pkey", "-pubout", "-passin", "pass:", "-in", str(key))


def certified_key(certificate: Path) -> str | None:
    """Extract the public key that a certificate is for; None if the file holds no certificate."""
    return ask_openssl("x509", "-noout", "-pubkey", "-in", str(certificate))


def names_in(certificate: Path) -> list[str]:
    """List the names and addresses of a certificate, sorted: `DNS:van.local`, `IP:192.168.1.10`."""
    said = ask_openssl("x509", "-noout", "-ext", "subjectAltName", "-in", str(certificate)) or ""
    words = (word.strip() for word in said.partition("\n")[2].split(","))
    return sorted(word.replace("IP Address:", "IP:") for word in words if word)


def date_of(certificate: Path, which: str) -> str:
    """Read the `startdate` or `enddate` of a certificate, as 2036-11-25. Raises CommandError."""
    said = ask_openssl("x509", "-noout", f"-{which}", "-dateopt", "iso_8601", "-in", str(certificate))
    if said is None:
        raise CommandError(f"{certificate} is no certificate, or cannot be read")
    return said.partition("=")[2].split(" ")[0]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 — its own arguments, wherever PATH has it
    except FileNotFoundError as error:
        raise CommandError("openssl is not installed: apt install openssl") from error


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
    """Name the one file of the broker's key and certificates: a power cut leaves none without the other."""
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
        """Say in words what must be made; nothing if all is good. Raises CommandError."""
        if not _fits(self.ca, self.ca_key):
            return [AUTHORITY, CERTIFICATE]
        good = lasts(self.ca, _RENEW_CA_DAYS) and set(_permitted(self.names)) <= _allowed(self.ca)
        lacking = [] if good and RENEWED not in self.again else [RENEWED]
        if CERTIFICATE in self.again or not self._certificate_is_good():
            lacking.append(CERTIFICATE)
        return lacking

    def _certificate_is_good(self) -> bool:
        """Whether it lasts, is for these names, has the authority's signature and its own key."""
        pem = server_pem(self.folder)
        return (
            _fits(pem, pem)
            and lasts(pem, _RENEW_DAYS)
            and names_in(pem) == sorted(_names(self.names))
            and ask_openssl("verify", "-CAfile", str(self.ca), str(pem)) is not None
        )

    def make(self) -> list[str]:
        """Make what is missing; returns what was made. Raises CommandError, OSError."""
        lacking = self.lacks()
        if lacking and time.time() * 1000 < BUILD_DATE_MS:
            raise CommandError(
                "the clock of this machine is not set: a certificate made now would not be valid"
            )
        steps = {AUTHORITY: self._make_ca, RENEWED: self._renew_ca, CERTIFICATE: self._make_certificate}
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
        run_openssl(*asked, "-days", str(CA_DAYS), "-keyout", str(key), "-out", str(ca))
        self.ca_key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        state_files.write(self.ca_key, key.read_bytes())
        put_broker_file(self.ca, ca.read_bytes(), private=False)
        self._before.unlink(missing_ok=True)

    def _renew_ca(self, work: Path) -> None:
        """Sign the authority's certificate again, name and key as before: phones may keep theirs."""
        made = work / "ca.crt"
        asked = ("x509", "-in", str(self.ca), "-signkey", str(self.ca_key), "-clrext", "-sha256")
        lasting = ("-days", str(CA_DAYS), "-extfile", str(self._ca_conf(work)), "-extensions", "ca")
        run_openssl(*asked, *lasting, "-set_serial", _serial(), "-out", str(made))
        put_broker_file(self._before, self.ca.read_bytes(), private=False)
        put_broker_file(self.ca, made.read_bytes(), private=False)

    def _make_certificate(self, work: Path) -> None:
        conf, extensions, asked = work / "server.cnf", work / "server.ext", work / "server.csr"
        conf.write_text(_REQUEST.format(name=self.names[0][:64]))
        extensions.write_text(_SERVER.format(names=",".join(_names(self.names))))
        key, made = work / "server.key", work / "server.crt"
        run_openssl("req", "-new", "-config", str(conf), *_EC, "-keyout", str(key), "-out", str(asked))
        signing = ("-CA", str(self.ca), "-CAkey", str(self.ca_key), "-set_serial", _serial(), "-sha256")
        lasting = ("-days", str(self.days), "-extfile", str(extensions))
        run_openssl("x509", "-req", "-in", str(asked), *signing, *lasting, "-out", str(made))
        put_broker_file(server_pem(self.folder), key.read_bytes() + made.read_bytes(), private=True)

    def warnings(self) -> Iterator[str]:
        """Say what a person must do about dates, in a sentence each. Raises CommandError."""
        yield from ends_soon(server_pem(self.folder), "run boondock broker --reload")
        if self._before.exists() and not lasts(self._before, _WARN_PHONES_DAYS):
            since, end = date_of(self.ca, "startdate"), date_of(self._before, "enddate")
            yield f"phones that got the authority before {since} need the new one, {self.ca}, by {end}"

    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate, as phones and browsers show it. Raises OSError."""
        der = ssl.PEM_cert_to_DER_cert(self.ca.read_text(encoding="ascii"))
        digest = hashlib.sha256(der).hexdigest().upper()
        return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def ends_soon(pem: Path, cure: str) -> Iterator[str]:
    """Say so if the broker's certificate is close to its end, or past it. Raises CommandError."""
    if not lasts(pem, _WARN_DAYS):
        verb = "ends" if lasts(pem, 0) else "has ended"
        yield f"the broker's certificate {verb} on {date_of(pem, 'enddate')}: {cure}"


def _fits(certificate: Path, key: Path) -> bool:
    public = certified_key(certificate)
    return public is not None and public == public_key(key)


def _names(names: Sequence[str]) -> list[str]:
    return [f"IP:{name}" if is_address(name) else f"DNS:{name}" for name in names]


def _permitted(names: Sequence[str]) -> list[str]:
    """List what the authority may speak for, as openssl prints it: private addresses, .local, these names."""
    addresses = [IPv4Address(name) for name in names if is_address(name)]
    others = [one for one in addresses if not any(one in network for network in _PRIVATE)]
    networks = (*_PRIVATE, *map(IPv4Network, others))
    local = [name.lower() for name in names if not is_address(name) and not name.lower().endswith(".local")]
    numbers = [f"IP:{one.network_address}/{one.netmask}" for one in networks]
    return [f"DNS:{name}" for name in ("local", *local)] + numbers + list(_PRIVATE_6)


def _allowed(ca: Path) -> set[str]:
    """Read what an authority may speak for; nothing if that is not limited."""
    said = ask_openssl("x509", "-noout", "-ext", "nameConstraints", "-in", str(ca)) or ""
    return {line.strip() for line in said.splitlines()} if "critical" in said else set()


def _serial() -> str:
    return f"0x{secrets.token_hex(16)}"


_PEM_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
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
        """What the broker is called, the name to show to people first. Raises CommandError."""
        return self.wanted or [name for name in self._certified() if not name.startswith("*")]

    def _certified(self) -> list[str]:
        # Where the file is gone meanwhile, its copy tells.
        found = names_in(self.certificate) or names_in(server_pem(self.folder))
        return [name.partition(":")[2] for name in found]

    def lacks(self) -> list[str]:
        """Say in words what must be copied; nothing if the broker has it, or if this one is of no use.

        Raises CommandError if it is of no use and the broker has no other.
        """
        wrong = self.wrong()
        if wrong is not None:
            if server_pem(self.folder).exists():
                return []
            raise CommandError(wrong)
        try:
            old = server_pem(self.folder).read_bytes()
        except FileNotFoundError:
            old = b""
        return [] if old == self._pem() else [f"a copy of {self.certificate} and its key"]

    def wrong(self) -> str | None:
        """Why the broker or a phone could not use it, and what to do. Raises CommandError."""
        return next(self._wrong(), None)

    def _pem(self) -> bytes:
        return self.key.read_bytes().rstrip(b"\n") + b"\n" + self.certificate.read_bytes()

    def _wrong(self) -> Iterator[str]:
        for name, path in (("certificate", self.certificate), ("private_key", self.key)):
            try:
                path.read_bytes()
            except OSError as error:
                yield f"lan.{name}: {path} cannot be read: {error.strerror}; run this as root"
        if certified_key(self.certificate) is None:
            yield f"lan.certificate: {self.certificate} holds no certificate in PEM, such as fullchain.pem"
        yield from self._wrong_key()
        begin = date_of(self.certificate, "startdate")
        if begin > f"{datetime.now(UTC):%Y-%m-%d}":
            yield f"lan.certificate: it begins on {begin}: is the clock of this machine right?"
        if not lasts(self.certificate, 0):
            yield f"lan.certificate: it has ended on {date_of(self.certificate, 'enddate')}; {_CURE}"
        purpose = ask_openssl("x509", "-noout", "-purpose", "-in", str(self.certificate)) or ""
        if "SSL server : Yes" not in purpose:
            yield "lan.certificate: it is not for a server; one for TLS servers is needed"
        for name in self.wanted:
            if not self._is_for(name):
                yield f"lan.names: {name} is not in lan.certificate, which is for {self._said()}"
        if not self.names:
            yield f"lan.names is needed: the certificate is for {self._said()}; say how to call it"

    def _wrong_key(self) -> Iterator[str]:
        if public_key(self.key) is None:
            yield f"lan.private_key: {self.key} holds no key without a passphrase, such as privkey.pem"
        elif certified_key(self.certificate) != public_key(self.key):
            yield f"lan.private_key: {self.key} is not the key of {self.certificate}: they are made together"
        try:
            # What OpenSSL holds to be too weak would keep the broker from starting.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key)
        except ssl.SSLError as error:
            yield f"lan.certificate: OpenSSL refuses it: {error.reason or error}"

    def _is_for(self, name: str) -> bool:
        flag = "-checkip" if is_address(name) else "-checkhost"
        said = ask_openssl("x509", "-noout", flag, name, "-in", str(self.certificate)) or ""
        return "does match" in said

    def _said(self) -> str:
        return ", ".join(self._certified()) or "no name at all"

    def make(self) -> list[str]:
        """Copy what is new; returns what was copied. Raises CommandError, OSError."""
        lacking = self.lacks()
        if lacking:
            # Where it comes from only root may read.
            put_broker_file(server_pem(self.folder), self._pem(), private=True)
        return lacking

    def warnings(self) -> Iterator[str]:
        """Say what a person must do, in a sentence each. Raises CommandError."""
        yield from ends_soon(server_pem(self.folder), _CURE)
        text = self.certificate.read_text(encoding="ascii", errors="replace")
        issuer, subject = (
            re.sub(r"^\w+=", "", ask_openssl("x509", "-noout", flag, "-in", str(self.certificate)) or "")
            for flag in ("-issuer", "-subject")
        )
        if text.count(_PEM_CERTIFICATE) == 1 and issuer != subject:
            yield f"{self.certificate} lacks the certificates above it, which phones need: take fullchain.pem"
