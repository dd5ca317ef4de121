"""The `boondock` command."""

import argparse
import sys
from pathlib import Path

from bus.health import VERSION
from cli import access, broker, export, intake, scan
from cli.asking import AskError
from cli.broker_error import BrokerError
from cli.check import check
from config import load
from config.mistakes import ConfigError


def main() -> int:
    """Run the subcommand named on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="boondock", description="Off-grid data around one Mosquitto.")
    parser.add_argument("--version", action="version", version=f"boondock {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True)
    checker = commands.add_parser("check", help="read boondock.toml and say what is wrong with it")
    checker.add_argument("--config", type=Path, help="the file to check (default: the one the processes use)")
    checker.add_argument(
        "--out",
        type=Path,
        default=broker.OUT,
        metavar="FOLDER",
        help="where `boondock broker` wrote the certificate; default: %(default)s",
    )
    checker.add_argument("--machine", action="store_true", help="look at this machine, too")
    checker.add_argument("--json", action="store_true", help="print it as JSON")
    _add_export(commands.add_parser("export", help="write states or statistics to a file"))
    importer = commands.add_parser("import", help="bring states or hourly statistics in from a CSV file")
    importer.add_argument("file", type=Path, help="a file as export writes it: --format csv")
    importer.add_argument("--dry-run", action="store_true", help="check everything, change nothing")
    importer.add_argument("--config", type=Path, help="where the broker is said (default: as for check)")
    _add_scan(commands.add_parser("scan", help="find devices on the air, on a Modbus or on an I2C bus"))
    shower = commands.add_parser("log", help="show what was switched and changed, and who asked for it")
    shower.add_argument("--limit", type=int, default=50, help="how many lines, 1 to 10000; default: 50")
    shower.add_argument("--config", type=Path, help="where the broker is said (default: as for check)")
    broker.add_arguments(commands.add_parser("broker", help="set up the broker: users, ACL, certificates"))
    arguments = parser.parse_args()
    if arguments.command == "check":
        return check(
            arguments.config or load.find(),
            arguments.out,
            on_machine=arguments.machine,
            as_json=arguments.json,
        )
    return _talk(arguments)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--entity", action="append", required=True, metavar="DEVICE.ENTITY", help="may be repeated"
    )
    parser.add_argument("--period", choices=export.PERIODS, default="hour", help="default: hour")
    parser.add_argument(
        "--start", metavar="TIME", help="such as 2026-11-21T00:00:00Z; default: the oldest kept"
    )
    parser.add_argument("--end", metavar="TIME", help="not included; default: now")
    parser.add_argument("--time-zone", metavar="ZONE", help="of days and longer; default: the statistician's")
    parser.add_argument("--format", choices=export.FORMATS, default="csv", help="default: csv")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: standard output")
    parser.add_argument("--config", type=Path, help="where the broker is said (default: as for check)")


def _add_scan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=scan.KINDS)
    parser.add_argument("--port", help="of modbus: /dev/serial/by-id/…, or tcp://192.168.1.41")
    parser.add_argument(
        "--baudrate", type=int, help="of modbus; default: the usual ones, one after the other"
    )
    parser.add_argument("--units", metavar="1-10", help="of modbus: which to ask, 1 to 247; default: 1-10")
    parser.add_argument("--bus", type=int, metavar="1", help="of i2c; default: 1")
    parser.add_argument("--seconds", type=float, help="of ble: how long to listen, 1 to 60; default: 10")
    parser.add_argument("--config", type=Path, help="where the broker is said (default: as for check)")


def _talk(arguments: argparse.Namespace) -> int:
    """Export, import, scan or show; 1 and a sentence if it cannot be done, 78 for a wrong configuration."""
    try:
        settings = load.load(arguments.config)
        where = settings.broker
        if arguments.command == "broker":
            broker.run(arguments, settings)
        elif arguments.command == "log":
            print(*access.lines(where, arguments.limit), sep="\n")
        elif arguments.command == "scan":
            scan.scan(where, _wanted(arguments))
        elif arguments.command == "import":
            print(intake.take_in(where, arguments.file, dry_run=arguments.dry_run))
        else:
            wanted = export.Wanted(
                arguments.entity, arguments.period, arguments.start, arguments.end, arguments.time_zone
            )
            export.export(where, wanted, arguments.format, arguments.output)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return load.EXIT_CONFIG
    except (AskError, BrokerError, OSError) as error:
        print(f"boondock {arguments.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _wanted(arguments: argparse.Namespace) -> scan.Wanted:
    if arguments.what == "modbus" and arguments.port is None:
        raise AskError("--port is needed: which port shall be asked?")
    names = ("what", "port", "baudrate", "units", "bus", "seconds")
    return scan.Wanted(**{name: getattr(arguments, name) for name in names})


if __name__ == "__main__":
    sys.exit(main())
