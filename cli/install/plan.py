"""What shall be installed: answers and facts, kept so that an interrupted installation goes on with them."""

import socket
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cli.install import System, load, save, texts
from cli.terminal import CommandError
from config.hosts import is_here

ANSWERS = "/var/lib/boondock-install/answers.json"
# An update that has begun, and is not decided about yet.
PENDING = "/var/lib/boondock-install/update.json"
SETTINGS = "/etc/boondock/boondock.toml"
SECRETS = "/etc/boondock/secrets"
OWN, EXISTING, ELSEWHERE = "own", "existing", "elsewhere"
# How the kinds of devices are wired, as far as the machine must be prepared for it. The collector's own table
# needs libraries, which a fresh machine does not have yet; a test holds this against it.
I2C_KINDS = frozenset({"ads1115_voltage", "ina219", "tank_sender"})
_UARTS = ("/dev/serial0", "/dev/serial1", "/dev/ttyAMA", "/dev/ttyS")


@dataclass
class Plan:
    """The answers. `toml` is the text of boondock.toml, `secrets` the secret files by name.

    `broker` is OWN, EXISTING (a Mosquitto of this machine is kept) or ELSEWHERE.
    """

    source: str
    release: str
    toml: str
    broker: str
    secrets: dict[str, str] = field(default_factory=dict)
    time_zone: str | None = None
    i2c: bool = False
    uart: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """boondock.toml as it is read, unchecked. Raises CommandError."""
        return parsed(self.toml, SETTINGS)

    @property
    def users(self) -> bool:
        """Whether each process has a user of its own at the broker of this machine."""
        if self.broker == OWN:
            return True
        if self.broker == ELSEWHERE or "username" in self.settings.get("broker", {}):
            return False
        found = texts.existing_broker(Path("/"))
        return found is not None and found.asks_passwords


def parsed(text: str, name: str) -> dict[str, Any]:
    """Read a TOML text; every table that is none becomes an empty one. Raises CommandError."""
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"{name}: {error}") from error


def tables(settings: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Choose the tables below [name.…]; what is no table is left to the check of the settings."""
    found = settings.get(name)
    rows = found.items() if isinstance(found, dict) else ()
    return {key: one for key, one in rows if isinstance(one, dict)}


def kinds(settings: Mapping[str, Any]) -> set[str]:
    """Collect the kinds of all devices."""
    return {str(one.get("kind")) for one in tables(settings, "device").values()}


def needs_i2c(settings: Mapping[str, Any]) -> bool:
    """Whether a device is on the I2C bus."""
    return bool(kinds(settings) & I2C_KINDS)


def needs_uart(settings: Mapping[str, Any]) -> bool:
    """Whether a device is on the board's own serial port."""
    return any(str(one.get("port", "")).startswith(_UARTS) for one in tables(settings, "device").values())


def broker_of(settings: Mapping[str, Any], system: System) -> str:
    """Which broker settings mean that nobody was asked about: what is here and runs is kept."""
    table = settings.get("broker", {})
    if not is_here(str(table.get("host", "127.0.0.1"))):
        return ELSEWHERE
    return EXISTING if keeps(system) else OWN


def keeps(system: System) -> bool:
    """Whether a Mosquitto of the distribution runs, or would at the next start."""
    enabled = system.word("systemctl", "is-enabled", texts.MOSQUITTO)
    return enabled == "enabled" or system.succeeds("systemctl", "-q", "is-active", texts.MOSQUITTO)


def addresses(host: str) -> list[str]:
    """Look up the addresses a name has now; none if it has none."""
    try:
        return sorted({str(one[4][0]) for one in socket.getaddrinfo(host, None)})
    except OSError:
        return []


def remembered(system: System) -> Plan | None:
    """Read the answers of an installation that was begun. Raises CommandError."""
    found = load(system.at(ANSWERS))
    return None if found is None else Plan(**found)


def remember(system: System, plan: Plan) -> None:
    """Keep the answers; the secrets are in files of their own once those are written. Raises OSError."""
    save(system.at(ANSWERS), asdict(plan))
