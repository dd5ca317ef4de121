"""I2C and the serial port in a Raspberry Pi's boot files, as raspi-config sets them. Text in, text out."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.addresses import is_here

I2C = "dtparam=i2c_arm=on"
UART = "enable_uart=1"
# raspi-config: since Debian 12 the files are in /boot/firmware, and those in /boot only point there.
FOLDERS = ("/boot/firmware", "/boot")
_SECTION = re.compile(r"\s*\[(\w[^\]]*)\]")
_CONSOLE = re.compile(r"console=(?:serial|ttyAMA|ttyS)\d+(?:,\d+\w*)?\s*")
_I2C = re.compile(r"(?P<before>.*\b)(?:i2c_arm|i2c)(?:=(?P<value>\w+))?(?P<after>(?:,.*)?)$")
_ON = (None, "on", "1", "true", "yes")


def boot_folder(root: Path) -> Path | None:
    """Find the boot folder of a Raspberry Pi; None on other machines."""
    for name in FOLDERS:
        place = root / name.lstrip("/")
        if (place / "config.txt").is_file():
            return place
    return None


def with_i2c(text: str) -> str:
    """config.txt with the I2C bus of the pins 3 and 5 on."""
    return _with(text, I2C, _i2c_line)


def with_uart(text: str) -> str:
    """config.txt with the UART of the pins 8 and 10 on."""
    return _with(text, UART, _uart_line)


def without_console(text: str) -> str:
    """cmdline.txt without a console on the serial port: a device on it would get log lines."""
    return _CONSOLE.sub("", text)


def _i2c_line(line: str) -> str | None:
    """Set a line that sets I2C to on; None for all others."""
    name, equals, rest = line.partition("=")
    found = _I2C.match(rest)
    if name.strip() not in ("dtparam", "device_tree_param") or not equals or found is None:
        return None
    if found["value"] in _ON:
        return line
    return f"{name}={found['before']}i2c_arm=on{found['after']}"


def _uart_line(line: str) -> str | None:
    name, _, value = line.partition("=")
    if name.strip() != "enable_uart":
        return None
    return line if value.strip() == "1" else UART


def _with(text: str, wanted: str, settle: Callable[[str], str | None]) -> str:
    """Put `wanted` into the section for all models: the last line that says it counts."""
    lines = text.splitlines()
    section, places, commented = "all", [], None
    for number, line in enumerate(lines):
        if found := _SECTION.match(line):
            section = found[1].lower()
        elif section == "all" and settle(line) is not None:
            places.append(number)
        elif section == "all" and line.lstrip("# ").rstrip() == wanted:
            commented = number
    if places:
        lines[places[-1]] = settle(lines[places[-1]]) or wanted
    elif commented is not None:
        lines[commented] = wanted
    else:
        lines += [*([] if section == "all" else ["", "[all]"]), wanted]
    return "\n".join(lines) + "\n"


CONF = "/etc/mosquitto/mosquitto.conf"
INCLUDE = "/etc/mosquitto/conf.d/boondock.conf"
MOSQUITTO = "mosquitto.service"
# What our processes need of any broker, where it is not said already; nothing that changes who may do what.
_NEEDS = (
    ("set_tcp_nodelay", "true", "Without it each confirmation waits 43 ms."),
    ("max_queued_messages", "2000", "The statistician's queue: all readings that wait must fit."),
)


@dataclass
class ExistingBroker:
    """What the configuration says; `port` is the first listener without TLS."""

    port: int = 1883
    options: dict[str, str] = field(default_factory=dict)
    includes: list[str] = field(default_factory=list)

    @property
    def asks_passwords(self) -> bool:
        """Whether who connects needs a user."""
        return "password_file" in self.options and self.options.get("allow_anonymous", "false") != "true"

    @property
    def obstacle(self) -> str | None:
        """Why users cannot be added by this program; None if they can."""
        if self.options.get("per_listener_settings") == "true":
            return "it sets users for each listener (per_listener_settings true)"
        if any(one in self.options for one in ("plugin", "auth_plugin", "global_plugin")):
            return "a plugin decides who may come in"
        return None


def existing_broker(root: Path) -> ExistingBroker | None:
    """Read the distribution's broker as it is configured, without our own include; None if there is none."""
    main = root / CONF.lstrip("/")
    if not main.exists():
        return None
    found = ExistingBroker()
    listeners: list[tuple[int, dict[str, str]]] = []
    for name, value in _lines(root, main):
        if name in ("listener", "port"):
            number = value.split()[0] if value else ""
            if number.isdigit() and number != "0":
                listeners.append((int(number), {}))
        elif name in ("certfile", "protocol") and listeners:
            listeners[-1][1][name] = value
        else:
            found.options.setdefault(name, value)
    plain = [
        port for port, its in listeners if "certfile" not in its and its.get("protocol", "mqtt") == "mqtt"
    ]
    found.port = plain[0] if plain else 1883
    return found


def _lines(root: Path, path: Path) -> Iterator[tuple[str, str]]:
    if path == root / INCLUDE.lstrip("/"):
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.strip().partition(" ")
        if not name or name.startswith("#"):
            continue
        if name == "include_dir":
            for one in sorted((root / value.strip().lstrip("/")).glob("*.conf")):
                yield from _lines(root, one)
        else:
            yield name, value.strip()


def include_text(found: ExistingBroker) -> str:
    """Our include file: what is missing for our processes."""
    lines = ["# Written by Boondock's installer; `sudo boondock uninstall` removes it."]
    for name, value, why in _NEEDS:
        if name not in found.options:
            lines += [f"# {why}", f"{name} {value}"]
    return "\n".join(lines) + "\n"


