"""`python -m statistician replay FILE`: JSON lines of states in, rows out, as the service makes them."""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from bus import about as about_message
from bus.about import About, Entity
from bus.clock import Clock
from bus.events import Message, Sent
from bus.health import Journal
from bus.messages import ClockQuality, Reading, encode_reading, to_iso
from bus.topics import Topics
from config.model import Statistician as Settings
from statistician.arithmetic import COMPILE_DELAY, period_of
from statistician.clock import FIRST_STEP, TOLERANCE, usual_step
from statistician.clock.redating import undoes
from statistician.ingest import Limits
from statistician.publish import PARTS, aggregate
from statistician.records import StoreError
from statistician.replay.lines import BadLineError, Declared, Ended, Line, Measured, Started, Stopped, parse
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
        self._step = FIRST_STEP
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
            fall = next((one for one in self._falls if undoes(passed, one)), None)
            if fall is not None:
                self._falls.remove(fall)
            self._passed += passed if fall is None else self._step
            self.wall = ts
        if passed > TOLERANCE:
            self._jumps = [*self._jumps[-_JUMPS_KEPT:], passed]
        if passed:
            self._step = usual_step(self._step, passed)
        self._raw = ts

    def _back(self, ts: int) -> None:
        fall = self._raw - ts
        ahead = any(undoes(jump, fall) for jump in self._jumps)
        if self._restarted and not ahead:
            self.quality = "estimated"
            self.wait(self._step)
        else:
            self._passed += self._step
            self.wall = ts
            if not ahead:
                self._falls = [*self._falls[-_JUMPS_KEPT:], fall]
        self._raw = ts


_QUIET_S = 2.0
_EVERY_S = 1.0
EXIT_BAD_INPUT = 2


class Printed(msgspec.Struct):
    """A row as it is printed."""

    entity: str
    period: str
    start: str
    mean: float | None
    min: float | None
    max: float | None
    state: float | None
    sum: float | None
    sum_increase: float | None
    sum_decrease: float | None
    last_reset: str | None
    coverage: float | None


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = _options().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s: %(message)s")
    try:
        if options.database is not None:
            return _run(options.file, options.database, options.keep_days, durable=True)
        with tempfile.TemporaryDirectory(prefix="boondock-replay-") as folder:
            return _run(options.file, Path(folder) / "replay.db", options.keep_days, durable=False)
    except BrokenPipeError:
        # Whoever read our rows has seen enough; Python must not complain of it when it ends.
        sys.stdout = None
        return 0
    except (BadLineError, StoreError, OSError) as error:
        sys.stderr.write(f"replay: {error}\n")
        return EXIT_BAD_INPUT


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m statistician replay",
        description="Make statistics of recorded states, as the service would have made them.",
    )
    parser.add_argument("file", help="JSON lines, one state each; - for standard input")
    parser.add_argument(
        "--database", type=Path, help="a new file to keep the result in; else it is thrown away"
    )
    parser.add_argument(
        "--keep-days",
        type=int,
        default=10,
        help="states later than this change no rows any more, and a longer stop is not made up (default 10)",
    )
    return parser


def _run(file: str, database: Path, keep_days: int, *, durable: bool) -> int:
    if database.exists() and database.stat().st_size:
        raise OSError(f"{database} is there already; name a new file")

    def opened() -> Store:
        store = Store(database)
        if not durable:
            # Nobody will ask for it after a power cut.
            store.engine.run("PRAGMA synchronous = off")
        return store

    player = Player(opened, keep_days)
    try:
        for line in parse(_lines(file)):
            player.play(line)
        player.finish()
    finally:
        player.close()
    store = opened()
    try:
        for row in printed(store):
            sys.stdout.buffer.write(msgspec.json.encode(row) + b"\n")
        sys.stdout.buffer.flush()
    finally:
        store.close()
    return 0


def _lines(file: str) -> Iterator[bytes]:
    if file == "-":
        yield from told(sys.stdin.buffer, None, sys.stderr.write)
        return
    with Path(file).open("rb") as opened:
        yield from told(opened, Path(file).stat().st_size or 1, sys.stderr.write)


def told(
    lines: Iterable[bytes],
    size: int | None,
    write: Callable[[str], object],
    timer: Callable[[], float] = time.monotonic,
) -> Iterator[bytes]:
    """Yield the lines, while `write` is told how it goes, once a second if it takes longer than two."""
    began = timer()
    said = began + _QUIET_S - _EVERY_S
    done = 0
    for count, line in enumerate(lines, 1):
        yield line
        done += len(line)
        now = timer()
        if now - said >= _EVERY_S:
            said = now
            share = "" if size is None else f", {100 * done // size} %"
            write(f"replay: {count} lines, {count / (now - began):.0f} lines/s{share}\n")


def printed(store: Store) -> Iterator[Printed]:
    """Every row, sorted by entity, period and start."""
    entities = sorted(store.entities(), key=lambda record: f"{record.device}.{record.entity}")
    for record in entities:
        for table, period in PARTS.items():
            for row in store.statistics.between(table, record.id, 0):
                fields = msgspec.structs.astuple(aggregate(row.row))
                yield Printed(f"{record.device}.{record.entity}", period, to_iso(row.start), *fields)
