"""`boondock backup`."""

import re
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli.asking import AskError
from cli.backup.archive import Reader
from cli.backup.make import Kept, back_up, kept, target_of
from cli.backup.sources import House
from config import load, secret_files
from config.mistakes import ConfigError

_SECRET = "it holds keys and passwords: keep it where nobody else can read it"  # noqa: S105 — a sentence


def command(
    *,
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to; default: the setting backup.to.")
    ] = None,
    keep: Annotated[int | None, typer.Option(min=1, help="How many backups stay there.")] = None,
    full: Annotated[bool, typer.Option("--full", help="A whole one, not only what changed.")] = False,
    shown: Annotated[bool, typer.Option("--list", help="Only show the backups that are there.")] = False,
    verify: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Only read a backup and say whether it is good.")
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="The settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Back up everything into one file: database, settings, secrets, devices, users, certificates."""
    if verify is not None:
        with Reader(verify.absolute()) as reader:
            reader.verify()
        _show(
            {"file": str(verify), "good": True, "made": reader.manifest.made},
            f"{verify}: good, of {reader.manifest.made}",
            as_json=as_json,
        )
        return 0
    try:
        path = config or load.find()
        house = House(load.load(path), path, secret_files.places()[0])
    except ConfigError as error:
        print(error, file=sys.stderr)
        return load.EXIT_CONFIG
    target = target_of(house, to, keep)
    if shown:
        found = kept(target.folder) if target.folder.is_dir() else []
        if not found:
            raise AskError(f"there is no backup in {target.folder}")
        _show([_row(one) for one in found], "\n".join(map(_line, found)), as_json=as_json)
        return 0
    told: list[str] = []
    made = back_up(house, target, name_of_house(), datetime.now(UTC), whole=full, tell=told.append)
    print(*(f"boondock backup: {text}" for text in told), sep="\n", end="\n" * bool(told), file=sys.stderr)
    size = made.stat().st_size
    _show(
        {"file": str(made), "bytes": size, "notes": told},
        f"{made}: {size / 1e6:.1f} MB, read back and good; {_SECRET}",
        as_json=as_json,
    )
    return 0


def name_of_house() -> str:
    """What the backups of this machine are called; several houses may share a folder."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname())[:40] or "house"


def _row(one: Kept) -> dict[str, object]:
    return {
        "file": str(one.path),
        "made": one.at.isoformat(),
        "bytes": one.path.stat().st_size,
        "whole": one.whole,
    }


def _line(one: Kept) -> str:
    kind = "whole" if one.whole else "changes"
    return f"{one.at:%Y-%m-%d %H:%M} UTC  {one.path.stat().st_size / 1e6:8.1f} MB  {kind:<7}  {one.path}"


def _show(data: object, text: str, *, as_json: bool) -> None:
    print(msgspec.json.encode(data).decode() if as_json else text)