def with_users(text: str, ours: str, names: list[str]) -> str:
    """Put these users first into a password file: the last line of the others may have no end."""
    return ours + without_users(text, names)


def without_users(text: str, names: list[str]) -> str:
    """Take these users out of a password file."""
    return "".join(line for line in text.splitlines(keepends=True) if line.partition(":")[0] not in names)


BEGIN, END = "# begin of Boondock's users\n", "# end of Boondock's users\n"
# Where the last line before had no end: it is given back without one.
_BEGIN_AFTER_OPEN_LINE = "\n# begin of Boondock's users; the line before had no end\n"


def with_rights(text: str, ours: str) -> str:
    """Add the rights of our users at the end of an ACL file."""
    before = without_rights(text)
    begin = BEGIN if not before or before.endswith("\n") else _BEGIN_AFTER_OPEN_LINE
    return f"{before}{begin}{ours.rstrip()}\n{END}"


def without_rights(text: str) -> str:
    """Take the rights of our users out of an ACL file."""
    begin = _BEGIN_AFTER_OPEN_LINE if _BEGIN_AFTER_OPEN_LINE in text else BEGIN
    before, found, rest = text.partition(begin)
    return before + rest.partition(END)[2] if found else text


PRIVATE = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 fe80::/10 fc00::/7"
# The unit, and the user of our own broker that it is; %i is the collector's transport.
PROCESSES: Mapping[str, str] = {
    "boondock-statistician.service": "statistician",
    "boondock-controller.service": "controller",
    "boondock-forwarder.service": "forwarder",
    "boondock-collector@.service": "collector_%i",
}
BROKER = "boondock-mosquitto.service"
FORWARDER = "boondock-forwarder.service"
PAGE = "boondock-page.service"
NGINX = "nginx.service"
# Announces the page's name on the network.
PAGE_NAME = "boondock-page-name.service"
TARGET = "boondock.target"
RESUME = "boondock-update.service"
STOP = (
    *("systemctl", "stop", TARGET, "boondock-mosquitto-watch.path", "boondock-collector@*.service"),
    *(FORWARDER, "boondock-controller.service", "boondock-statistician.service", PAGE, PAGE_NAME, BROKER),
)
"""Stops the house and waits for the end of each: to stop the target alone waits for none."""
BACKUP = "boondock-backup.timer"
_WRITTEN = "# Written by the installer from boondock.toml; `sudo boondock install` writes it again.\n"
HEAD = f"{_WRITTEN}[Service]\n"


def broker_text(unit: str, broker: Mapping[str, Any], found: Sequence[str], *, users: bool) -> str:
    """Write the drop-in of a process, empty if it needs none.

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
    return HEAD + "\n".join(lines) + "\n" if lines else ""


# Where the system and disks that come and go are; a path of its own would hide a disk that is mounted later.
_DISKS = ("/media", "/mnt", "/run/media")
_HIDDEN = ("/home", "/root", "/run/user")
_PATH = re.compile(r"/[A-Za-z0-9_./@+,= -]+\Z")
_MADE = 'ExecStartPre=-+/bin/sh -c \'test -e "$$0" || install -d -o boondock-forwarder "$$0"\''


def sends(settings: Mapping[str, Any]) -> bool:
    """Whether there is something for the forwarder to do."""
    return bool(settings.get("output") or settings.get("notify"))


def outputs_text(outputs: object) -> str:
    """Write what the forwarder's drop-in says of folders: it may write where its outputs are.

    A folder that is missing is made and is the forwarder's; one that is there keeps its owner. Paths with
    letters that systemd reads otherwise are left out: the forwarder's health tells of them.
    """
    tables = outputs if isinstance(outputs, list) else []
    paths = [one.get(key) for one in tables if isinstance(one, dict) for key in ("path", "latest")]
    wanted = [one for one in paths if isinstance(one, str) and _PATH.match(one) and ".." not in one]
    lines: list[str] = []
    for folder in dict.fromkeys(one.rpartition("/")[0] for one in wanted):
        disk = next((home for home in _DISKS if f"{folder}/".startswith(f"{home}/")), None)
        if disk is None and folder not in ("", "/tmp", "/var/tmp"):  # noqa: S108 — its own, by PrivateTmp
            lines.append(f'{_MADE} "{folder}"')
        if folder:
            lines.append(f'ReadWritePaths="-{disk or folder}"')
        if any(f"{folder}/".startswith(f"{home}/") for home in _HIDDEN):
            lines.append("ProtectHome=read-only")
    return "".join(f"{line}\n" for line in dict.fromkeys(lines))


def lan_text(lan: Mapping[str, Any]) -> str:
    """Write the drop-in of our own broker: the local network may come in where [lan] opens a port."""
    return f"{HEAD}IPAddressAllow={PRIVATE}\n" if lan.get("listen") else ""


def page_text(page: Mapping[str, Any], pem: str) -> str:
    """Write the drop-in of the page: its certificate, and who may come in; empty for this machine alone."""
    if not (page.get("enabled") and page.get("listen")):
        return ""
    lines = [f"IPAddressAllow={PRIVATE}"]
    lines += [f"LoadCredential=server.pem:{pem}"] if page.get("tls", True) else []
    return HEAD + "\n".join(lines) + "\n"


def backup_text(backup: Mapping[str, Any]) -> str:
    """Write the drop-in of the nightly backup: `at`, hours:minutes local time; empty if it says nothing."""
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
