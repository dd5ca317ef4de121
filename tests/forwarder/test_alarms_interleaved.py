"""Whatever happens in whatever order: each alarm is told once to who should be, and never too much."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from config.model import Notify
from forwarder.alarms import HOUR_S, Letter
from tests.forwarder.recipient import TITLES, Rig
from tests.rounds import rounds

ALARMS = sorted(TITLES)
DAY_S = 86_400.0

TABLES = st.builds(
    Notify,
    url=st.just("ntfy://x"),
    after=st.sampled_from([0.0, 0.0, 600.0]),
    repeat=st.sampled_from([None, 1800.0]),
    resolve=st.booleans(),
    most_an_hour=st.sampled_from([1, 2, 3, 12]),
    quiet=st.sampled_from([None, "22:00-07:00", "14:00-15:00"]),
    always=st.sampled_from([(), ("low",)]),
)
STEPS = st.one_of(
    st.tuples(st.just("turn"), st.sampled_from(ALARMS)),
    st.tuples(st.just("turn"), st.sampled_from(ALARMS)),
    st.tuples(st.just("acknowledge"), st.sampled_from(ALARMS)),
    st.tuples(st.just("pass"), st.sampled_from([1.0, 5.0, 40.0, 700.0, 4000.0, 30_000.0])),
    st.tuples(st.just("network"), st.booleans()),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("clock"), st.sampled_from([-90_000_000, -3_600_000, -1, 61_000, 500_000_000])),
    st.tuples(st.just("known"), st.booleans()),
    st.tuples(st.just("broker"), st.none()),
)


@dataclass
class Stood:
    """An alarm as it was, from second to second of the true time."""

    begun: float
    ended: float | None = None
    acknowledged: float | None = None


@dataclass
class World:
    """A controller that says how alarms stand, and all that was sent with its true time."""

    rig: Rig
    stood: dict[tuple[str, str], Stood] = field(default_factory=dict)
    words: dict[str, tuple[str, int]] = field(default_factory=dict)
    sent: list[tuple[float, Letter]] = field(default_factory=list)
    used: set[int] = field(default_factory=set)

    def do(self, what: str, how: object) -> None:
        """Do one step."""
        rig = self.rig
        if what == "pass" and isinstance(how, float):
            self.pass_(how)
        elif what in {"turn", "acknowledge"}:
            self.say(str(how), what)
        elif what == "network":
            rig.works = bool(how)
        elif what == "restart":
            rig.restart()
            rig.boot = f"{rig.boot}b" if how else rig.boot
            self.repeat()
        elif what == "clock" and isinstance(how, int):
            rig.wall += how
        elif what == "known":
            rig.right = bool(how)
        else:
            self.repeat()

    def pass_(self, seconds: float) -> None:
        """Let time pass, and note what was sent."""
        step = 1.0 if seconds < 60 else 20.0
        for _ in range(round(seconds / step)):
            self.sent += [(self.rig.now, one) for one in self.rig.pass_(step, step)]

    def say(self, alarm: str, what: str) -> None:
        """Let an alarm begin or end, or be acknowledged."""
        state, since = self.words.get(alarm, ("ok", 0))
        if what == "acknowledge":
            if state != "active":
                return
            state = "acknowledged"
            self.current(alarm).acknowledged = self.rig.now
        else:
            # No two begin or end in one millisecond, not even where the clock was set back.
            since = self.rig.wall
            while since in self.used:
                since += 1
            self.used.add(since)
            if state == "ok":
                state = "active"
            else:
                state = "ok"
                self.current(alarm).ended = self.rig.now
        self.words[alarm] = state, since
        self.rig.say(alarm, state, since=since)
        if state == "active":
            newest = next(one for one in reversed(self.rig.recipient.queue.episodes) if one.alarm == alarm)
            self.stood[alarm, newest.since] = Stood(self.rig.now)

    def current(self, alarm: str) -> Stood:
        """Find what stands of an alarm."""
        return next(one for (name, _), one in self.stood.items() if name == alarm and one.ended is None)

    def repeat(self) -> None:
        """Say again how all alarms stand, as a broker does that has kept it."""
        for alarm, (state, since) in self.words.items():
            self.rig.say(alarm, state, since=since)

    def of(self, key: tuple[str, str]) -> list[tuple[float, bool]]:
        """List when an episode was told, and whether its end was."""
        return [(at, one.tells[key]) for at, one in self.sent if key in one.tells]


@settings(max_examples=rounds(60, 1000), deadline=None)
@given(table=TABLES, steps=st.lists(STEPS, max_size=30))
def test_each_alarm_is_told_once_to_who_should_be(table: Notify, steps: list[tuple[str, object]]) -> None:
    world = World(Rig(table))
    for what, how in steps:
        world.do(what, how)
    world.rig.works = True
    for alarm, (state, _) in list(world.words.items()):
        if state != "ok":
            world.say(alarm, "turn")
    world.pass_(2 * DAY_S)
    check_limits(world, table)
    for key, stood in world.stood.items():
        check_one(world.of(key), stood, table)
    assert world.rig.recipient.queue.episodes == []


def check_limits(world: World, table: Notify) -> None:
    """Never more than an hour takes; an end alone only after its begin."""
    times = [at for at, _ in world.sent]
    for place, at in enumerate(times):
        assert sum(at <= one < at + HOUR_S for one in times[place:]) <= table.most_an_hour
    told: set[tuple[str, str]] = set()
    for _, letter in world.sent:
        if letter.mood == "success":
            assert set(letter.tells) <= told
        told |= set(letter.tells)


def check_one(found: list[tuple[float, bool]], stood: Stood, table: Notify) -> None:
    """Once its begin, once its end, and between them only what `repeat` asks for."""
    ended = stood.ended if stood.ended is not None else float("inf")
    acknowledged = stood.acknowledged if stood.acknowledged is not None else float("inf")
    if table.after and min(ended, acknowledged) < stood.begun + table.after:
        assert found == []
        return
    if table.after == 0 or acknowledged == float("inf"):
        assert found
    ends = [at for at, tells_end in found if tells_end]
    begins = [at for at, tells_end in found if not tells_end]
    assert len(ends) <= 1
    if begins:
        assert len(ends) == (1 if table.resolve else 0)
        until = min(ended, acknowledged, begins[-1])
        again = 0.0 if table.repeat is None else max(0.0, until - begins[0]) / table.repeat
        assert len(begins) - 1 <= again
    assert begins == [] or ends == [] or begins[-1] < ends[0]
    assert all(at <= min(ended, acknowledged) for at in begins[1:])
