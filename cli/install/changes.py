"""What an installation changes: each change shows itself, knows whether it is done, notes what was before.

The journal holds what was before, so that `uninstall` gives it back, the newest change first.
"""

import base64
import difflib
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cli.install import System, load, put, save, shown
from cli.terminal import CommandError

JOURNAL = "/var/lib/boondock-install/journal.json"
PYTHON = "@python"
"""In a command that takes something back: the Python that runs it."""
Record = dict[str, Any]


class Journal:
    """What was there before the first change of each thing; written before the change is made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = load(path) or []

    def note(self, kind: str, key: str, **before: object) -> None:
        """Keep what was before, once: a second change of the same thing has nothing new to say."""
        if not any((one["kind"], one["key"]) == (kind, key) for one in self.records):
            self.records.append({"kind": kind, "key": key, **before})
            save(self.path, self.records)

    def drop(self, record: Record) -> None:
        """Forget a change that was taken back."""
        self.records.remove(record)
        save(self.path, self.records)


class Change(Protocol):
    """One file, folder, link, command or unit."""

    def show(self) -> Iterator[str]:
        """Say what it would do, in lines for a person."""

    def done(self) -> bool:
        """Whether there is nothing to do."""

    def do(self, journal: Journal) -> None:
        """Do it. Raises CommandError, OSError."""


@dataclass(frozen=True)
class File:
    """A file with this text; `secret`: it is not shown; `keep`: it is the user's, uninstall leaves it."""

    path: Path
    text: str
    mode: int = 0o644
    secret: bool = False
    keep: bool = False

    def show(self) -> Iterator[str]:
        """Show what changes in it, line by line; a new file whole."""
        yield f"file {self.path} (mode {self.mode:o}{', not shown' if self.secret else ''})"
        if self.secret:
            return
        old = self._old()
        if old is None:
            yield from (f"    {line}" for line in self.text.splitlines())
            return
        lines = difflib.unified_diff(old.splitlines(), self.text.splitlines(), lineterm="", n=1)
        yield from (f"    {line}" for line in list(lines)[2:])

    def _old(self) -> str | None:
        try:
            return self.path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return None

    def done(self) -> bool:
        """Whether text and mode are these."""
        try:
            # A Pi's boot partition is FAT: what it shows as rights is a mount option.
            fat = self.path.is_relative_to("/boot")
            right = fat or stat.S_IMODE(self.path.stat().st_mode) == self.mode
            return right and self._old() == self.text
        except OSError:
            return False

    def do(self, journal: Journal) -> None:
        """Write it; what was there before is kept in the journal."""
        mode, owner = self.mode, None
        if self.path.exists():
            found = self.path.stat()
            owner = (found.st_uid, found.st_gid)
        if not self.keep:
            if not self.path.parent.exists():
                journal.note("folder", str(self.path.parent))
            journal.note("file", str(self.path), before=_content(self.path), ours=[])
        content = self.text.encode(errors="surrogateescape")
        # Before it is written, and the one of before until it is: interrupted here, either is known as ours.
        _remember(journal, self.path, content, alone=False)
        put(self.path, content, mode=mode, owner=owner)
        _remember(journal, self.path, content, alone=True)


def _content(path: Path) -> str | None:
    try:
        return base64.b64encode(path.read_bytes()).decode()
    except FileNotFoundError:
        return None


def _remember(journal: Journal, path: Path, content: bytes, *, alone: bool) -> None:
    """Note what we write, so that uninstall sees whether somebody else changed it since; for files in it."""
    for record in journal.records:
        if (record["kind"], record["key"]) == ("file", str(path)):
            record["ours"] = [*([] if alone else record["ours"]), base64.b64encode(content).decode()]
            save(journal.path, journal.records)


@dataclass(frozen=True)
class Gone:
    """A file that shall not be there; only for files of ours."""

    path: Path

    def show(self) -> Iterator[str]:
        """One line."""
        yield f"remove {self.path}"

    def done(self) -> bool:
        """Whether it is gone."""
        return not self.path.exists()

    def do(self, _journal: Journal) -> None:
        """Remove it."""
        self.path.unlink()


@dataclass(frozen=True)
class Folder:
    """A folder; uninstall removes it if it is empty."""

    path: Path
    mode: int = 0o755

    def show(self) -> Iterator[str]:
        """One line."""
        yield f"folder {self.path} (mode {self.mode:o})"

    def done(self) -> bool:
        """Whether it is there with its mode."""
        return self.path.is_dir() and stat.S_IMODE(self.path.stat().st_mode) == self.mode

    def do(self, journal: Journal) -> None:
        """Make it."""
        if not self.path.exists():
            journal.note("folder", str(self.path))
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(self.mode)


@dataclass(frozen=True)
class Link:
    """A symbolic link of ours, replaced in one step."""

    path: Path
    target: Path

    def show(self) -> Iterator[str]:
        """One line."""
        yield f"link {self.path} -> {self.target}"

    def done(self) -> bool:
        """Whether it points there."""
        return self.path.is_symlink() and self.path.readlink() == self.target

    def do(self, journal: Journal) -> None:
        """Point it there."""
        journal.note("link", str(self.path))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{self.path.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.target)
        fresh.replace(self.path)


