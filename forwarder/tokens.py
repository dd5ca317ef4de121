"""Signed tokens: the key of the house, what a token says, and whether it is what it says.

A token is a JWT signed with ES256 (RFC 7515, 7518, 7519). Each names the SHA-256 of the one before it, so
nobody without the key can change one, or take one out of the middle, unseen.
"""

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Self, cast

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from bus import state_files
from bus.messages import ClockQuality, Value, to_iso
from forwarder.records import Reading, Record, Removed, Sample, StatisticsRow

KEY_FILE = "signing-key.pem"
_ALGORITHM = "ES256"
_CURVE = "P-256"
# The order of its group (FIPS 186-4, D.1.2.3): of the two s that sign a text the smaller counts.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HALF = 32
# A batch has 1,000 records at most; a longer line is no token, and would only fill the memory.
LONGEST = 16 * 1024 * 1024
# The last letter of a signature holds two bits: with the other bits set, another text is the same signature.
_FORM = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{85}[AQgw]")


class KeyFileError(ValueError):
    """A file is no key that can be used; the text is a sentence with the next step."""


class WrongTokenError(ValueError):
    """A token is not what it says, or not the one that has its place; the text says why."""


class Key:
    """The key of a house; with its public half alone nothing can be signed."""

    def __init__(self, key: ECKey) -> None:
        self._key = key
        self._registry = jws.JWSRegistry(algorithms=[_ALGORITHM], strict_check_header=False)
        self._registry.max_payload_length = LONGEST
        # RFC 7638: what the key, and with it the house, is called.
        self.thumbprint = key.thumbprint()
        self.private = key.is_private

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Read a PEM, a JWK, or what `boondock key --json` prints. Raises ValueError."""
        try:
            found: object = content
            if content.lstrip().startswith(b"{"):
                found = msgspec.json.decode(content, type=dict[str, object])
                found = found.get("jwk", found)
            key = ECKey.import_key(found)  # type: ignore[arg-type]  # it looks at the type itself
        except (JoseError, TypeError, KeyError, AttributeError, UnsupportedAlgorithm) as error:
            raise ValueError(str(error) or type(error).__name__) from error
        if key.curve_name != _CURVE:
            raise ValueError(f"its curve is {key.curve_name}; allowed is {_CURVE}")
        return cls(key)

    def pem(self) -> str:
        """Write the public half as PEM."""
        return self._key.as_pem(private=False).decode()

    def jwk(self) -> dict[str, str]:
        """Return the public half as a JWK."""
        return cast("dict[str, str]", self._key.as_dict(private=False, kid=self.thumbprint))

    def sign(self, claims: "Claims") -> bytes:
        """Make a token; each time it gets another signature."""
        header = {"alg": _ALGORITHM, "typ": "JWT", "kid": self.thumbprint, "device": self.thumbprint}
        payload = msgspec.json.encode(claims)
        token = jws.serialize_compact(header, payload, self._key, registry=self._registry)
        text, _, signature = token.encode().rpartition(b".")
        r, s = _halves(signature)
        return text + b"." + _encoded(r + min(s, _ORDER - s).to_bytes(_HALF, "big"))

    def open(self, token: bytes) -> "Claims":
        """Return what a token says, once its form, key and signature are good. Raises WrongTokenError."""
        if not _FORM.fullmatch(token):
            raise WrongTokenError("this is no signed token, or a part of one")
        self._check_header(token.partition(b".")[0])
        if 2 * _halves(token.rpartition(b".")[2])[1] > _ORDER:
            raise WrongTokenError("it was changed: its signature is written in another way")
        try:
            payload = jws.deserialize_compact(token, self._key, registry=self._registry).payload
        except (ValueError, RecursionError, JoseError) as error:
            raise WrongTokenError("it was changed: its signature does not fit") from error
        try:
            return msgspec.json.decode(payload, type=Claims)
        except (ValueError, RecursionError) as error:
            raise WrongTokenError(
                f"its signature is good, but it is no token of an output: {error}"
            ) from error

    def _check_header(self, part: bytes) -> None:
        try:
            header = msgspec.json.decode(_decoded(part), type=_Header)
        except (ValueError, RecursionError) as error:
            raise WrongTokenError("its header cannot be read: this is no token, or it was changed") from error
        if header.alg != _ALGORITHM:
            raise WrongTokenError(f"its header names the algorithm {header.alg!r}; allowed is {_ALGORITHM}")
        if header.kid != self.thumbprint:
            raise WrongTokenError(f"its header names another key, {header.kid!r}")


class _Header(msgspec.Struct):
    alg: str
    kid: str = ""


def _encoded(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _decoded(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def _halves(signature: bytes) -> tuple[bytes, int]:
    """Return r as it is, and s."""
    raw = _decoded(signature)
    return raw[:_HALF], int.from_bytes(raw[_HALF:], "big")


def digest_of(content: bytes) -> str:
    """Compute the SHA-256, base64url: of a token it is what the next one names as its `prev`."""
    return _encoded(hashlib.sha256(content).digest()).decode()


def read_key(path: Path) -> Key | None:
    """Read a key; None if there is none. Raises KeyFileError, OSError."""
    try:
        return Key.read(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise KeyFileError(
            f"{path} cannot be read as a key ({error}); allowed is one of the curve {_CURVE}, as PEM or JWK"
        ) from error


def house_key(path: Path) -> Key:
    """Read the private key of a house, which is made where there is none. Raises KeyFileError, OSError.

    It belongs to whom its folder belongs to, and only the owner can read it.
    """
    if not path.exists():
        _make(path)
    try:
        found = read_key(path)
        wrong = f"{path} is no private key"
    except KeyFileError as error:
        found, wrong = None, str(error)
    if found is None or not found.private:
        raise KeyFileError(
            f"{wrong}; next: put it back from a backup, or delete it: then a new key is made, and what was"
            " signed so far keeps the old one"
        )
    return found


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.stem}-{secrets.token_hex(4)}.new")
    folder = path.parent.stat()
    owner = (folder.st_uid, folder.st_gid) if os.geteuid() == 0 else None
    try:
        state_files.write(fresh, ECKey.generate_key(_CURVE).as_pem(private=True), owner=owner)
        # Unlike a rename, a link replaces no key that another output, or a command, has made meanwhile.
        os.link(fresh, path)
    except FileExistsError:
        pass  # that one is the key
    finally:
        fresh.unlink(missing_ok=True)


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token says: whose and which it is, and the records.

    `iss` is the house, by the thumbprint of its key, `sub` the output, `iat` seconds since 1970 by a clock
    of the quality `clock`. The same records in the same place of a chain have the same `jti`. `chain` names
    the chain, `seq` counts its tokens from 1, `prev` is the digest of the token before. `readings` and
    `last_reset` are by time and entity. What is `removed` was so before the other records came.
    """

    iss: str
    sub: str
    iat: int
    clock: ClockQuality = "ok"
    jti: str = ""
    chain: str
    seq: int
    prev: str | None = None
    units: dict[str, str] = {}
    removed: list[dict[str, Value | bool]] = []
    readings: dict[str, dict[str, Value]] = {}
    last_reset: dict[str, dict[str, str]] = {}
    rows: list[dict[str, Value | bool]] = []

    def named(self) -> "Claims":
        """Return them with the `jti` that follows from them."""
        plain = msgspec.structs.replace(self, jti="", iat=0, clock="ok")
        return msgspec.structs.replace(self, jti=digest_of(msgspec.json.encode(plain))[:22])

    def hold(self, record: Record) -> bool:
        """Whether a record is among them as it is."""
        if isinstance(record, Reading | Sample):
            values = {record.entity: record.value} if isinstance(record, Reading) else record.values
            known = self.readings.get(to_iso(record.ts), {})
            return all(name in known and known[name] == value for name, value in values.items())
        return record.body() in (self.removed if isinstance(record, Removed) else self.rows)


def with_records(claims: Claims, records: Iterable[Record]) -> Claims:
    """Put records into claims; of two readings of an entity at one time the later one counts."""
    units, readings, resets = dict[str, str](), dict[str, dict[str, Value]](), dict[str, dict[str, str]]()
    rows, removed = [], []
    for record in records:
        match record:
            case Reading():
                at = to_iso(record.ts)
                readings.setdefault(at, {})[record.entity] = record.value
                if record.unit is not None:
                    units[record.entity] = record.unit
                if record.last_reset is not None:
                    resets.setdefault(at, {})[record.entity] = to_iso(record.last_reset)
            case Sample():
                readings.setdefault(to_iso(record.ts), {}).update(record.values)
            case StatisticsRow():
                rows.append(record.body())
            case Removed():
                removed.append(record.body())
    said = {"units": units, "readings": readings, "last_reset": resets, "rows": rows, "removed": removed}
    return msgspec.structs.replace(claims, **said).named()
