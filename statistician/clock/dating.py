"""The house's time, in which a step counts once it has lasted, and when each reading counts by it.

The time since the machine's start is steady; the wall clock is an offset to it, which may be set.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bus.clock import Anchor, Clock, write_anchor
from bus.health import Journal
from bus.messages import ClockQuality, Reading, Value, encode_reading
from statistician.arithmetic import DAY
from statistician.arithmetic.live import LiveEntity
from statistician.clock import PROBATION_S, TOLERANCE, Arrivals, EntityClock, Move, Stepped, Undated
from statistician.clock.redating import Estimated, find_ahead
from statistician.entities import Part, Shared
from statistician.records import Batch, Event, StoreError

# Slewing and the time between two reads stay below this, ms.
_STEP = 1_000
_KEEP_EVERY_S = 300.0


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The clock went forward by `by` ms (back if negative).

    `synchronised` says that it was not synchronised before: all that it dated since the machine started
    was wrong by as much. Where it became so without a step, `by` is 0.
    """

    by: int
    synchronised: bool


class HouseTime:
    """Reads the clock; `wall` follows a step only after `poll` has told it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = self._clock.offset()
        self._quality = clock.quality()
        # A step on probation: its offset, and the monotonic second from which it counts.
        self._new_offset: int | None = None
        self._accept_at = 0.0

    def anchor(self) -> Anchor | None:
        """Return what no later boot may be behind."""
        return self._clock.anchor()

    @property
    def offset(self) -> int:
        """Wall clock less the time since the machine's start, ms."""
        return self._offset

    def wall(self) -> int:
        """Milliseconds since 1970 UTC."""
        wall = self._clock.wall()
        expected = self._offset + round(self._clock.monotonic() * 1000)
        if abs(wall - expected) <= _STEP or _trust(self._clock.quality()) > _trust(self._quality):
            return wall
        return expected

    def steady(self) -> Clock:
        """Return a clock that reads this time."""
        return Clock(self.wall, self._clock.monotonic, self._clock.quality, boot=self._clock.boot)

    def poll(self, *, accept: bool = False) -> ClockStep | None:
        """Look at the clock; a step that counts from now on. With `accept` none is put on probation."""
        self._clock.poll()
        measured, quality = self._clock.offset(), self._clock.quality()
        was, self._quality = self._quality, quality
        by = measured - self._offset
        synchronised = was != "ok"
        if abs(by) <= _STEP:
            # Slewed, or back again.
            self._offset = measured
            self._new_offset = None
            return ClockStep(0, synchronised=True) if synchronised and quality == "ok" else None
        if not synchronised and quality == "ok" and not accept and not self._lasted(measured):
            return None
        self._offset = measured
        self._new_offset = None
        return ClockStep(by, synchronised=synchronised)

    def _lasted(self, measured: int) -> bool:
        now = self._clock.monotonic()
        if self._new_offset is None or abs(measured - self._new_offset) > _STEP:
            self._new_offset = measured
            self._accept_at = now + PROBATION_S
        return now >= self._accept_at


class KeptTime:
    """Writes the time into the file `path` for the next boot: no later one may be behind what is stored."""

    def __init__(self, time: HouseTime, path: Path | None, journal: Journal) -> None:
        self._time = time
        self._clock = time.steady()
        self._path = path
        self._journal = journal
        # Monotonic seconds.
        self._next_at = float("-inf")

    def look(self, *, at_once: bool) -> None:
        """Write the time every five minutes, or now."""
        if self._path is None or not (at_once or self._clock.monotonic() >= self._next_at):
            return
        self._next_at = self._clock.monotonic() + _KEEP_EVERY_S
        found = self._time.anchor()
        if found is not None:
            self._write(self._path, found)

    def not_behind(self, newest: int) -> None:
        """Let all processes go on from the `newest` stored time (ms) if the clock may be behind it."""
        if self._path is not None and self._clock.quality() == "estimated" and newest > self._clock.wall():
            here = Anchor(newest, self._clock.boot, self._clock.monotonic(), synchronised=False)
            self._write(self._path, here)

    def _write(self, path: Path, found: Anchor) -> None:
        try:
            write_anchor(path, found)
        except OSError as error:
            text = (
                f"the time cannot be kept for the next start: {error}; look at the folder's rights and room"
            )
            self._journal.problem("house_clock", text, self._clock.wall())
        else:
            self._journal.solved("house_clock")


