"""A Mosquitto that was here before: what its configuration says, and what is added to it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CONF = "/etc/mosquitto/mosquitto.conf"
INCLUDE = "/etc/mosquitto/conf.d/boondock.conf"
UNIT = "mosquitto.service"
# What our processes need of any broker, where it is not said already; nothing that changes who may do what.
_NEEDS = (
    ("set_tcp_nodelay", "true", "Without it each confirmation waits 43 ms."),
    ("max_queued_messages", "2000", "The statistician's queue: all readings that wait must fit."),
)


@dataclass
class Found:
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


def read(root: Path) -> Found | None:
    """The distribution's broker as it is configured, without our own include; None if there is none."""
    main = root / CONF.lstrip("/")
    if not main.exists():
        return None
    found = Found()
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


def include_text(found: Found) -> str:
    """Our include file: what is missing for our processes."""
    lines = ["# Written by Boondock's installer; `sudo boondock uninstall` removes it."]
    for name, value, why in _NEEDS:
        if name not in found.options:
            lines += [f"# {why}", f"{name} {value}"]
    return "\n".join(lines) + "\n"


def with_users(text: str, ours: str, names: list[str]) -> str:
    """A password file with these users first: the last line of the others may have no end."""
    return ours + without_users(text, names)


def without_users(text: str, names: list[str]) -> str:
    """A password file without these users."""
    return "".join(line for line in text.splitlines(keepends=True) if line.partition(":")[0] not in names)


BEGIN, END = "# begin of Boondock's users\n", "# end of Boondock's users\n"
# Where the last line before had no end: it is given back without one.
_BEGIN_AFTER_OPEN_LINE = "\n# begin of Boondock's users; the line before had no end\n"


def with_rights(text: str, ours: str) -> str:
    """An ACL file with the rights of our users at its end."""
    before = without_rights(text)
    begin = BEGIN if not before or before.endswith("\n") else _BEGIN_AFTER_OPEN_LINE
    return f"{before}{begin}{ours.rstrip()}\n{END}"


def without_rights(text: str) -> str:
    """An ACL file without the rights of our users."""
    begin = _BEGIN_AFTER_OPEN_LINE if _BEGIN_AFTER_OPEN_LINE in text else BEGIN
    before, found, rest = text.partition(begin)
    return before + rest.partition(END)[2] if found else text
