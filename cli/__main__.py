"""The `boondock` command."""

import argparse
import sys
from pathlib import Path

from bus.health import VERSION
from collector import ownership
from config import load
from config.mistakes import ConfigError
from config.model import Settings


def main() -> int:
    """Run the subcommand named on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="boondock", description="Off-grid data around one Mosquitto.")
    parser.add_argument("--version", action="version", version=f"boondock {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True)
    checker = commands.add_parser("check", help="read boondock.toml and say what is wrong with it")
    checker.add_argument("--config", type=Path, help="the file to check (default: the one the processes use)")
    arguments = parser.parse_args()
    return check(arguments.config or load.find())


def check(path: Path) -> int:
    """Say what is wrong with a configuration file, a line a mistake; 78 if anything is."""
    try:
        settings = load.load(path)
        ownership.check(settings, str(path))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return load.EXIT_CONFIG
    print(f"{path}: good. {_summary(settings)}")
    return 0


def _summary(settings: Settings) -> str:
    devices = ", ".join(settings.device) or "no devices"
    relays = ", ".join(settings.relay) or "no relays"
    broker = settings.broker
    return f"Broker {broker.host}:{broker.port}, base topic {broker.base}; {devices}; {relays}."


if __name__ == "__main__":
    sys.exit(main())
