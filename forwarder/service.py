"""The forwarder: one thread for each output; the broker, health and the log are the main thread's alone."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

import msgspec

from bus.clock import Clock
from bus.events import Disconnected, Message, Publishes, Subscription
from bus.events import Sent as Published
from bus.health import Journal, fault_in
from bus.messages import ONLINE, to_iso
from bus.topics import FORWARDER, STATISTICIAN, Topics, Verb
from config.model import Output, Settings
from forwarder.cursors import CursorFile, remove_old
from forwarder.feed import VERB, BadAnswerError, Page, Params, Refusal, decode
from forwarder.outputs import Place, SendError
from forwarder.worker import Answer, Note, Sent, Times, Told, Trouble, Worker

log = logging.getLogger(__name__)

NAME = FORWARDER
# Seconds: until an answer is missed; between two looks at what an output waits for; until a thread that is
# asked to end is left alone; how long health tells of what is over.
_ANSWER_S, _LOOK_S, _END_S, _TOLD_S = 60.0, 60.0, 5.0, 86_400.0
# From when on the statistician is missed, seconds.
_ABSENT_S = 30.0
_ABSENT = "the statistician is not there: nothing is sent until it is; `boondock status` says why"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of an output for the statistician."""

    output: str
    payload: bytes


class Part(Protocol):
    """Something else that the forwarder does, in its main thread."""

    def handle(self, message: Message) -> None:
        """Take a message that may be for it."""

    def tick(self, now: float) -> float:
        """Do what is due at monotonic second `now`; return the seconds until it wants to be asked again."""

    def close(self) -> None:
        """Put everything that matters on disk."""


def subscriptions(topics: Topics, settings: Settings) -> list[Subscription]:
    """List what the outputs listen to."""
    if not settings.output:
        return []
    answers = Subscription(filter=topics.responses(NAME))
    # It moves with each commit: what was stored can be had soon.
    news = Subscription(filter=topics.every(Verb.WATERMARK), qos=0, retained=False)
    return [answers, news, Subscription(filter=topics.service(STATISTICIAN))]


class Mailbox:
    """Brings an output's questions to the main thread, and the answers back."""

    def __init__(self, output: str, reply_to: str, emit: Callable[[Ask], None]) -> None:
        self._output, self._reply_to, self._emit = output, reply_to, emit
        self._answers = SimpleQueue[bytes | None]()
        self._number = 0

    def put(self, answer: bytes | None) -> None:
        """Hand over an answer; None: there will be none."""
        self._answers.put(answer)

    def ask(self, params: Params) -> Answer:
        """Ask, and wait for the answer; None: there is nobody to ask. Raises SendError."""
        self._number += 1
        while not self._answers.empty():
            self._answers.get()
        body = {**params, "id": self._number, "reply_to": self._reply_to, "from": NAME}
        self._emit(Ask(self._output, msgspec.json.encode(body)))
        try:
            while True:
                payload = self._answers.get(timeout=_ANSWER_S)
                if payload is None:
                    return None
                number, answer = decode(payload)
                if number == self._number and isinstance(answer, Page | Refusal):
                    return answer
        except Empty as error:
            raise SendError(f"the statistician did not answer within {_ANSWER_S:g} s") from error
        except BadAnswerError as error:
            raise SendError(str(error)) from error


