"""Reads a `.env`: variables in a file, by python-dotenv's rules."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from config import toml_text
from config.mistakes import Mistake, UnreadableError

NAME = ".env"
# Where the installer puts the file, and `.env` beside it.
INSTALLED = Path("/etc/boondock") / NAME


@dataclass(frozen=True, slots=True)
class EnvFile:
    """The variables of a `.env` and the lines on which they stand; `mistakes` are those of its syntax."""

    path: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    mistakes: tuple[Mistake, ...] = ()


def read(path: Path, ours: Callable[[str], bool], example: str) -> EnvFile:
    """Read the variables of a `.env` whose names are `ours`; none if there is no such file.

    `example` is a right line. Raises UnreadableError.
    """
    try:
        text = toml_text.decode(path.read_bytes(), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return EnvFile(path)
    except toml_text.TextError as error:
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
            allowed = f'{example}, or with quotes: NAME="a text"'
            mistakes.append(Mistake(str(path), "", "this line is not NAME=value", allowed, line))
        elif one.key is not None and ours(one.key):
            lines[one.key] = line
            if one.value is None:
                wrong = "there is no = after the name"
                mistakes.append(Mistake(str(path), one.key, wrong, f"write {one.key}=value", line))
    if mistakes:
        return EnvFile(path, lines=lines, mistakes=tuple(mistakes))
    values = dotenv_values(stream=io.StringIO(text))
    return EnvFile(
        path, {name: value for name, value in values.items() if ours(name) and value is not None}, lines
    )
