"""A change feed in memory and a sink that a test breaks: an output's two ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bus.messages import from_iso
from config.model import Output
from forwarder.cursors import CursorFile
from forwarder.feed import Gap, Page, Params, Refusal
from forwarder.outputs import Place, SendError, Sink
from forwarder.records import Reading, Record
from forwarder.worker import Answer, Note, Sent, Times, Told, Trouble, Worker
from tests.clock import NOON_MS, FakeTime


def reading(second: float, value: float | str | None = 1.0, entity: str = "smartshunt.soc") -> Reading:
    """Make a reading of so many seconds after noon."""
    return Reading(entity, NOON_MS + round(second * 1000), value, "%")


@dataclass
class Feed:
    """All changes; a place in it is the number of those that were read."""

    changes: list[Record | Gap] = field(default_factory=list)
    until: int | None = None
    answer: Answer = None
    silent: bool = False
    # A place of another version is refused.
    version: str = "1"
    asked: list[Params] = field(default_factory=list)

    def ask(self, params: Params) -> Answer:
        """Answer as the statistician does."""
        self.asked.append(params)
        if self.silent or self.answer is not None:
            return self.answer
        if "after" in params:
            version, _, text = str(params["after"]).partition(".")
            if version != self.version:
                return Refusal("invalid", "after: another version of this software has made it")
            at = int(text)
        else:
            start = params.get("start")
            since = len(self.changes) if start is None else from_iso(str(start))
            at = (
                since
                if start is None
                else next((n for n, one in enumerate(self.changes) if _ts(one) >= since), len(self.changes))
            )
        found = self.changes[at : at + int(str(params["limit"]))]
        end = at + len(found)
        if params.get("start"):
            # What held then comes first.
            held = [one for one in self.changes[:at] if isinstance(one, Reading)]
            found = [*{one.entity: one for one in held}.values(), *found]
        return Page(tuple(found), f"{self.version}.{end}", end < len(self.changes), self.until)


def _ts(change: Record | Gap) -> int:
    return change.start if isinstance(change, Gap) else change.ts


@dataclass
class Taken:
    """What a sink took; `error` is raised instead, `most` records are the most at once."""

    records: list[Record] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    error: Exception | None = None
    most: Callable[[Sequence[Record]], Exception | None] = lambda _: None
    batches_until_error: int | None = None
    closed: bool = False

    def send(self, records: Sequence[Record]) -> None:
        """Take records."""
        if len(self.batches) == self.batches_until_error:
            raise SendError("enough")
        if (error := self.error or self.most(records)) is not None:
            raise error
        self.records += records
        self.batches.append(len(records))

    def close(self) -> None:
        """Note the end."""
        self.closed = True

    @property
    def keys(self) -> list[str]:
        """The keys of what it took."""
        return [record.key for record in self.records]


class Bench:
    """A worker on a fake feed, with a clock that a test moves."""

    def __init__(self, folder: Path, settings: Output, sink: Sink | None = None) -> None:
        self.folder, self.settings = folder, settings
        self.time = FakeTime()
        self.feed, self.taken = Feed(), Taken()
        self._sink = sink
        self.told: list[Told] = []
        self.chance = 1.0
        self.worker = self.start()

    def start(self) -> Worker:
        """Start it, as after a kill."""
        place = Place("log", self.settings, self.folder / "card" / "log")
        self.worker = Worker(
            place,
            lambda settle: CursorFile("log", self.folder / "memory", place.state, settle),
            self.feed.ask,
            self.told.append,
            Times(lambda: self.time.monotonic_s, lambda: self.time.wall_ms, lambda: self.chance),
            opens=lambda _: self._sink or self.taken,
        )
        return self.worker

    def run(self, seconds: float) -> None:
        """Let time pass, and the worker do what is due."""
        until = self.time.monotonic_s + seconds
        while True:
            self.worker.step()
            wait = self.worker.wait(self.time.monotonic_s)
            if self.time.monotonic_s + wait > until:
                break
            # A little at least, for a wait may be of less than the clock can tell.
            self.time.pass_(max(wait, 0.001))
        self.time.pass_(until - self.time.monotonic_s)

    @property
    def trouble(self) -> str | None:
        """What it said last of its state."""
        said = (one.text for one in reversed(self.told) if isinstance(one, Trouble) and not one.passing)
        return next(said, None)

    @property
    def notes(self) -> list[str]:
        """What it noted."""
        return [one.text for one in self.told if isinstance(one, Note)]

    @property
    def sent(self) -> int:
        """How many records it said that it has sent."""
        return sum(one.records for one in self.told if isinstance(one, Sent))
