"""Asks devices when it is time: a worker a line, one question a device at a time."""

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from bus.commands import Wanted
from bus.process import EXIT_RESTART, Stop
from bus.requests import Wait
from bus.schedule import Timer
from collector.device import Owned, Readings
from collector.devices.description import Decoded, DecodeError, LineError, PolledKind, Switcher, Values
from collector.devices.lines import Line
from collector.schedule import timer

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


# Failures in a row until the owner is told, unless the line itself is gone.
PATIENCE = 3
# One that keeps silent is asked ever less often, so that it does not take the time of others on its line.
_LONGEST_BACK_OFF_S = 30.0
# An idle line closes in this time, seconds; for one that waits for an answer no request is held up.
_CLOSING_S = 0.2
# systemd kills after 10.
_JOIN_PATIENCE_S = 4.5
_SILENCE = "no answer: is it switched on and connected?"


@dataclass(frozen=True, slots=True)
class Polled:
    """A device answered; asked at monotonic second `at`, when its settings were those of `turn`."""

    device: str
    decoded: Decoded
    at: float
    turn: object


@dataclass(frozen=True, slots=True)
class Failed:
    """A device could not be read."""

    device: str
    why: Failure
    at: float
    turn: object


@dataclass(frozen=True, slots=True)
class Switched:
    """A switch was obeyed (`values` were read back) or not; `ticket` is what the asker gave."""

    device: str
    ticket: object
    values: Values
    why: Failure | None


@dataclass(slots=True)
class _Asked:
    worker: str
    timer: Timer
    waiting: bool = False
    failures: int = 0
    not_before: float = float("-inf")


