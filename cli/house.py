"""Which house a command talks to, and the options that say so."""

import functools
import inspect
import os
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from cli.errors import CommandError, SettingsError

if TYPE_CHECKING:
    from cli.running import Running
    from config.model import Broker, Settings

P = ParamSpec("P")

INSTALLED = Path("/etc/boondock/boondock.toml")
# Where `boondock broker` keeps the passwords, for systemd.
CREDENTIALS = Path("/etc/credstore")
ADMIN = "admin"

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The settings; default: those of the house that runs here."),
]
_OPTIONS = {
    "config": Config,
    "host": Annotated[str | None, typer.Option(metavar="NAME", help="The broker's machine.")],
    "broker_port": Annotated[
        int | None, typer.Option("--port", "--broker-port", min=1, max=65535, help="The broker's port.")
    ],
    "user": Annotated[str | None, typer.Option(metavar="NAME", help="A user of the broker.")],
    "password_file": Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file that holds the user's password.")
    ],
}
_PORT_OF_ITS_OWN = Annotated[
    int | None, typer.Option("--broker-port", min=1, max=65535, help="The broker's port.")
]


@dataclass(frozen=True, slots=True)
class House:
    """What the command line says of the house; None: as it is found."""

    config: Path | None = None
    host: str | None = None
    broker_port: int | None = None
    user: str | None = None
    password_file: Path | None = None

    def settings(self) -> "Settings":
        """All settings. Raises SettingsError."""
        running = self.running()
        return load_settings(self.config if running is None else Path(running.config))

    def file(self) -> Path:
        """The file that the settings are read from."""
        running = self.running()
        return Path(running.config) if running is not None else self.config or _file()

    def tables(self, name: str) -> "dict[str, dict[str, Any]]":
        """The tables [name.…] as they are written, unchecked; none where there is no file to be read."""
        from cli.install import plan  # noqa: PLC0415 — only a few commands need it

        try:
            text = self.file().read_text(encoding="utf-8-sig")
            return plan.tables(tomllib.loads(text), name)
        except (OSError, ValueError):  # what is wrong with it, `boondock check` tells
            return {}

    def running(self) -> "Running | None":
        """The run in a terminal that is meant, None if another house is."""
        if self.config is not None or os.environ.get("BOONDOCK_CONFIG") or self.host is not None:
            return None
        from cli.running import runs  # noqa: PLC0415 — not for those who name their house

        found = [run for run in runs() if self.broker_port in (None, run.port)]
        if len(found) > 1:
            ports = ", ".join(str(run.port) for run in found)
            print(f"{len(found)} runs go on: this is the newest; others by --port: {ports}", file=sys.stderr)
        return found[0] if found else None

    def broker(self) -> "Broker":
        """Where the broker is and who we are there. Raises CommandError, OSError."""
        from config.model import Broker  # noqa: PLC0415 — the help needs no settings

        running = self.running()
        if running is not None and not running.own:
            return self._told(Broker(host=running.host, port=running.port, base=running.base))
        if running is not None:
            settings = load_settings(Path(running.config))
            return self._told(replace(settings.broker, host=running.host, port=running.port))
        if self.host is not None and self.config is None and not _file().exists():
            return self._told(Broker())
        return self._told(self._settings_of_services().broker)

    def _settings_of_services(self) -> "Settings":
        path = self.config or _file()
        if self.config is None and not path.exists():
            raise SettingsError(
                f"no house runs here, and there is no {path} nor {INSTALLED}; next: ./scripts/run, or name"
                " the broker with --host"
            )
        return load_settings(path)

    def _told(self, broker: "Broker") -> "Broker":
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


def load_settings(path: Path | None) -> "Settings":
    """The settings of a file, or of the one that the processes use. Raises SettingsError."""
    from config import load  # noqa: PLC0415 — only commands that read settings pay for it
    from config.mistakes import ConfigError  # noqa: PLC0415 — as above

    try:
        return load.load(path)
    except ConfigError as error:
        raise SettingsError(str(error)) from error


def kept_password(user: str, folder: Path = CREDENTIALS) -> str | None:
    """The password that `boondock broker` made for a user; None if there is none or it is root's alone."""
    from cli.broker_passwords import Vault, secret_of  # noqa: PLC0415 — only an installed house has any

    try:
        return Vault(folder).read(secret_of(user))
    except PermissionError:
        return None


def as_admin(broker: "Broker", folder: Path = CREDENTIALS) -> "Broker":
    """The broker as `admin`, where the house's own broker has such a user and we may read its password."""
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
