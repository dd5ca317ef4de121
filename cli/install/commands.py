"""The commands that need a release's libraries: status, update, guests; and all of them for `boondock`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.install import main
from cli.install import status as house
from cli.install import update as updating
from cli.install.guests import Guests
from cli.install.main import guarded
from cli.install.system import InstallError, System
from config import load
from config.mistakes import ConfigError
from config.model import Settings

SOURCE = Path(__file__).resolve().parents[2]


def _settings(path: Path | None = None) -> Settings:
    try:
        return load.load(path)
    except ConfigError as error:
        raise InstallError(str(error)) from error


def status(*, wait: float = 0.0, as_json: bool = False) -> int:
    """Show the house on one screen; 1 if it is not well. Raises InstallError."""
    state = house.wait(_settings(), wait)
    if as_json:
        sys.stdout.buffer.write(house.as_json(state) + b"\n")
    else:
        house.show(state)
    return 0 if state.well else 1


def guests(config: Path, *, check: bool = False, remove: bool = False) -> int:
    """Add our users to a broker that was here before, look for them, or take them out."""
    mine = Guests(System(), _settings(config))
    if check:
        return 0 if mine.there() else 1
    if remove:
        mine.remove()
        return 0
    mine.add()
    for name in mine.left_out:
        print(f"the broker has a user {name} of its own: it stays as it is, with the rights it has")
    return 0


def update(source: Path | None, *, resume: bool = False) -> int:
    """Bring the house to another version. Raises InstallError."""
    main.need_root("update")
    return updating.Update(System(), _settings(), main.say).go(source, resume=resume)


DryRun = Annotated[bool, typer.Option("--dry-run", help="Show every file and command, change nothing.")]


def install_command(
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take boondock.toml as it is.")] = False,  # noqa: FBT002 — typer's way
    dry_run: DryRun = False,  # noqa: FBT002 — typer's way
) -> None:
    """Install the house for good, or bring it in line with a boondock.toml that was changed."""
    raise typer.Exit(guarded(lambda: main.install(SOURCE, yes=yes, dry_run=dry_run)))


def status_command(
    wait: Annotated[float, typer.Option(help="Wait so many seconds until all is well.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,  # noqa: FBT002 — typer's way
) -> None:
    """Show services, devices, problems, disk, card and clock on one screen."""
    raise typer.Exit(guarded(lambda: status(wait=wait, as_json=as_json)))


def update_command(
    source: Annotated[
        Path | None, typer.Argument(help="A folder, a clone or an archive of the new version.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Decide about one that was interrupted.")] = False,  # noqa: FBT002 — typer's way
) -> None:
    """Update the house; it goes back by itself if the new version is not well within 90 seconds."""
    raise typer.Exit(guarded(lambda: update(source, resume=resume)))


def uninstall_command(
    purge: Annotated[bool, typer.Option("--purge", help="Data, settings and users, too.")] = False,  # noqa: FBT002 — typer's way
    dry_run: DryRun = False,  # noqa: FBT002 — typer's way
) -> None:
    """Remove Boondock and give back what was there before; data and settings stay."""
    raise typer.Exit(guarded(lambda: main.uninstall(purge=purge, dry_run=dry_run)))


COMMANDS = {
    "install": install_command,
    "status": status_command,
    "update": update_command,
    "uninstall": uninstall_command,
}
"""The typer commands by name, for the `boondock` command to register."""
