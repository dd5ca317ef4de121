"""One output at work: reads the feed, sends in batches, keeps its place, waits longer after each failure.

Nothing here knows the broker: `ask` brings an answer or None, `tell` takes what people should know. A step is
made by the output's own thread; time and chance come from outside.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, runtime_checkable

import msgspec
from msgspec import structs

from bus.health import fault_in
from bus.messages import to_iso
from bus.schedule import Cron, Every, Timer, cron_trigger, instants
from forwarder.cursors import Cursor, CursorFile
from forwarder.feed import MOST, Gap, Page, Params, Refusal, params_of, wanted
from forwarder.outputs import Place, RefusedError, SendError, Sink, TooLargeError, open_sink
from forwarder.records import Record
from forwarder.samples import Sampler
from forwarder.shapes import HEMS

log = logging.getLogger(__name__)

# At most so often the feed is asked when something is new, and at least, seconds.
EVERY_S, SELDOM_S = 5.0, 60.0
# The longest pause between two tries, and after a refusal that a person must mend, seconds.
LONGEST_S = 900.0
# So many failures in a row are told to nobody: the next try may be good.
_PASSING = 2
# After no answer, and after one that the statistician refuses, seconds.
_UNANSWERED_S, _REFUSED_S = 5.0, 60.0
# So far a sample is ahead of the readings at most, ms: a new output begins with the present.
_AHEAD_MS = 3_600_000
# After so many batches that were taken, twice as many records are tried again.
_GROW_AFTER = 50


@dataclass(frozen=True, slots=True)
class Trouble:
    """An output cannot send, and why; None: it can again. `passing`: people need not know of it yet."""

    output: str
    text: str | None
    fault: Exception | None = None
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """Something that people should know of an output, by subject; it is over, and counted."""

    output: str
    subject: str
    text: str
    counter: str


@dataclass(frozen=True, slots=True)
class Sent:
    """How many records an output has sent, and the newest time of them, ms."""

    output: str
    records: int
    ts: int


Told = Trouble | Note | Sent
Answer = Page | Refusal | None


@runtime_checkable
class Settles(Protocol):
    """A sink that puts what it took on disk at certain moments."""

    def settle(self) -> None:
        """Put on disk what was taken: its place will be, too. Raises SendError."""

    def idle(self) -> None:
        """Do what can wait until there is nothing more to send. Raises SendError."""


@dataclass(frozen=True, slots=True)
class Times:
    """Where time and chance come from: monotonic seconds, ms since 1970, 0 to 1."""

    monotonic: Callable[[], float]
    wall: Callable[[], int]
    chance: Callable[[], float]


def pause(failures: int, chance: float, asked: float | None = None) -> float:
    """Return the seconds until the next try: by chance up to 1, 2, 4 … 900; at least what the other asked."""
    longest = min(LONGEST_S, 2.0 ** min(failures - 1, 16))
    return max(longest * chance, min(asked or 0.0, LONGEST_S))


class Worker:
    """Sends the feed of one output, from its cursor on. Call `step` when `wait` is over."""

    def __init__(
        self,
        place: Place,
        cursor: Callable[[Callable[[], None]], CursorFile],
        ask: Callable[[Params], Answer],
        tell: Callable[[Told], None],
        times: Times,
        *,
        opens: Callable[[Place], Sink] = open_sink,
    ) -> None:
        self._place, self._settings, self._name = place, place.settings, place.name
        self._ask, self._tell, self._times = ask, tell, times
        self._opens = opens
        self._sink: Sink | None = None
        self.cursor = cursor(self._settle)
        self._timer, self._sampler = self._plan()
        self._size = self._settings.batch
        self._taken = 0
        self._news = self._more = self._due = self._unanswered = False
        self._asked = self._paused = self._rest = float("-inf")
        self._failures = 0
        self._since = 0
        self._begin()

    def _plan(self) -> tuple[Timer | None, Sampler | None]:
        settings = self._settings
        if "samples" in settings.records:
            following = instants(settings.interval, settings.cron)
            return None, Sampler(following, settings.columns, resets=settings.template == HEMS)
        if settings.cron is not None:
            return Cron(cron_trigger(settings.cron), 0.0, self._times.chance), None
        if settings.interval is not None:
            return Every(settings.interval, 0.0, self._times.chance), None
        return None, None

    def _begin(self) -> None:
        """Take up the cursor, or make one."""
        where = self.cursor.now
        if where is None and self._settings.start == "all":
            where = Cursor(start=0)
        elif where is None and self._sampler is not None:
            now = self._times.wall()
            where = Cursor(start=now, sampled=now)
        if self.cursor.damaged:
            text = "where it was cannot be read: it begins again with all that is kept; keys are the same"
            self._tell(Note(self._name, "cursor", text, "lost_cursors"))
        self._where = where or Cursor()
        self._restore()

    def _restore(self) -> None:
        """Set the samples back to where the cursor is."""
        if self._sampler is not None:
            self._sampler.known = dict(self._where.known)
            self._sampler.sampled, self._sampler.gap_end = self._where.sampled, self._where.gap_end

    def news(self) -> None:
        """Note that there is something new in the feed, or that the statistician is there again."""
        self._news = True
        if self._unanswered:
            self._unanswered, self._paused = False, float("-inf")

    def wait(self, now: float) -> float:
        """Return the seconds until `step` has something to do."""
        if now < self._paused:
            return self._paused - now
        if self._more:
            return max(0.0, self._rest - now)
        since, wall = now - self._asked, self._times.wall()
        if self._sampler is not None:
            if since > LONGEST_S:
                # At the start, and whatever a clock that was set makes of the next sample.
                return 0.0
            at = self._sampler.next_at(wall)
            return max(0.0, EVERY_S - since, LONGEST_S if at is None else (at - wall) / 1000)
        if self._timer is not None:
            self._due = self._due or self._timer.due(now, wall)
            return 0.0 if self._due else self._timer.wait(now, wall)
        return max(0.0, (EVERY_S if self._news else SELDOM_S) - since)

    def step(self) -> None:
        """Do what is due: at most one page of the feed. Nothing that goes wrong leaves it."""
        now = self._times.monotonic()
        if self.wait(now) > 0:
            return
        try:
            fault = fault_in(lambda: self._turn(now), SendError)
        except SendError as error:
            self._failed(error)
            return
        if fault is not None:
            self._failed(fault)

    def close(self) -> None:
        """Keep the place on the card, and let go of the sink."""
        try:
            self.cursor.close()
        except SendError as error:
            log.warning("%s: the last of it is sent again after the next start: %s", self._name, error)
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _settle(self) -> None:
        if isinstance(self._sink, Settles):
            self._sink.settle()

    def _turn(self, now: float) -> None:
        if self._sink is None:
            self._sink = self._opens(self._place)
        self._asked, self._news = now, False
        answer = self._ask(self._params())
        done = self._times.monotonic()
        if answer is None:
            self._paused, self._more = done + _UNANSWERED_S, True
            self._unanswered = True
            return
        self._unanswered = False
        if isinstance(answer, Refusal):
            self._refused(answer)
            return
        self._deliver(self._sink, answer)
        # Others ask, too: the statistician has at least as much time for them.
        self._more, self._rest = answer.more, done + (done - now)
        if not answer.more:
            self._due = False
            self.cursor.settle(done)
            if isinstance(self._sink, Settles):
                self._sink.idle()
        self._well()

    def _params(self) -> Params:
        params = params_of(self._settings, self._size if self._sampler is None else MOST)
        if self._where.after is not None:
            return params | {"after": self._where.after}
        return params if self._where.start is None else params | {"start": to_iso(self._where.start)}

    def _deliver(self, sink: Sink, page: Page) -> None:
        """Send what a page holds, and keep the place behind it."""
        changes = wanted(page, self._settings)
        for change in changes:
            if isinstance(change, Gap):
                self._tell_gap(change)
        there = structs.replace(self._where, after=page.after, start=None)
        if self._sampler is None:
            records = [change for change in changes if not isinstance(change, Gap)]
            for at in range(0, len(records), self._size):
                self._send(sink, records[at : at + self._size])
            newest = max((record.ts for record in records), default=None)
            self._move(structs.replace(there, ts=_newer(self._where.ts, newest)), sent=bool(records))
            return
        self._restore()
        if page.until is not None and (self._sampler.sampled or 0) - page.until > _AHEAD_MS:
            # The clock had been ahead when that one was taken.
            self._sampler.sampled = page.until
        samples = self._sampler.take(changes, None if page.more else page.until)
        while batch := list(islice(samples, self._size)):
            self._send(sink, batch)
            # Made from this place again, they begin behind these.
            self._move(structs.replace(self._where, sampled=self._sampler.sampled, ts=batch[-1].ts))
        there = structs.replace(
            there,
            ts=self._where.ts,
            sampled=self._sampler.sampled,
            known=dict(self._sampler.known),
            gap_end=self._sampler.gap_end,
        )
        self._move(there, sent=False)

    def _move(self, where: Cursor, *, sent: bool = True) -> None:
        if where == self._where:
            return
        self._where = where
        try:
            self._where = self.cursor.move(where, self._times.monotonic(), sent=sent)
        except OSError as error:
            raise SendError(f"where it is cannot be kept: {error}; look at the folder `runtime`") from error

    def _send(self, sink: Sink, records: Sequence[Record]) -> None:
        try:
            sink.send(records)
        except TooLargeError as error:
            if len(records) > 1:
                self._size, self._taken = max(1, len(records) // 2), 0
                log.info("%s: %s; at most %d records from now on", self._name, error, self._size)
                raise
            self._set_aside(records[0], error)
        else:
            self._tell(Sent(self._name, len(records), max(record.ts for record in records)))
            self._taken += 1
            if self._taken >= _GROW_AFTER:
                self._size, self._taken = min(self._settings.batch, self._size * 2), 0

    def _set_aside(self, record: Record, error: SendError) -> None:
        """Keep a record that is too large for the other side, and go on. Raises SendError."""
        path = self._place.state / "too_large.jsonl"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(msgspec.json.encode(record.body()) + b"\n")
        except OSError as failed:
            raise SendError(f"{path} cannot be written: {failed.strerror or failed}") from failed
        text = f"{record.key} is too large for it and stands in {path}: {error}"
        self._tell(Note(self._name, "too_large", text, "set_aside_records"))

    def _tell_gap(self, gap: Gap) -> None:
        what = {"reading": "readings", "5minute": "5-minute rows"}.get(gap.what, "rows")
        text = f"{what} of {gap} are not kept any more and were not sent"
        if gap.what != "hour":
            text += "; the hourly rows of that time were"
        self._tell(Note(self._name, "gap", text, "feed_gaps"))

    def _refused(self, refusal: Refusal) -> None:
        """Begin anew where the statistician finds the cursor wrong, else wait."""
        if refusal.text.startswith("after") and self._where.after is not None:
            newest = self._where.sampled if self._sampler is not None else self._where.ts
            start = newest or 0
            self._move(structs.replace(self._where, after=None, start=start, known={}, gap_end=None))
            text = f"its place is not valid any more ({refusal.text}): it goes on from {to_iso(start)}"
            self._tell(Note(self._name, "cursor", text, "lost_cursors"))
            self._more = True
            return
        self._paused, self._more = self._times.monotonic() + _REFUSED_S, True
        self._say(f"the statistician refuses to answer: {refusal.text}; tried again each minute")

    def _failed(self, error: Exception) -> None:
        # The page is asked for again: its records come with the same keys.
        self._more = True
        self._rest = float("-inf")
        if isinstance(error, TooLargeError):
            return
        self._failures += 1
        asked = error.after if isinstance(error, SendError) else None
        seconds = pause(self._failures, self._times.chance(), asked)
        text = str(error)
        if isinstance(error, RefusedError):
            seconds = LONGEST_S
            text += "; tried again every 15 minutes, and at once after a restart"
        elif not isinstance(error, SendError):
            text = f"an error of this software, please report it: {error!r}"[:300]
        self._paused = self._times.monotonic() + seconds
        plain = isinstance(error, SendError) and not isinstance(error, RefusedError)
        passing = plain and self._failures <= _PASSING
        self._say(text, None if isinstance(error, SendError) else error, passing=passing)

    def _say(self, text: str, fault: Exception | None = None, *, passing: bool = False) -> None:
        self._since = self._since or self._times.wall()
        self._tell(Trouble(self._name, f"{text} (since {to_iso(self._since)})", fault, passing))

    def _well(self) -> None:
        self._failures = 0
        if self.cursor.problem is not None:
            self._say(self.cursor.problem)
        elif self._since:
            self._since = 0
            self._tell(Trouble(self._name, None))


def _newer(one: int | None, other: int | None) -> int | None:
    return max((ts for ts in (one, other) if ts is not None), default=None)
