"""docs/command.md, made from the help of the commands: python -m tests.cli.command_page."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import typer

from cli.app import COMMANDS, one

PAGE = Path(__file__).parents[2] / "docs" / "command.md"
HEAD = """\
# The command `boondock`

In an installed house type `sudo boondock` and a command. In the folder of the project, without an
installed house, type `.venv/bin/boondock`. `boondock COMMAND --help` says what is on this page: the page
is made from it. After `boondock --install-completion` your shell completes commands, options, and the
names of devices and outputs with the Tab key.

Which house does a command talk to? If you have started one in another terminal (`./scripts/run`), to that
one. Otherwise to the one of `$BOONDOCK_CONFIG`, `./boondock.toml` or `/etc/boondock/boondock.toml`. In an
installed house the broker asks for a password. With `sudo` the command takes that of `admin` from
`/etc/credstore`; without `sudo` give `--user` and `--password-file`.

With `--json` every command prints JSON. If something goes wrong, it prints one line on standard error,
with the next step. The exit code is 0 if all went well, 1 if something could not be done, 2 for a wrong
command line, 78 for wrong settings, and 141 if nobody reads the output any more.

```sh
boondock watch smartshunt relay
boondock set relay.pump ON --for 10m
boondock read mppt
boondock collect mppt --output file --interval 60
boondock history smartshunt.voltage --from yesterday --plot
boondock stats mppt.yield_today --period day --from 14d
boondock fix outliers smartshunt.voltage --from 7d
sudo boondock doctor
```
"""
# On every command that talks to the broker; told once.
SHARED = ("--config", "--host", "--port", "--user", "--password-file")


def page() -> str:
    """The whole page."""
    shared = [row for row in _rows("log") if row.startswith(tuple(f"| `{name}" for name in SHARED))]
    parts = [HEAD, "## Options of all commands that talk to the house\n", *_table(shared)]
    for name in COMMANDS:
        parts += [f"\n## {name}\n", _help(name), ""]
        parts += _table([row for row in _rows(name) if row not in shared])
    return "\n".join(parts).rstrip() + "\n"


def _help(name: str) -> str:
    return inspect.cleandoc(one(name).help or "")


def _table(rows: list[str]) -> list[str]:
    return ["| | |", "|---|---|", *rows]


def _rows(name: str) -> Iterator[str]:
    command = one(name)
    context = typer.Context(command, info_name=name)
    for parameter in command.get_params(context):
        if parameter.name == "help":
            continue
        shown = parameter.get_help_record(context)
        assert shown is not None, f"{name}: {parameter.name} has no help"
        left, right = (re.sub(r"\s+", " ", text.replace("|", " or ")).strip() for text in shown)
        yield f"| `{left}` | {right} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
