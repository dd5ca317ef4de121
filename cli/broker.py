"""`boondock broker`: the broker's configuration, users, ACL and certificates, from boondock.toml."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cli import broker_config
from cli.broker_error import BrokerError
from cli.broker_files import File
from cli.broker_given import Given
from cli.broker_passwords import Vault, password_file
from cli.broker_rights import User, acl, users
from cli.broker_show import show
from cli.broker_tls import CERTIFICATE, RENEWED, Papers, server_pem
from config.addresses import is_here
from config.model import Broker, Settings

UNIT = "boondock-mosquitto"
OUT = Path("/etc/boondock/mosquitto")


class Again(StrEnum):
    """What can be made anew before its time."""

    CERTIFICATE = "certificate"
    AUTHORITY = "authority"


_AGAIN = {Again.CERTIFICATE: CERTIFICATE, Again.AUTHORITY: RENEWED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line asks for; `renew` and `show` name users, `again` what is made anew."""

    out: Path
    secrets: Path
    mosquitto: broker_config.Version | None
    renew: tuple[str, ...]
    again: frozenset[Again]
    show: str | None
    dry_run: bool
    reload: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything goes, and for which Mosquitto."""

    out: Path
    secrets: Path
    mosquitto: str

    @property
    def conf(self) -> Path:
        """The file that the broker is started with."""
        return self.out / "mosquitto.conf"


def run(wanted: Wanted, settings: Settings) -> None:
    """Do what the command line asks for. Raises BrokerError, OSError."""
    if not _is_mine(settings.broker.host):
        print(elsewhere(settings.broker), file=sys.stderr)
    all_users = users(settings)
    known = [user.name for user in all_users]
    for name in (*wanted.renew, *([wanted.show] if wanted.show else [])):
        if name not in known:
            raise BrokerError(f"there is no user {name}: there are {', '.join(known)}")
    again = frozenset(_AGAIN[one] for one in wanted.again)
    papers = certificates(settings, wanted.out, wanted.secrets, again)
    if wanted.show:
        user = next(one for one in all_users if one.name == wanted.show)
        show(user.name, Vault(wanted.secrets).read(user.secret), settings, papers)
        return
    place = Place(wanted.out, wanted.secrets, wanted.mosquitto or broker_config.version())
    Setup(settings, all_users, place, papers, renew=wanted.renew).go(
        dry_run=wanted.dry_run, reload=wanted.reload
    )


def elsewhere(broker: Broker) -> str:
    """What a person should know where the broker is on another machine."""
    return (
        f"[broker] names {broker.host}:{broker.port}, which is not this machine: nothing that is written here"
        " changes that broker; next: docs/broker-elsewhere.md, or sudo boondock configure broker"
    )


def _is_mine(host: str) -> bool:
    """Whether a host is this machine: nobody can listen at the address of another one."""
    if is_here(host):
        return True
    try:
        socket.create_server((host, 0)).close()
    except OSError:
        return False
    return True


def certificates(
    settings: Settings, out: Path, secrets: Path, again: frozenset[str] = frozenset()
) -> Papers | Given:
    """The broker's certificate, as [lan] has it. Raises BrokerError."""
    lan = settings.lan
    if lan.certificate is not None and lan.private_key is not None:
        return Given(out, Path(lan.certificate), Path(lan.private_key), lan.names)
    names = broker_config.names(settings, socket.gethostname()) if lan.listen else []
    return Papers(out, secrets / "boondock-ca.key", names, lan.days, again)


def warnings(settings: Settings, out: Path) -> list[str]:
    """What a person must do about the certificate in `out`; nothing if there is none. Raises BrokerError."""
    if not settings.lan.listen or not server_pem(out).exists():
        return []
    if not os.access(server_pem(out), os.R_OK):
        raise BrokerError(f"{server_pem(out)} may be read by root: use sudo")
    return list(certificates(settings, out, out).warnings())