def _trust(quality: ClockQuality) -> int:
    return ("unset", "estimated", "ok").index(quality)


log = logging.getLogger(__name__)

# What was measured longer before it came was not measured by our clock, ms.
_LONGEST_WAY = 3_600_000


class ReadingTimes:
    """Says when a reading counts that has no time of its own, or one that cannot be; times are ms.

    While the time is not known such readings wait. `waiting` says whether some do, on disk; no time before
    `earliest` can be.
    """

    def __init__(self, time: HouseTime, earliest: int, *, waiting: bool) -> None:
        self._time = time
        self._clock = time.steady()
        self._earliest = earliest
        self._arrivals, self.stepped = Arrivals(), Stepped()
        self.waiting = waiting

    def unknown(self) -> bool:
        """Say whether the clock is not set, or was set just now and nobody knows yet what that means."""
        known = self._time.offset + round(self._clock.monotonic() * 1000)
        return self._clock.quality() == "unset" or abs(self._clock.wall() - known) > _STEP

    def too_old(self, reading: Reading) -> bool:
        """Say whether a reading's own time is before all that can be."""
        return reading.ts is not None and reading.ts < self._earliest

    def must_wait(self, reading: Reading) -> bool:
        """Say whether nobody knows yet when a reading counts."""
        if self.waiting and self._clock.quality() != "unset" and self.unknown():
            return True
        if reading.late or not (reading.ts is None or self.too_old(reading)):
            return False
        return self.unknown()

    def hold(self, device: str, reading: Reading) -> Undated:
        """Make of a reading what waits on disk for the time."""
        self.waiting = True
        came = measured = round(self._clock.monotonic() * 1000)
        if reading.ts is not None and reading.clock == "unset":
            # By the same clock as ours, which was as far off.
            measured = reading.ts - self._time.offset
        if not came - _LONGEST_WAY <= measured <= came:
            measured = came
        return Undated(self._clock.boot, measured, device, encode_reading(reading))

    def when(self, device: str, reading: Reading, ts: int) -> int:
        """Say when a reading counts that waited and came at `ts`."""
        if reading.ts is None:
            return self._arrivals.date(device, ts)
        return ts if self.too_old(reading) else reading.ts

    def of(self, device: str, reading: Reading, now: int) -> int:
        """Say when a reading counts that came at `now`."""
        if reading.ts is None or (self.too_old(reading) and not reading.late):
            return self._arrivals.date(device, now)
        if reading.clock == "estimated" and not reading.late:
            return self.stepped.put_right(reading.ts, now, self._clock.monotonic())
        return reading.ts


