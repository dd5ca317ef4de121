"""`boondock check`: what is wrong with boondock.toml, and with this machine for it."""

import sys
from pathlib import Path

import msgspec

from cli import broker
from cli.errors import CommandError
from cli.machine.check import machine
from cli.machine.finding import Finding, wrong
from collector import checking
from config import load
from config.mistakes import ConfigError, Mistake
from config.model import Settings


def check(path: Path, out: Path, *, on_machine: bool = False, as_json: bool = False) -> int:
    """Say what is wrong with a configuration file, a line a mistake; 78 if anything is.

    Warnings go to standard error, also those of the broker's certificate in `out`: they are no mistakes. With
    `on_machine` this machine is looked at, too; 78 also if something of it must be mended.
    """
    found = examine(path)
    warnings = [str(warning) for warning in found.warnings]
    findings: list[Finding] = []
    if found.settings is not None and not found.mistakes:
        warnings += _of_broker(found.settings, out)
    if found.settings is not None and on_machine:
        findings = machine(found.settings)
    if as_json:
        print(_json(path, found.mistakes, warnings, findings if on_machine else None))
    else:
        _tell(path, found, warnings, findings)
    return load.EXIT_CONFIG if found.mistakes or wrong(findings) else 0


def examine(path: Path) -> load.Examined:
    """What a configuration file says, and everything that is or may be wrong with it."""
    return load.examine(path, checking.find_mistakes, checking.find_doubts)


def check_profile(profile: str, *, as_json: bool = False) -> int:
    """Say what is wrong with a Modbus profile, else which entities it has; 78 if anything is wrong."""
    # The collector's own reader, which other checks do not need.
    from collector.read import describe_profile as described  # noqa: PLC0415 — as above

    try:
        lines, mistakes = described(profile), list[Mistake]()
    except ConfigError as error:
        lines, mistakes = [], error.mistakes
    if as_json:
        print(msgspec.json.encode({"file": profile, "good": not mistakes, "mistakes": mistakes}).decode())
    else:
        print(*mistakes, sep="\n", file=sys.stderr) if mistakes else print(*lines, sep="\n")
    return load.EXIT_CONFIG if mistakes else 0


def _tell(path: Path, found: load.Examined, warnings: list[str], findings: list[Finding]) -> None:
    for mistake in found.mistakes:
        print(mistake, file=sys.stderr)
    if found.settings is not None and not found.mistakes:
        print(f"{path}: good. {_summary(found.settings)}")
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for finding in findings:
        print(finding, file=sys.stdout if finding.ok else sys.stderr)


def _json(path: Path, mistakes: list[Mistake], warnings: list[str], findings: list[Finding] | None) -> str:
    good = not mistakes and not wrong(findings or ())
    said = {"file": str(path), "good": good, "mistakes": mistakes, "warnings": warnings}
    if findings is not None:
        said["machine"] = findings
    return msgspec.json.encode(said).decode()


def _of_broker(settings: Settings, out: Path) -> list[str]:
    try:
        return list(broker.warnings(settings, out))
    except (CommandError, OSError) as error:
        return [f"the broker's certificate cannot be checked: {error}"]


def _summary(settings: Settings) -> str:
    devices = ", ".join(settings.device) or "no devices"
    relays = ", ".join(settings.relay) or "no relays"
    where = settings.broker
    return f"Broker {where.host}:{where.port}, base topic {where.base}; {devices}; {relays}."
