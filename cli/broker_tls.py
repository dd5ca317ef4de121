"""The house's own certificate authority and the broker's certificate, made by the `openssl` command."""

import hashlib
import secrets
import ssl
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bus import keeping
from bus.clock import BUILD_DATE_MS
from cli.broker_error import BrokerError
from cli.broker_files import put
from config.access_rules import is_address

CA_DAYS = 3650
_RENEW_S = 30 * 86_400
_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256")
_REQUEST = "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN={name}\n"
_CA = """[ca]
basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
"""
_SERVER = """basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
subjectAltName={names}
"""


@dataclass(frozen=True, slots=True)
class Papers:
    """Where the certificates are; `ca_key` is kept apart from the broker, which never needs it."""

    folder: Path
    ca_key: Path
    names: Sequence[str]
    days: int

    @property
    def ca(self) -> Path:
        """The authority's certificate: what phones are given."""
        return self.folder / "ca.crt"

    @property
    def certificate(self) -> Path:
        """The broker's certificate."""
        return self.folder / "server.crt"

    @property
    def key(self) -> Path:
        """The broker's key."""
        return self.folder / "server.key"

    def lacks(self) -> list[str]:
        """What must be made, in words; nothing if all is good for 30 days. Raises BrokerError."""
        if not (self.ca.exists() and self.ca_key.exists()) or not self._lasts(self.ca):
            return ["a certificate authority", "a certificate"]
        if not (self.certificate.exists() and self.key.exists()):
            return ["a certificate"]
        good = self._lasts(self.certificate) and self._fits() and self._names() == sorted(_names(self.names))
        return [] if good else ["a certificate"]

    def _lasts(self, path: Path) -> bool:
        return _ask("x509", "-noout", "-checkend", str(_RENEW_S), "-in", str(path)) is not None

    def _fits(self) -> bool:
        """Whether the authority signed the certificate, and the key is the certificate's."""
        signed = _ask("verify", "-CAfile", str(self.ca), str(self.certificate))
        public = _ask("x509", "-noout", "-pubkey", "-in", str(self.certificate))
        return signed is not None and public == _ask("pkey", "-pubout", "-in", str(self.key))

    def _names(self) -> list[str]:
        said = _ask("x509", "-noout", "-ext", "subjectAltName", "-in", str(self.certificate)) or ""
        words = (word.strip() for word in said.partition("\n")[2].split(","))
        return sorted(word.replace("IP Address:", "IP:") for word in words)

    def make(self) -> list[str]:
        """Make what is missing; returns what was made. Raises BrokerError, OSError."""
        lacking = self.lacks()
        if lacking and time.time() * 1000 < BUILD_DATE_MS:
            raise BrokerError(
                "the clock of this machine is not set: a certificate made now would not be valid"
            )
        with tempfile.TemporaryDirectory() as folder:
            if len(lacking) > 1:
                self._make_ca(Path(folder))
            if lacking:
                self._make_certificate(Path(folder))
        return lacking

    def _make_ca(self, work: Path) -> None:
        conf = work / "ca.cnf"
        conf.write_text(_REQUEST.format(name=f"Boondock {self.names[0]} {secrets.token_hex(3)}"[:64]) + _CA)
        key, ca = work / "ca.key", work / "ca.crt"
        _make(
            "req", "-x509", "-config", str(conf), "-extensions", "ca", "-days", str(CA_DAYS), key=key, out=ca
        )
        self.ca_key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        keeping.write(self.ca_key, key.read_bytes())
        put(self.ca, ca.read_bytes(), private=False)

    def _make_certificate(self, work: Path) -> None:
        conf, extensions, asked = work / "server.cnf", work / "server.ext", work / "server.csr"
        conf.write_text(_REQUEST.format(name=self.names[0][:64]))
        extensions.write_text(_SERVER.format(names=",".join(_names(self.names))))
        key, made = work / "server.key", work / "server.crt"
        _make("req", "-new", "-config", str(conf), key=key, out=asked)
        serial = f"0x{secrets.token_hex(16)}"
        signing = ("-CA", str(self.ca), "-CAkey", str(self.ca_key), "-set_serial", serial, "-sha256")
        lasting = ("-days", str(self.days), "-extfile", str(extensions))
        _do("x509", "-req", "-in", str(asked), *signing, *lasting, "-out", str(made))
        put(self.key, key.read_bytes(), private=True)
        put(self.certificate, made.read_bytes(), private=False)

    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate, as phones and browsers show it. Raises OSError."""
        der = ssl.PEM_cert_to_DER_cert(self.ca.read_text(encoding="ascii"))
        digest = hashlib.sha256(der).hexdigest().upper()
        return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def _names(names: Sequence[str]) -> list[str]:
    return [f"IP:{name}" if is_address(name) else f"DNS:{name}" for name in names]


def _make(*arguments: str, key: Path, out: Path) -> None:
    """A new key, and what is asked for with it."""
    _do(*arguments, *_EC, "-keyout", str(key), "-out", str(out))


def _do(*arguments: str) -> None:
    done = _openssl(*arguments)
    if done.returncode != 0:
        raise BrokerError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


def _ask(*arguments: str) -> str | None:
    """What openssl says, None if it says no."""
    done = _openssl(*arguments)
    return done.stdout if done.returncode == 0 else None


def _openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 — its own arguments, wherever PATH has it
    except FileNotFoundError as error:
        raise BrokerError("openssl is not installed: apt install openssl") from error
