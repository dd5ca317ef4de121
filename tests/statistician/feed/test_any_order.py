"""Whatever happens in whatever order, a reader that pages when it likes ends with what the database holds."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.commands import Refused
from config.model import Statistician as Settings
from statistician.api import changes as verb
from statistician.arithmetic import DAY, HOUR, MINUTES_5, hour_of, period_of
from statistician.fixes import params as asks
from statistician.store import changes as feed
from statistician.upkeep import Purge
from tests.rounds import rounds
from tests.statistician.feed.reader import Reader, stored
from tests.statistician.rig import MINUTE, SECOND, AskingRig

NAMES = ("van.volt", "van.total", "box.level", "box.mode", "bus.volt")
FILTERS: tuple[dict[str, list[str]], ...] = (
    {},
    {"entities": ["*.volt"]},
    {"devices": ["van"], "kinds": ["reading", "5minute"]},
    {"entities": ["box.*", "van.total"], "kinds": ["hour"]},
)


class House:
    """A statistician, its readers, and all that can happen to them."""

    def __init__(self, path: Path) -> None:
        self.rig = AskingRig(path, settings=Settings(keep_days=2, keep_days_at_least=1))
        self.rig.own("box", "ble")
        self.rig.about("van", volt="measurement", total="total_increasing")
        self.rig.about("box", level="measurement", mode=None)
        self.readers = [Reader(dict(one)) for one in FILTERS]
        self.seq = count(1)
        self.fixes: list[int] = []
        # What is older may have been purged.
        self.cut = 0

    def read_in_order(self, minutes: int, value: int) -> None:
        """A while with a reading of each device a minute."""
        for _ in range(minutes):
            self.rig.now += MINUTE
            self.rig.reading("van", {"volt": float(value % 7), "total": self.rig.now / HOUR + value})
            self.number(value, {"level": float(value % 5), "mode": str(value % 3)})
            self.rig.settle()

    def number(self, value: int, values: dict[str, float | str]) -> None:
        """A reading in a stream; some are missing at first."""
        seq = next(self.seq)
        if value % 4 == 0:
            seq = next(self.seq)
        self.rig.reading("box", values, stream="ble-1", seq=seq, after=0)

    def read_late(self, minutes: int, value: int) -> None:
        """A reading that comes late."""
        ts = self.rig.now - minutes * MINUTE - value
        self.rig.reading("van", {"volt": float(value)}, ts=ts, late=True)

    def repeat(self, minutes: int, _value: int) -> None:
        """The same values for a while."""
        for _ in range(minutes):
            self.rig.now += MINUTE
            self.rig.reading("van", {"volt": 3.0})
            self.rig.settle()

    def pass_time(self, minutes: int, _value: int) -> None:
        """Nothing for a while."""
        self.rig.run_until(self.rig.now + minutes * MINUTE)

    def pass_hours(self, minutes: int, _value: int) -> None:
        """The process was off for hours."""
        self.rig.close()
        self.rig.now += minutes * HOUR
        self.start()

    def start(self) -> None:
        """Begin the process again."""
        for reader in self.readers:
            reader.forget_page()
        self.rig.start()

    def restart(self, _minutes: int, value: int) -> None:
        """The process ends, well or not; sometimes with the machine."""
        if value % 3 == 0:
            self.rig.boot += "x"
        if value % 2:
            self.rig.close()
        else:
            self.rig.store.close()
        self.start()

    def step_clock(self, minutes: int, value: int) -> None:
        """The clock is set, forward or back."""
        by = minutes * MINUTE // (10 if value % 3 else 1)
        self.rig.set_clock(self.rig.now + (by if value % 2 else -by))
        self.rig.settle()

    def doubt_clock(self, minutes: int, value: int) -> None:
        """The clock is not synchronised for a while, and then it is another one."""
        self.rig.quality = "estimated"
        self.read_in_order(1 + minutes % 5, value)
        self.rig.quality = "ok"
        self.rig.set_clock(self.rig.now + (value - 8) * 37 * SECOND)
        self.rig.settle()

    def purge(self, _minutes: int, _value: int) -> None:
        """The purge of the night."""
        self.rig.service.handle(Purge())
        self.rig.settle()
        before = self.rig.store.engine.fact("purge")
        if before is not None:
            self.cut = max(self.cut, hour_of(int(before.split()[0]) - 2 * DAY))

    def fix(self, minutes: int, value: int) -> None:
        """What a user puts right."""
        start = self.rig.now - minutes * MINUTE
        name, other = NAMES[value % 5], NAMES[(value + 1 + minutes % 4) % 5]
        hour = hour_of(start) - HOUR
        rows = tuple(
            asks.ImportedRow(start=hour + n * HOUR, mean=1.0 * value, sum=float(n)) for n in range(2)
        )
        every: tuple[asks.FixParams, ...] = (
            asks.DeleteStates(entity=name, start=start, end=start + 20 * MINUTE),
            asks.AdjustSum(entity="van.total", start=start, adjustment=float(value)),
            asks.EntityRename(entity=name, to=other),
            asks.DeviceRename(device="van", to="bus" if value % 2 else "box"),
            asks.ImportStatistics(entity=name, rows=rows[: 1 + value % 2], state_class="measurement"),
            asks.Clear(entities=(name,)),
            asks.Recompile(start=start),
            asks.DeviceReplaced(device="van", at=start),
            asks.EntityRename(entity=other, to="van.new"),
        )
        self.make(every[(minutes + value) % len(every)])

    def undo(self, _minutes: int, _value: int) -> None:
        """The newest fix is taken back."""
        if self.fixes:
            self.make(asks.UndoFix(id=self.fixes.pop()))

    def make(self, asked: asks.FixParams) -> None:
        """Make a fix, if it is allowed."""
        try:
            done = self.rig.fix(asked)
        except Refused:
            return
        if done.id is not None and done.undone is None:
            self.fixes.append(done.id)

    def page(self, minutes: int, value: int) -> None:
        """A reader asks for a page."""
        reader = self.readers[minutes % len(self.readers)]
        if reader.go_on():
            reader.read(self.rig, limit=1 + value * 3)

    def page_slowly(self, minutes: int, value: int) -> None:
        """A page is begun, or goes on, while other things happen."""
        reader = self.readers[minutes % len(self.readers)]
        if reader.go_on(1 + value):
            reader.begin(self.rig, limit=1 + value * 3)
            reader.go_on(1 + value % 4)

    def end(self) -> None:
        """All that has come is on disk and corrected, and all readers have read it."""
        self.rig.quality = "ok"
        self.rig.run_until(self.rig.now + 40 * MINUTE)
        self.rig.reading("end", {"x": 1.0})
        self.rig.commit()
        self.rig.run_until(period_of(self.rig.now) + MINUTES_5 + 20 * SECOND)
        for reader in self.readers:
            reader.go_on()
            reader.read_all(self.rig)


DEEDS = (
    *("read_in_order", "read_in_order", "read_late", "repeat", "pass_time", "pass_hours", "restart"),
    *("step_clock", "doubt_clock", "purge", "fix", "fix", "undo", "page", "page", "page_slowly"),
)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Let pieces, pages and the table of what was changed be small."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (feed, verb):
            patch.setattr(module, "LOOK", 5)
        patch.setattr(verb, "_MOST_LOOKED_AT", 25)
        patch.setattr(feed, "_MOST", 12)
        yield


@settings(
    max_examples=rounds(12, 100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    st.lists(
        st.tuples(st.sampled_from(DEEDS), st.integers(0, 40), st.integers(0, 16)), min_size=5, max_size=40
    )
)
def test_a_reader_ends_with_what_the_database_holds(deeds: list[tuple[str, int, int]]) -> None:
    with TemporaryDirectory() as folder:
        house = House(Path(folder, "s.db"))
        for name, minutes, value in deeds:
            getattr(house, name)(minutes, value)
        house.end()
        holds = stored(house.rig)
        before = {str(what): one.before for what, one in house.rig.store.changes.horizons().items()}
        for reader in house.readers:
            wanted = {k: v for k, v in holds.items() if reader.wants(k[0], k[1])}
            settled = {k: v for k, v in wanted.items() if k[2] < before[k[0]] and kept(k, house.cut)}
            has = {k: v for k, v in reader.held.items() if kept(k, house.cut)}
            assert {k: v for k, v in has.items() if k[2] < before[k[0]]} == settled
            # What is ahead of that comes in its turn; nobody has what is not there.
            assert has.items() <= wanted.items()
        house.rig.close()


def kept(key: tuple[str, str, int], cut: int) -> bool:
    return key[0] == "hour" or key[2] >= cut
