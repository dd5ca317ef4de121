"""Which house a command talks to, and the options that say so."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Concatenate, ParamSpec

import typer

from cli.errors import CommandError, SettingsError

if TYPE_CHECKING:
    from config.model import Broker, Settings

P = ParamSpec("P")

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
        from config import load  # noqa: PLC0415 — only commands that read settings pay for it
        from config.mistakes import ConfigError  # noqa: PLC0415 — as above

        try:
            return load.load(self.config)
        except ConfigError as error:
            raise SettingsError(str(error)) from error

    def broker(self) -> "Broker":
        """Where the broker is and who we are there. Raises SettingsError, CommandError."""
        return self._told(self.settings().broker)

    def _told(self, broker: "Broker") -> "Broker":
        found = replace(
            broker,
            host=self.host or broker.host,
            port=self.broker_port or broker.port,
            username=self.user or broker.username,
        )
        if self.password_file is None:
            return found
        if found.username is None:
            raise CommandError("--password-file is whose? next: add --user")
        return replace(found, password=self.password_file.read_text(encoding="utf-8").strip())


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
