"""The steps of an installation, one row each; install, --dry-run, resume and update follow."""

import grp
import hashlib
import pwd
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.install import System, known, texts
from cli.install.changes import (
    JOURNAL,
    PYTHON,
    Change,
    Command,
    File,
    Folder,
    Gone,
    Journal,
    Link,
    Record,
    Service,
    give_back,
)
from cli.install.plan import (
    ELSEWHERE,
    EXISTING,
    HOME,
    OWN,
    SECRETS,
    SETTINGS,
    Plan,
    Release,
    addresses,
    kinds,
    tables,
)
from cli.terminal import CommandError

UNITS = "/etc/systemd/system"
COMMAND = "/usr/local/bin/boondock"
STARTED = "/var/lib/boondock-install/started"
_BROKER_FILES = "/etc/boondock/mosquitto"
_CREDSTORE = "/etc/credstore"
_DROP_IN = "20-broker.conf"
# The first fails where a package waits for one that is not unpacked yet, but then the second can go on.
_FINISH = "dpkg --configure -a; apt-get -q -o DPkg::Lock::Timeout=300 --yes --fix-broken install"
# The release is named by its real path: what a running command still loads never comes from another release.
_COMMAND_TEXT = """#!/bin/sh
exec "$(readlink -f /opt/boondock/current)/.venv/bin/python" -I -m cli "$@"
"""


@dataclass(frozen=True)
class Context:
    """What a step needs to know."""

    plan: Plan
    system: System

    @property
    def release(self) -> Release:
        """The release to install."""
        return Release(self.system, Path(self.plan.source), Path(self.plan.release))

    def at(self, path: str) -> Path:
        """Where a file of the machine is."""
        return self.system.at(path)

    def boondock(self, *words: str) -> list[str]:
        """Write a command of the release that is installed."""
        return [str(self.release.python), "-I", "-m", "cli", *words]


@dataclass(frozen=True)
class Step:
    """One row: `again` says that an update does it, too."""

    title: str
    changes: Callable[[Context], Iterator[Change]]
    again: bool = True


def packages(context: Context) -> Iterator[Change]:
    """Debian packages besides those that scripts/setup installs."""
    settings, system = context.plan.settings, context.system
    wanted = {"bluez": "bluetoothctl"} if any(one.startswith("victron") for one in kinds(settings)) else {}
    page = settings.get("page", {})
    is_open = bool(page.get("enabled") and page.get("listen"))
    if context.plan.broker == OWN and (settings.get("lan", {}).get("listen") or is_open):
        wanted |= {"nftables": "nft", "openssl": "openssl"}
    wanted |= {"nginx": "nginx"} if page.get("enabled") else {}
    wanted |= {"avahi-daemon": "avahi-daemon", "avahi-utils": "avahi-publish"} if _announced(page) else {}
    missing = [package for package, program in wanted.items() if not system.has(program)]
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    # A power cut while packages were installed: until then apt-get does nothing.
    yield Command(system, ["sh", "-c", _FINISH], lambda: not _half_done(system), env=env)
    if wanted:
        apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
        yield Command(system, [*apt, "update"], lambda: not missing, env=env)
        # Debian's, and so are its settings: uninstall leaves them, others may use them by then.
        argv = [*apt, "install", "--yes", "--no-install-recommends", *(missing or wanted)]
        yield Command(system, argv, lambda: all(map(system.has, wanted.values())), env=env)
    if "nginx" in missing and system.word("systemctl", "list-unit-files", "--no-legend", texts.NGINX):
        # It came with the package, and would hold port 80. One that was here before is the user's.
        yield Command(system, ["systemctl", "disable", "--now", texts.NGINX], lambda: False)


def _announced(page: Mapping[str, Any]) -> bool:
    """Whether the page has a name that somebody must tell the network."""
    named = str(page.get("name", "boondock.local")).endswith(".local")
    return bool(page.get("enabled") and page.get("listen")) and named


def _half_done(system: System) -> bool:
    """Whether dpkg was interrupted: its journal is not empty, or a package is not configured."""
    return any(system.at("/var/lib/dpkg/updates").glob("[0-9]*")) or bool(system.ask("dpkg", "--audit"))


