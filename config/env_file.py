"""`.env` beside boondock.toml, by python-dotenv's rules: BOONDOCK_* settings below the environment's."""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from config.mistakes import Mistake, UnreadableError
from config.toml_text import TextError, decode

NAME = ".env"
_INSTALLED = Path("/etc/boondock")


@dataclass(frozen=True, slots=True)
class EnvFile:
    """The variables of a `.env` and the lines on which they stand; `mistakes` are those of its syntax."""

    path: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    mistakes: tuple[Mistake, ...] = ()


def place(config: Path) -> Path:
    """The `.env` of a configuration file: beside it; of one that systemd handed over, in /etc/boondock."""
    beside = config.parent / NAME
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    handed = credentials is not None and config.parent == Path(credentials)
    return _INSTALLED / NAME if handed and not beside.exists() else beside


def read(path: Path, prefix: str) -> EnvFile:
    """The variables of a `.env` that begin with `prefix`; none if there is no such file.

    Raises UnreadableError.
    """
    try:
        text = decode(path.read_bytes(), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return EnvFile(path)
    except TextError as error:
        return EnvFile(path, mistakes=(Mistake(str(path), "", error.wrong, error.allowed, error.line),))
    except OSError as error:
        wrong = error.strerror or str(error)
        raise UnreadableError([Mistake(str(path), "", wrong, "a readable file, or none")]) from error
    lines: dict[str, int] = {}
    mistakes: list[Mistake] = []
    for one in parse_stream(io.StringIO(text)):
        # The library counts the empty lines before a statement to it.
        blank = len(one.original.string) - len(one.original.string.lstrip())
        line = one.original.line + one.original.string[:blank].count("\n")
        if one.error:
            allowed = f'{prefix}BROKER__PORT=1883, or with quotes: NAME="a text"'
            mistakes.append(Mistake(str(path), "", "this line is not NAME=value", allowed, line))
        elif one.key is not None and one.key.upper().startswith(prefix):
            lines[one.key] = line
            if one.value is None:
                wrong = "there is no = after the name"
                mistakes.append(Mistake(str(path), one.key, wrong, f"write {one.key}=value", line))
    if mistakes:
        return EnvFile(path, lines=lines, mistakes=tuple(mistakes))
    values = dotenv_values(stream=io.StringIO(text))
    ours = {
        name: value for name, value in values.items() if name.upper().startswith(prefix) and value is not None
    }
    return EnvFile(path, ours, lines)
