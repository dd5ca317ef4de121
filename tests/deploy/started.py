"""A run of scripts/supervise.py as a person starts it, with all it starts marked."""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts import broker, places

ROOT = Path(__file__).parents[2]
PATIENCE = 40.0
# The end of everything is given five seconds; a busy machine takes longer to notice.
ENDS_WITHIN = 10.0


def eventually(true: Callable[[], bool]) -> bool:
    """Wait until something is true; False if it does not become so."""
    return broker.wait_until(true, lambda: False, PATIENCE)


class Started:
    """A running scripts/supervise.py with temporary files of its own and a mark on all its processes."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)
        self.screen = folder / "screen"
        name, value = "MARK", secrets.token_hex(8)
        self.mark = f"{name}={value}".encode()
        kept = {key: word for key, word in os.environ.items() if not key.startswith("BOONDOCK_")}
        with self.screen.open("wb") as screen:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts.supervise", *options],
                cwd=ROOT,
                env=kept | {"TMPDIR": str(self.temporary), name: value},
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=subprocess.STDOUT,
            )

    def shows(self, text: str) -> bool:
        """Wait until this is printed; False if the run ends without."""
        eventually(lambda: text in self.text() or self.process.poll() is not None)
        return text in self.text()

    def text(self) -> str:
        """What was printed so far."""
        return self.screen.read_text()

    def processes(self) -> list[str]:
        """The command lines of everything that runs on behalf of this run."""
        return [words for words, _ in self._marked()]

    def folders(self, base: Path) -> set[Path]:
        """The folders of a run below `base` that the environments of its processes name."""
        name = re.compile(rb"%b/%b\w+" % (os.fsencode(base), places.PREFIX.encode()))
        found = {one for _, environment in self._marked() for one in name.findall(environment)}
        return {Path(os.fsdecode(one)) for one in found}

    def _marked(self) -> Iterator[tuple[str, bytes]]:
        for entry in Path("/proc").iterdir():
            try:
                environment = (entry / "environ").read_bytes() if entry.name.isdecimal() else b""
                if self.mark in environment:
                    yield (entry / "cmdline").read_text().replace("\0", " "), environment
            except OSError:
                continue  # it ended while we looked, or is not ours to read

    def ends(self, number: signal.Signals) -> float:
        """Send a signal to the run alone; return how many seconds it took to end."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        return time.monotonic() - began
