"""Which house a command talks to, and the options that say so."""

import fcntl
import functools
import inspect
import os
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import msgspec
import typer
from typer import Option

from cli.broker import Vault, secret_of
from cli.terminal import CommandError, SettingsError
from config.model import Broker, Settings

P = ParamSpec("P")

INSTALLED = Path("/etc/boondock/boondock.toml")
# Where `boondock broker` keeps the passwords, for systemd.
CREDENTIALS = Path("/etc/credstore")
ADMIN = "admin"

Json = Annotated[bool, Option("--json", help="Print JSON.")]
Config = Annotated[
    Path | None, Option(metavar="FILE", help="The settings; default: those of the house that runs here.")
]
_OPTIONS = {
    "config": Config,
    "host": Annotated[str | None, Option(metavar="NAME", help="The broker's machine.")],
    "broker_port": Annotated[
        int | None, Option("--port", "--broker-port", min=1, max=65535, help="The broker's port.")
    ],
    "user": Annotated[str | None, Option(metavar="NAME", help="A user of the broker.")],
    "password_file": Annotated[
        Path | None, Option(metavar="FILE", help="The file that holds the user's password.")
    ],
}
_PORT_OF_ITS_OWN = Annotated[int | None, Option("--broker-port", min=1, max=65535, help="The broker's port.")]


@dataclass(frozen=True, slots=True)
class House:
    """What the command line says of the house; None: as it is found."""

    config: Path | None = None
    host: str | None = None
    broker_port: int | None = None
    user: str | None = None
    password_file: Path | None = None

    def settings(self) -> Settings:
        """All settings. Raises SettingsError."""
        running = self.running()
        return load_settings(self.config if running is None else Path(running.config))

    def file(self) -> Path:
        """Find the file that the settings are read from."""
        running = self.running()
        return Path(running.config) if running is not None else self.config or _file()

    def tables(self, name: str) -> dict[str, dict[str, Any]]:
        """Read the tables [name.…] as they are written, unchecked; none where there is no file to be read."""
        from cli.install import plan  # noqa: PLC0415 — only a few commands need it

        try:
            text = self.file().read_text(encoding="utf-8-sig")
            return plan.tables(tomllib.loads(text), name)
        except (OSError, ValueError):  # what is wrong with it, `boondock check` tells
            return {}

    def running(self) -> "Running | None":
        """Find the run in a terminal that is meant; None if another house is."""
        if self.config is not None or os.environ.get("BOONDOCK_CONFIG") or self.host is not None:
            return None
        found = [run for run in runs() if self.broker_port in (None, run.port)]
        if len(found) > 1:
            ports = ", ".join(str(run.port) for run in found)
            print(f"{len(found)} runs go on: this is the newest; others by --port: {ports}", file=sys.stderr)
        return found[0] if found else None

    def broker(self) -> Broker:
        """Where the broker is and who we are there. Raises CommandError, OSError."""
        running = self.running()
        if running is not None and not running.own:
            return self._told(Broker(host=running.host, port=running.port, base=running.base))
        if running is not None:
            settings = load_settings(Path(running.config))
            return self._told(replace(settings.broker, host=running.host, port=running.port))
        path = self.config or _file()
        if self.config is None and not path.exists():
            if self.host is not None:
                return self._told(Broker())
            raise SettingsError(
                f"no house runs here, and there is no {path} nor {INSTALLED}; next: ./scripts/run, or name"
                " the broker with --host"
            )
        return self._told(load_settings(path).broker)

    def _told(self, broker: Broker) -> Broker:
        found = replace(
            broker,
            host=self.host or broker.host,
            port=self.broker_port or broker.port,
            username=self.user or broker.username,
        )
        if self.password_file is not None:
            if found.username is None:
                raise CommandError("--password-file: of which user? next: add --user NAME")
            return replace(found, password=self.password_file.read_text(encoding="utf-8").strip())
        if self.user is None and (found.username is not None or not self.is_installed()):
            return found
        name = self.user or ADMIN
        password = kept_password(name)
        return found if password is None else replace(found, username=name, password=password)

    def is_installed(self) -> bool:
        """Whether it is the house whose passwords are kept on this machine."""
        return self.host is None and (self.config or _file()) == INSTALLED and self.running() is None


def _file() -> Path:
    from config import load  # noqa: PLC0415 — only commands that read settings pay for it

    return load.find()


