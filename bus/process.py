"""The frame of every process: one queue, one loop, signals, health, watchdog; one process of a name."""

import logging
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from pathlib import Path
from queue import Empty
from types import FrameType
from typing import Protocol, cast, runtime_checkable

import msgspec

from bus import health
from bus.clock import Clock
from bus.connection import Connection
from bus.events import Connected, Disconnected, Link, Message, Subscription
from bus.health import Journal, LogRateLimit, fault_in, why_aside
from bus.inbox import Handling, Inbox, InHand
from bus.retained import RetainedTopics
from bus.topics import Topics, Verb

log = logging.getLogger(__name__)

# So long another must be heard, without a longer pause, until the younger goes. Only what lives is heard, for
# no retained word counts, and a process that is asked to stop is silent from then on: a few words are enough.
PATIENCE_S = 8.0
# So often each says that it is there while it hears another.
AGAIN_S = 2.0
# How long health tells of one that is heard no more: what stays away looks again within that.
_TOLD_S = 60.0
# So long the younger stays off the broker before it looks whether the other is gone, and so long it looks.
_AWAY_S = 30.0
_LISTENS_S = 5.0


class Step(Enum):
    """What a process that stays off the broker does next."""

    WAIT = auto()
    LOOK = auto()
    LEAVE = auto()
    ENTER = auto()


@dataclass(slots=True)
class Duplicates:
    """What is heard of others of our name; `mine` is our instance, and all of them sort by their start."""

    mine: str
    other: str | None = None
    _since: float = 0.0
    _heard: float = 0.0
    _said: float = float("-inf")
    # Whether we stay off the broker, whether we look just now, and until when either lasts.
    away: bool = False
    _looking: bool = False
    _until: float | None = None

    def hear(self, instance: str, now: float) -> None:
        """Take what a process of our name said that it is, at monotonic second `now`."""
        if instance == self.mine:
            return
        if self.other != instance or now - self._heard > PATIENCE_S:
            self._since = now
        self.other, self._heard = instance, now

    def present(self, now: float) -> bool:
        """Whether another was heard lately."""
        return self.other is not None and now - self._heard <= _TOLD_S

    def due(self, now: float) -> bool:
        """Whether it is time to say that we are there too, so that the other may end."""
        if self.other is None or now - self._heard > PATIENCE_S or now - self._said < AGAIN_S:
            return False
        self._said = now
        return True

    def leave(self, now: float) -> None:
        """Stay off the broker from monotonic second `now` on."""
        self.away, self._looking, self._until = True, False, now + _AWAY_S

    def step(self, now: float, *, there: bool) -> Step:
        """Say what to do while we stay away; `there`: the broker has let us in to look."""
        if not self._looking:
            if self._until is not None and now < self._until:
                return Step.WAIT
            self.other, self._looking, self._until = None, True, None
            return Step.LOOK
        if self.other is not None:
            self.leave(now)
            return Step.LEAVE
        if self._until is None:
            self._until = now + _LISTENS_S if there else None
        elif now >= self._until:
            self.away = False
            return Step.ENTER
        return Step.WAIT

    @property
    def lost(self) -> bool:
        """Whether another was heard long enough, and was there first."""
        return self.other is not None and self._heard - self._since >= PATIENCE_S and self.other < self.mine


HEALTH_EVERY_S = 30.0
# A problem is told at once, but a storm of them no more often than this.
HEALTH_AT_MOST_S = 1.0
_BURST = 200
# How long health tells of an error of this software, and the pause after one in what is due, seconds.
_FAULT_TOLD_S = 3600.0
_FAULT_PAUSE_S = 1.0
# After so many in a row only a new start may help.
_MOST_FAILURES = 5
_ONE_EACH = "give each house a [broker] base of its own; of one house end one of the two"
_FLOOD = "a client sends without pause: what is too much is dropped and counted; find it and end it"

EXIT_OK = 0
EXIT_RESTART = 75  # sysexits.h EX_TEMPFAIL: the service manager should start us again


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process with this exit code."""

    code: int = EXIT_OK
    reason: str = "asked to stop"


class RestartError(Exception):
    """Only a new start of the process can help; the text says why."""


class Service(Protocol):
    """What a process does; all methods run in its one thread."""

    def handle(self, event: object) -> None:
        """Take one event from the queue."""

    def tick(self, now: float) -> float:
        """Do what is due at monotonic second `now`; return the seconds until it wants to be asked again."""

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Answer or keep a message that failed with an error, or (None) ended the process twice.

        Of the latter nothing but its topic is read: its payload may be what ends the process.
        """

    def close(self) -> None:
        """Put everything that matters on disk."""

    def waiting(self) -> int | None:
        """How many readings wait for the statistician; None if the process sends none."""


@runtime_checkable
class KeepsMessages(Service, Protocol):
    """A service that acknowledges messages by itself, once their effect is on disk.

    It calls `clear` of what is in hand then, and keeps a message that is set aside.
    """

    def put_on_disk(self) -> None:
        """Put the effect of all messages so far on disk, and acknowledge them."""