def wires(context: Context) -> Iterator[Change]:
    """I2C and the serial port on, as raspi-config does; both need a restart of the machine."""
    plan, system = context.plan, context.system
    if plan.i2c:
        yield File(context.at("/etc/modules-load.d/boondock.conf"), "i2c-dev\n")
    folder = texts.boot_folder(system.root)
    if folder is None:
        return
    config, cmdline = folder / "config.txt", folder / "cmdline.txt"
    text = before = config.read_text(encoding="utf-8", errors="surrogateescape")
    text = texts.with_i2c(text) if plan.i2c else text
    text = texts.with_uart(text) if plan.uart else text
    if text != before:
        yield File(config, text, mode=config.stat().st_mode & 0o777)
    if plan.uart and cmdline.exists():
        line = cmdline.read_text(encoding="utf-8", errors="surrogateescape")
        yield File(cmdline, texts.without_console(line), mode=cmdline.stat().st_mode & 0o777)


def time_zone(context: Context) -> Iterator[Change]:
    """Set the machine's time zone: days and months of the statistics begin by it."""
    zone, system = context.plan.time_zone, context.system
    if zone is not None:
        before = zone_of(system)
        argv = ["timedatectl", "set-timezone", zone]
        undo = ["timedatectl", "set-timezone", before] if before else []
        yield Command(system, argv, lambda: zone_of(system) == zone, undo=undo)


def zone_of(system: System) -> str:
    """Ask for the time zone of the machine now."""
    return system.ask("timedatectl", "show", "-p", "Timezone", "--value")


def software(context: Context) -> Iterator[Change]:
    """Install the release: a copy of the files, its Python environment, bytecode."""
    yield context.release


def settings(context: Context) -> Iterator[Change]:
    """boondock.toml and the secret files; what is there already is the user's and stays."""
    plan = context.plan
    yield Folder(context.at("/etc/boondock"))
    yield Folder(context.at(SECRETS), mode=0o700)
    for name, text in plan.secrets.items():
        yield File(context.at(f"{SECRETS}/{name}"), f"{text}\n", mode=0o600, secret=True, keep=True)
    file = context.at(SETTINGS)
    if not file.exists():
        yield File(
            file, plan.toml, mode=0o644 if plan.secrets or not _holds_secrets(plan) else 0o600, keep=True
        )
    advice = f"next: correct {SETTINGS} (sudo nano {SETTINGS}), then run the same command again"
    argv = context.boondock("check", "--config", str(file))
    yield Command(context.system, argv, lambda: context.system.succeeds(*argv), advice=advice)


def _holds_secrets(plan: Plan) -> bool:
    devices = tables(plan.settings, "device").values()
    return "password" in plan.settings.get("broker", {}) or any(
        {"key", "route_b_id", "route_b_password"} & one.keys() for one in devices
    )


def accounts(context: Context) -> Iterator[Change]:
    """Users of the processes, and groups that they ask for."""
    file = context.at("/etc/sysusers.d/boondock.conf")
    text = (context.release.source / "systemd/sysusers.d/boondock.conf").read_text(encoding="utf-8")
    users = [line.split()[1] for line in text.splitlines() if line.startswith("u ")]
    groups = [line.split()[1] for line in text.splitlines() if line.startswith("g ")]
    yield File(file, text)

    def there() -> bool:
        return all(known(pwd.getpwnam, one) for one in users) and all(
            known(grp.getgrnam, one) for one in groups
        )

    if not there():
        ours = [f"userdel {one}" for one in users if not known(pwd.getpwnam, one)]
        ours += [f"groupdel {one}" for one in groups if not known(grp.getgrnam, one)]
        gone = "; ".join(ours)
        undo = ["sh", "-c", gone]
        yield Command(context.system, ["systemd-sysusers", str(file)], there, undo=undo, purge=True)


