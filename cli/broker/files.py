"""mosquitto.conf from the templates in mosquitto/, and which Mosquitto it is for."""

import difflib
import fcntl
import os
import pwd
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal, get_args

from bus import state_files
from cli.broker import Vault, hashes, password_file
from cli.broker.rights import acl, users
from cli.install import System, put, texts, which
from cli.terminal import CommandError
from config.addresses import is_address
from config.model import Settings

TEMPLATES = Path(__file__).parents[2] / "mosquitto"
Version = Literal["2.0", "2.1"]
VERSIONS: tuple[Version, ...] = get_args(Version)
# In mosquitto.conf what follows this line holds for every broker of ours.
_SHARED = "# Below: for every broker."
# In lan.nft what stands before this line removes the table.
_TABLE = "\n# At most"
_SIOCGIFADDR = 0x8915
# A connection takes 46 KB before it has said who it is, and the unit allows 1024 of them to all listeners.
# So many may come from the network; the others are for this machine.
_MOST_CONNECTIONS = 600
# Of one address; the kernel counts them: Mosquitto cannot, and 2.0.11 counts two down for each that ends.
_MOST_OF_ONE = 20
HTTP, HTTPS = 80, 443
ANYWHERE = "0.0.0.0"  # noqa: S104 — compared with, not bound to
# Settings that a reload does not take up: mosquitto.conf(5), "Not reloaded on reload signal".
_LISTENING: tuple[str, ...] = ("listener", "socket_domain", "protocol", "certfile", "keyfile", "ciphers")
_LISTENING += ("tls_version", "max_connections", "listener_allow_anonymous")


def version() -> Version:
    """Which of VERSIONS is installed. Raises CommandError."""
    program = which("mosquitto")
    if program is None:
        raise CommandError("mosquitto is not installed; --mosquitto says for which version to write")
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout  # noqa: S603 — the broker, by its full path
    words = said.split()
    number = words[2] if words[:2] == ["mosquitto", "version"] and len(words) > 2 else "unknown"
    parts = number.split(".")
    if parts[0] != "2" or len(parts) < 2:
        raise CommandError(f"this is Mosquitto {number}; known are {' and '.join(VERSIONS)}")
    return VERSIONS[0] if parts[1] == "0" else VERSIONS[1]


def addresses(listen: tuple[str, ...]) -> list[str]:
    """List the addresses that `lan.listen` means now. Raises CommandError for an interface without one."""
    return list(dict.fromkeys(one if is_address(one) else _address_of(one) for one in listen))


