"""The real statistician with a clock that a file holds and nights without end: made to be killed at work."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bus.clock import Clock
from bus.process import set_up_logging
from config.model import Broker, Settings, Statistician, Storage
from statistician import service
from statistician.__main__ import serve
from statistician.clock import steps
from statistician.upkeep import BackUp, Purge, Schedule

KEEP_DAYS = 1
COMMIT_S = 0.02
# As on a busy machine: whatever is done in slices takes many.
SLICE_S = 0.002


class Nights(Schedule):
    """Asks for a purge and a copy again and again."""

    def __init__(self, emit: Callable[[object], None]) -> None:
        super().__init__(emit)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(emit,), daemon=True)

    def _run(self, emit: Callable[[object], None]) -> None:
        while not self._over.wait(0.02):
            emit(Purge())
            emit(BackUp())

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Let it be day."""
        self._over.set()


class FileClock(Clock):
    """Goes with a file's time, and a little by itself, for what waits for a pause; it is never set."""

    def __init__(self, now: Path) -> None:
        start = now.with_name("began")
        if not start.exists():
            start.write_text(str(time.monotonic()))
        began = float(start.read_text())

        def monotonic() -> float:
            return int(now.read_text()) / 1000 + (time.monotonic() - began) / 10

        super().__init__(lambda: round(monotonic() * 1000), monotonic, lambda: "ok")

    def offset(self) -> int:
        """None between the two."""
        return 0


def main(folder: Path, port: int) -> int:
    """Serve on the folder's database; its file `now` holds the time in ms."""
    set_up_logging()
    service._SLICE_S = SLICE_S
    # The file's time runs a minute with each reading: the broker answers all the same.
    steps._BROKER_S = 1e9
    now = folder / "now"
    settings = Settings(
        broker=Broker(port=port),
        storage=Storage(runtime=str(folder / "run"), state=str(folder / "state")),
        statistician=Statistician(
            database=str(folder / "s.db"), keep_days=KEEP_DAYS, commit_interval=COMMIT_S
        ),
    )
    return serve(settings, FileClock(now), Nights)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
