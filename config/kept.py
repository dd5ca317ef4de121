"""Keeps the validated settings of a process over restarts: to validate them is much of what a start costs."""

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from config import env_file
from config.model import Settings

# The folder of a process is known before its settings are; where this does not name it, nothing is kept.
_STATE = "BOONDOCK_STORAGE__STATE"
_CREDENTIALS = "CREDENTIALS_DIRECTORY"
# What decides about settings: the programs and their profiles.
_CODE = (".py", ".toml")
_ROOT = Path(__file__).parents[1]
# No part of any service, and large.
_ELSEWHERE = frozenset({"bench", "cli", "data", "docs", "page", "scripts", "tests"})


class _Content(msgspec.Struct):
    """The settings, a digest of all that they were made of, and those of the files that they name."""

    made_of: str
    named: dict[str, str]
    settings: Settings


@dataclass(frozen=True, slots=True)
class Kept:
    """A file with settings that were found good; `made_of` is a digest of all that they depend on."""

    path: Path
    made_of: str

    def read(self) -> Settings | None:
        """Return the settings, None if they must be read anew."""
        try:
            content = msgspec.json.decode(self.path.read_bytes(), type=_Content)
        except (OSError, ValueError, RecursionError):
            # It is made again.
            return None
        if content.made_of != self.made_of or content.named != _named(content.settings):
            return None
        return content.settings

    def write(self, settings: Settings) -> None:
        """Keep settings without a mistake and a warning; where they cannot be kept, each start reads them."""
        content = _Content(self.made_of, _named(settings), settings)
        # One name for all tries: a kill in between leaves one such file behind, which no backup takes.
        fresh = self.path.with_name(f".{self.path.name}.new")
        try:
            # It holds keys and passwords.
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(content))
            fresh.replace(self.path)
        except OSError:
            fresh.unlink(missing_ok=True)


def kept(
    config: Path, secrets: Iterable[Path], check: str, environ: Mapping[str, str] = os.environ
) -> Kept | None:
    """Find the kept settings of a file as `check` found them good; None if this process has no folder."""
    folder = Path(environ.get(_STATE, ""))
    if not folder.is_absolute() or not folder.is_dir():
        return None
    digest = hashlib.blake2b(digest_size=32)
    for part in (*_code(), *_variables(environ), *_files(config, secrets)):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return Kept(folder / f"settings-{check}.json", digest.hexdigest())


def _code() -> Iterator[bytes]:
    """Tell this program from any other version of itself."""
    yield sys.version.encode()
    for folder, folders, files in os.walk(_ROOT):
        folders[:] = sorted(one for one in folders if one[0] not in "._" and one not in _ELSEWHERE)
        for name in sorted(files):
            if name.endswith(_CODE):
                state = Path(folder, name).stat()
                yield f"{folder}/{name} {state.st_size} {state.st_mtime_ns}".encode()


def _variables(environ: Mapping[str, str]) -> Iterator[bytes]:
    yield str(Path.cwd()).encode()
    for name in sorted(environ):
        if name.upper().startswith("BOONDOCK_") or name == _CREDENTIALS:
            yield os.fsencode(f"{name}={environ[name]}")


def _files(config: Path, secrets: Iterable[Path]) -> Iterator[bytes]:
    places = [config, config.parent / env_file.NAME, env_file.INSTALLED]
    for folder in secrets:
        try:
            places += sorted(folder.iterdir())
        except OSError as error:
            yield f"{folder} {error.errno}".encode()
    for place in places:
        yield os.fsencode(place)
        yield _content(place)


def _content(place: Path) -> bytes:
    try:
        return b"=" + place.read_bytes()
    except OSError as error:
        return str(error.errno).encode()


def _named(settings: Settings) -> dict[str, str]:
    """Digest the owner's own profiles."""
    profiles = {device.profile for device in settings.device.values() if device.profile}
    return {
        name: hashlib.blake2b(_content(Path(name))).hexdigest()
        for name in sorted(profiles)
        if Path(name).is_file()
    }
