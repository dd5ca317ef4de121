"""The file of a backup: a zip with a manifest, whole, or with only the pages of the database that changed.

Any program for zip files opens it. A whole one holds the database as it is. From one with
`changes` the database is made with that of the whole one beside it.
"""

import grp
import hashlib
import os
import pwd
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

import msgspec

from bus.health import VERSION
from cli.backup import Item, Part
from cli.terminal import CommandError
from statistician.store.backup import Snapshot

FORMAT = 1
# A small processor is slower than the card: level 1 packs four times as fast as 6.
_LEVEL = 1
_PIECE = 256 * 1024
_NUMBER = 4
_DIGEST = 16
_MANIFEST, _FILES, _PAGES, _CHANGES = "manifest.json", "house", "pages", "changes"
# None of ours comes near; what is longer is no manifest.
_LARGEST = 64 * 1024 * 1024

Pause = Callable[[int], None]


class Entry(msgspec.Struct, frozen=True):
    """A file or folder of the house; `owner` and `group` are names, `sha256` is of the whole file."""

    path: str
    part: Part
    mode: int
    owner: str
    group: str
    folder: bool = False
    size: int = 0
    sha256: str = ""


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds; `base` names the whole one that it needs, `base_sha256` is of its database."""

    format: int
    version: str
    made: str
    entries: list[Entry]
    schema: int | None = None
    page_size: int = 0
    pages: int = 0
    base: str | None = None
    base_sha256: str | None = None

    @property
    def database(self) -> Entry | None:
        """The database's entry."""
        return next((entry for entry in self.entries if entry.part is Part.DATABASE), None)


