"""`boondock run`."""

import os
import sys
from pathlib import Path

import typer

from cli.errors import CommandError
from cli.house import INSTALLED, Json

ROOT = Path(__file__).resolve().parents[2]


def command(context: typer.Context, *, as_json: Json = False) -> None:
    """Start the house here until Ctrl-C: your boondock.toml, or without one the demo.

    It takes the options of scripts/run: --port, --data, --seconds.
    """
    script = ROOT / "scripts" / "run"
    if as_json:
        raise CommandError("a run prints for people; next: boondock watch --json beside it")
    if INSTALLED.exists() or not script.exists():
        raise CommandError(
            "this house runs as services; next: sudo systemctl start boondock.target, then boondock doctor"
        )
    sys.stdout.flush()
    os.execv(script, [str(script), *context.args])  # noqa: S606 — the script of this clone


command.context_settings = {"allow_extra_args": True, "ignore_unknown_options": True}  # type: ignore[attr-defined]  # read by cli.app