class PollingSource:
    """The devices of a transport that must be asked; `line_of` names a device's line and makes it."""

    def __init__(
        self,
        readings: Readings,
        line_of: Callable[[Owned], tuple[str, Callable[[], Line]]],
        *,
        emit: Callable[[object], None],
        chance: Callable[[], float] = random.random,
        worker: type[Worker] = Worker,
    ) -> None:
        self._readings = readings
        self._line_of = line_of
        self._emit = emit
        self._chance = chance
        self._worker = worker
        self._asked: dict[str, _Asked] = {}
        self._workers: dict[str, Worker] = {}
        # Workers that still have a job to end before their line is closed.
        self._leaving: list[Worker] = []
        # Lines that a scan uses.
        self._visited: list[str] = []

    def silence(self, _device: Owned) -> str:
        """Say what the owner of a silent device should look after."""
        return _SILENCE

    def add(self, device: Owned) -> None:
        """Ask this device from now on."""
        assert isinstance(device.kind, PolledKind)  # noqa: S101 — device.transport sorted them
        name = self._line(device)
        self._asked[device.id] = _Asked(name, timer(device.settings, device.kind.every, self._chance))

    def change(self, device: Owned) -> None:
        """Ask it as its new settings say; the line stays open if it is the same."""
        self.add(device)
        self._close_unused()

    def remove(self, device_id: str) -> None:
        """Ask it no more; a line that nobody needs is closed."""
        del self._asked[device_id]
        self._close_unused()

    def _line(self, device: Owned, prefix: str = "") -> str:
        name, make = self._line_of(device)
        name = prefix + name
        if name not in self._workers:
            self._workers[name] = self._worker(
                name, make(), emit=self._emit, monotonic=self._readings.clock.monotonic
            )
            self._workers[name].start()
        return name

    def _close_unused(self) -> None:
        used = {*self._visited, *(asked.worker for asked in self._asked.values())}
        self._leaving = [worker for worker in self._leaving if not worker.join(0)]
        for name in self._workers.keys() - used:
            worker = self._workers.pop(name)
            worker.stop()
            if not worker.join(_CLOSING_S):
                self._leaving.append(worker)

    def visit(self, device: Owned) -> str:
        """Have a device's line for a scan, until `leave`; returns its name.

        One that is not among ours gets a line of its own: nobody else may be on it.
        """
        name = self._asked[device.id].worker if device.id in self._asked else self._line(device, "scan of ")
        self._visited.append(name)
        return name

    def leave(self, line: str) -> None:
        """Give back a line that was visited; if nobody else needs it, it is closed."""
        self._visited.remove(line)
        self._close_unused()

    def put(self, line: str, job: Job) -> None:
        """Have a job done on a line that is visited, in turn with those of its devices."""
        self._workers[line].do(job)

    def stop(self) -> None:
        """End all workers, in 4.5 s; a job that hangs is left behind."""
        for worker in self._workers.values():
            worker.stop()
        deadline = time.monotonic() + _JOIN_PATIENCE_S
        for worker in (*self._workers.values(), *self._leaving):
            worker.join(max(0.0, deadline - time.monotonic()))

    def handle(self, event: object) -> None:
        """Take an event from a worker."""
        match event:
            case Polled():
                self._polled(event)
            case Failed():
                self._failed(event)
            case WorkerGone():
                self._readings.journal.problem("worker", event.message, self._readings.clock.wall())
                self._emit(Stop(EXIT_RESTART, event.message))

    def tick(self, now: float) -> float:
        """Ask whose time it is; returns the seconds until the next one's."""
        wall_ms = self._readings.clock.wall()
        wait = math.inf
        for device_id, asked in self._asked.items():
            if now >= asked.not_before and asked.timer.due(now, wall_ms):
                self._ask(device_id, asked)
            wait = min(wait, max(asked.not_before - now, asked.timer.wait(now, wall_ms)))
        return wait

    def switch(self, device: Owned, entity: str, wanted: Wanted, ticket: object) -> None:
        """Have a device obey; a Switched event tells how it went."""
        poller = device.poller
        assert isinstance(poller, Switcher)  # noqa: S101 — its entity has `command`

        def run(line: Line, _now: float) -> object:
            return Switched(device.id, ticket, poller.switch(line, entity, wanted), None)

        def failed(why: Failure, _now: float) -> object:
            return Switched(device.id, ticket, {}, why)

        self._workers[self._asked[device.id].worker].do(Job(run, failed))

    def _ask(self, device_id: str, asked: _Asked) -> None:
        if asked.waiting:
            # Others on its line are slow, or it is: one question at a time.
            self._readings.journal.count(f"skipped_polls.{device_id}")
            return
        device = self._readings.get(device_id)
        assert device is not None and device.poller is not None  # noqa: S101, PT018 — added together
        poller = device.poller

        def run(line: Line, now: float) -> object:
            return Polled(device_id, poller.poll(line, now), now, asked)

        asked.waiting = True
        self._readings.journal.count("polls")
        self._workers[asked.worker].do(Job(run, lambda why, at: Failed(device_id, why, at, asked)))

    def _polled(self, event: Polled) -> None:
        asked, device = self._asked.get(event.device), self._readings.get(event.device)
        if asked is None or asked is not event.turn or device is None:
            return
        asked.waiting = False
        asked.failures = 0
        asked.not_before = float("-inf")
        self._readings.said(device, event.decoded, event.at)

    def _failed(self, event: Failed) -> None:
        asked, device = self._asked.get(event.device), self._readings.get(event.device)
        if asked is None or asked is not event.turn or device is None:
            return
        asked.waiting = False
        asked.failures += 1
        self._readings.journal.count("failed_polls")
        self._readings.journal.count(f"failed_polls.{event.device}")
        log.debug("%s: %s", event.device, event.why)
        if isinstance(event.why, LineError) or asked.failures >= PATIENCE:
            self._readings.complain(device, str(event.why))
        if isinstance(event.why, DecodeError) and asked.failures >= PATIENCE:
            back_off = 2.0 ** min(asked.failures - PATIENCE, 5)
            asked.not_before = event.at + min(back_off, _LONGEST_BACK_OFF_S)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a job of a verb brought, or why it brought nothing; `at` in monotonic seconds."""

    ticket: object
    # As the job's `run` gave it.
    found: Any
    why: Failure | None
    at: float


def verb_job(ticket: object, run: Callable[[Any, float], object]) -> Job:
    """Return a job that ends in Answered."""
    return Job(
        lambda line, now: Answered(ticket, run(line, now), None, now),
        lambda why, now: Answered(ticket, None, why, now),
    )


class LineVerb:
    """A verb that has jobs done on lines, in turn with the devices there."""

    def __init__(self, source: PollingSource, readings: Readings) -> None:
        self._source = source
        self._readings = readings
        # By ticket; None: the job is not done yet.
        self._answers: dict[object, Answered | None] = {}

    def take(self, event: object) -> None:
        """Note what a job of ours brought."""
        if isinstance(event, Answered) and event.ticket in self._answers:
            self._answers[event.ticket] = event

    def _ask(self, line: str, run: Callable[[Any, float], object]) -> Generator[Wait, None, Answered]:
        """Have a job done on a line that is visited, and wait for what it brings."""
        ticket = object()
        self._answers[ticket] = None
        try:
            self._source.put(line, verb_job(ticket, run))
            while (answered := self._answers[ticket]) is None:
                yield Wait.WAIT
        finally:
            del self._answers[ticket]
        return answered