def broker(context: Context) -> Iterator[Change]:
    """Our own broker with a user a process, or what an existing one needs."""
    plan, system = context.plan, context.system
    if plan.broker != OWN and plan.settings.get("page", {}).get("enabled"):
        raise CommandError(
            "[page] needs the house's own broker, whose users have rights and passwords\n"
            "next: sudo boondock configure broker chooses that one; or sudo boondock configure page: none"
        )
    if plan.users and not context.at(_CREDSTORE).exists():
        yield Folder(context.at(_CREDSTORE), mode=0o700)
    if plan.broker == OWN:
        argv = context.boondock("broker", "--config", str(context.at(SETTINGS)))

        def written() -> bool:
            return "Nothing would change." in system.ask(*argv, "--dry-run")

        if system.word("systemctl", "list-unit-files", "--no-legend", texts.MOSQUITTO):
            yield Service(system, texts.MOSQUITTO, on=False)
        undo = ["sh", "-c", f"rm -rf {_BROKER_FILES} {_CREDSTORE}/boondock-*"]
        yield Command(system, argv, written, undo=undo, purge=True)
    elif plan.broker == EXISTING and (found := texts.existing_broker(system.root)) is not None:
        yield from _existing(context, found)


def _existing(context: Context, found: texts.ExistingBroker) -> Iterator[Change]:
    system = context.system
    include = File(context.at(texts.INCLUDE), texts.include_text(found))
    fresh = not include.done()
    yield include
    if context.plan.users:
        words = ["broker-users", "--config", str(context.at(SETTINGS))]
        argv = [str(context.release.python), "-I", "-m", "cli.install", *words]
        undo = [PYTHON, "-I", "-m", "cli.install", *words, "--remove"]
        # It tells which users were there before.
        yield Command(system, argv, lambda: system.succeeds(*argv, "--check"), undo=undo, live=True)
    restart = ["systemctl", "restart", texts.MOSQUITTO]
    # Its settings are taken up by a start alone; its other clients connect again by themselves.
    yield Command(system, restart, lambda: not fresh and include.done())


def unit_files(context: Context) -> Iterator[Change]:
    """Write the units, and drop-ins that make them follow boondock.toml."""
    plan, system = context.plan, context.system
    source, target = Path(plan.source) / "systemd", context.at(UNITS)
    files = [one for one in sorted(source.rglob("boondock*/*.conf")) if one.is_file()]
    files += sorted(one for one in source.glob("boondock*") if one.is_file())
    written = {target / one.relative_to(source): one.read_text(encoding="utf-8") for one in files}
    written |= {target / f"{unit}.d" / _DROP_IN: text for unit, text in drop_ins(plan).items()}
    for path, text in written.items():
        yield File(path, text) if text else Gone(path)
    names = [texts.TARGET, texts.BROKER, texts.PAGE, *(one for one in texts.PROCESSES if "@" not in one)]
    yield Command(system, ["systemctl", "daemon-reload"], lambda: _loaded(system, names))


def drop_ins(plan: Plan) -> dict[str, str]:
    """Write the drop-ins by unit; an empty text says that there is none."""
    settings = plan.settings
    table = settings.get("broker", {})
    host = str(table.get("host", "127.0.0.1"))
    found = addresses(host) if plan.broker == ELSEWHERE else []
    made = {unit: texts.broker_text(unit, table, found, users=plan.users) for unit in texts.PROCESSES}
    folders = texts.outputs_text(settings.get("output"))
    made[texts.FORWARDER] = (made[texts.FORWARDER] or texts.HEAD * bool(folders)) + folders
    made[texts.BACKUP] = texts.backup_text(settings.get("backup", {}))
    made[texts.PAGE] = texts.page_text(settings.get("page", {}), f"{_BROKER_FILES}/server.pem")
    return made | {texts.BROKER: texts.lan_text(settings.get("lan", {}))}


def _loaded(system: System, names: Sequence[str]) -> bool:
    """Whether systemd has read all units as they are now."""
    said = system.word("systemctl", "show", "--property=NeedDaemonReload,LoadState", *names)
    return bool(said) and "NeedDaemonReload=yes" not in said and "not-found" not in said


def command(context: Context) -> Iterator[Change]:
    """Point `current` to this release, and put `boondock` on the PATH."""
    yield Link(context.at(str(HOME / "current")), Path(context.plan.release))
    yield File(context.at(COMMAND), _COMMAND_TEXT, mode=0o755)


