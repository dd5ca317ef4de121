"""`boondock configure`: the installer's questions again for one part of a boondock.toml that there is."""

import difflib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bus import state_files
from cli.check import examine
from cli.errors import SettingsError
from cli.install import main, plan
from cli.install.kinds import toml_value
from cli.install.questions import Draft, Interview, Read
from cli.install.release import current
from cli.install.report import Report
from cli.install.steps import Context, zone_of
from cli.install.system import InstallError, System
from cli.naming.tables import with_table
from cli.naming.toml import replace_kept
from config import secret_files, toml_repairs
from config.toml_text import TextError, decode, mistakes

_MAKE = "next: sudo ./scripts/install asks for all of it; or copy config/example.toml to boondock.toml"


@dataclass(frozen=True, slots=True)
class Target:
    """What is changed: a file, and the folder of its secret files; None: they stand in the file itself.

    `release` is what runs it as services; None: nothing is installed, or this is not its file.
    """

    file: Path
    secrets: Path | None = None
    release: Path | None = None

    @classmethod
    def of(cls, config: Path | None, system: System, clone: Path = main.SOURCE) -> "Target":
        """That of a file, else of $BOONDOCK_CONFIG, of the installed house, else of scripts/run."""
        installed, release = system.at(plan.SETTINGS), current(system)
        named = os.environ.get("BOONDOCK_CONFIG")
        file = config or (Path(named) if named else installed if release else clone / "boondock.toml")
        if file == installed and release is not None:
            return cls(file, system.at(plan.SECRETS), release)
        return cls(file, secret_files.places()[0] if "BOONDOCK_SECRETS" in os.environ else None)


@dataclass(slots=True)
class Change:
    """The text before and after, the secret files that are written, and those that go."""

    old: str
    new: str
    secrets: dict[str, str]
    gone: list[Path]
    # The text holds a secret that was answered.
    private: bool = False

    def lines(self, target: Target) -> Iterator[str]:
        """What differs, for people; no secret is shown."""
        old, new = ([_masked(line) for line in text.splitlines()] for text in (self.old, self.new))
        yield from difflib.unified_diff(old, new, str(target.file), "as answered", lineterm="", n=1)
        yield from (f"+++ {target.secrets}/{name} (not shown)" for name in self.secrets)
        yield from (f"--- {path}" for path in self.gone)


def _masked(line: str) -> str:
    return toml_repairs.masked(line, 1)[0]


def configure(
    part: str | None, target: Target, system: System, read: Read | None, report: Report, *, dry_run: bool
) -> int:
    """Ask, show what changes, check it, ask again, write it, let it work; returns the exit code.

    Without `read` every default is taken. Raises InstallError, CommandError, OSError; nothing was changed
    before the last question.
    """
    if target.release is not None and not dry_run:
        main.need_root("configure")
    crlf, text = _read(target)
    talk = Interview(system, read, report.ask, plan.parsed(text, str(target.file)))
    talk.part(part)
    change = _change(target, text, talk.draft)
    zone = None if talk.zone == zone_of(system) else talk.zone
    shown = [*change.lines(target), *([f"time zone: {zone}"] if zone else [])]
    if not shown:
        report.ask("Nothing changes.")
        return 0
    (report.say if dry_run else report.ask)("\n".join(shown))
    _refuse_wrong(target, change)
    if dry_run:
        report.ask("Nothing was changed.")
        return 0
    talk.agree("Change this")
    _write(target, change, report, crlf=crlf)
    if target.release is not None:
        known = plan.remembered(system)
        made = main.of_file(system, target.file, target.release, target.release, known)
        made = replace(made, broker=talk.broker or made.broker, time_zone=zone)
        return main.carry_out(Context(made, system), report)
    again = "./scripts/run must be started again: end it with Ctrl-C, if it runs"
    report.advise([f"sudo timedatectl set-timezone {zone}" if zone else again])
    return 0


def _read(target: Target) -> tuple[bool, str]:
    """Whether the lines end as on Windows, and the text. Raises InstallError if it cannot be changed."""
    file = target.file
    try:
        raw = file.read_bytes()
        text = decode(raw, str(file))
    except FileNotFoundError:
        raise InstallError(f"there is no {file}\n{_MAKE}") from None
    except PermissionError:
        raise InstallError(f"{file} may be read by root\nnext: sudo boondock configure") from None
    except TextError as error:
        raise InstallError(f"{file}: {error.wrong}\nnext: {error.allowed}") from error
    if wrong := mistakes(text, str(file)):
        raise InstallError(f"{wrong[0]}\nnext: correct it first: boondock check --config {file}")
    return b"\r\n" in raw, text


def _change(target: Target, text: str, draft: Draft) -> Change:
    """What the answers make of the text. Raises CommandError."""
    tables, secrets = draft.texts(), draft.secrets
    for name, value in draft.secrets.items():
        *table, key = name.split("__")
        # In a file of its own; else here, where only its owner may read.
        held = None if target.secrets is not None else toml_value(value)
        tables.setdefault(".".join(table), {})[key] = held
    new = text
    for name, values in tables.items():
        new = with_table(new, name, values)
    if target.secrets is None:
        return Change(text, new, {}, [], private=bool(secrets))
    gone = [target.secrets / name for name in sorted(draft.gone)]
    return Change(text, new, secrets, [path for path in gone if path.exists()])


def _refuse_wrong(target: Target, change: Change) -> None:
    """Raise SettingsError if the new settings are not good; nothing is left behind."""
    candidate = target.file.with_name(f".{target.file.name}.checked")
    with _secrets(target, change):
        try:
            state_files.write(candidate, change.new.encode())
            found = examine(candidate)
        finally:
            candidate.unlink(missing_ok=True)
    if found.mistakes:
        said = "\n".join(map(str, found.mistakes)).replace(str(candidate), str(target.file))
        raise SettingsError(f"{said}\nnothing was changed\nnext: answer otherwise, or correct it by hand")


@contextmanager
def _secrets(target: Target, change: Change) -> Iterator[None]:
    """Let the settings be read with the secret files as they will be."""
    if target.secrets is None:
        yield
        return
    before = os.environ.get("BOONDOCK_SECRETS")
    with tempfile.TemporaryDirectory() as folder:
        with suppress(FileNotFoundError):  # it is made with the first of them
            shutil.copytree(target.secrets, folder, dirs_exist_ok=True)
        for path in change.gone:
            (Path(folder) / path.name).unlink()
        for name, text in change.secrets.items():
            state_files.write(Path(folder) / name, f"{text}\n".encode())
        os.environ["BOONDOCK_SECRETS"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["BOONDOCK_SECRETS"]
            else:
                os.environ["BOONDOCK_SECRETS"] = before


def _write(target: Target, change: Change, report: Report, *, crlf: bool) -> None:
    """The secret files first, so that the settings never miss one."""
    for name, text in change.secrets.items():
        report.say(f"writing {target.secrets}/{name}")
        assert target.secrets is not None  # noqa: S101 — else it stands in the file
        state_files.write(target.secrets / name, f"{text}\n".encode())
    if change.new != change.old:
        text = change.new.replace("\n", "\r\n") if crlf else change.new
        copy = replace_kept(target.file, text.encode(), datetime.now(UTC), private=change.private)
        report.say(f"changed {target.file}; the old one is {copy.name}")
    for path in change.gone:
        report.say(f"removing {path}")
        path.unlink()
