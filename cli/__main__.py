"""The `boondock` command."""

import os
import sys


def _isolate() -> None:
    """Take the current folder off the import path, so that no file in it stands in for a module."""
    home = os.path.realpath(os.path.dirname(os.path.dirname(__file__)))  # noqa: PTH120 — pathlib costs as much as the rest
    try:
        current = os.path.realpath(os.getcwd())  # noqa: PTH109 — as above
    except FileNotFoundError:  # somebody removed it: nothing can be imported from it
        return
    if current != home:
        sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != current]


_isolate()


def main() -> int:
    """Run the command named on the command line; return the exit code."""
    if sys.argv[1:] in (["version"], ["--version"]):
        # Asked by scripts and on slow cards: without the 0.1 s that reading a command line takes.
        from bus.health import VERSION  # noqa: PLC0415 — as below

        print(f"boondock {VERSION}")
        return 0
    from cli import app  # noqa: PLC0415 — only now is the import path safe

    return app.run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
