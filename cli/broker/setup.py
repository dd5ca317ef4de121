"""`boondock broker`: the broker's configuration, users, ACL and certificates, from boondock.toml."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, redirect_stdout
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from typer import Option

from cli import terminal
from cli.broker import Vault, files, password_file
from cli.broker.certificates import CERTIFICATE, RENEWED, Given, Papers, server_pem
from cli.broker.files import BrokerFile
from cli.broker.rights import acl, users
from cli.house import CREDENTIALS, Config, Json, load_settings
from cli.install import System, texts, which
from cli.machine import Machine
from cli.terminal import CommandError
from config.addresses import is_here
from config.model import Broker, Settings

UNIT = "boondock-mosquitto"
OUT = Path("/etc/boondock/mosquitto")


class Again(StrEnum):
    """What can be renewed early."""

    CERTIFICATE = "certificate"
    AUTHORITY = "authority"


_AGAIN = {Again.CERTIFICATE: CERTIFICATE, Again.AUTHORITY: RENEWED}


def elsewhere(broker: Broker) -> str:
    """Say what a person should know where the broker is on another machine."""
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
    """Choose the broker's certificate as [lan] has it. Raises CommandError."""
    lan = settings.lan
    if lan.certificate is not None and lan.private_key is not None:
        return Given(out, Path(lan.certificate), Path(lan.private_key), lan.names)
    names = (
        files.certificate_names(settings, socket.gethostname()) if files.needs_certificate(settings) else []
    )
    return Papers(out, secrets / "boondock-ca.key", names, lan.days, again)


def warnings(settings: Settings, out: Path) -> list[str]:
    """Say what must be done about the certificate in `out`; nothing if there is none. Raises CommandError."""
    if not files.needs_certificate(settings) or not server_pem(out).exists():
        return []
    if not os.access(server_pem(out), os.R_OK):
        raise CommandError(f"{server_pem(out)} may be read by root: use sudo")
    return list(certificates(settings, out, out).warnings())


class Setup:
    """One run: what is wanted, what differs, what is written."""

    def __init__(
        self,
        settings: Settings,
        papers: Papers | Given,
        vault: Vault,
        mosquitto: files.Version,
        renew: Sequence[str],
    ) -> None:
        self._settings = settings
        self._certified = files.needs_certificate(settings)
        self._papers = papers
        self._vault = vault
        self._mosquitto = mosquitto
        self._out = out = papers.folder
        self._users = all_users = users(settings)
        passwords = {one.name: vault.password(one.secret, renew=one.name in renew) for one in all_users}
        hashes = BrokerFile(out / "passwords", "").old
        self._conf = BrokerFile(out / "mosquitto.conf", files.render(settings, out, mosquitto), private=False)
        self._files = [
            self._conf,
            BrokerFile(out / "acl", acl(all_users)),
            BrokerFile(out / "passwords", password_file(passwords, hashes), hashes=True),
        ]
        firewall = BrokerFile(out / "lan.nft", files.firewall(settings), private=False)
        if settings.lan.listen or settings.page.is_open or firewall.path.exists():
            self._files.append(firewall)

    def go(self, *, dry_run: bool, reload: bool) -> None:
        """Show what changes and do it. Raises CommandError, OSError."""
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
            if made and self._settings.page.encrypted:
                # It reads its certificate at its start alone.
                System().succeeds("systemctl", "try-restart", texts.PAGE)
        for line in self._advice(old, made, changed=bool(changes), reloaded=reload):
            print(line)
        if self._certified:
            for line in self._papers.warnings():
                print(line, file=sys.stderr)
            if isinstance(self._papers, Given) and (wrong := self._papers.wrong()) is not None:
                raise CommandError(f"the broker keeps the certificate it has: {wrong}")

    def _changes(self) -> Iterator[str]:
        for file in self._files:
            yield from file.diff()
        for name in self._vault.fresh:
            yield f"+++ {self._vault.folder / name} (a new password)"
        for path in self._stale():
            yield f"--- {path} (nobody's password any more)"
        if self._certified:
            for what in self._papers.lacks():
                yield f"+++ {what} in {self._out} for {', '.join(self._papers.names)}"

    def _stale(self) -> list[Path]:
        return self._vault.stale({user.secret for user in self._users})

    def _write(self) -> list[str]:
        """Write what is new; returns what was made of certificates."""
        self._out.mkdir(mode=0o755, parents=True, exist_ok=True)
        # The passwords first: whatever stops us, nobody has one that is nowhere to be read.
        self._vault.save()
        made = self._papers.make() if self._certified else []
        for file in self._files:
            file.settle()
        for path in self._stale():
            path.unlink()
        return made

    def _reload(self) -> None:
        pid = running(self._conf.path)
        if pid is None:
            raise CommandError(f"no mosquitto runs with -c {self._conf.path}")
        if self._mosquitto != files.VERSIONS[0]:
            _try(self._conf.path)
        os.kill(pid, signal.SIGHUP)
        print(f"Mosquitto (process {pid}) was told to read its files again.")

    def _advice(self, old: str, made: list[str], *, changed: bool, reloaded: bool) -> Iterator[str]:
        lan = self._settings.lan
        restart = files.needs_restart(old, self._conf.text)
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
        if self._certified:
            yield from self._advice_to_phones(fresh=restart or not old, renewed=RENEWED in made)
        if changed:
            yield "Passwords, one at a time: boondock broker --show operator"

    def _advice_to_phones(self, *, fresh: bool, renewed: bool) -> Iterator[str]:
        if fresh:
            yield "The unit lets the network in after: sudo boondock install"
            if which("nft") is None:
                yield "One device may take all connections until nft can count them: apt install nftables"
        if isinstance(self._papers, Papers) and (fresh or renewed):
            yield f"Authority for phones: {self._papers.ca}, SHA-256 {self._papers.fingerprint()}"
        if renewed:
            yield "Phones keep the authority they have until that ends; a name that is new needs this one."


