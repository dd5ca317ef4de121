"""`boondock install`."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cli.broker.files import BrokerUsers
from cli.house import Json
from cli.install import System, main
from cli.install import status as house
from cli.install import update as updating
from cli.terminal import CommandError, Report, guarded
from config import load
from config.mistakes import ConfigError
from config.model import Settings


def install(
    *,
    yes: Annotated[bool, Option("--yes", help="Ask nothing: take boondock.toml as it is.")] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Show every file and command, change nothing.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Install Boondock, so that it starts with the machine; or apply a boondock.toml that was changed."""
    return guarded(
        lambda report: main.install(main.SOURCE, report, yes=yes, dry_run=dry_run), as_json=as_json
    )


def uninstall(
    *,
    purge: Annotated[
        bool, Option("--purge", help="Also remove data, settings, users and the backups on this machine.")
    ] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Show what would be given back.")] = False,
    as_json: Json = False,
) -> int:
    """Remove Boondock and give back what was there before; data and settings stay."""
    return guarded(lambda report: main.uninstall(report, purge=purge, dry_run=dry_run), as_json=as_json)


def update(
    source: Annotated[
        Path | None, Argument(help="A folder, a clone or an archive (.tar.gz) of the new version.")
    ] = None,
    *,
    resume: Annotated[
        bool, Option("--resume", help="Only decide about an update that was interrupted.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Update the house; it goes back by itself if the new version is not well within 90 seconds."""
    return guarded(lambda report: run_update(source, report, resume=resume), as_json=as_json)


def status(
    *,
    wait: Annotated[float, Option(metavar="S", help="Wait so many seconds until all is well.")] = 0.0,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> int:
    """Show services, devices, problems, disk, card and clock on one screen; 1 if the house is not well."""
    return guarded(lambda _: show_status(wait=wait, as_json=as_json))


def _settings(path: Path | None = None) -> Settings:
    try:
        return load.load(path)
    except ConfigError as error:
        raise CommandError(str(error)) from error


def show_status(*, wait: float = 0.0, as_json: bool = False) -> int:
    """Show the house on one screen; 1 if it is not well. Raises CommandError."""
    state = house.wait(_settings(), wait)
    if as_json:
        sys.stdout.buffer.write(house.as_json(state) + b"\n")
    else:
        house.show(state)
    return 0 if state.well else 1


def broker_users(config: Path, *, check: bool = False, remove: bool = False) -> int:
    """Add our users to a broker that was here before, look for them, or take them out."""
    mine = BrokerUsers(System(), _settings(config))
    if check:
        return 0 if mine.there() else 1
    if remove:
        mine.remove()
        return 0
    mine.add()
    for name in mine.left_out:
        print(f"the broker has a user {name} of its own: it stays as it is, with the rights it has")
    return 0


def run_update(source: Path | None, report: Report, *, resume: bool = False) -> int:
    """Bring the house to another version. Raises CommandError."""
    main.need_root("update")
    code = updating.Update(System(), _settings(), report.say).go(source, resume=resume)
    if code:
        report.fail("the new version was not well, and the old one runs again\nnext: sudo boondock status")
    return code
