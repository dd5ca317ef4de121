"""The commands that need a release's libraries: status, update, broker-users."""

import sys
from pathlib import Path

from cli.install import main
from cli.install import status as house
from cli.install import update as updating
from cli.install.broker_users import BrokerUsers
from cli.install.report import Report
from cli.install.system import InstallError, System
from config import load
from config.mistakes import ConfigError
from config.model import Settings


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


def update(source: Path | None, report: Report, *, resume: bool = False) -> int:
    """Bring the house to another version. Raises InstallError."""
    main.need_root("update")
    code = updating.Update(System(), _settings(), report.say).go(source, resume=resume)
    if code:
        report.fail("the new version was not well, and the old one runs again\nnext: sudo boondock status")
    return code
