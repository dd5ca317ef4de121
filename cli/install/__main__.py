"""`python -m cli.install`: `boondock install` and its kin, where only Python is there."""

import argparse
import sys
from pathlib import Path

from cli.install import main
from cli.install.main import SOURCE
from cli.terminal import Report, guarded


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/install", description="Installs Boondock: it starts with the machine."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    install = verbs.add_parser("install", help="install, or bring in line with boondock.toml")
    install.add_argument(
        "--yes", action="store_true", help="ask nothing: take the boondock.toml of this folder"
    )
    install.add_argument("--dry-run", action="store_true", help="show every file and command, change nothing")
    install.add_argument("--json", action="store_true", help="for programs: one object at the end")
    update = verbs.add_parser("update", help="to another version")
    update.add_argument(
        "source", type=Path, nargs="?", help="a folder, a clone or an archive of the new version"
    )
    update.add_argument(
        "--resume", action="store_true", help="only decide about an update that was interrupted"
    )
    uninstall = verbs.add_parser("uninstall", help="give back what was there before")
    purged = "also remove data, settings, users and the backups on this machine"
    uninstall.add_argument("--purge", action="store_true", help=purged)
    uninstall.add_argument("--dry-run", action="store_true", help="show what would be given back")
    status = verbs.add_parser("status", help="services, devices, problems, disk, clock")
    status.add_argument("--wait", type=float, default=0.0, metavar="S", help="wait so long until all is well")
    status.add_argument("--json", action="store_true", help="for programs")
    users = verbs.add_parser("broker-users", help="users in a broker that was here before")
    users.add_argument("--config", type=Path, required=True)
    users.add_argument("--check", action="store_true")
    users.add_argument("--remove", action="store_true")
    verbs.add_parser("apply", help="units and broker of this release, for update")
    return parser


def _run(arguments: argparse.Namespace, report: Report) -> int:
    if arguments.verb == "install":
        return main.install(SOURCE, report, yes=arguments.yes, dry_run=arguments.dry_run)
    if arguments.verb == "uninstall":
        return main.uninstall(report, purge=arguments.purge, dry_run=arguments.dry_run)
    if arguments.verb == "apply":
        return main.apply(SOURCE, report)
    # These need the libraries of a release.
    from cli.install import commands  # noqa: PLC0415 — see above

    if arguments.verb == "status":
        return commands.show_status(wait=arguments.wait, as_json=arguments.json)
    if arguments.verb == "broker-users":
        return commands.broker_users(arguments.config, check=arguments.check, remove=arguments.remove)
    return commands.run_update(arguments.source, report, resume=arguments.resume)


def _main() -> int:
    arguments = _parser().parse_args()
    as_json = arguments.verb == "install" and arguments.json
    return guarded(lambda report: _run(arguments, report), as_json=as_json)


if __name__ == "__main__":
    sys.exit(_main())
