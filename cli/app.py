"""The `boondock` command on typer: the table of commands, each loaded when it is used, and how it ends."""

import difflib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from typer import Option
from typer.core import TyperGroup

from bus.health import VERSION
from cli.house import Json
from cli.terminal import CommandError, sentence

# Where each is: a module, and the function where it is called otherwise.
COMMANDS = {
    "run": "cli.house",
    "check": "cli.check",
    "scan": "cli.scan",
    "read": "cli.live",
    "collect": "cli.collect",
    "watch": "cli.live",
    "set": "cli.live:set_output",
    "history": "cli.history",
    "stats": "cli.history",
    "export": "cli.export",
    "import": "cli.csv_import:import_csv",
    "key": "cli.signing",
    "verify": "cli.signing",
    "fix": "cli.fix",
    "rule": "cli.rule",
    "notify": "cli.notify",
    "log": "cli.history",
    "broker": "cli.broker.setup",
    "phone": "cli.phone",
    "doctor": "cli.doctor",
    "dump": "cli.dump",
    "rename": "cli.rename",
    "replace": "cli.rename",
    "backup": "cli.backup.make",
    "restore": "cli.backup.restore",
    "status": "cli.install.commands",
    "install": "cli.install.commands",
    "configure": "cli.configure",
    "update": "cli.install.commands",
    "uninstall": "cli.install.commands",
    "version": "cli.app",
}
USAGE = 2
# As the shell counts a process that SIGPIPE or Ctrl-C ended.
_NO_READER, INTERRUPTED = 141, 130

_Command = Callable[..., int | None]
# What typer raises when the command line is wrong.
UsageError: type[Exception] = typer.BadParameter.__mro__[2]


class Commands(TyperGroup):
    """The commands of the table; a module is imported when its command is named, or for the help."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's own, of its base class
        """List the names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> typer.core.TyperCommand | None:  # type: ignore[override]  # as above
        """One command, or a usage error that names those that are spelt alike."""
        if cmd_name in COMMANDS:
            return one(cmd_name)
        if ctx.resilient_parsing or cmd_name.startswith("-"):
            return None
        alike = difflib.get_close_matches(cmd_name, COMMANDS)
        meant = f"did you mean {' or '.join(alike)}? " if alike else ""
        raise UsageError(f"there is no command {cmd_name!r}; {meant}boondock --help lists them")


def one(name: str) -> typer.core.TyperCommand:
    """One command of the table."""
    module, _, function_name = COMMANDS[name].partition(":")
    function = getattr(importlib.import_module(module), function_name or name)
    alone = typer.Typer(add_completion=False)
    cls, settings = (getattr(function, key, None) for key in ("cls", "context_settings"))
    alone.command(name, cls=cls, context_settings=settings)(_ended(name, function))
    made = typer.main.get_command(alone)
    assert isinstance(made, typer.core.TyperCommand)  # noqa: S101 — one function makes no group
    return made


def _ended(name: str, function: _Command) -> _Command:
    """Wrap a function, so that every failure that is expected is told in one line."""

    @functools.wraps(function)
    def run(*arguments: object, **options: object) -> None:
        try:
            code = function(*arguments, **options)
            _flush()
        except BrokenPipeError:
            code = _nobody_reads()
        except (CommandError, OSError) as error:
            print(sentence(name, error), file=sys.stderr)
            code = getattr(error, "exit_code", 1)
        raise typer.Exit(code or 0)

    return run


def _flush() -> None:
    if sys.stdout is not None:  # it is None where a caller closed it
        sys.stdout.flush()


def _nobody_reads() -> int:
    """End quietly, as `head` expects: what is still to be written goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _NO_READER


app = typer.Typer(
    cls=Commands,
    help="Off-grid data around one Mosquitto. Without options a command talks to the house that runs here.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 — typer calls it so
    if wanted:
        one("version").main([], "boondock", standalone_mode=False)
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        Option("--version", callback=_show_version, is_eager=True, help="The same as `boondock version`."),
    ] = False,
) -> None:
    del version


def run(arguments: Sequence[str]) -> int:
    """Run a command line; return the exit code."""
    try:
        code = typer.main.get_command(app).main(list(arguments), "boondock", standalone_mode=False)
        _flush()
    except UsageError as error:
        print(f"boondock: {_usage(error)}", file=sys.stderr)
        return USAGE
    except typer.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        return _nobody_reads()
    except SystemExit as error:
        # What typer makes of a broken pipe while it prints the help.
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return _nobody_reads()
    return code if isinstance(code, int) else 0


def _usage(error: Exception) -> str:
    """Say what is wrong with a command line, with the next step."""
    said = getattr(error, "format_message", lambda: str(error))()
    context = getattr(error, "ctx", None)
    step = f"; next: {context.command_path} --help" if context is not None else ""
    return " ".join(said.split()).rstrip(".") + step


def version(*, as_json: Json = False) -> None:
    """Print the version of Boondock."""
    if as_json:
        from cli.terminal import show  # noqa: PLC0415 — the plain version starts fast

        show({"version": VERSION}, (), as_json=True)
        return
    print(f"boondock {VERSION}")
