"""The shipped profiles of Modbus devices, and how profile files are read: only here are files opened."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

_FOLDER = Path(__file__).parent
_SUFFIX = ".toml"


class ProfileFileError(Exception):
    """A profile file cannot be read; the text says why."""


def is_path(profile: str) -> bool:
    """Whether a `profile` setting means a file of the owner rather than a shipped profile."""
    return "/" in profile or profile.endswith(_SUFFIX)


def shipped() -> tuple[str, ...]:
    """List the names of the shipped profiles, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob(f"*{_SUFFIX}")))


def read(profile: str) -> Mapping[str, object]:
    """Read the tables of a shipped profile or a file, decimal fractions exact. Raises ProfileFileError."""
    # Only for a process that has such a device.
    import tomllib  # noqa: PLC0415 — as above

    path = Path(profile) if is_path(profile) else _FOLDER / f"{profile}{_SUFFIX}"
    if not is_path(profile) and profile not in shipped():
        raise ProfileFileError(f"there is no profile {profile!r}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ProfileFileError(f"{profile} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ProfileFileError(f"{profile} is no text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ProfileFileError(f"{profile} is no TOML: {error}") from error
