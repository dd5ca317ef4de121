"""Plays lines to the real service: its clock follows the largest time seen, its broker only listens."""

from collections.abc import Callable

import msgspec

from bus import about as about_message
from bus.about import About, Entity
from bus.events import Message, Sent
from bus.health import Journal
from bus.messages import Reading, encode_reading
from bus.topics import Topics
from config.model import Statistician as Settings
from statistician.arithmetic.periods import COMPILE_DELAY, period_of
from statistician.limits import Limits
from statistician.records import StoreError
from statistician.replay.clock import LoggedClock
from statistician.replay.lines import Declared, Ended, Line, Measured, Started, Stopped
from statistician.service import Statistician
from statistician.store import Store


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

    def acknowledge(self, *messages: Message) -> None:
        """Nobody sends again."""


class Player:
    """One service from the first line to the last, on what `opened` opens; times are ms."""

    def __init__(self, opened: Callable[[], Store], keep_days: int) -> None:
        self._opened = opened
        self._settings = Settings(keep_days=keep_days)
        self._clock = LoggedClock()
        # The newest line of each entity.
        self._newest: dict[tuple[str, str], int] = {}
        self._begin = self._up = 0
        self._topics = Topics()
        self._journal = Journal()
        self._abouts: dict[str, dict[str, Entity]] = {}
        self._expire: dict[str, float | None] = {}
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
            self._clock.restart()
            self._up = line.up
        elif isinstance(line, Ended):
            self._pass_to(line.ts)
        elif isinstance(line, Declared):
            self._pass_to(line.ts or 0)
            self._pending.append(line)
            self._describe()
        else:
            self._take(line)

    def _take(self, line: Measured) -> None:
        name = (line.device, line.entity)
        if line.late:
            self._pass_to(0)
        else:
            self._pass_to(line.ts, falls=line.ts < self._newest.get(name, 0))
            self._newest[name] = line.ts
        self._describe()
        reading = Reading(
            ts=line.ts,
            values={line.entity: line.value},
            clock="ok" if line.late else self._clock.quality,
            late=line.late,
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
            if line.daily is not None:
                known[line.entity] = msgspec.structs.replace(known[line.entity], daily=line.daily)
            if line.expire_after is not msgspec.UNSET:
                self._expire[line.device] = line.expire_after
        self._pending = []
        for device in devices:
            entities, expire = self._abouts[device], self._expire.get(device)
            about = About(name=device, expire_after=expire, entities=entities)
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
                clock=self._clock.clock(),
                journal=self._journal,
                limits=Limits(earliest=0, begin=self._begin),
            )
        return self._service

    def _pass_to(self, moment: int, *, falls: bool = False) -> None:
        """Let time pass; every period that ends on the way is closed."""
        if self._service is None and 0 < self._up <= moment:
            # It was back before the line.
            self._clock.go_to(self._up, falls=False)
            self._running()
        self._clock.go_to(moment, falls=falls)
        self._settle()

    def _settle(self) -> None:
        service = self._running()
        while service.tick(self._clock.clock().monotonic()) <= 0:
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
            # The delay may end a period; what lasts longer than that would begin one that has no end.
            self._clock.wait(COMPILE_DELAY)
            self._running().wait_no_longer()
            self._settle()
            self.close()

    def close(self) -> None:
        """End the service as SIGTERM does."""
        if self._service is not None:
            self._service.close()
            self._service = None