class Dating(Part):
    """Keeps the clocks of all entities.

    `pending` is what is taken and not on disk; `flush` puts it there, `redate` moves what is there.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        flush: Callable[[], None],
        redate: Callable[[Mapping[int, Move]], None],
        pending: Callable[[], Batch],
        estimated: Estimated,
    ) -> None:
        super().__init__(shared)
        self._flush = flush
        self._redate = redate
        self._pending = pending
        self._estimated = estimated

    def date(
        self,
        device: str,
        reading: Reading,
        lives: Mapping[str, LiveEntity],
        raw: int,
        *,
        now: int,
        said: int | None,
    ) -> dict[str, int]:
        """Say when each of the values of a reading counts that came just now, in its turn.

        Of a stream what was stored last need not be what came before it. What its clock `said`, if `raw` is
        its arrival because that cannot be.
        """
        came, values = self._clock.monotonic(), reading.values
        for live in lives.values():
            if live.clock is None:
                live.clock = (
                    EntityClock(-1, ours=True)
                    if reading.seq is not None
                    else EntityClock(live.heard, self._shift(live))
                )
        doubtful = {key for key, live in lives.items() if not clock_of(live).believes(raw, now, came)}
        again: set[str] = set()
        if doubtful and all(self._knows(lives[key], raw, values[key]) for key in doubtful):
            # It comes again: another reading of that time would say something else.
            doubtful, again = again, doubtful
        subject, text = f"clock.{device}", None
        if doubtful:
            self._settle([lives[key] for key in doubtful], raw, now, came)
            for live in lives.values():
                self._estimated.note_shift(live)
            off = (raw - now if raw > now + TOLERANCE else -clock_of(lives[min(doubtful)]).shift) // 1000
            text = _wrong(f"{abs(off)} s {'ahead of' if off > 0 else 'behind'}") if off else None
        if said is not None:
            # In days: else it would be news with every reading.
            text = _wrong(f"{(now - said) // DAY} days behind")
        if text:
            self._journal.count("refused_timestamps")
            self._journal.problem(subject, text, now)
        elif subject in self._journal.problems:
            self._journal.solved(subject)
        return {key: raw if key in again else clock_of(live).at for key, live in lives.items()}

    def late(self, reading: Reading, lives: Mapping[str, LiveEntity], raw: int, now: int) -> dict[str, int]:
        """Say when the values of a reading count that is late, or stands behind a gap of its stream.

        Outside of a stream it was dated by the clock that may be known to be wrong.
        """
        stream = reading.seq is not None
        shifts = {key: 0 if stream else self._shift(live) for key, live in lives.items()}
        for live in lives.values():
            # While ours is in doubt: what goes back then is of ours alone.
            if reading.late and stream and live.clock is not None and live.clock.shift:
                live.note_own_time(raw)
        return {key: min(raw + shift, now) for key, shift in shifts.items()}

    def _shift(self, live: LiveEntity) -> int:
        return self._estimated.shift(live.record.id) if live.clock is None else live.clock.shift

    def _knows(self, live: LiveEntity, ts: int, value: Value) -> bool:
        """Say whether an earlier reading of that time and value is there already."""
        if ts >= clock_of(live).at:
            return False
        record, batch = live.record, self._pending()
        number = record.id
        states = [one for one in batch.states if one.entity == number and one.ts <= ts]
        events: list[Event] = [*states, *(one for one in batch.repeats if one.entity == number)]
        held = batch.held.get((number, ts)) or self._store.held.get(number, ts)
        if held is not None:
            return held.value == value
        if not any(one.ts == ts for one in events) and not self._store.states.every(ts, ts + 1, {number}):
            return not record.enabled
        # A repeat has the value in force.
        stored = self._store.states.in_force([record], ts + 1).get(number)
        newest = max([*states, *([stored] if stored else [])], key=lambda one: one.ts, default=None)
        return newest is not None and newest.value == value

    def _settle(self, lives: list[LiveEntity], raw: int, now: int, came: float) -> None:
        undone = {live.record.id: move for live in lives if (move := clock_of(live).rejoin(raw, now, came))}
        if undone:
            self._redate(undone)
        falls = {
            live.record.id: (clock_of(live).at, fall)
            for live in lives
            if (fall := clock_of(live).fall(raw, now))
        }
        moves = self._moves_back(falls)
        for live in lives:
            clock = clock_of(live)
            if live.record.id in moves:
                clock.set_right(raw, now, came, moves[live.record.id])
            elif move := clock.reckon(raw, now, came):
                moves[live.record.id] = move
        if moves:
            self._redate(moves)

    def _moves_back(self, falls: Mapping[int, tuple[int, int]]) -> dict[int, Move]:
        """Return the moves of entities whose clocks were ahead until now."""
        if not falls:
            return {}
        try:
            self._flush()
            found = find_ahead(self._store, falls, exact=True)
        except StoreError as error:
            # Their order stays all the same.
            log.warning("readings of a wrong clock keep their dates: %s", error)
            return {}
        return {
            number: clock_of(self._entities[number]).ahead(falls[number][1], gap)._replace(since=since)
            for number, (since, gap) in found.items()
        }


def clock_of(live: LiveEntity) -> EntityClock:
    """Return the clock of an entity."""
    if live.clock is None:
        live.clock = EntityClock(-1)
    return live.clock


def _wrong(how: str) -> str:
    """Return what is wrong with a clock and what to do about it."""
    return (
        f"its clock is {how} ours: its readings are dated by their order and arrival; set its"
        " clock, or let it leave ts out"
    )
