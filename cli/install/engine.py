"""Goes through steps: shows them, does what is not done, takes them back."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from cli.install.changes import JOURNAL, Journal, give_back
from cli.install.steps import Context, Step
from cli.install.system import InstallError

Say = Callable[[str], None]


def show(steps: Iterable[Step], context: Context) -> Iterator[str]:
    """Every file and command that is not done yet, by step; nothing is changed."""
    for step in steps:
        yield f"== {step.title}"
        waiting = [one for one in step.changes(context) if not one.done()]
        for change in waiting:
            yield from (f"  {line}" for line in change.show())
        if not waiting:
            yield "  nothing to do"


def do(steps: Iterable[Step], context: Context, say: Say) -> int:
    """Do what is not done; returns how many changes that were. Raises InstallError.

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
                raise InstallError(f"{step.title}: {error}") from error
            count += 1
    return count


def undo(context: Context, say: Say, *, purge: bool) -> bool:
    """Give back what was before, the newest change first; whether all could be.

    One that cannot be taken back stays in the journal and holds up no other.
    """
    journal = Journal(context.at(JOURNAL))
    whole = True
    for record in reversed(list(journal.records)):
        if record["kind"] == "command" and record["purge"] and not purge:
            continue
        say(f"  {record['kind']} {record['key']}")
        try:
            for line in give_back(context.system, record, purge=purge):
                say(f"    {line}")
        except (InstallError, OSError) as error:
            say(f"    cannot be taken back: {error}")
            whole = False
            continue
        if record["kind"] != "folder" or not Path(record["key"]).exists():
            # A folder with what an uninstall keeps goes with a later purge.
            journal.drop(record)
    return whole


def would_undo(context: Context, *, purge: bool) -> Iterator[str]:
    """What `undo` would give back."""
    for record in reversed(Journal(context.at(JOURNAL)).records):
        if record["kind"] != "command" or purge or not record["purge"]:
            yield f"  {record['kind']} {record['key']}"