class Runner(threading.Thread):
    """The thread of one output."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Worker],
        monotonic: Callable[[], float],
        failed: Callable[[Exception], None],
    ) -> None:
        # A daemon: an endpoint that hangs holds up no end.
        super().__init__(name=name, daemon=True)
        self._make, self._monotonic, self._failed = make, monotonic, failed
        self._bell = threading.Event()
        self._worker: Worker | None = None
        self._stopped = False

    def run(self) -> None:
        """Work until asked to stop."""
        fault = fault_in(self._work)
        if fault is not None:
            self._failed(fault)

    def _work(self) -> None:
        worker = self._worker = self._make()
        while not self._stopped:
            worker.step()
            if (wait := worker.wait(self._monotonic())) > 0:
                self._bell.wait(min(wait, _LOOK_S))
                self._bell.clear()
        worker.close()

    def news(self) -> None:
        """Tell it that there is something new in the feed."""
        if self._worker is not None:
            self._worker.news()
            self._bell.set()

    def stop(self) -> None:
        """Ask it to end after what it is doing."""
        self._stopped = True
        self._bell.set()


class Forwarder:
    """Runs the outputs; `others` are what else it does."""

    def __init__(
        self,
        settings: Settings,
        *,
        bus: Publishes,
        topics: Topics,
        clock: Clock,
        journal: Journal,
        emit: Callable[[object], None],
        others: Iterable[Part] = (),
    ) -> None:
        self._bus, self._topics, self._clock, self._journal = bus, topics, clock, journal
        self._emit = emit
        self._others = list(others)
        self._request = topics.request(STATISTICIAN, VERB)
        self._home = Path(settings.storage.state)
        self._state = self._home / "outputs"
        self._runtime = Path(settings.storage.runtime) / "outputs"
        self._absent_since: float | None = clock.monotonic()
        # The clock belongs to the main thread: the others know by how much it differs from the monotonic one.
        self._offset_ms = 0.0
        self._notes: dict[str, float] = {}
        self._sent: dict[str, int] = {}
        self._mailboxes = {name: Mailbox(name, topics.response(NAME, name), emit) for name in settings.output}
        self._read_clock()
        for name in remove_old(self._state, set(settings.output), clock.wall() / 1000):
            log.info("output %s is not in the settings for 30 days: where it was is forgotten", name)
        self._runners = {name: self._runner(name, output) for name, output in settings.output.items()}
        for runner in self._runners.values():
            runner.start()

    def _read_clock(self) -> None:
        self._offset_ms = self._clock.wall() - self._clock.monotonic() * 1000

    def _runner(self, name: str, output: Output) -> Runner:
        place = Place(name, output, self._state / name, self._clock, self._home)
        monotonic = self._clock.monotonic
        times = Times(monotonic, lambda: round(self._offset_ms + monotonic() * 1000), random.random)

        def make() -> Worker:
            return Worker(
                place,
                lambda settle: CursorFile(name, self._runtime, place.state, settle),
                self._mailboxes[name].ask,
                self._emit,
                times,
            )

        def failed(error: Exception) -> None:
            text = f"it has ended by an error of this software, please report it: {error!r}"
            self._emit(Trouble(name, text[:300], error))

        return Runner(name, make, monotonic, failed)

    def handle(self, event: object) -> None:
        """Take what the broker or an output says."""
        match event:
            case Message():
                self._message(event)
            case Ask():
                self._ask(event)
            case Disconnected():
                self._absent()
            case Trouble() | Note() | Sent():
                self._told(event)

    def _message(self, message: Message) -> None:
        topics = self._topics
        if message.topic == topics.service(STATISTICIAN):
            if message.payload == ONLINE:
                self._absent_since = None
                self._journal.solved("statistician")
                self._ring()
            else:
                self._absent()
        elif topics.is_below(Verb.WATERMARK, message.topic):
            self._ring()
        elif topics.is_below(Verb.RESPONSE, message.topic):
            _, output = topics.levels_of(message.topic)[:2]
            if output in self._mailboxes:
                self._mailboxes[output].put(message.payload)
        for other in self._others:
            other.handle(message)

    def _ring(self) -> None:
        for runner in self._runners.values():
            runner.news()

    def _absent(self) -> None:
        """Note that nobody answers: those who wait for an answer get none."""
        if self._absent_since is None:
            self._absent_since = self._clock.monotonic()
        for mailbox in self._mailboxes.values():
            mailbox.put(None)

    def _ask(self, ask: Ask) -> None:
        there = self._absent_since is None
        if not there or self._bus.publish(self._request, ask.payload) is not Published.YES:
            self._mailboxes[ask.output].put(None)

    def _told(self, told: Told) -> None:
        subject = f"output.{told.output}"
        now_ms = self._clock.wall()
        if isinstance(told, Sent):
            self._journal.count("sent_records", told.records)
            sent = self._sent[told.output] = self._sent.get(told.output, 0) + told.records
            text = f"{sent} records sent, up to {to_iso(told.ts)}"
            self._journal.fact(subject, text, soon=False)
        elif isinstance(told, Note):
            self._journal.count(told.counter)
            self._notes[f"{subject}.{told.subject}"] = self._clock.monotonic()
            if self._journal.problem(f"{subject}.{told.subject}", told.text, now_ms):
                log.warning("output %s: %s", told.output, told.text)
        elif told.text is None:
            if self._journal.solved(subject):
                log.info("output %s works again", told.output)
        else:
            self._journal.count("failed_sends")
            if told.fault is not None:
                self._journal.count("faults")
            if not told.passing and self._journal.problem(subject, told.text, now_ms):
                log.warning("output %s: %s", told.output, told.text, exc_info=told.fault)

    def set_aside(self, message: Message, error: Exception | None) -> None:
        """Lose nothing: an answer that failed is asked for again."""
        log.debug("%s was set aside", message.topic, exc_info=error)

    def tick(self, now: float) -> float:
        """Look after the clock, the statistician, and what was told long enough."""
        self._read_clock()
        if self._mailboxes and self._absent_since is not None and now - self._absent_since >= _ABSENT_S:
            self._journal.problem("statistician", _ABSENT, self._clock.wall())
        for subject, at in list(self._notes.items()):
            if now - at >= _TOLD_S:
                del self._notes[subject]
                self._journal.solved(subject)
        return min((other.tick(now) for other in self._others), default=1.0)

    def close(self) -> None:
        """End the outputs; one that hangs is left alone, and goes on from its place after the next start."""
        for runner in self._runners.values():
            runner.stop()
        self._absent()
        until = time.monotonic() + _END_S
        for name, runner in self._runners.items():
            runner.join(max(0.0, until - time.monotonic()))
            if runner.is_alive():
                log.warning("output %s still waits for the other side; it is ended", name)
        for other in self._others:
            other.close()

    def waiting(self) -> int | None:
        """Return None: it sends no readings to the statistician."""
        return None
