"""The `boondock` command on typer: the table of commands, each loaded when it is used, and how it ends."""

import difflib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from typer.core import TyperGroup

from cli.errors import CommandError, sentence

# Each is a module with a function `command`.
COMMANDS = {
    "run": "cli.commands.run",
    "check": "cli.commands.check",
    "scan": "cli.commands.scan",
    "read": "cli.commands.read",
    "watch": "cli.commands.watch",
    "set": "cli.commands.set_output",
    "history": "cli.commands.history",
    "stats": "cli.commands.stats",
    "export": "cli.commands.export",
    "import": "cli.commands.bring_in",
    "fix": "cli.commands.fix",
    "log": "cli.commands.log",
    "broker": "cli.commands.broker",
    "doctor": "cli.commands.doctor",
    "dump": "cli.commands.dump",
    "rename": "cli.commands.rename",
    "replace": "cli.commands.replace",
    "backup": "cli.commands.backup",
    "restore": "cli.commands.restore",
    "status": "cli.commands.status",
    "install": "cli.commands.install",
    "configure": "cli.commands.configure",
    "update": "cli.commands.update",
    "uninstall": "cli.commands.uninstall",
    "version": "cli.commands.version",
}
USAGE = 2
# As the shell counts a process that SIGPIPE or Ctrl-C ended.
_NO_READER, _INTERRUPTED = 141, 130

_Command = Callable[..., int | None]
# What typer raises when the command line is wrong.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]


class Commands(TyperGroup):
    """The commands of the table; a module is imported when its command is named, or for the help."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's own, of its base class
        """The names, in the order of the table."""
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
        raise _UsageError(f"there is no command {cmd_name!r}; {meant}boondock --help lists them")


def one(name: str) -> typer.core.TyperCommand:
    """One command of the table."""
    function = importlib.import_module(COMMANDS[name]).command
    alone = typer.Typer(add_completion=False)
    alone.command(name, context_settings=getattr(function, "context_settings", None))(_ended(name, function))
    made = typer.main.get_command(alone)
    assert isinstance(made, typer.core.TyperCommand)  # noqa: S101 — one function makes no group
    return made


def _ended(name: str, function: _Command) -> _Command:
    """The same function, with every failure that is expected told in one line."""

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
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="The same as `boondock version`."
        ),
    ] = False,
) -> None:
    del version


def run(arguments: Sequence[str]) -> int:
    """Run a command line; return the exit code."""
    try:
        code = typer.main.get_command(app).main(list(arguments), "boondock", standalone_mode=False)
        _flush()
    except _UsageError as error:
        print(f"boondock: {_usage(error)}", file=sys.stderr)
        return USAGE
    except typer.Abort:
        return _INTERRUPTED
    except BrokenPipeError:
        return _nobody_reads()
    except SystemExit as error:
        # What typer makes of a broken pipe while it prints the help.
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return _nobody_reads()
    return code if isinstance(code, int) else 0


def _usage(error: Exception) -> str:
    """The sentence of a wrong command line, with the next step."""
    said = getattr(error, "format_message", lambda: str(error))()
    context = getattr(error, "ctx", None)
    step = f"; next: {context.command_path} --help" if context is not None else ""
    return " ".join(said.split()).rstrip(".") + step
