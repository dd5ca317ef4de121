"""What a power cut leaves of files: the system calls of a process are recorded, and cut off at any point.

The model is an ext4 in its default mode, `data=ordered`, but weaker where that promises more than POSIX does:

- What a file's fsync or fdatasync covered is on the disk. Of the writes since, each is there, is missing, or
  is torn: of its sectors of 512 or 4096 bytes each is there or not. They are independent of each other, so a
  later write may be there and an earlier one not; what lies between reads as zeros.
- Names (create, rename, link, unlink) reach the disk in their order, for the journal is one; a random number
  of the newest is missing. Only a folder's fsync makes them certain; that of a file says nothing of its name.
- A size is part of the journal: without a truncation there is nothing of what was written above it later.
- Shared memory (`-shm` of SQLite) is never on the disk.
"""

import json
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STRACE = "strace"
_CALLS = (
    "openat,creat,close,lseek,write,writev,pwrite64,pwritev,ftruncate,truncate,fallocate,fsync,fdatasync,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,sendfile,copy_file_range"
)
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>)?(.*)", re.DOTALL)
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?)(?:<([^>]*)>)?", re.DOTALL)
_DESCRIPTOR = re.compile(r"(\d+)<([^>]*)>")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_UNFINISHED = " <unfinished ...>"
_NOT_KEPT = "-shm"
_SECTORS = (512, 4096)
_TORN = 0.3
_CHANCES = (0.0, 0.1, 0.5, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes written at a place of a file."""

    path: str
    at: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Copy:
    """Bytes of another file, from the same place of it."""

    path: str
    at: int
    source: str
    size: int


@dataclass(frozen=True, slots=True)
class Resize:
    """A file made longer or shorter; `grow`: never shorter."""

    path: str
    size: int
    grow: bool = False


@dataclass(frozen=True, slots=True)
class Sync:
    """What was written of a file, or what happened to the names of a folder, is on the disk."""

    path: str


@dataclass(frozen=True, slots=True)
class Name:
    """A name that is new, gone (`to` is None) or another now."""

    path: str
    to: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """A second name of a file."""

    path: str
    to: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What the process promised at this moment."""

    said: dict[str, int]


Event = Write | Copy | Resize | Sync | Name | Link | Mark


class UnavailableError(Exception):
    """System calls cannot be recorded here; the text says why."""


def record(command: Sequence[str], folder: Path, marks: Path, log: Path) -> list[Event]:
    """Run a command and return what it did below `folder`; a line of JSON in `marks` is a promise.

    Raises UnavailableError, and RuntimeError if the command fails.
    """
    program = shutil.which(STRACE)
    if program is None:
        raise UnavailableError("no strace: apt install strace")
    tried = _run([program, "-o", str(log), "true"])
    if tried.returncode != 0:
        raise UnavailableError(f"strace may not trace here: {tried.stderr.strip()}")
    traced = [
        program,
        "-f",
        "-qq",
        "-xx",
        "-y",
        "-s",
        "1048576",
        "-e",
        f"trace={_CALLS}",
        "-e",
        "signal=none",
    ]
    done = _run([*traced, "-o", str(log), *command])
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-2000:]}")
    return list(_Reader(str(folder), str(marks)).events(log))


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


class _Reader:
    """Makes events of strace's lines."""

    def __init__(self, folder: str, marks: str) -> None:
        self._folder = folder
        self._marks = marks
        self._places: dict[tuple[int, str], int] = {}
        self._known: set[str] = set()

    def events(self, log: Path) -> Iterator[Event]:
        """Return what happened below the folder, in order."""
        begun: dict[str, str] = {}
        with log.open(encoding="ascii") as lines:
            for line in lines:
                found = _LINE.match(line.rstrip("\n"))
                if found is None:
                    continue
                process, resumed, text = found.groups()
                if text.endswith(_UNFINISHED):
                    begun[process] = text.removesuffix(_UNFINISHED)
                    continue
                call = _CALL.match(begun.pop(process, "") + text if resumed else text)
                if call is not None and call[3] not in ("?", "-1") and not call[3].startswith("-"):
                    yield from self._event(call[1], call[2], int(call[3]), call[4] or "")

    def _event(self, name: str, arguments: str, result: int, opened: str) -> Iterator[Event]:
        if name in ("openat", "creat"):
            yield from self._opened(arguments, result, _plain(opened), new=name == "creat")
        elif name.startswith(("rename", "link", "unlink")):
            yield from self._named(name, [_plain(text) for text in _STRING.findall(arguments)])
        elif (found := _DESCRIPTOR.match(arguments)) is not None:
            path = _plain(found[2])
            if path == self._marks and name == "write":
                yield Mark(json.loads(_bytes(arguments)))
            elif self._ours(path):
                yield from self._done(name, int(found[1]), path, arguments, result)

    def _named(self, name: str, paths: list[str]) -> Iterator[Event]:
        if name.startswith("unlink") and self._ours(paths[-1]):
            self._known.discard(paths[-1])
            yield Name(paths[-1], None)
        elif not name.startswith("unlink") and any(map(self._ours, paths)):
            before, after = paths
            self._known.add(after)
            if name.startswith("rename"):
                self._known.discard(before)
            yield Name(before, after) if name.startswith("rename") else Link(before, after)

    def _ours(self, path: str) -> bool:
        return path.startswith(self._folder) and not path.endswith(_NOT_KEPT)

    def _opened(self, arguments: str, descriptor: int, path: str, *, new: bool) -> Iterator[Event]:
        self._places[descriptor, path] = 0
        if not self._ours(path) or not (new or "O_CREAT" in arguments or "O_TRUNC" in arguments):
            return
        if path not in self._known:
            self._known.add(path)
            yield Name(path, path)
        if new or "O_TRUNC" in arguments:
            yield Resize(path, 0)

    def _done(self, name: str, descriptor: int, path: str, arguments: str, result: int) -> Iterator[Event]:
        key = (descriptor, path)
        if name in ("fsync", "fdatasync"):
            yield Sync(path)
        elif name == "ftruncate":
            yield Resize(path, int(arguments.rsplit(",", 1)[1]))
        elif name == "fallocate":
            offset, length = (int(word) for word in arguments.split(",")[-2:])
            yield Resize(path, offset + length, grow=True)
        elif name == "lseek":
            self._places[key] = result
        elif name in ("pwrite64", "pwritev"):
            yield Write(path, int(arguments.rsplit(",", 1)[1]), _bytes(arguments)[:result])
        elif name in ("write", "writev"):
            place = self._places.get(key, 0)
            self._places[key] = place + result
            yield Write(path, place, _bytes(arguments)[:result])
        elif name in ("sendfile", "copy_file_range"):
            yield from self._copied(name, arguments, result)
        elif name != "close":
            raise UnavailableError(f"{name} on {path} is not understood")

    def _copied(self, name: str, arguments: str, result: int) -> Iterator[Event]:
        """Note what the kernel copied from one file to another; both begin at their start, as shutil does."""
        descriptors = [(int(number), _plain(path)) for number, path in _DESCRIPTOR.findall(arguments)]
        source, target = descriptors if name == "copy_file_range" else reversed(descriptors)
        place = self._places.get(target, 0)
        self._places[target] = place + result
        yield Copy(target[1], place, source[1], result)


