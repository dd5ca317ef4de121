"""Plays lines to the real service: its clock follows the largest time seen, its broker only listens."""

from collections.abc import Callable

import msgspec

from bus import about as about_message
from bus.about import About, Entity
from bus.clock import Clock
from bus.events import Message, Sent
from bus.health import Journal
from bus.messages import ClockQuality, Reading, encode_reading
from bus.topics import Topics
from config.model import Statistician as Settings
from statistician.arithmetic.periods import COMPILE_DELAY, period_of
from statistician.clock.entity_clock import TOLERANCE
from statistician.ingest import Limits
from statistician.records import StoreError
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


_FIRST_STEP = 30_000
_LONGER = 4
# A clock that comes back after a restart has lost the seconds of that.
_SLACK = 120_000
_JUMPS_KEPT = 64


class LoggedClock:
    """Follows the times of lines, ms. A time that falls is a clock that was set: meanwhile one step passed.

    After a restart a clock that lies behind the newest line is wrong, unless it was ahead before; the next
    jump over that line makes it right. A jump as long as a fall before is no time that passed either.
    """

    def __init__(self) -> None:
        self.wall = 0
        self.quality: ClockQuality = "ok"
        self._raw = 0
        self._passed = 0
        self._step = _FIRST_STEP
        self._boots = 0
        self._restarted = False
        self._jumps: list[int] = []
        # Falls that no jump before explains: a jump that undoes one is a clock that is set right.
        self._falls: list[int] = []

    def clock(self) -> Clock:
        """Return this clock for the process that is started now."""
        boot = str(self._boots)
        return Clock(lambda: self.wall, lambda: self._passed / 1000, lambda: self.quality, boot=boot)

    def restart(self) -> None:
        """Note that the machine was off."""
        self._boots += 1
        self._restarted = True
        self._passed = 0

    def wait(self, ms: int) -> None:
        """Let time pass after the last line."""
        self.wall += ms
        self._passed += ms

    def go_to(self, ts: int, *, falls: bool) -> None:
        """Go on to a line of `ts`; `falls` says that it comes after a later one of the same entity."""
        if ts >= self._raw:
            self._forward(ts)
        elif falls and self._raw - ts > TOLERANCE:
            self._back(ts)
        if ts > 0:
            self._restarted = False

    def _forward(self, ts: int) -> None:
        passed = ts - self._raw if self._raw else 0
        if self.quality == "estimated" and ts > self.wall and passed > TOLERANCE:
            # Set right: nobody knows how long the machine was off before.
            self.quality = "ok"
            self._passed += self._step
            self.wall = ts
        elif self.quality == "estimated":
            self.wait(passed)
        else:
            fall = next((one for one in self._falls if _undoes(passed, one)), None)
            if fall is not None:
                self._falls.remove(fall)
            self._passed += passed if fall is None else self._step
            self.wall = ts
        if passed > TOLERANCE:
            self._jumps = [*self._jumps[-_JUMPS_KEPT:], passed]
        if passed:
            self._step = passed if passed < _LONGER * self._step else 2 * self._step
        self._raw = ts

    def _back(self, ts: int) -> None:
        fall = self._raw - ts
        ahead = any(_undoes(jump, fall) for jump in self._jumps)
        if self._restarted and not ahead:
            self.quality = "estimated"
            self.wait(self._step)
        else:
            self._passed += self._step
            self.wall = ts
            if not ahead:
                self._falls = [*self._falls[-_JUMPS_KEPT:], fall]
        self._raw = ts


def _undoes(jump: int, fall: int) -> bool:
    """Whether a jump forward is a fall back and what passed meanwhile."""
    return fall <= jump <= fall + max(_SLACK, fall // 4)
