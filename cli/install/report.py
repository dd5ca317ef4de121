"""What a command that changes the machine did: lines for people, or one object of JSON for programs."""

import json
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout

from cli.errors import CommandError
from cli.install.system import InstallError

_NEXT = "next:"
_INTERRUPTED = 130


class Report:
    """Tells lines as they come, and keeps them: what was done, what failed, what to do next."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failed: str | None = None
        self.next: list[str] = []

    def say(self, line: str) -> None:
        """Show what is done or known, at once."""
        print(line, flush=True)
        self.done += [one.strip() for one in line.splitlines() if one.strip() and not one.startswith("==")]

    def ask(self, line: str) -> None:
        """Show what belongs to a question."""
        print(line, flush=True)

    def advise(self, lines: Iterable[str]) -> None:
        """Show what to do next."""
        for line in lines:
            print(line, flush=True)
            self.next += [line.strip()] if line.strip() and line != "Next:" else []

    def fail(self, said: str) -> None:
        """Keep a failure, whose lines that begin with "next:" say what to do."""
        lines = said.splitlines()
        steps = [line for line in lines if line.startswith(_NEXT)]
        self.failed = "\n".join(line for line in lines if line not in steps)
        self.next += [line.removeprefix(_NEXT).strip() for line in steps]


def guarded(do: Callable[[Report], int], *, as_json: bool = False) -> int:
    """The exit code of a command; what went wrong is told in its own words.

    With `as_json` standard output gets one object at the end, and all else goes to standard error.
    """
    report = Report()
    if not as_json:
        return _ended(do, report)
    with redirect_stdout(sys.stderr):
        code = _ended(do, report)
    said = {"ok": code == 0, "done": report.done, "failed": report.failed, "next": report.next}
    print(json.dumps(said, ensure_ascii=False))
    return code


def _ended(do: Callable[[Report], int], report: Report) -> int:
    try:
        return do(report)
    except (InstallError, CommandError, OSError) as error:
        said, code = str(error), getattr(error, "exit_code", 1)
    except KeyboardInterrupt:
        said, code = "interrupted\nnext: run the same command again, it goes on from here", _INTERRUPTED
    # Each line is told before it is done: the last one was not.
    del report.done[-1:]
    report.fail(said)
    print(f"boondock: {said}", file=sys.stderr)
    return code