@lru_cache(maxsize=8)
def _keeps_messages(kind: type) -> bool:
    # Looked up once: it takes longer than all else that is done with a message here.
    return issubclass(kind, KeepsMessages)


class Process:
    """Owns the queue, the connection and the journal of a process named `name`.

    With `acknowledge` every message is acknowledged once handled; else the service does it itself, and is one
    that KeepsMessages. No error in one message, or in one piece of work, ends the process but RestartError
    and those that are `fatal`; after them it ends with EXIT_RESTART. What it has in hand is marked in the
    folder `runtime`. `unlocked` says why a second process of the name on this machine would not be noticed.
    """

    def __init__(
        self,
        name: str,
        *,
        link: Link,
        topics: Topics,
        clock: Clock,
        subscriptions: list[Subscription],
        acknowledge: bool = False,
        runtime: Path | None = None,
        retained: RetainedTopics | None = None,
        fatal: tuple[type[Exception], ...] = (),
        unlocked: str | None = None,
    ) -> None:
        self.name = name
        marks = None if runtime is None else runtime / f"{name}.in_hand"
        # What is acknowledged here is mostly commands: the next one of the same words is another.
        self.in_hand = InHand(marks, outside=not acknowledge)
        self._fatal = fatal
        self._fault_at = float("-inf")
        self._failures = 0
        self.topics = topics
        self.clock = clock
        self.journal = Journal()
        if unlocked is not None:
            self.journal.problem("state", unlocked, clock.wall())
        self._acknowledge = acknowledge
        self._service_topic = topics.service(name)
        requests, commands = topics.requests(name).removesuffix("+"), topics.below(Verb.SET).removesuffix("#")
        self._inbox = Inbox(requests, commands, clock.monotonic)
        # Somebody else may say `offline` there: the last will of an old connection, or a second process.
        mine = Subscription(filter=self._service_topic, retained=False)
        self.connection = Connection(
            link,
            birth_topic=self._service_topic,
            subscriptions=[*subscriptions, mine],
            emit=self.emit,
            retained=retained,
        )
        self._started_ms = clock.wall()
        self._started = clock.monotonic()
        self._told = float("-inf")
        self._pinged = float("-inf")
        self._ping_every = health.watchdog_interval()
        self._flooded = float("-inf")
        self._stop: Stop | None = None
        self._duplicates = Duplicates(link.instance)

    def put_first(self, ours: Callable[[str], bool]) -> None:
        """Take messages on the topics that are `ours` before all that waits, if it is much."""
        self._inbox.ours = ours

    def emit(self, event: object) -> None:
        """Queue an event, from any thread."""
        dropped = self._inbox.put(event)
        if dropped is not None:
            self.connection.acknowledge(dropped)

    def run(self, service: Service) -> int:
        """Serve until SIGTERM, SIGINT or a Stop event; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.connection.start()
        health.notify(f"READY=1\nSTATUS={self.name} is running")
        try:
            while self._stop is None:
                self._work(service)
        except RestartError as error:
            self.in_hand.failed()
            return self._end_early(error)
        except self._fatal as error:
            # No message is to blame.
            self.in_hand.close()
            return self._end_early(error)
        log.info("stopping: %s", self._stop.reason)
        health.notify("STOPPING=1")
        self.guard(service.close)
        self.guard(lambda: self._tell(service))
        self.connection.stop()
        self.in_hand.close()
        return self._stop.code

    def _end_early(self, error: Exception) -> int:
        log.critical("%s; it must be started anew", error)
        self.connection.stop()
        return EXIT_RESTART

    def guard(self, work: Callable[[], None]) -> Exception | None:
        """Do a piece of work; an error in it is told, counted and returned."""
        error = fault_in(work, RestartError, *self._fatal)
        if error is not None:
            self.journal.count("faults")
            self._fault_at = self.clock.monotonic()
            text = f"an error of this software, please report it; all else goes on: {error!r}"
            if self.journal.problem("fault", text[:300], self.clock.wall()):
                log.error("all else goes on", exc_info=error)
        return error

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._inbox.put(Stop(EXIT_OK, signal.Signals(number).name))

    def _work(self, service: Service) -> None:
        now = self.clock.monotonic()
        wait = self._tick(service, now)
        self.guard(lambda: self._look_after(service, now))
        try:
            event = self._inbox.get(timeout=min(max(wait, 0.0), 1.0))
            for _ in range(_BURST):
                self._dispatch(service, event)
                event = self._inbox.get()
            self._dispatch(service, event)
        except Empty:
            return

    def _tick(self, service: Service, now: float) -> float:
        wait = _FAULT_PAUSE_S

        def work() -> None:
            nonlocal wait
            wait = service.tick(now)

        if self.guard(work) is None:
            self._failures = 0
            return wait
        self._failures += 1
        if self._failures >= _MOST_FAILURES:
            self._stop = Stop(EXIT_RESTART, f"{self._failures} errors in a row")
        return _FAULT_PAUSE_S

    def _dispatch(self, service: Service, event: object) -> None:
        if isinstance(event, Stop):
            self._stop = event
            return
        if isinstance(event, Connected):
            if self.journal.solved("broker"):
                log.info("connected to the broker")
        elif isinstance(event, Disconnected) and self.journal.problem(
            "broker", event.reason, self.clock.wall()
        ):
            log.warning("%s; trying again, at most 30 s apart", event.reason)
        if isinstance(event, Message):
            self.connection.reassert_online(event)
            if event.topic == self._service_topic:
                self._duplicates.hear(event.instance or self._duplicates.mine, self.clock.monotonic())
                self.connection.acknowledge(event)
                return
            self._take(service, event)
        else:
            self.guard(lambda: service.handle(event))

    def _take(self, service: Service, message: Message) -> None:
        keeping = not self._acknowledge and _keeps_messages(type(service))
        keeps = cast("KeepsMessages", service) if keeping else None
        handling = self.in_hand.handling_of(message)
        if handling is Handling.ALONE and keeps is not None:
            self.guard(keeps.put_on_disk)
        self.in_hand.begin(message)
        error = None
        if handling is not Handling.ASIDE:
            error = self.guard(lambda: service.handle(message))
        if handling is Handling.ASIDE or error is not None:
            if keeps is None:
                self._set_aside(message, why_aside(error))
            self.guard(lambda: service.set_aside(message, error))
        self.in_hand.handled()
        if handling is Handling.ALONE and keeps is not None:
            self.guard(keeps.put_on_disk)
        if self._acknowledge:
            self.connection.acknowledge(message)
            self.in_hand.clear()

    def _set_aside(self, message: Message, why: str) -> None:
        """Tell of a message that is not handled, and keep it beside the marks."""
        self.journal.count("set_aside_messages")
        text = f"{message.topic[:80]}: a message was set aside until the machine restarts: {why[:150]}"
        if self.journal.problem("set_aside", text, self.clock.wall()):
            log.error("%s", text)
        self.guard(lambda: self.in_hand.keep(msgspec.json.encode(message)))

    def _look_after(self, service: Service, now: float) -> None:
        if now - self._fault_at >= _FAULT_TOLD_S:
            self.journal.solved("fault")
        self._tell_clock()
        self._check_for_duplicates(now)
        since = now - self._told
        if since >= HEALTH_EVERY_S or (self.journal.changed and since >= HEALTH_AT_MOST_S):
            self._told = now
            self._tell(service)
        if self._ping_every is not None and now - self._pinged >= self._ping_every:
            self._pinged = now
            health.notify("WATCHDOG=1")

    def _check_for_duplicates(self, now: float) -> None:
        duplicates = self._duplicates
        if duplicates.away:
            self._stay_away(duplicates.step(now, there=self.connection.on_trial))
            return
        if duplicates.due(now):
            self.connection.announce()
            text = (
                f"another {self.name} is on this broker with the base topic {self.topics.base}: {_ONE_EACH}"
            )
            if self.journal.problem("instance", text, self.clock.wall()):
                log.warning("%s", text)
        elif not duplicates.present(now):
            self.journal.solved("instance")
        if duplicates.lost:
            duplicates.leave(now)
            self._stay_away(Step.LEAVE)

    def _stay_away(self, step: Step) -> None:
        """Leave the broker to an older process of our name, and come back once that is gone."""
        if step is Step.LEAVE:
            self.connection.leave(
                f"another {self.name} with the base topic {self.topics.base} was on this broker first: "
                f"this one stays off it until that is gone, and keeps its readings; {_ONE_EACH}"
            )
        elif step is Step.LOOK:
            self.connection.start(trial=True)
        elif step is Step.ENTER:
            self.connection.settle()

    def _tell_clock(self) -> None:
        self.journal.fact("clock", self.clock.told())
        problem = self.clock.problem()
        if problem is None:
            self.journal.solved("clock")
        elif self.journal.problem("clock", problem, self.clock.wall()):
            log.warning("%s", problem)

    def _tell_dropped(self) -> None:
        counters, now = self.journal.counters, self.clock.monotonic()
        found = self._inbox.dropped
        if any(counters[kind] != count for kind, count in found.items()):
            counters.update(found)
            self._flooded = now
            if self.journal.problem("flood", _FLOOD, self.clock.wall()):
                log.warning("%s", _FLOOD)
        elif now - self._flooded >= HEALTH_EVERY_S:
            self.journal.solved("flood")

    def _tell(self, service: Service) -> None:
        self.journal.changed = False
        self.journal.counters["refused_publications"] = self.connection.refused
        self.journal.counters["refused_oversize_publications"] = self.connection.oversize
        self._tell_dropped()
        payload = health.encode(
            self.journal,
            started_ms=self._started_ms,
            uptime=self.clock.monotonic() - self._started,
            queue=len(self._inbox),
            outbox=service.waiting(),
        )
        self.connection.publish(self.topics.health(self.name), payload, qos=0, retain=True)


def set_up_logging() -> None:
    """One line per event on standard error, as journald likes it."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(LogRateLimit(time.monotonic))
    # It tells of every job it starts.
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
