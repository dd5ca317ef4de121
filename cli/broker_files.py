"""Files for the broker: what would change, shown without secrets, and written only if it does."""

import difflib
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bus import state_files
from cli.broker_passwords import hashes

ACCOUNT = "mosquitto"


@dataclass(frozen=True, slots=True)
class File:
    """A file as it shall be; `private`: the broker's alone; `hashes`: only the users are shown."""

    path: Path
    text: str
    private: bool = True
    hashes: bool = False

    @property
    def old(self) -> str:
        """What stands there now. Raises OSError."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    @property
    def changed(self) -> bool:
        """Whether it must be written."""
        return self.old != self.text or not self.path.exists()

    def diff(self) -> Iterator[str]:
        """What changes, line by line."""
        if not self.hashes:
            old, new = self.old.splitlines(), self.text.splitlines()
            yield from difflib.unified_diff(old, new, str(self.path), str(self.path), lineterm="", n=2)
            return
        before, after = hashes(self.old), hashes(self.text)
        if before != after:
            yield f"--- {self.path} (users, no hashes)"
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                sign = "+" if name not in before else "-" if name not in after else "~"
                yield f"{sign}{name}"

    def settle(self) -> None:
        """Write it if it changed, and set its rights. Raises OSError."""
        if self.changed:
            put(self.path, self.text.encode(), private=self.private)
        _set_rights(self.path, private=self.private)


def put(path: Path, content: bytes, *, private: bool) -> None:
    """Replace a file with its rights in one step: a power cut leaves the old or the new. Raises OSError."""
    # Before it has its name: a broker that may not read its files does not start.
    state_files.write(path, content, mode=_mode(private=private), owner=_owner(private=private))


def _set_rights(path: Path, *, private: bool) -> None:
    """Give a file to the broker's account alone, or let all read it. Raises OSError."""
    if (owner := _owner(private=private)) is not None:
        os.chown(path, *owner)
    path.chmod(_mode(private=private))


def _mode(*, private: bool) -> int:
    return 0o600 if private else 0o644


def _owner(*, private: bool) -> tuple[int, int] | None:
    """Who must own a private file: since 2.0.16 Mosquitto warns about others, and later refuses them."""
    if not private or os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError:
        return None
    return account.pw_uid, account.pw_gid