def start(context: Context) -> Iterator[Change]:
    """Everything starts now and with the machine."""
    plan, system = context.plan, context.system
    yield Folder(context.at("/var/lib/boondock-install"), mode=0o700)
    # Started by the restart below, once.
    yield Service(system, texts.TARGET, on=True, now=False)
    yield Service(system, texts.RESUME, on=True, now=False)
    yield Service(system, texts.BACKUP, on=True)
    page = plan.settings.get("page", {})
    chosen = {
        texts.BROKER: plan.broker == OWN,
        texts.PAGE: bool(page.get("enabled")),
        texts.PAGE_NAME: _announced(page),
        texts.FORWARDER: texts.sends(plan.settings),
    }
    for unit, on in chosen.items():
        if on:
            yield Service(system, unit, on=True, now=False)
        elif system.word("systemctl", "is-enabled", unit) == "enabled":
            yield Service(system, unit, on=False)
    (marker,) = started(context)
    runs = ["systemctl", "-q", "is-active", texts.TARGET]
    restart = ["systemctl", "restart", texts.TARGET]
    yield Command(system, restart, lambda: marker.done() and system.succeeds(*runs))
    yield marker


def started(context: Context) -> Iterator[Change]:
    """Note what the processes were started with: an update starts them itself."""
    yield File(context.at(STARTED), f"{_state(context)}\n", mode=0o600)


def _state(context: Context) -> str:
    """Hash what the running processes were started with."""
    # A process asks for the time zone once.
    digest = hashlib.sha256(f"{context.plan.release}\n{zone_of(context.system)}".encode())
    for path in (context.at(SETTINGS), *sorted(context.at(UNITS).rglob("boondock*"))):
        if path.is_file():
            digest.update(path.read_bytes())
    for path in sorted(context.at(SECRETS).glob("*")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


STEPS = (
    Step("Debian packages", packages),
    Step("I2C and the serial port", wires, again=False),
    Step("time zone", time_zone, again=False),
    Step("software", software),
    Step("settings and secrets", settings),
    Step("users and groups", accounts),
    Step("broker", broker),
    Step("units", unit_files),
    Step("the command boondock", command),
    Step("start", start, again=False),
)


Say = Callable[[str], None]


def show_steps(steps: Iterable[Step], context: Context) -> Iterator[str]:
    """Every file and command that is not done yet, by step; nothing is changed."""
    for step in steps:
        yield f"== {step.title}"
        waiting = [one for one in step.changes(context) if not one.done()]
        for change in waiting:
            yield from (f"  {line}" for line in change.show())
        if not waiting:
            yield "  nothing to do"


def do_steps(steps: Iterable[Step], context: Context, say: Say) -> int:
    """Do what is not done; returns how many changes that were. Raises CommandError.

    Interrupted at any place it goes on there: each change finds out by itself whether it is done.
    """
    journal = Journal(context.at(JOURNAL))
    count = 0
    for step in steps:
        begun = False
        for change in step.changes(context):
            if change.done():
                continue
            if not begun:
                say(f"== {step.title}")
                begun = True
            say(f"  {next(change.show())}")
            try:
                change.do(journal)
            except OSError as error:
                raise CommandError(f"{step.title}: {error}") from error
            count += 1
    return count


def undo_steps(context: Context, say: Say, *, purge: bool) -> bool:
    """Give back what was before, the newest change first; whether all could be.

    One that cannot be taken back stays in the journal and holds up no other.
    """
    journal = Journal(context.at(JOURNAL))
    whole = True
    for record in _undone(journal, purge=purge):
        say(f"  {record['kind']} {record['key']}")
        try:
            for line in give_back(context.system, record, purge=purge):
                say(f"    {line}")
        except (CommandError, OSError) as error:
            say(f"    cannot be taken back: {error}")
            whole = False
            continue
        if record["kind"] != "folder" or not Path(record["key"]).exists():
            # A folder with what an uninstall keeps goes with a later purge.
            journal.drop(record)
    return whole


def would_undo(context: Context, *, purge: bool) -> Iterator[str]:
    """Show what `undo_steps` would give back."""
    for record in _undone(Journal(context.at(JOURNAL)), purge=purge):
        yield f"  {record['kind']} {record['key']}"


def _undone(journal: Journal, *, purge: bool) -> list[Record]:
    """List what is given back, the newest first; some commands are on `purge` alone."""
    return [one for one in reversed(journal.records) if one["kind"] != "command" or purge or not one["purge"]]
