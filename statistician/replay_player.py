"""Plays lines to the real service: its clock follows the largest time seen, its broker only listens."""

from collections.abc import Callable

import msgspec

from bus import about as about_message
from bus.about import About, Entity
from bus.clock import Clock
from bus.events import Message, Sent
from bus.health import Journal
from bus.messages import Reading, encode_reading
from bus.topics import Topics
from config.model import Statistician as Settings
from statistician.ingest import Limits
from statistician.periods import COMPILE_DELAY, period_of
from statistician.records import StoreError
from statistician.replay_lines import Declared, Ended, Line, Measured, Started, Stopped
from statistician.service import Statistician
from statistician.store import Store

# Longer than the service waits for more late readings.
_QUIET_S = 60.0


class _Listener:
    """Stands where the broker would; what it hears is in the database, too."""

    def publish(
        self,
        _topic: str,
        _payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Sent:
        """Take it."""
        del qos, retain, correlation
        return Sent.YES

    def acknowledge(self, message: Message) -> None:
        """Nobody sends again."""


class Player:
    """One service from the first line to the last, on what `opened` opens; times are ms."""

    def __init__(self, opened: Callable[[], Store], keep_days: int) -> None:
        self._opened = opened
        self._settings = Settings(keep_days=keep_days)
        self._now = 0
        self._waited = 0.0
        self._begin = 0
        self._topics = Topics()
        self._clock = Clock(lambda: self._now, lambda: self._now / 1000 + self._waited, lambda: "ok")
        self._journal = Journal()
        self._abouts: dict[str, dict[str, Entity]] = {}
        self._pending: list[Declared] = []
        self._service: Statistician | None = None

    def play(self, line: Line) -> None:
        """Let time pass up to the line, then do what it says."""
        if isinstance(line, Declared) and line.ts is None:
            # It belongs to what comes next, and must not reach back to a period that has ended by then.
            self._pending.append(line)
        elif isinstance(line, Started):
            self._begin = period_of(line.ts)
        elif isinstance(line, Stopped):
            self._pass_to(line.down)
            self._describe()
            self.close()
            self._now = max(self._now, line.up)
        elif isinstance(line, Ended):
            self._pass_to(line.ts)
        else:
            self._take(line)

    def _take(self, line: Declared | Measured) -> None:
        self._pass_to(line.ts or 0)
        if isinstance(line, Declared):
            self._pending.append(line)
            self._describe()
            return
        self._describe()
        reading = Reading(
            ts=line.ts,
            values={line.entity: line.value},
            last_reset={} if line.last_reset is None else {line.entity: line.last_reset},
        )
        self._send(self._topics.state(line.device), encode_reading(reading))

    def _describe(self) -> None:
        """Say what was declared since the last line with a time."""
        devices = dict.fromkeys(line.device for line in self._pending)
        for line in self._pending:
            known = self._abouts.setdefault(line.device, {})
            before = known.get(line.entity, Entity(name=line.entity))
            known[line.entity] = msgspec.structs.replace(before, **line.words)
        self._pending = []
        for device in devices:
            about = About(name=device, entities=self._abouts[device])
            self._send(self._topics.about(device), about_message.encode(about))

    def _send(self, topic: str, payload: bytes) -> None:
        self._running().handle(Message(topic, payload, qos=1, retain=False, mid=0, generation=1))
        self._check()

    def _running(self) -> Statistician:
        if self._service is None:
            self._service = Statistician(
                _Listener(),
                self._topics,
                self._opened(),
                self._settings,
                clock=self._clock,
                journal=self._journal,
                limits=Limits(earliest=0, begin=self._begin),
            )
        return self._service

    def _pass_to(self, moment: int) -> None:
        """Let time pass; every period that ends on the way is closed."""
        self._now = max(self._now, moment)
        self._running()
        self._settle()

    def _settle(self) -> None:
        service = self._running()
        while service.tick(self._clock.monotonic()) <= 0:
            self._check()
        self._check()

    def _check(self) -> None:
        for subject in ("database", "messages"):
            if subject in self._journal.problems:
                raise StoreError(self._journal.problems[subject])

    def finish(self) -> None:
        """Close what is complete at the largest time seen, and correct what came late."""
        if self._service is not None:
            self._describe()
            self._pass_to(self._now + COMPILE_DELAY)
            self._waited += _QUIET_S
            self._settle()
            self.close()

    def close(self) -> None:
        """End the service as SIGTERM does."""
        if self._service is not None:
            self._service.close()
            self._service = None