@dataclass(frozen=True)
class Command:
    """A command; `is_done`: whether its effect is there; `undo` takes it back, on `purge` alone if so."""

    system: System
    argv: Sequence[str]
    is_done: Callable[[], bool]
    undo: Sequence[str] = ()
    purge: bool = False
    live: bool = False
    advice: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def show(self) -> Iterator[str]:
        """Show the command as one would type it."""
        yield f"run {shown(self.argv)}"

    def done(self) -> bool:
        """Whether its effect is there."""
        return self.is_done()

    def do(self, journal: Journal) -> None:
        """Run it. Raises CommandError."""
        if self.undo:
            journal.note("command", shown(self.argv), undo=list(self.undo), purge=self.purge)
        try:
            self.system.run(*self.argv, live=self.live, env=self.env)
        except CommandError as error:
            raise CommandError(f"{error}\n{self.advice}".rstrip()) from error


@dataclass(frozen=True)
class Service:
    """Whether a unit is enabled and runs; what it was before is given back."""

    system: System
    unit: str
    on: bool
    now: bool = True

    def show(self) -> Iterator[str]:
        """Show the command."""
        yield f"run {shown(self._argv())}"

    def _argv(self) -> list[str]:
        verb = "enable" if self.on else "disable"
        return ["systemctl", verb, *(["--now"] if self.now else []), self.unit]

    def _state(self) -> tuple[bool, bool]:
        enabled = self.system.word("systemctl", "is-enabled", self.unit)
        return enabled.startswith("enabled"), self.system.succeeds("systemctl", "-q", "is-active", self.unit)

    def done(self) -> bool:
        """Whether it is as it shall be."""
        enabled, active = self._state()
        return enabled is self.on and (active is self.on or not self.now)

    def do(self, journal: Journal) -> None:
        """Enable and start it, or the opposite. Raises CommandError."""
        enabled, active = self._state()
        journal.note("unit", self.unit, enabled=enabled, active=active)
        self.system.run(*self._argv())


def give_back(system: System, record: Record, *, purge: bool) -> Iterator[str]:
    """Put back what was before a change; yields what a person should know. Raises CommandError, OSError."""
    kind, key = record["kind"], record["key"]
    if kind == "file":
        yield from _give_back_file(Path(key), record)
    elif kind == "folder":
        path = Path(key)
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    elif kind == "link":
        Path(key).unlink(missing_ok=True)
    elif kind == "tree":
        shutil.rmtree(key, ignore_errors=not Path(key).exists())
    elif kind == "command" and (purge or not record["purge"]):
        system.run(*(_python(system) if word == PYTHON else word for word in record["undo"]))
    elif kind == "unit":
        if not record["enabled"]:
            system.succeeds("systemctl", "disable", key)
        elif system.word("systemctl", "is-enabled", key) != "enabled":
            system.run("systemctl", "enable", key)
        system.succeeds("systemctl", "start" if record["active"] else "stop", key)


def _python(system: System) -> str:
    """Name a Python with our libraries: this one, or a release's where this is the system's own."""
    releases = sorted(system.at("/opt/boondock/releases").glob("[!.]*/.venv/bin/python"))
    return str(releases[-1]) if sys.prefix == sys.base_prefix and releases else sys.executable


def _give_back_file(path: Path, record: Record) -> Iterator[str]:
    before, ours = record["before"], record["ours"]
    now = _content(path)
    if now is None:
        if before is not None:
            yield f"{path} was removed by somebody since: it stays so"
        return
    if now in ours or now == before:
        _put_back(path, before)
        return
    if before is None:
        yield f"{path} was changed by somebody since the installation: it is kept as {path}.changed"
        path.replace(path.with_name(path.name + ".changed"))
        return
    text = _without_ours(
        *(
            base64.b64decode(one or "").decode(errors="surrogateescape")
            for one in (before, ours[-1] if ours else None, now)
        )
    )
    put(path, text.encode(errors="surrogateescape"), mode=stat.S_IMODE(path.stat().st_mode))
    yield f"{path} was changed by somebody since the installation: only our lines were taken out; look at it"


def _put_back(path: Path, before: str | None) -> None:
    if before is None:
        path.unlink()
        return
    found = path.stat()
    put(path, base64.b64decode(before), mode=stat.S_IMODE(found.st_mode), owner=(found.st_uid, found.st_gid))


def _without_ours(before: str, ours: str, now: str) -> str:
    """Write the text of now with the lines that we changed as they were before: a merge of both changes."""
    back: dict[str, list[str]] = {}
    old, new = before.splitlines(keepends=True), ours.splitlines(keepends=True)
    for tag, a, b, c, d in difflib.SequenceMatcher(None, new, old, autojunk=False).get_opcodes():
        if tag in ("replace", "delete"):
            for place in range(a, b):
                # The lines that replace ours stand in the place of the first of them.
                back[new[place]] = old[c:d] if place == a else []
    return "".join("".join(back.get(line, [line])) for line in now.splitlines(keepends=True))