def _bytes(arguments: str) -> bytes:
    return b"".join(bytes.fromhex(text.replace("\\x", "")) for text in _STRING.findall(arguments))


def _plain(text: str) -> str:
    return bytes.fromhex(text.replace("\\x", "")).decode() if text.startswith("\\x") else text


@dataclass(slots=True)
class _File:
    """What of a file is on the disk for certain, and what was written since."""

    certain: bytearray = field(default_factory=bytearray)
    since: list[Write | Resize] = field(default_factory=list)

    def seen(self) -> bytearray:
        """Return what the process reads."""
        content = bytearray(self.certain)
        for one in self.since:
            _apply(content, one)
        return content

    def sync(self) -> None:
        """All of it is on the disk."""
        for one in self.since:
            _apply(self.certain, one)
        self.since.clear()

    def after_a_cut(self, dice: random.Random) -> bytearray:
        """Return what may be found."""
        content = bytearray(self.certain)
        chance, sector = dice.choice(_CHANCES), dice.choice(_SECTORS)
        ceiling: int | None = None
        for one in self.since:
            if isinstance(one, Resize):
                if dice.random() < chance:
                    _apply(content, one)
                elif not one.grow:
                    ceiling = one.size if ceiling is None else min(ceiling, one.size)
            elif ceiling is None or one.at + len(one.data) <= ceiling:
                for part in _found(one, chance, sector, dice):
                    _apply(content, part)
        return content


def _found(write: Write, chance: float, sector: int, dice: random.Random) -> Iterator[Write]:
    if dice.random() >= _TORN:
        if dice.random() < chance:
            yield write
        return
    at, end = write.at, write.at + len(write.data)
    while at < end:
        until = min(end, (at // sector + 1) * sector)
        if dice.random() < chance:
            yield Write(write.path, at, write.data[at - write.at : until - write.at])
        at = until


def _apply(content: bytearray, change: Write | Resize) -> None:
    size = change.size if isinstance(change, Resize) else change.at + len(change.data)
    if len(content) < size:
        content.extend(bytes(size - len(content)))
    if isinstance(change, Write):
        content[change.at : size] = change.data
    elif not change.grow:
        del content[size:]


class Disk:
    """A folder as a process sees it, and what a power cut would leave of it; `said` is what was promised."""

    def __init__(self) -> None:
        self.said: dict[str, int] = {}
        self._now: dict[str, _File] = {}
        self._certain: dict[str, _File] = {}
        self._since: list[tuple[str, str | None, _File | None]] = []

    def take(self, event: Event) -> None:
        """Let something happen."""
        if isinstance(event, Mark):
            self.said |= event.said
        elif isinstance(event, Name):
            self._name(event.path, event.to, _File() if event.path == event.to else self._now.get(event.path))
        elif isinstance(event, Link):
            self._name(event.to, event.to, self._now.get(event.path))
        elif isinstance(event, Sync):
            self._sync(event.path)
        elif isinstance(event, Copy):
            data = self._now[event.source].seen()[event.at : event.at + event.size]
            self._now[event.path].since.append(Write(event.path, event.at, bytes(data)))
        elif (file := self._now.get(event.path)) is not None:
            file.since.append(event)

    def _sync(self, path: str) -> None:
        file = self._now.get(path)
        if file is not None:
            file.sync()
            return
        for change in self._since:
            _rename(self._certain, *change)
        self._since.clear()

    def _name(self, path: str, to: str | None, file: _File | None) -> None:
        change = (path, to, file)
        _rename(self._now, *change)
        self._since.append(change)

    def cut(self, dice: random.Random, before: str, folder: Path) -> None:
        """Write what is left of `before` into `folder`, which is empty."""
        names = dict(self._certain)
        for change in self._since[: dice.randint(0, len(self._since))]:
            _rename(names, *change)
        for path, file in names.items():
            target = folder / Path(path).relative_to(before)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.after_a_cut(dice))


def _rename(names: dict[str, _File], path: str, to: str | None, file: _File | None) -> None:
    names.pop(path, None)
    if to is not None and file is not None:
        names[to] = file