def _address_of(interface: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        except OSError as error:
            raise CommandError(
                f"lan.listen: {interface} has no IPv4 address now: {error.strerror}"
            ) from error
    return socket.inet_ntoa(answer[20:24])


def certificate_names(settings: Settings, hostname: str) -> list[str]:
    """Names and addresses for the certificate, the one to show to people first."""
    page = settings.page
    listen = (*settings.lan.listen, *(page.listen if page.encrypted else ()))
    mine = [one for one in addresses(listen) if one != ANYWHERE]
    named = (*settings.lan.names, *([page.name] if page.encrypted else []))
    return list(dict.fromkeys((*named, *mine, f"{hostname.partition('.')[0]}.local", hostname)))


def needs_certificate(settings: Settings) -> bool:
    """Whether anything of the house is open to the network by TLS."""
    return bool(settings.lan.listen) or settings.page.encrypted


def render(settings: Settings, folder: Path, mosquitto: str) -> str:
    """Write the configuration of a broker whose files are in `folder`. Raises CommandError."""
    if "\n" in str(folder):
        raise CommandError("--out: a path of one line, please")
    marker = {"2.0": "", "2.1": "listener_allow_anonymous false"}[mosquitto]
    words = {
        "folder": folder,
        "local_port": settings.broker.port,
        "anonymous": marker,
        "mosquitto": mosquitto,
    }
    parts = [_fill("users.conf", words)]
    listeners = [
        {"address": address, "port": port, "protocol": protocol}
        for address in addresses(settings.lan.listen)
        for protocol, port in _ports(settings).items()
    ]
    parts += [
        _fill("lan.conf", words | listener | {"most": _MOST_CONNECTIONS // len(listeners)})
        for listener in listeners
    ]
    if settings.page.enabled:
        parts.append(_fill("page.conf", {"port": settings.page.websockets, "more": marker}))
    _, found, shared = template("mosquitto.conf").partition(_SHARED)
    if not found:
        raise CommandError(f"{TEMPLATES / 'mosquitto.conf'} lacks the line {_SHARED!r}")
    return "\n".join((*parts, shared.lstrip("\n")))


def _ports(settings: Settings) -> dict[str, int]:
    lan = settings.lan
    return {"mqtt": lan.port} | ({} if lan.websockets is None else {"websockets": lan.websockets})


def firewall(settings: Settings) -> str:
    """Write what keeps one address from taking all connections, for nft; of no open port it removes that."""
    ports = list(_ports(settings).values()) if settings.lan.listen else []
    ports += [settings.page.opened_port] if settings.page.is_open else []
    if not ports:
        return template("lan.nft").partition(_TABLE)[0]
    return _fill("lan.nft", {"ports": ", ".join(map(str, ports)), "most": _MOST_OF_ONE})


def _fill(name: str, words: Mapping[str, object]) -> str:
    text = Template(template(name)).substitute({key: str(value) for key, value in words.items()})
    return text.rstrip("\n") + "\n"


def template(name: str) -> str:
    """Read a file of mosquitto/. Raises CommandError."""
    try:
        return (TEMPLATES / name).read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"the template {TEMPLATES / name} cannot be read: {error.strerror}") from error


def needs_restart(old: str, new: str) -> bool:
    """Whether the listeners changed: a running broker keeps those it has."""
    return _listening(old) != _listening(new)


def _listening(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line.split(" ")[0] in _LISTENING]


ACCOUNT = "mosquitto"


@dataclass(frozen=True, slots=True)
class BrokerFile:
    """A file as it shall be; `private`: the broker's alone; `hashes`: only the users are shown."""

    path: Path
    text: str
    private: bool = True
    hashes: bool = False

    @property
    def old(self) -> str:
        """What stands there now. Raises OSError."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def diff(self) -> Iterator[str]:
        """Show what changes, line by line."""
        if not self.hashes:
            old, new = self.old.splitlines(), self.text.splitlines()
            yield from difflib.unified_diff(old, new, str(self.path), str(self.path), lineterm="", n=2)
            return
        before, after = hashes(self.old), hashes(self.text)
        if before != after:
            yield f"--- {self.path} (users, no hashes)"
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                sign = "+" if name not in before else "-" if name not in after else "~"
                yield f"{sign}{name}"

    def settle(self) -> None:
        """Write it if it changed, and set its rights. Raises OSError."""
        if self.old != self.text or not self.path.exists():
            put_broker_file(self.path, self.text.encode(), private=self.private)
            return
        if (owner := _owner(private=self.private)) is not None:
            os.chown(self.path, *owner)
        self.path.chmod(0o600 if self.private else 0o644)


def put_broker_file(path: Path, content: bytes, *, private: bool) -> None:
    """Replace a file with its rights in one step: a power cut leaves the old or the new. Raises OSError."""
    # Before it has its name: a broker that may not read its files does not start.
    mode = 0o600 if private else 0o644
    state_files.write(path, content, mode=mode, owner=_owner(private=private))


def _owner(*, private: bool) -> tuple[int, int] | None:
    """Who must own a private file: since 2.0.16 Mosquitto warns about others, and later refuses them."""
    if not private or os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError:
        return None
    return account.pw_uid, account.pw_gid


_VAULT = "/etc/credstore"


class BrokerUsers:
    """The users of `settings` in the files that the existing broker names."""

    def __init__(self, system: System, settings: Settings) -> None:
        found = texts.existing_broker(system.root)
        if found is None or not found.asks_passwords:
            raise CommandError("the broker of this machine asks for no passwords: no users are added")
        if found.obstacle is not None:
            raise CommandError(
                f"the broker of this machine cannot be given users by this program: {found.obstacle}\n"
                "next: add a user for Boondock by hand, write `username` below [broker] of boondock.toml\n"
                "and the password into /etc/boondock/secrets/broker__password; then run this again"
            )
        self._system = system
        self._passwords = system.at(found.options["password_file"])
        rights = found.options.get("acl_file")
        self._acl = None if rights is None else system.at(rights)
        self._vault = Vault(system.at(_VAULT))
        there = hashes(_text(self._passwords))
        mine = [one for one in users(settings) if self._vault.read(one.secret) is not None]
        known = {one.name for one in mine}
        # A role's name may be somebody's who was here first.
        self._users = [one for one in users(settings) if one.name in known or one.name not in there]
        self.left_out = [one.name for one in users(settings) if one not in self._users]

    def _texts(self) -> dict[Path, str]:
        old = _text(self._passwords)
        ours = password_file({one.name: self._vault.password(one.secret) for one in self._users}, old)
        made = {self._passwords: texts.with_users(old, ours, [one.name for one in self._users])}
        if self._acl is not None:
            made[self._acl] = texts.with_rights(_text(self._acl), acl(self._users))
        return made

    def there(self) -> bool:
        """Whether all of them are in it."""
        wanted = self._texts()
        return not self._vault.fresh and all(_text(path) == text for path, text in wanted.items())

    def add(self) -> None:
        """Add them, the passwords first; the broker reads its files again. Raises OSError, CommandError."""
        wanted = self._texts()
        self._vault.save()
        self._write(wanted)

    def remove(self) -> None:
        """Take them out, with their passwords. Raises OSError, CommandError."""
        mine = [one for one in self._users if self._vault.read(one.secret) is not None]
        names = [one.name for one in mine]
        made = {self._passwords: texts.without_users(_text(self._passwords), names)}
        if self._acl is not None:
            made[self._acl] = texts.without_rights(_text(self._acl))
        self._write(made)
        for one in mine:
            (self._vault.folder / one.secret).unlink()

    def _write(self, files: dict[Path, str]) -> None:
        for path, text in files.items():
            found = path.stat()
            put(
                path,
                text.encode(errors="surrogateescape"),
                mode=found.st_mode & 0o777,
                owner=(found.st_uid, found.st_gid),
            )
        self._system.run("systemctl", "reload", texts.MOSQUITTO)


def _text(path: Path) -> str:
    """Read a file of the broker's owner, byte for byte: it is written again with or without our lines."""
    try:
        return path.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return ""
