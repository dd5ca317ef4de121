"""Secret files: one setting each, named by it, from systemd's credentials and /etc/boondock/secrets."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from config.toml_text import TextError, decode

FOLDER = Path("/etc/boondock/secrets")
# systemd names the files of a credential that is a folder so.
_LOADED = "secrets_"


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A secret file by the name of its setting; without `text` it cannot be used, and `wrong` says why."""

    name: str
    path: Path
    text: str | None
    wrong: str = ""
    allowed: str = ""
    # It is root's alone, in a folder that nobody named: as if it were not there for who may not read it.
    hidden: bool = False


def places(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """List the folders of secret files, the first one first.

    $BOONDOCK_SECRETS alone, else systemd's credentials and /etc/boondock/secrets.
    """
    if named := environ.get("BOONDOCK_SECRETS"):
        return (Path(named),)
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    return (Path(credentials), FOLDER) if credentials else (FOLDER,)


def read(folders: Iterable[Path]) -> dict[str, SecretFile]:
    """Every secret file by the name of its setting; that of an earlier folder counts.

    Raises OSError if a folder cannot be read, except /etc/boondock/secrets, which may be root's alone.
    """
    found: dict[str, SecretFile] = {}
    for folder in folders:
        for one in _files(folder):
            before = found.get(one.name)
            # One that cannot be read here may stand in another folder.
            if before is None or (before.text is None and one.text is not None):
                found[one.name] = one
    return found


def _files(folder: Path) -> Iterator[SecretFile]:
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError:
        if folder != FOLDER:
            raise
        return
    # A unit's own credential goes before the one that was loaded with the folder.
    for name in sorted(names, key=lambda name: name.startswith(_LOADED)):
        # Editors leave copies; a setting has no dot in its name.
        if "__" in name and not name.startswith("."):
            yield _read(name.removeprefix(_LOADED).lower(), folder / name)


def _read(name: str, path: Path) -> SecretFile:
    try:
        text = decode(path.read_bytes(), str(path)).strip()
    except TextError as error:
        return SecretFile(name, path, None, error.wrong, error.allowed)
    except OSError as error:
        wrong = error.strerror or str(error)
        hidden = isinstance(error, PermissionError) and path.parent == FOLDER
        return SecretFile(
            name, path, None, f"it cannot be read: {wrong}", "run the command with sudo", hidden
        )
    if not text:
        return SecretFile(name, path, None, "the file is empty", "one line, the secret itself")
    if "\n" in text:
        wrong = f"the file has {text.count(chr(10)) + 1} lines"
        return SecretFile(name, path, None, wrong, "one line, the secret itself")
    return SecretFile(name, path, text)
