"""Tells people of alarms: what the broker says goes to each [[notify]] table, what is due to a child."""

import logging
import random
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from bus.clock import BUILD_DATE_MS, Clock
from bus.events import Message
from bus.health import Journal
from bus.messages import BadMessageError, decode_alarm, machine_zone
from bus.state_files import KeptFile
from bus.topics import Topics, Verb
from config.conditions import title_of
from config.model import Settings
from forwarder.alarms import Letter, Mark, Present, Queue, Recipient, passed
from forwarder.tell import Child
from forwarder.worker import pause

log = logging.getLogger(__name__)

FILE = "notifications.json"
# How often it is looked whether a child is done, and whether something is due, seconds.
_SOON_S, _SECOND = 0.2, 1.0
# A storm of alarms is written no more often than this; what was told, at once. Seconds.
_WRITTEN_EVERY_S = 5.0
# What is on its way at the end has so long, seconds.
_END_S = 5.0


class Kept(Struct):
    """The file: a point of the time line, and the queues by their tables."""

    mark: Mark
    queues: dict[str, Queue]


@dataclass(slots=True)
class _Way:
    """One table: who is told, where, and what is on its way there."""

    recipient: Recipient
    url: str
    child: Child | None = None
    letter: Letter | None = None


class Notifications:
    """All [[notify]] tables; what they wait for, and what they were told, is kept in the folder `state`.

    A message that is on its way when the process is killed is sent again: nobody knows whether it came.
    """

    def __init__(self, settings: Settings, state: Path, journal: Journal, clock: Clock) -> None:
        self._journal, self._clock = journal, clock
        self._topics = Topics(settings.broker.base)
        self._file = KeptFile(state / FILE, self._content)
        self._written = float("-inf")
        kept = self._file.read(Kept)
        now = clock.now()
        ahead = 0.0
        if kept is not None:
            gone = passed(
                kept.mark,
                monotonic=clock.monotonic(),
                boot=clock.boot,
                wall=now.wall,
                right=now.quality == "ok",
            )
            ahead = kept.mark.at + gone - clock.monotonic()
        # How far the time line is ahead of the monotonic clock.
        self._ahead = ahead
        titles = {name: title_of(name, one) for name, one in settings.alarm.items()}
        queues = {} if kept is None else kept.queues
        self._ways = {
            name: _Way(Recipient(one, titles, queues.get(name, Queue())), one.url)
            for name, one in settings.notify.items()
        }

    def _content(self) -> bytes:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        right = now.quality == "ok"
        mark = Mark(monotonic + self._ahead, monotonic, self._clock.boot, now.wall, right)
        return msgspec.json.encode(
            Kept(mark, {name: way.recipient.queue for name, way in self._ways.items()})
        )

    def _present(self) -> Present:
        now = self._clock.now()
        right = now.quality == "ok"
        return Present(now.wall, now.offset, right, self._clock.boot, machine_zone(), BUILD_DATE_MS)

    def handle(self, message: Message) -> None:
        """Take how an alarm stands; other messages are left alone."""
        if not self._topics.is_below(Verb.ALARM, message.topic) or not message.payload:
            return
        try:
            alarm = self._topics.parse(message.topic).name
            said = decode_alarm(message.payload)
        except (BadMessageError, ValueError) as error:
            self._journal.count("refused_messages")
            log.warning("%s: %s", message.topic[:80], error)
            return
        now, present = self._clock.monotonic() + self._ahead, self._present()
        for way in self._ways.values():
            if way.recipient.hear(alarm, said, now, present):
                self._file.changed()

    def tick(self, now: float) -> float:
        """Send what is due at monotonic second `now`; return the seconds until it is to be asked again."""
        present, told = self._present(), False
        for name, way in self._ways.items():
            told = self._finish(name, way, now) or told
            if way.recipient.correct(present):
                self._file.changed()
            if way.child is None:
                self._start(name, way, now, present)
            self._count(name, way)
        if told or now - self._written >= _WRITTEN_EVERY_S:
            self._written = now
            self._file.close()
        if self._file.problem is None:
            self._journal.solved("notifications")
        else:
            self._journal.problem("notifications", self._file.problem, self._clock.wall())
        return _SOON_S if any(way.child is not None for way in self._ways.values()) else _SECOND

    def _start(self, name: str, way: _Way, now: float, present: Present) -> None:
        letter = way.recipient.letter(now + self._ahead, present)
        if letter is None:
            return
        try:
            way.child = Child(way.url, letter.title, letter.body, letter.mood, now=now)
        except OSError as error:
            why = f"no process can be started: {error.strerror or error}; next: look at the memory"
            self._failed(name, way, now, why)
            return
        way.letter = letter

    def _finish(self, name: str, way: _Way, now: float) -> bool:
        """Note what became of the message that is on its way; True if it has gone."""
        if way.child is None or way.letter is None or (wrong := way.child.done(now)) is None:
            return False
        letter, way.child, way.letter = way.letter, None, None
        self._file.changed()
        if wrong:
            self._failed(name, way, now, wrong)
            return False
        way.recipient.sent(letter, now + self._ahead)
        self._journal.count(f"sent_notifications.{name}")
        if self._journal.solved(f"notify.{name}"):
            log.info("%s is told again", name)
        return True

    def _failed(self, name: str, way: _Way, now: float, why: str) -> None:
        # How the next try is spread is no secret.
        way.recipient.failed(now + self._ahead, lambda failures: pause(failures, random.random()))  # noqa: S311 — see above
        self._journal.count(f"failed_notifications.{name}")
        waiting = way.recipient.waiting()
        text = f"alarms wait to be told ({waiting}), and are tried again at most 15 min apart: {why}"
        if self._journal.problem(f"notify.{name}", text, self._clock.wall()):
            log.warning("notify.%s: %s", name, text)

    def _count(self, name: str, way: _Way) -> None:
        recipient = way.recipient
        if recipient.delayed:
            self._journal.count(f"delayed_notifications.{name}", recipient.delayed)
            self._file.changed()
        if recipient.joined:
            self._journal.count(f"joined_alarms.{name}", recipient.joined)
        recipient.delayed = recipient.joined = 0

    def close(self) -> None:
        """Give what is on its way a few seconds, and put everything on disk."""
        end = self._clock.monotonic() + _END_S
        for name, way in self._ways.items():
            if way.child is not None:
                way.child.wait(max(0.0, end - self._clock.monotonic()))
                self._finish(name, way, self._clock.monotonic())
            if way.child is not None:
                way.child.end()
        self._file.close()