class Setup:
    """One run: what is wanted, what differs, what is written."""

    def __init__(
        self,
        settings: Settings,
        all_users: list[User],
        place: Place,
        papers: Papers | Given,
        *,
        renew: tuple[str, ...],
    ) -> None:
        self._settings = settings
        self._users = all_users
        self._place = place
        self._papers = papers
        self._vault = Vault(place.secrets)
        passwords = {
            user.name: self._vault.password(user.secret, renew=user.name in renew) for user in all_users
        }
        hashes = File(place.out / "passwords", "").old
        rendered = broker_config.render(settings, place.out, place.mosquitto)
        self._conf = File(place.conf, rendered, private=False)
        self._files = [
            self._conf,
            File(place.out / "acl", acl(all_users)),
            File(place.out / "passwords", password_file(passwords, hashes), hashes=True),
        ]
        firewall = File(place.out / "lan.nft", broker_config.firewall(settings), private=False)
        if settings.lan.listen or firewall.path.exists():
            self._files.append(firewall)

    def go(self, *, dry_run: bool, reload: bool) -> None:
        """Show what changes and do it. Raises BrokerError, OSError."""
        old = self._conf.old
        changes = list(self._changes())
        for line in changes:
            print(line)
        if dry_run:
            print(f"{len(changes)} lines; nothing was written." if changes else "Nothing would change.")
            return
        made = self._write()
        if not changes:
            print("Nothing changed.")
        if reload:
            self._reload()
        for line in self._advice(old, made, changed=bool(changes), reloaded=reload):
            print(line)
        if self._settings.lan.listen:
            for line in self._papers.warnings():
                print(line, file=sys.stderr)
            if isinstance(self._papers, Given) and (wrong := self._papers.wrong()) is not None:
                raise BrokerError(f"the broker keeps the certificate it has: {wrong}")

    def _changes(self) -> Iterator[str]:
        for file in self._files:
            yield from file.diff()
        for name in self._vault.fresh:
            yield f"+++ {self._place.secrets / name} (a new password)"
        for path in self._stale():
            yield f"--- {path} (nobody's password any more)"
        if self._settings.lan.listen:
            for what in self._papers.lacks():
                yield f"+++ {what} in {self._place.out} for {', '.join(self._papers.names)}"

    def _stale(self) -> list[Path]:
        return self._vault.stale({user.secret for user in self._users})

    def _write(self) -> list[str]:
        """Write what is new; returns what was made of certificates."""
        self._place.out.mkdir(mode=0o755, parents=True, exist_ok=True)
        # The passwords first: whatever stops us, nobody has one that is nowhere to be read.
        self._vault.save()
        made = self._papers.make() if self._settings.lan.listen else []
        for file in self._files:
            file.settle()
        for path in self._stale():
            path.unlink()
        return made

    def _reload(self) -> None:
        pid = running(self._place.conf)
        if pid is None:
            raise BrokerError(f"no mosquitto runs with -c {self._place.conf}")
        if self._place.mosquitto != broker_config.VERSIONS[0]:
            _try(self._place.conf)
        os.kill(pid, signal.SIGHUP)
        print(f"Mosquitto (process {pid}) was told to read its files again.")

    def _advice(self, old: str, made: list[str], *, changed: bool, reloaded: bool) -> Iterator[str]:
        lan = self._settings.lan
        restart = broker_config.needs_restart(old, self._conf.text)
        if not old:
            yield f"Next: systemctl restart {UNIT}, then the other services. docs/security.md goes on."
        elif restart:
            yield f"Listeners changed, and no reload takes them up: systemctl restart {UNIT}"
        elif changed and not reloaded:
            yield "For a running broker: boondock broker --reload"
        if changed and old and not restart:
            yield "A process whose password changed must be restarted: the old one ends with the reload."
        if set(made) - {RENEWED} and old and not restart and lan.websockets is not None:
            yield f"Port {lan.websockets} has the new certificate after systemctl restart {UNIT}"
        if lan.listen:
            yield from self._advice_to_phones(fresh=restart or not old, renewed=RENEWED in made)
        if changed:
            yield "Passwords, one at a time: boondock broker --show operator"

    def _advice_to_phones(self, *, fresh: bool, renewed: bool) -> Iterator[str]:
        if fresh:
            yield "The unit lets the network in after: sudo boondock install"
            if broker_config.binary("nft") is None:
                yield "One device may take all connections until nft can count them: apt install nftables"
        if isinstance(self._papers, Papers) and (fresh or renewed):
            yield f"Authority for phones: {self._papers.ca}, SHA-256 {self._papers.fingerprint()}"
        if renewed:
            yield "Phones keep the authority they have until that ends; a name that is new needs this one."


def running(conf: Path) -> int | None:
    """The Mosquitto that was started with this configuration."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue
        named = [word for word, before in zip(words[1:], words, strict=False) if before == "-c"]
        if Path(words[0]).name == "mosquitto" and any(Path(one) == conf for one in named):
            return int(entry.parent.name)
    return None


def _try(conf: Path) -> None:
    """From 2.1 on a broker that reloads a wrong file ends: ask it first. Raises BrokerError."""
    program = broker_config.binary()
    if program is None:
        print("mosquitto is not on this PATH; the configuration goes untried", file=sys.stderr)
        return
    command = [program, "--test-config", "-c", str(conf)]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 — the broker, by its full path
    if tried.returncode != 0:
        raise BrokerError(f"Mosquitto refuses {conf}: {tried.stderr.strip() or tried.stdout.strip()}")
