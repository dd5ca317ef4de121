"""One line and its thread: the devices on it take turns; a line that is gone is tried again, ever later."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from collector.devices.description import DecodeError, LineError
from collector.devices.lines import Line

log = logging.getLogger(__name__)

_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 60.0

Failure = DecodeError | LineError


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do on the line: `run(line, now)` and `failed(why, now)` return the event to emit."""

    # Whoever puts the job knows what kind of line this worker has.
    run: Callable[[Any, float], object]
    failed: Callable[[Failure, float], object]


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """A worker died of a fault of ours: the process should exit and be started anew."""

    message: str


class Worker:
    """Does jobs one after the other; every job ends in exactly one event, given to `emit` from its thread."""

    def __init__(
        self, name: str, line: Line, *, emit: Callable[[object], None], monotonic: Callable[[], float]
    ) -> None:
        self.name = name
        self._line = line
        self._emit = emit
        self._monotonic = monotonic
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._ending = threading.Event()
        self._open = False
        self._failures = 0
        self._retry_at = float("-inf")
        self._trouble = LineError("not opened yet")

    def start(self) -> None:
        """Begin to work; the line is opened by the first job."""
        self._thread.start()

    def stop(self) -> None:
        """End after the job at hand and close the line; returns at once. Jobs that wait fail."""
        self._ending.set()
        self._jobs.put(None)

    def join(self, patience: float) -> bool:
        """Wait `patience` seconds for the end; False if the job at hand still holds it up."""
        if self._thread.is_alive():
            self._thread.join(patience)
        return not self._thread.is_alive()

    def do(self, job: Job) -> None:
        """Put a job behind those that wait."""
        self._jobs.put(job)

    def _serve(self) -> None:
        finished = False
        try:
            while (job := self._jobs.get()) is not None:
                self._emit(self.attempt(job))
            finished = True
        finally:
            try:
                self._line.close()
            finally:
                # Whatever ended this thread, the process must learn of it: it looks like silent devices.
                if not finished:
                    self._emit(WorkerGone(f"the thread of {self.name} died: see the traceback above"))

    def attempt(self, job: Job) -> object:
        """Do one job now and return its event."""
        now = self._monotonic()
        if self._ending.is_set():
            return job.failed(LineError("the line is being closed"), now)
        if not self._open and now < self._retry_at:
            return job.failed(self._trouble, now)
        try:
            if not self._open:
                self._line.open()
                self._open = True
                # Joining a network may take a minute: what is read now is not a minute old.
                now = self._monotonic()
            event = job.run(self._line, now)
        except LineError as error:
            return job.failed(self._give_up(error), self._monotonic())
        except DecodeError as error:
            # The line itself works.
            self._failures = 0
            return job.failed(error, self._monotonic())
        self._failures = 0
        return event

    def _give_up(self, error: LineError) -> LineError:
        self._line.close()
        self._open = False
        delay = min(_FIRST_RETRY_S * 2**self._failures, _LAST_RETRY_S)
        self._failures = min(self._failures + 1, 10)
        self._retry_at = self._monotonic() + delay
        self._trouble = error
        log.debug("%s: %s (next attempt in %g s)", self.name, error, delay)
        return error