def load_settings(path: Path | None) -> Settings:
    """Load the settings of a file, or of the one that the processes use. Raises SettingsError."""
    from config import load  # noqa: PLC0415 — only commands that read settings pay for it
    from config.mistakes import ConfigError  # noqa: PLC0415 — as above

    try:
        return load.load(path)
    except ConfigError as error:
        raise SettingsError(str(error)) from error


def kept_password(user: str, folder: Path = CREDENTIALS) -> str | None:
    """Read the password that `boondock broker` made for a user; None if none or root's alone."""
    try:
        return Vault(folder).read(secret_of(user))
    except PermissionError:
        return None


def as_admin(broker: Broker, folder: Path = CREDENTIALS) -> Broker:
    """Log in as `admin`, where the house's own broker has such a user and we may read its password."""
    if broker.username is not None or broker.password is not None:
        return broker
    password = kept_password(ADMIN, folder)
    return broker if password is None else replace(broker, username=ADMIN, password=password)


def talks(function: Callable[Concatenate[House, P], int | None]) -> Callable[P, int | None]:
    """Give a command the options that say which house it talks to; it gets them as its first argument."""

    @functools.wraps(function)
    def run(*arguments: P.args, **options: P.kwargs) -> int | None:
        house = House(**{name: options.pop(name) for name in _OPTIONS})  # type: ignore[arg-type]  # typer made them
        return function(house, *arguments, **options)

    signature = inspect.signature(function, eval_str=True)
    own = list(signature.parameters.values())[1:]
    taken = "port" in signature.parameters
    for name, kind in _OPTIONS.items():
        shown = _PORT_OF_ITS_OWN if taken and name == "broker_port" else kind
        own.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=shown))
    del run.__wrapped__  # or typer would look through it
    run.__annotations__ = {one.name: one.annotation for one in own}
    run.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]  # what inspect looks for
    return run


# Of the folder of a run, which holds a locked file as long as the run lasts.
PREFIX = "boondock-run-"
LOCK = "lock"
_FILE = "running.json"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A run: its settings (`own`: the user's, not the demo's), its broker, its logs, its state, its page."""

    config: str
    own: bool
    host: str
    port: int
    base: str
    logs: str
    state: str | None = None
    page: str | None = None


def write_running(folder: Path, running: Running) -> None:
    """Tell commands of this run. Raises OSError."""
    (folder / _FILE).write_bytes(msgspec.json.encode(running))


def runs() -> list[Running]:
    """Return the runs of this user, or below sudo of who called it, that go on now, the newest first."""
    owners = {os.geteuid(), int(os.environ.get("SUDO_UID") or os.geteuid())}
    files = []
    for file in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{_FILE}"):
        try:
            if file.stat().st_uid in owners and _goes_on(file.parent):
                files.append((file.stat().st_mtime, file.read_bytes()))
        except OSError:  # it ended while we looked
            continue
    return [msgspec.json.decode(text, type=Running) for _, text in sorted(files, reverse=True)]


def _goes_on(folder: Path) -> bool:
    """Whether the run still has its folder locked."""
    with (folder / LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


# typer leaves out those that begin otherwise.


def complete_devices() -> list[str]:
    """List the devices."""
    return list(House().tables("device"))


def complete_outputs() -> list[str]:
    """List the relays, as relay.pump."""
    return [f"relay.{name}" for name in House().tables("relay")]


def complete_shown() -> list[str]:
    """List what a table of values may show: devices, and the relays together."""
    return [*complete_devices(), *(["relay"] if complete_outputs() else [])]


ROOT = Path(__file__).resolve().parents[1]


def run(context: typer.Context, *, as_json: Json = False) -> None:
    """Start the house here until Ctrl-C: your boondock.toml, or without one the demo.

    It takes the options of scripts/run: --port, --data, --seconds.
    """
    script = ROOT / "scripts" / "run"
    if as_json:
        raise CommandError("a run prints for people; next: boondock watch --json beside it")
    if INSTALLED.exists() or not script.exists():
        raise CommandError(
            "this house runs as services; next: sudo systemctl start boondock.target, then boondock doctor"
        )
    sys.stdout.flush()
    os.execv(script, [str(script), *context.args])  # noqa: S606 — the script of this clone


run.context_settings = {"allow_extra_args": True, "ignore_unknown_options": True}  # type: ignore[attr-defined]  # read by cli.app
