"""Drop-ins that make the units follow boondock.toml: where the broker is, and as whom they speak to it."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from config.addresses import is_here

PRIVATE = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 fe80::/10 fc00::/7"
# The unit, and the user of our own broker that it is; %i is the collector's transport.
PROCESSES: Mapping[str, str] = {
    "boondock-statistician.service": "statistician",
    "boondock-controller.service": "controller",
    "boondock-collector@.service": "collector_%i",
}
BROKER = "boondock-mosquitto.service"
TARGET = "boondock.target"
RESUME = "boondock-update.service"
STOP = (
    *("systemctl", "stop", TARGET, "boondock-mosquitto-watch.path", "boondock-collector@*.service"),
    *("boondock-controller.service", "boondock-statistician.service", BROKER),
)
"""Stops the house and waits for the end of each: to stop the target alone waits for none."""
BACKUP = "boondock-backup.timer"
_WRITTEN = "# Written by the installer from boondock.toml; `sudo boondock install` writes it again.\n"
_HEAD = f"{_WRITTEN}[Service]\n"


def broker_text(unit: str, broker: Mapping[str, Any], found: Sequence[str], *, users: bool) -> str:
    """The drop-in of a process, empty if it needs none.

    `found` are the addresses that the broker's name has now; `users`: the broker here has a user a process,
    and /etc/credstore the passwords.
    """
    lines = []
    if users:
        user = PROCESSES[unit]
        secret = f"boondock-{user.replace('_', '-')}-password"
        lines += [
            f"Environment=BOONDOCK_BROKER__USERNAME=boondock_{user}",
            f"LoadCredential=broker__password:{secret}",
        ]
    if allowed := _allowed(str(broker.get("host", "127.0.0.1")), found):
        lines.append(f"IPAddressAllow={allowed}")
    return _HEAD + "\n".join(lines) + "\n" if lines else ""


def lan_text(lan: Mapping[str, Any]) -> str:
    """The drop-in of our own broker: the local network may come in where [lan] opens a port."""
    return f"{_HEAD}IPAddressAllow={PRIVATE}\n" if lan.get("listen") else ""


def backup_text(backup: Mapping[str, Any]) -> str:
    """The drop-in of the nightly backup: `at`, hours:minutes local time; empty if it says nothing."""
    at = backup.get("at")
    return f"{_WRITTEN}[Timer]\nOnCalendar=\nOnCalendar=*-*-* {at}\n" if at is not None else ""


def _allowed(host: str, found: Iterable[str]) -> str:
    """Whom a process may speak to besides this machine, for IPAddressAllow."""
    if is_here(host):
        return ""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        # A name: its address may change, and the name server is asked, too.
        public = [one for one in found if not ipaddress.ip_address(one.partition("%")[0]).is_private]
        return "any" if public else PRIVATE
