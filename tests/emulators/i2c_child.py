"""Runs the fake bus of i2c_bed.py, and functions of tests in a Python of their own that sees it.

umockdev works by LD_PRELOAD, so the process of the tests itself can never see the bus.
"""

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = "/usr/bin/python3"
_PATIENCE_S = 10.0
_CHILD_PATIENCE_S = 120.0


class Bed:
    """Speaks with a running bed, from any process that has its two pipes."""

    def __init__(self, ask: int, answer: int) -> None:
        self.ask, self.answer = ask, answer

    def tell(self, line: str) -> str:
        """Have a line obeyed; returns the answer. A refusal fails the test."""
        os.write(self.ask, f"{line}\n".encode())
        answer = self.line()
        assert not answer.startswith("error"), f"{line}: {answer}"
        return answer

    def line(self) -> str:
        """The next line from the bed; byte by byte, for another process may want the one after it."""
        heard = b""
        while not heard.endswith(b"\n"):
            if not select.select([self.answer], [], [], _PATIENCE_S)[0]:
                raise TimeoutError("the bed keeps silent")
            byte = os.read(self.answer, 1)
            if not byte:
                raise EOFError("the bed has ended: see its message above")
            heard += byte
        return heard.decode().strip()


@cache
def missing() -> str | None:
    """What this machine lacks for a bed, None if nothing."""
    if not Path(PYTHON).exists():
        return f"there is no {PYTHON}"
    code = "import gi; gi.require_version('UMockdev', '1.0'); from gi.repository import UMockdev, GLib"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"packages umockdev, python3-gi, gir1.2-umockdev-1.0: {done.stderr.strip().splitlines()[-1]}"
    return None


needs_bed = pytest.mark.skipif(missing() is not None, reason=f"a fake I2C bus needs {missing()}")


@contextmanager
def running(*chips: str) -> Iterator[tuple[Bed, dict[str, str]]]:
    """A bed with these chips, and the environment in which a process sees it."""
    command = [PYTHON, str(ROOT / "tests" / "emulators" / "i2c_bed.py")]
    for chip in chips:
        command += ["--chip", chip]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        bed = Bed(process.stdin.fileno(), process.stdout.fileno())
        try:
            environment = dict(part.split("=", 1) for part in bed.line().split())
            yield bed, environment
        finally:
            process.terminate()
            process.wait(_PATIENCE_S)
    assert not Path(environment["UMOCKDEV_DIR"]).exists()


def in_bed(body: Callable[..., None], *arguments: str, chips: tuple[str, ...] = ()) -> None:
    """Call `body(bed, *arguments)` where the bus is seen; its failure, with its traceback, is the test's."""
    with running(*chips) as (bed, environment):
        pipes = (bed.ask, bed.answer)
        command = [sys.executable, "-m", "tests.emulators.i2c_child", body.__module__, body.__name__]
        done = subprocess.run(
            [*command, *map(str, pipes), *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            pass_fds=pipes,
            capture_output=True,
            text=True,
            timeout=_CHILD_PATIENCE_S,
            check=False,
        )
    if done.returncode:
        pytest.fail(f"{body.__name__} in the bed:\n{done.stderr}", pytrace=False)


def _main() -> None:
    module, function, ask, answer, *arguments = sys.argv[1:]
    getattr(import_module(module), function)(Bed(int(ask), int(answer)), *arguments)


if __name__ == "__main__":
    _main()
