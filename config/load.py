"""Gives a process its settings; the validation runs in a child, so that its memory is not ours for years."""

import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import msgspec

from config import kept, secret_files
from config.mistakes import ConfigError, Mistake, UnreadableError, unsaid
from config.model import Settings

EXIT_CONFIG = 78  # sysexits.h EX_CONFIG: starting again will not help
_AGAIN_S = 2
_PLACES = (Path("boondock.toml"), Path("/etc/boondock/boondock.toml"))


class Examined(msgspec.Struct):
    """What a configuration says: its settings, if there are any, what is wrong, and what may be wrong."""

    settings: Settings | None = None
    mistakes: list[Mistake] = []
    warnings: list[Mistake] = []
    unreadable: bool = False


def find() -> Path:
    """Find the file: $BOONDOCK_CONFIG, else ./boondock.toml, else /etc/boondock/boondock.toml."""
    named = os.environ.get("BOONDOCK_CONFIG")
    if named:
        return Path(named)
    return next((place for place in _PLACES if place.exists()), _PLACES[0])


Check = Callable[[Settings, str], list[Mistake]]


def load(path: Path | None = None, check: Check | None = None) -> Settings:
    """Read the settings of this machine. Raises ConfigError with every mistake, `check`'s included.

    It is an UnreadableError if there is nothing to read yet. `check(settings, file)` runs in the child, too,
    and what it loads is gone with it.
    """
    return _settings(examine(path, check))


def examine(path: Path | None = None, check: Check | None = None, doubts: Check | None = None) -> Examined:
    """Read the settings, every mistake and every warning; `check` and `doubts` are as in `load`."""
    path = path or find()
    return _decode(_ask_child(path, check, doubts), path)


def _settings(found: Examined) -> Settings:
    if found.unreadable:
        raise UnreadableError(found.mistakes)
    if found.mistakes or found.settings is None:
        raise ConfigError(found.mistakes, found.settings)
    return found.settings


def load_or_exit(check: Check | None = None, notify: Callable[[str], object] | None = None) -> Settings:
    """Read the settings; a mistake ends the process with code 78 after one line each on standard error.

    A file that cannot be read is waited for, for it may come with a disk that is mounted late; `notify` tells
    the service manager.
    """
    told = False
    while True:
        # What was found good need not be validated again until something of it changes.
        before = kept.kept(find(), secret_files.places(), "settings" if check is None else check.__module__)
        if before is not None and (settings := before.read()) is not None:
            return settings
        try:
            found = examine(check=check)
            for warning in found.warnings:
                print(f"warning: {warning}", file=sys.stderr)  # noqa: T201 — as below
            settings = _settings(found)
        except UnreadableError as error:
            if not told:
                print(f"{error}\ntrying again every {_AGAIN_S} s", file=sys.stderr)  # noqa: T201 — as below
            told = True
            if notify is not None:
                notify(f"EXTEND_TIMEOUT_USEC={10 * _AGAIN_S}000000\nSTATUS=waiting for a file")
            time.sleep(_AGAIN_S)
        except ConfigError as error:
            give_up(error)
        else:
            if before is not None and not found.warnings:
                before.write(settings)
            return settings


def give_up(error: ConfigError) -> NoReturn:
    """Print the mistakes and exit with code 78."""
    print(error, file=sys.stderr)  # noqa: T201 — the owner reads this
    sys.exit(EXIT_CONFIG)


def _ask_child(path: Path, check: Check | None, doubts: Check | None) -> bytes:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(_answer(path, check, doubts))
        finally:
            # Whatever happens, the child must not go on as a second process of ours.
            if sys.exception() is not None:
                traceback.print_exc()
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def _answer(path: Path, check: Check | None, doubts: Check | None) -> bytes:
    from config import source  # noqa: PLC0415 — pydantic's 10 MB stay in the child

    places = secret_files.places()
    answer = Examined()
    try:
        answer.settings = source.read(path, *places)
    except ConfigError as error:
        answer = Examined(error.partial, error.mistakes, unreadable=isinstance(error, UnreadableError))
    if check is not None and answer.settings is not None:
        answer.mistakes += unsaid(check(answer.settings, str(path)), answer.mistakes)
    if doubts is not None and answer.settings is not None:
        answer.warnings += doubts(answer.settings, str(path))
    if not answer.unreadable:
        answer.warnings += source.strays(path, *places)
    if answer.mistakes or answer.warnings:
        known = source.lines(path)
        answer.mistakes = [located(m, path, known) for m in answer.mistakes]
        answer.warnings = [located(m, path, known) for m in answer.warnings]
    return msgspec.json.encode(answer)


def located(mistake: Mistake, path: Path, known: dict[str, int]) -> Mistake:
    """Give the mistake the line of its key in the file, if it stands there."""
    from config.toml_text import line_of  # noqa: PLC0415 — good settings need no lines

    if mistake.line or mistake.where != str(path):
        return mistake
    return replace(mistake, line=line_of(mistake.key, known))


def _decode(answer: bytes, path: Path) -> Examined:
    if not answer:
        # The child's own traceback is on standard error.
        raise ConfigError([Mistake(str(path), "", "it could not be read", "see the lines above")])
    return msgspec.json.decode(answer, type=Examined)
