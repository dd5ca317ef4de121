"""Owners, strangers, resends, drops, restarts, counters that begin anew, wild seqs: no honest one is lost."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bus.events import Sent
from bus.health import Journal
from bus.outbox import REFUSED
from bus.topics import Topics, Verb
from statistician.records import StreamRecord
from statistician.streams import FURTHEST, Spot, StreamPlace
from statistician.watermarks import Watermarks
from tests.rounds import rounds

TOPICS = Topics()
OWNERS = ("ble", "box")


@dataclass(frozen=True)
class Measured:
    """A reading that its owner keeps until a watermark passes it; `value` is its own."""

    seq: int
    ts: int
    device: str
    value: int


class Owner:
    """Numbers the readings of its two devices and keeps them; believes no watermark of what it never sent."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.generation = self.seq = self.sent = 0
        self.kept: list[Measured] = []
        self.said = -1

    @property
    def stream(self) -> str:
        """The stream of all it keeps."""
        return f"{self.service}-{self.generation}"

    @property
    def devices(self) -> list[str]:
        """Its two devices."""
        return [f"{self.service}_{n}" for n in (0, 1)]

    def next(self, count: int) -> list[tuple[Spot, Measured]]:
        """The next rows, the first that is kept with `after`."""
        rows = [one for one in self.kept if one.seq > self.sent][:count]
        first = self.kept[0].seq if self.kept else 0
        return [
            (Spot(self.stream, one.seq, one.seq - 1 if one.seq == first else None, one.ts), one)
            for one in rows
        ]

    def hear(self, payload: bytes) -> None:
        """A watermark came: forget what is stored; the same again asks for what follows."""
        if payload == REFUSED:
            self.generation += 1
            self.sent = 0
            return
        mark = int(payload)
        if mark > self.seq:
            return
        self.kept = [one for one in self.kept if one.seq > mark]
        if mark == self.said:
            self.sent = 0
        self.said = mark


class Broker:
    """Retains watermarks; stands for the store, too."""

    def __init__(self) -> None:
        self.said: dict[str, bytes] = {}
        self.disk: dict[str, StreamRecord] = {}
        self.pairs: list[tuple[str, str]] = []

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Sent:
        """Retain a watermark."""
        assert (qos, retain, correlation) == (1, True, None)
        parsed = TOPICS.parse(topic)
        assert parsed.verb is Verb.WATERMARK
        self.said[parsed.name] = payload
        return Sent.YES

    def streams(self) -> Iterable[StreamRecord]:
        """What is on disk of streams."""
        return list(self.disk.values())

    def owners(self) -> list[tuple[str, str]]:
        """What is on disk of devices and their services."""
        return list(self.pairs)

    def remove_streams(self, streams: list[str]) -> None:
        """Forget some."""
        for stream in streams:
            del self.disk[stream]


