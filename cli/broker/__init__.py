"""Passwords of the broker's users: made, kept one file a user, hashed as Mosquitto wants them."""

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from bus import state_files
from config.rules import OURS

# The passwords are random and too long to guess, so few rounds do: each login halts the whole broker.
_ROUNDS = 1000
_SALT = 12
_WORDS = 5
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_HASH = re.compile(r"\$7\$(\d{1,7})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)\Z")
_NAME = "boondock-*-password"


def secret_of(user: str) -> str:
    """Name the file of a user's password, as in LoadCredential of the units."""
    return f"boondock-{user.removeprefix(OURS).replace('_', '-')}-password"


def new_password() -> str:
    """About 148 bits, in groups that can be typed on a phone."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(6)) for _ in range(_WORDS))


def hashed(password: str) -> str:
    """As in Mosquitto's password file: `$7$`, rounds, salt and PBKDF2-HMAC-SHA512 in base64.

    Source: mosquitto_passwd 2.0 writes it so; checked against it and against a login.
    """
    salt = os.urandom(_SALT)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS)
    return f"$7${_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def verifies(text: str, password: str) -> bool:
    """Whether a hash is this password's."""
    found = _HASH.match(text)
    if found is None or int(found[1]) < 1:
        return False
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in (found[2], found[3]))
    except ValueError:
        return False
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, int(found[1]))
    return hmac.compare_digest(made, digest)


def hashes(text: str) -> dict[str, str]:
    """Split a password file into hashes by user."""
    lines = (line.partition(":") for line in text.splitlines())
    return {name: value for name, colon, value in lines if colon}


def password_file(passwords: Mapping[str, str], old: str) -> str:
    """Write the password file of these users; a hash that is still right stays, so that nothing changes."""
    kept = hashes(old)
    lines = []
    for name, password in passwords.items():
        known = kept.get(name, "")
        lines.append(f"{name}:{known if verifies(known, password) else hashed(password)}\n")
    return "".join(lines)


class Vault:
    """A folder with a file a password, readable by its owner alone; `fresh` is what `save` writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fresh: dict[str, str] = {}

    def read(self, name: str) -> str | None:
        """Read a password; None if there is none. Raises OSError."""
        try:
            text = (self.folder / name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        return text or None

    def password(self, name: str, *, renew: bool = False) -> str:
        """Read a password, or make a new one if there is none or it shall be renewed. Raises OSError."""
        known = None if renew else self.fresh.get(name) or self.read(name)
        if known is None:
            known = self.fresh[name] = new_password()
        return known

    def stale(self, wanted: set[str]) -> list[Path]:
        """Files of users that are gone: one of the same name must not get the old password back."""
        return sorted(path for path in self.folder.glob(_NAME) if path.name not in wanted)

    def save(self) -> None:
        """Write what is new. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, password in self.fresh.items():
            state_files.write(self.folder / name, f"{password}\n".encode())
        self.fresh.clear()
