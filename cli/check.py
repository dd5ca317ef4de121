"""`boondock check`."""

import importlib.util
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from typer import Option

from cli.asking import Asker
from cli.broker import setup
from cli.house import CREDENTIALS, Config, Json, as_admin
from cli.machine import (
    GROUPS,
    UNIT,
    Finding,
    Machine,
    bluetooth,
    buses,
    expanders,
    kernel_sensors,
    pins,
    ports,
    reached,
    wrong,
)
from cli.terminal import CommandError
from collector import checking
from collector.device import transport
from config import load
from config.mistakes import ConfigError, Mistake
from config.model import INTEGRAL, Broker, Settings
from forwarder import checking as outputs


def check(
    *,
    config: Config = None,
    out: Annotated[
        Path, Option(metavar="FOLDER", help="Where `boondock broker` wrote the certificate.")
    ] = setup.OUT,
    on_machine: Annotated[
        bool, Option("--machine", help="Look at this machine, too: ports, buses, pins, secrets, groups.")
    ] = False,
    profile: Annotated[
        str | None,
        Option(metavar="FILE", help="Check a Modbus profile of your own instead: docs/profile-format.md."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Read boondock.toml and say what is wrong with it, a line a mistake; 78 if anything is.

    Of the broker's certificate it says when something must be done; that is no mistake of the file.
    """
    if profile is not None:
        return check_profile(profile, as_json=as_json)
    path = config or load.find()
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
    """Read a configuration file, and everything that is or may be wrong with it."""
    return load.examine(path, _find_mistakes, checking.find_doubts)


def _find_mistakes(settings: Settings, where: str) -> list[Mistake]:
    return checking.find_mistakes(settings, where) + outputs.find_mistakes(settings, where)


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
        return list(setup.warnings(settings, out))
    except (CommandError, OSError) as error:
        return [f"the broker's certificate cannot be checked: {error}"]


def _summary(settings: Settings) -> str:
    devices = ", ".join(settings.device) or "no devices"
    relays = ", ".join(settings.relay) or "no relays"
    where = settings.broker
    return f"Broker {where.host}:{where.port}, base topic {where.base}; {devices}; {relays}."


_LIBRARIES = {"ble": ("bleak", "dbus_fast"), "serial": ("serial", "minimalmodbus"), "i2c": ("smbus2",)}
_USERS = ("boondock-collector", "boondock-controller", "boondock-forwarder", "boondock-statistician")
_FIRST_BUS = 1


def machine(settings: Settings, root: Path = Path("/"), *, ask_broker: bool = True) -> list[Finding]:
    """Everything that the settings need of this machine, a finding each; it may take some seconds.

    `root` is where /dev, /proc, /sys and /etc are found. Without `ask_broker` the broker is left alone.
    """
    place = Machine(root)
    by_transport = _transports(settings)
    named = {one: {name: settings.device[name] for name in names} for one, names in by_transport.items()}
    i2c = {name: _FIRST_BUS if one.bus is None else one.bus for name, one in named.get("i2c", {}).items()}
    found = [
        *ports(place, named.get("serial", {}) | named.get("tcp", {})),
        *buses(place, i2c),
        *pins(place, settings.controller, uses(settings)),
        *expanders(place, settings.controller, _expanders(settings)),
        *kernel_sensors(place, named.get("host", {})),
        *_groups(place, set(by_transport) | ({"gpio"} if settings.relay else set())),
        *_libraries(by_transport),
        *secret_files(place),
    ]
    if "ble" in by_transport or "ble" in settings.collector.run:
        found += bluetooth(place, settings.ble, by_transport.get("ble", []))
    return [*found, *(reach_broker(place, settings.broker) if ask_broker else ())]


def _transports(settings: Settings) -> dict[str, list[str]]:
    """Group the devices by the collector that reads them; those whose kind is wrong are left out."""
    found: dict[str, list[str]] = {}
    for name, device in settings.device.items():
        if device.kind != INTEGRAL:
            try:
                found.setdefault(transport(device), []).append(name)
            except KeyError:
                # collector/checking.py tells that there is no such kind.
                continue
    return found


def uses(settings: Settings) -> dict[str, int]:
    """Map the settings that name pins of the board to their pins."""
    found = {f"relay.{name}.pin": relay.pin for name, relay in settings.relay.items() if relay.chip is None}
    for name, relay in settings.relay.items():
        if relay.feedback_pin is not None and relay.chip is None:
            found[f"relay.{name}.feedback_pin"] = relay.feedback_pin
    for name, device in settings.device.items():
        if device.chip is not None:
            continue
        if device.pin is not None:
            found[f"device.{name}.pin"] = device.pin
        found |= {f"device.{name}.levels.{level}": pin for level, pin in device.levels.items()}
    return found


def _expanders(settings: Settings) -> dict[str, str]:
    """Map the settings that name another chip for pins to that."""
    found = {f"relay.{name}.chip": relay.chip for name, relay in settings.relay.items()}
    for name, device in settings.device.items():
        if device.pin is not None or device.levels:
            found[f"device.{name}.chip"] = device.chip
    return {key: chip for key, chip in found.items() if chip is not None}


def _groups(place: Machine, transports: set[str]) -> Iterator[Finding]:
    """Users and groups that the units name: without them systemd does not start them."""
    if not place.has_units:
        return
    missing = [f"user {name}" for name in _USERS if name not in place.users]
    wanted = sorted({GROUPS[one] for one in transports & GROUPS.keys()})
    missing += [f"group {name}" for name in wanted if name not in place.groups]
    if missing:
        yield Finding("groups", f"there is no {', no '.join(missing)}", "sudo systemd-sysusers")
    else:
        yield Finding("groups", f"users and groups of the services are there ({', '.join(wanted)})", ok=True)


def _libraries(transports: dict[str, list[str]]) -> Iterator[Finding]:
    for one in sorted(set(transports) & _LIBRARIES.keys()):
        missing = [name for name in _LIBRARIES[one] if importlib.util.find_spec(name) is None]
        if missing:
            text = f"the collector {one} needs {', '.join(missing)}, which is not installed"
            yield Finding("libraries", text, "./scripts/setup")


FOLDER = "/etc/boondock/secrets"
_ENV = "/etc/boondock/.env"
_UNITS = (
    UNIT,
    "etc/systemd/system/boondock-controller.service",
    "etc/systemd/system/boondock-forwarder.service",
    "etc/systemd/system/boondock-statistician.service",
)
_LOADED = "LoadCredential=secrets:"


def secret_files(place: Machine) -> Iterator[Finding]:
    """Folder, owners, modes, and whether the units load them."""
    yield from _credentials(place)
    folder = place.at(FOLDER)
    if not folder.is_dir():
        if place.has_units:
            mend = f"sudo install -d -m 700 {FOLDER}"
            yield Finding("secrets", f"there is no {FOLDER}, which the services load", mend)
        return
    if folder.stat().st_mode & 0o077:
        yield Finding("secrets", f"others than root may look into {FOLDER}", f"sudo chmod 700 {FOLDER}")
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except PermissionError:
        yield Finding("secrets", f"you may not read {FOLDER}", "sudo boondock check --machine")
        return
    yield from list(_rights(files)) or [Finding("secrets", f"{len(files)} files, root's alone", ok=True)]


def _rights(files: Iterable[Path]) -> Iterator[Finding]:
    for path in files:
        shown, found = f"{FOLDER}/{path.name}", path.stat()
        if found.st_uid != 0:
            yield Finding("secrets", f"{shown} is not root's", f"sudo chown root:root {shown}")
        if stat.S_IMODE(found.st_mode) & 0o077:
            yield Finding("secrets", f"others than its owner may read {shown}", f"sudo chmod 600 {shown}")


def _credentials(place: Machine) -> Iterator[Finding]:
    if not place.has_units:
        return
    for unit in _UNITS:
        if place.at(unit).exists() and _LOADED not in place.text(unit):
            name = unit.rpartition("/")[2]
            yield Finding("secrets", f"{name} does not load {FOLDER}", "sudo boondock update")
    if place.at(_ENV).exists() and not place.at(_ENV).stat().st_mode & stat.S_IROTH:
        text = f"the services may not read {_ENV}"
        mend = "put its settings into boondock.toml and its secrets into secret files"
        yield Finding(".env", text, mend)


_LOCAL = ("127.0.0.1", "localhost", "::1")


def reach_broker(place: Machine, settings: Broker) -> Iterator[Finding]:
    """Look at the certificate authority's file, the connection, the login."""
    if (ca := settings.tls_ca) is not None and not os.access(place.at(ca), os.R_OK):
        yield Finding("broker.tls_ca", f"{ca} cannot be read", f"sudo chmod 644 {ca}")
        return
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    found = reached("broker", f"mqtt://{host}:{settings.port}")
    if not found.ok:
        mend = found.mend
        if settings.host in _LOCAL:
            mend = "sudo systemctl start boondock-mosquitto" if place.has_units else "./scripts/run"
        yield Finding("broker", f"no broker: {found.text}", mend)
        return
    if settings.username is None or settings.password is not None:
        yield _login(as_admin(settings, place.at(str(CREDENTIALS))) if place.has_units else settings, place)
    else:
        text = (
            f"{settings.host}:{settings.port} answers; the password of {settings.username} is not known here"
        )
        yield Finding("broker", text, ok=True)


def _login(settings: Broker, place: Machine) -> Finding:
    who = settings.username or "nobody"
    try:
        with Asker(settings, service=None):
            return Finding("broker", f"{settings.host}:{settings.port} lets {who} in", ok=True)
    except CommandError as error:
        why = str(error).partition("; next: ")[0]
        mend = "write username below [broker] and the password into the secret file broker__password"
        return Finding("broker", why, "sudo boondock check --machine" if place.has_units else mend)