class _House(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1_800_000_000_000
        self.skew = 0
        self.broker = Broker()
        self.owners = {service: Owner(service) for service in OWNERS}
        self.measured = 0
        self.said_by: dict[int, str] = {}
        self.stored: set[int] = set()
        self.batch: set[int] = set()
        # Whoever forgot them before they were sent: no one can have them.
        self.gone: set[int] = set()
        self.strange: set[int] = set()
        # What has had its place in the stream of the owner that never errs.
        self.counted: set[int] = set()
        self.counting: set[int] = set()
        self.known: set[str] = set()
        self.start()
        for owner in self.owners.values():
            self.described(owner)

    def start(self) -> None:
        """The statistician starts on what it has on disk."""
        self.journal = Journal()
        # The broker stands for the part of a store that is used.
        used = SimpleNamespace(
            bus=self.broker, topics=TOPICS, store=self.broker, entities=None, clock=None, journal=self.journal
        )
        self.marks = Watermarks(used)  # type: ignore[arg-type]  # it has what is used
        self.batch, self.counting = set(), set()
        self.known = {device for device, _ in self.broker.pairs}

    def described(self, owner: Owner) -> None:
        """Its abouts come."""
        for device in owner.devices:
            self.marks.described(device, owner.service)
            self.known.add(device)

    def value(self) -> int:
        """A new value, a second later."""
        self.measured += 1
        self.now += 1000
        return self.measured

    def take(self, device: str, spot: Spot, value: int) -> None:
        """As ingest does: what is no duplicate is stored."""
        place = self.marks.place(device, spot, self.now)
        if place is not StreamPlace.DUPLICATE:
            self.batch.add(value)
        if place is StreamPlace.NEXT and device.startswith("ble") and device in self.known:
            assert value not in self.counted | self.counting, "it counts twice"
            self.counting.add(value)

    @rule(service=st.sampled_from(OWNERS), device=st.integers(0, 1), count=st.integers(1, 5))
    def measure(self, service: str, device: int, count: int) -> None:
        owner = self.owners[service]
        for _ in range(count):
            value = self.value()
            owner.seq += 1
            owner.kept.append(Measured(owner.seq, self.now + self.skew, owner.devices[device], value))

    @rule(service=st.sampled_from(OWNERS), arrive=st.lists(st.booleans(), max_size=8))
    def send(self, service: str, arrive: list[bool]) -> None:
        owner = self.owners[service]
        for (spot, one), arrives in zip(owner.next(len(arrive)), arrive, strict=False):
            owner.sent = one.seq
            if arrives:
                self.take(one.device, spot, one.value)

    @rule()
    def commit(self) -> None:
        self.stored |= self.batch
        self.counted |= self.counting
        self.batch, self.counting = set(), set()
        self.broker.disk |= self.marks.moved()
        self.broker.pairs += self.marks.owners()
        before = dict(self.broker.said)
        self.broker.said = {}
        self.marks.committed(self.now)
        for owner in self.owners.values():
            if owner.stream in self.broker.said:
                owner.hear(self.broker.said[owner.stream])
        self.broker.said = before | self.broker.said

    @rule(service=st.sampled_from(OWNERS))
    def an_owner_connects(self, service: str) -> None:
        owner = self.owners[service]
        owner.sent = 0
        # What is retained may be of an earlier count: the box waits for the next.
        if service == "ble" and owner.stream in self.broker.said:
            owner.hear(self.broker.said[owner.stream])

    @rule()
    def the_statistician_is_killed(self) -> None:
        self.start()
        self.marks.connected(self.now)

    @rule()
    def the_statistician_forgets_all_streams(self) -> None:
        self.broker.disk = {}
        self.broker.pairs = []
        self.start()
        self.counted = set()
        self.described(self.owners["ble"])

    @rule(service=st.sampled_from(OWNERS))
    def abouts_come_again(self, service: str) -> None:
        self.described(self.owners[service])

    @rule(
        service=st.sampled_from(OWNERS),
        count=st.integers(1, 5),
        numbers=st.sampled_from([0, 400_000, 3 * 10**6]),
    )
    def the_oldest_are_dropped(self, service: str, count: int, numbers: int) -> None:
        """And, where `numbers` are given, many more that were measured in a long silence."""
        owner = self.owners[service]
        dropped, owner.kept = owner.kept[:count], owner.kept[count:]
        self.gone |= {one.value for one in dropped}
        if not owner.kept:
            owner.seq += numbers
            self.now += numbers * 100

    @rule(back_ms=st.sampled_from([0, 0, 2 * 3600_000]))
    def the_box_begins_to_count_again(self, back_ms: int) -> None:
        """What it kept is gone with its memory; its clock may be behind.

        Its first reading gets to the disk: till then the watermark of the count before may be said again.
        """
        owner = self.owners["box"]
        self.gone |= {one.value for one in owner.kept}
        owner.kept, owner.seq, owner.sent, owner.said = [], 0, 0, -1
        self.skew = -back_ms
        self.measure("box", 0, 1)
        self.described(owner)
        self.send("box", [True])
        self.commit()

    @rule(
        stream=st.sampled_from(["ble-0", "box-0", "box-1", "node-1"]),
        seq=st.integers(0, 40) | st.integers(0, 2**53 - 1),
        after=st.none() | st.integers(0, 40) | st.integers(0, 2**53 - 1),
        device=st.sampled_from(["copy", "twin"]),
    )
    def a_stranger_speaks(self, stream: str, seq: int, after: int | None, device: str) -> None:
        value = self.value()
        self.strange.add(value)
        assert self.marks.place(device, Spot(stream, seq, after, self.now), self.now) is StreamPlace.NEXT

    @rule(above=st.integers(2 * FURTHEST, 2**50), after=st.sampled_from([None, -1, 0, 7]))
    def the_box_hiccups(self, above: int, after: int | None) -> None:
        """A number far above all that it gave; its other readings are honest."""
        owner = self.owners["box"]
        seq = owner.seq + above
        value = self.value()
        self.strange.add(value)
        spot = Spot(owner.stream, seq, None if after is None else seq + after, self.now + self.skew)
        self.take(owner.devices[0], spot, value)

    @invariant()
    def no_watermark_passes_what_is_not_stored(self) -> None:
        """Of the owner that never errs."""
        owner = self.owners["ble"]
        said = self.broker.said.get(owner.stream, b"0")
        if said not in (b"", REFUSED):
            waiting = {one.value for one in owner.kept if one.seq <= int(said)}
            assert waiting <= self.stored

    def teardown(self) -> None:
        for owner in self.owners.values():
            self.described(owner)
        for _ in range(8):
            for service, owner in self.owners.items():
                owner.sent = 0
                self.send(service, [True] * 1000)
            self.commit()
        for owner in self.owners.values():
            assert owner.kept == [], "it waits for ever"
        honest = set(range(1, self.measured + 1)) - self.strange
        assert honest - self.stored <= self.gone


# On a busy machine the health checks of time fail, and say nothing of the streams.
_House.TestCase.settings = settings(
    max_examples=rounds(100, 300),
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestAnyOrder = _House.TestCase