def running(conf: Path) -> int | None:
    """Find the Mosquitto that was started with this configuration; None if none runs."""
    for number, _, words in Machine().processes():
        named = [word for word, before in zip(words[1:], words, strict=False) if before == "-c"]
        if Path(words[0]).name == "mosquitto" and any(Path(one) == conf for one in named):
            return number
    return None


def _try(conf: Path) -> None:
    """From 2.1 on a broker that reloads a wrong file ends: ask it first. Raises CommandError."""
    program = which("mosquitto")
    if program is None:
        print("mosquitto is not on this PATH; the configuration goes untried", file=sys.stderr)
        return
    command = [program, "--test-config", "-c", str(conf)]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 — the broker, by its full path
    if tried.returncode != 0:
        raise CommandError(f"Mosquitto refuses {conf}: {tried.stderr.strip() or tried.stdout.strip()}")


def url(settings: Settings, papers: Papers | Given) -> str:
    """Where a phone finds the broker and which authority it may trust; it holds no password."""
    place = f"mqtts://{papers.names[0]}:{settings.lan.port}"
    if not isinstance(papers, Papers):
        return place
    return f"{place}?{urlencode({'ca_sha256': papers.fingerprint().replace(':', '')})}"


def show_login(name: str, password: str | None, settings: Settings, papers: Papers | Given) -> None:
    """Print a user's password and the ways to the broker. Raises CommandError, OSError."""
    if password is None:
        raise CommandError(f"{name} has no password yet: run boondock broker without --show first")
    print(f"user      {name}")
    print(f"password  {password}")
    print(f"here      mqtt://127.0.0.1:{settings.broker.port}")
    lan = settings.lan
    if not lan.listen or not server_pem(papers.folder).exists():
        return
    host = papers.names[0]
    print(f"network   mqtts://{host}:{lan.port}")
    if lan.websockets is not None:
        print(f"          wss://{host}:{lan.websockets}")
    if isinstance(papers, Papers):
        print(f"authority {papers.ca}")
        print(f"SHA-256   {papers.fingerprint()}")
    print(url(settings, papers))
    show_qr(url(settings, papers))


def show_qr(text: str) -> None:
    """Print a QR code of a text."""
    import segno  # noqa: PLC0415 — for a password that is shown alone

    segno.make(text, micro=False).terminal(compact=True)


def broker(
    *,
    out: Annotated[Path, Option(metavar="FOLDER")] = OUT,
    secrets: Annotated[
        Path, Option(metavar="FOLDER", help="Where the passwords are, for systemd.")
    ] = CREDENTIALS,
    mosquitto: Annotated[files.Version | None, Option(help="Default: the one installed.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Show what would change, write nothing.")] = False,
    reload: Annotated[bool, Option("--reload", help="Tell a running broker, by SIGHUP.")] = False,
    renew: Annotated[
        list[str] | None, Option(metavar="USER", help="Give a user a new password; may be repeated.")
    ] = None,
    again: Annotated[
        list[Again] | None,
        Option(help="Renew it now; phones keep what they have. May be repeated."),
    ] = None,
    show: Annotated[
        str | None, Option(metavar="USER", help="Only show a user's password and how to connect.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Set up the broker: users, rights, certificates."""
    settings, folder, vault = load_settings(config), out.absolute(), Vault(secrets.absolute())
    with redirect_stdout(StringIO()) if as_json else nullcontext() as said:
        if not _is_mine(settings.broker.host):
            print(elsewhere(settings.broker), file=sys.stderr)
        secret_by_user = {user.name: user.secret for user in users(settings)}
        for name in (*(renew or ()), *([show] if show else [])):
            if name not in secret_by_user:
                raise CommandError(f"there is no user {name}: there are {', '.join(secret_by_user)}")
        papers = certificates(settings, folder, vault.folder, frozenset(_AGAIN[one] for one in again or ()))
        if show:
            show_login(show, vault.read(secret_by_user[show]), settings, papers)
        else:
            setup = Setup(settings, papers, vault, mosquitto or files.version(), renew or ())
            setup.go(dry_run=dry_run, reload=reload)
    if said is not None:
        terminal.show({"lines": said.getvalue().splitlines()}, (), as_json=True)