class Writer:
    """Writes one backup to an open file; use it in a with block. All methods raise OSError, SnapshotError."""

    def __init__(self, file: IO[bytes], made: str, base: "Reader | None", pause: Pause) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
        self._made = made
        self._base = base
        self._pause = pause
        self._entries: list[Entry] = []
        self._of_database: dict[str, int | str | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._close()
            return
        # Else it would be done when nobody looks, on a file that is closed.
        with suppress(OSError, ValueError):
            self._zip.close()

    def folder(self, item: Item, there: Path) -> None:
        """Note a folder with its rights."""
        self._entries.append(_entry(item, there))

    def file(self, item: Item, there: Path) -> None:
        """Copy a file."""
        with there.open("rb") as file:
            self._put(item, there, iter(lambda: file.read(_PIECE), b""))

    def small_database(self, item: Item, there: Path) -> None:
        """Copy a database, whole."""
        with Snapshot(there) as snapshot:
            self._put(item, there, snapshot)

    def _put(self, item: Item, there: Path, pieces: Iterable[bytes]) -> None:
        digest, size = hashlib.sha256(), 0
        with self._member(f"{_FILES}{item.path}") as member:
            for piece in pieces:
                member.write(piece)
                digest.update(piece)
                size += len(piece)
                self._pause(len(piece))
        self._entries.append(_entry(item, there, size=size, sha256=digest.hexdigest()))

    def database(self, item: Item, there: Path) -> None:
        """Copy the statistician's database, or the pages that the base does not have. Raises CommandError."""
        with Snapshot(there) as snapshot:
            if problem := snapshot.problem():
                raise CommandError(f"{there} is damaged: {problem}; the last backup stays as it is")
            known = b"" if self._base is None else self._base.page_digests()
            self._of_database = {
                "schema": snapshot.schema(),
                "page_size": snapshot.page_size,
                "pages": snapshot.pages,
            }
            whole, digests = hashlib.sha256(), bytearray()
            folder = _FILES if self._base is None else _CHANGES
            with self._member(f"{folder}{item.path}") as member:
                for number, page in enumerate(snapshot):
                    whole.update(page)
                    digest = hashlib.blake2b(page, digest_size=_DIGEST).digest()
                    if self._base is None:
                        digests += digest
                        member.write(page)
                    elif known[number * _DIGEST : (number + 1) * _DIGEST] != digest:
                        member.write(number.to_bytes(_NUMBER, "big") + page)
                    self._pause(len(page))
            size = snapshot.pages * snapshot.page_size
        if self._base is None:
            with self._member(f"{_PAGES}{item.path}") as member:
                member.write(bytes(digests))
        self._entries.append(_entry(item, there, size=size, sha256=whole.hexdigest()))

    def _member(self, name: str) -> IO[bytes]:
        return self._zip.open(name, "w", force_zip64=True)

    def _close(self) -> None:
        """Write the manifest and the end."""
        base = self._base
        database = None if base is None else base.manifest.database
        manifest = Manifest(
            FORMAT,
            VERSION,
            self._made,
            self._entries,
            base=None if base is None else base.path.name,
            base_sha256=None if database is None else database.sha256,
            **self._of_database,  # type: ignore[arg-type]  # three fields, each of its own type
        )
        self._zip.writestr(_MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        self._zip.close()


class Reader:
    """Reads one backup; use it in a with block. Methods raise CommandError if it is not whole, OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        try:
            self._zip = zipfile.ZipFile(self.path)
            if self._zip.getinfo(_MANIFEST).file_size > _LARGEST:
                raise CommandError(f"{self.path} is no backup of Boondock: its manifest is too long")
            self.manifest = msgspec.json.decode(self._zip.read(_MANIFEST), type=Manifest)
        except FileNotFoundError as error:
            raise CommandError(f"there is no {self.path}") from error
        except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
            raise CommandError(f"{self.path} is no whole backup of Boondock: {error}") from error
        if self.manifest.format > FORMAT:
            raise CommandError(
                f"{self.path} is of a newer Boondock ({self.manifest.version}): update this one first"
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def page_digests(self) -> bytes:
        """Read a digest of each page of the database in a whole backup."""
        database = self.manifest.database
        return b"" if database is None else b"".join(self._read(f"{_PAGES}{database.path}"))

    def content(self, entry: Entry) -> Iterator[bytes]:
        """Yield the bytes of a file. Raises CommandError at the end if they are not what was written."""
        changed = entry.part is Part.DATABASE and self.manifest.base is not None
        pieces = self._patched(entry) if changed else self._read(f"{_FILES}{entry.path}")
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
            yield piece
        if digest.hexdigest() != entry.sha256:
            raise CommandError(f"{self.path}: {entry.path} in it is damaged")

    def _read(self, name: str, size: int = _PIECE) -> Iterator[bytes]:
        try:
            with self._zip.open(name) as member:
                while piece := member.read(size):
                    yield piece
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
            raise CommandError(f"{self.path} is damaged: {error}") from error

    def _patched(self, entry: Entry) -> Iterator[bytes]:
        """Yield the pages of the base, with those that changed."""
        size, number = self.manifest.page_size, 0
        changes = self._read(f"{_CHANGES}{entry.path}", _NUMBER + size)
        with Reader(self.path.with_name(str(self.manifest.base))) as base:
            database = base.manifest.database
            if database is None or database.sha256 != self.manifest.base_sha256:
                raise CommandError(f"{base.path} is not the one that {self.path.name} needs")
            pages = base._read(f"{_FILES}{database.path}", size)
            change = next(changes, None)
            for number in range(self.manifest.pages):
                page = next(pages, b"")
                if change is not None and int.from_bytes(change[:_NUMBER], "big") == number:
                    page, change = change[_NUMBER:], next(changes, None)
                yield page

    def verify(self, pause: Pause = lambda _: None) -> None:
        """Read everything back. Raises CommandError if anything is not what was written."""
        for entry in self.manifest.entries:
            if not entry.folder:
                for piece in self.content(entry):
                    pause(len(piece))


def _entry(item: Item, there: Path, *, size: int = 0, sha256: str = "") -> Entry:
    found = there.stat()
    return Entry(
        str(item.path),
        item.part,
        stat.S_IMODE(found.st_mode),
        _name(lambda: pwd.getpwuid(found.st_uid).pw_name),
        _name(lambda: grp.getgrgid(found.st_gid).gr_name),
        item.folder,
        size,
        sha256,
    )


def _name(found: Callable[[], str]) -> str:
    """Look up the name of a user or group; empty where it has none."""
    try:
        return found()
    except KeyError:
        return ""


def create(path: Path) -> IO[bytes]:
    """Open a new file for writing, which its owner alone may read. Raises OSError."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w+b")
