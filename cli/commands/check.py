"""`boondock check`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import broker, output
from cli.errors import CommandError
from cli.house import Config, Json
from collector import checking
from config import load
from config.mistakes import ConfigError, Mistake
from config.model import Settings


def command(
    *,
    config: Config = None,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where `boondock broker` wrote the certificate.")
    ] = broker.OUT,
    as_json: Json = False,
) -> int:
    """Read boondock.toml and say what is wrong with it, a line a mistake.

    Of the broker's certificate it says when something must be done; that is no mistake of the file.
    """
    path = config or load.find()
    try:
        settings = load.load(path, checking.find_mistakes)
    except ConfigError as error:
        if as_json:
            output.show(_found(path, error.mistakes, []), (), as_json=True)
        else:
            print(error, file=sys.stderr)
        return load.EXIT_CONFIG
    warnings = _warnings(settings, out)
    output.show(_found(path, [], warnings), [f"{path}: good. {_summary(settings)}"], as_json=as_json)
    if not as_json:
        print(*warnings, sep="\n", end="\n" if warnings else "", file=sys.stderr)
    return 0


def _found(path: Path, mistakes: list[Mistake], warnings: list[str]) -> dict[str, object]:
    return {"file": str(path), "good": not mistakes, "mistakes": mistakes, "warnings": warnings}


def _warnings(settings: Settings, out: Path) -> list[str]:
    try:
        return broker.warnings(settings, out)
    except (CommandError, OSError) as error:
        return [f"the broker's certificate cannot be checked: {error}"]


def _summary(settings: Settings) -> str:
    devices = ", ".join(settings.device) or "no devices"
    relays = ", ".join(settings.relay) or "no relays"
    where = settings.broker
    return f"Broker {where.host}:{where.port}, base topic {where.base}; {devices}; {relays}."
