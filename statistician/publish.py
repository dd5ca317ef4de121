"""What the statistician says, retained: the newest aggregates of every device, the energies it derives."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from bus import about as about_message
from bus.about import TOTAL, TOTAL_INCREASING, About, Entity
from bus.events import Publishes
from bus.health import VERSION
from bus.integral import MAX_GAP, MOST_WATTS, Integral
from bus.messages import (
    OFFLINE,
    ONLINE,
    Aggregate,
    Reading,
    Statistics,
    Value,
    Values,
    encode,
    encode_reading,
    scalar,
    to_iso,
)
from bus.topics import Topics
from config.model import INTEGRAL, Device
from statistician.arithmetic import hour_of
from statistician.arithmetic.algorithm import Row
from statistician.arithmetic.live import LiveEntity
from statistician.arithmetic.units import canonical, conversion
from statistician.clock import Move
from statistician.entities import Part, Shared
from statistician.records import EntityRecord, State, StoredRow, Table

PARTS = {Table.FIVE_MINUTES: "5minute", Table.HOUR: "hour"}


class Aggregates(Part):
    """Publishes rows as `statistics` messages; times are ms."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        # What was said last on a topic: the period's start and rev.
        self._said: dict[str, tuple[int, int]] = {}

    def say(self, table: Table, rows: Iterable[StoredRow]) -> None:
        """Publish rows of one period, a message for each device."""
        devices: dict[str, list[StoredRow]] = {}
        for row in rows:
            devices.setdefault(self._entities[row.entity].record.device, []).append(row)
        for device, its in devices.items():
            self._say_device(table, device, its[0].start, its)

    def _say_device(self, table: Table, device: str, start: int, rows: list[StoredRow]) -> None:
        topic = self._topics.statistics(device, PARTS[table])
        # Corrections of one row and of another must both count; so must one that took a row away.
        rev = sum(row.rev for row in rows)
        said_start, said_rev = self._said.get(topic, (None, 0))
        if said_start == start:
            rev = max(rev, said_rev + 1)
        message = Statistics(
            start=to_iso(start),
            end=to_iso(start + table.length),
            rev=rev,
            entities={self._entities[row.entity].record.entity: _rounded(aggregate(row.row)) for row in rows},
        )
        self._said[topic] = (start, rev)
        self._bus.publish(topic, encode(message), retain=True)

    def say_newest(self, open_period: int) -> None:
        """Publish what a restart made the broker forget: the newest period and hour. Raises StoreError."""
        for table, start, device in self._newest(open_period):
            self._say_stored(table, start, device)

    def take_back(self, open_period: int) -> None:
        """Replace what was said of a time that is not yet, by the newest rows or by nothing.

        Raises StoreError.
        """
        for table, start, device in self._newest(open_period):
            if not self._say_stored(table, start, device):
                topic = self._topics.statistics(device, PARTS[table])
                self._said.pop(topic, None)
                self._bus.publish(topic, b"", retain=True)

    def say_corrected(self, changed: Collection[tuple[Table, int, int]], open_period: int) -> None:
        """Publish again what was corrected in the newest period and hour. Raises StoreError."""
        devices = {(t, s, self._entities[number].record.device) for t, s, number in changed}
        for newest in self._newest(open_period):
            if newest in devices:
                self._say_stored(*newest)

    def say_newest_of(self, numbers: Collection[int], open_period: int) -> None:
        """Publish again what a fix may have changed in the newest period and hour. Raises StoreError."""
        for table, start, device in self._newest(open_period, numbers):
            said = self._said.get(self._topics.statistics(device, PARTS[table]))
            # Of rows that are gone clients must hear, too; of what they never heard they need not.
            if not self._say_stored(table, start, device) and said is not None and said[0] == start:
                self._say_device(table, device, start, [])

    def say_renamed(self, devices: Collection[str], open_period: int) -> None:
        """Publish again what devices have now; of one without entities nothing stays. Raises StoreError."""
        for device in sorted(devices):
            numbers = [live.record.id for live in self._entities if live.record.device == device]
            if numbers:
                self.say_newest_of(numbers, open_period)
                continue
            empty(self._bus, self._topics, device)
            for part in PARTS.values():
                self._said.pop(self._topics.statistics(device, part), None)

    def _newest(
        self, open_period: int, numbers: Collection[int] | None = None
    ) -> Iterator[tuple[Table, int, str]]:
        """Yield table and start of the newest period and hour with the devices of entities (None: of all)."""
        lives = self._entities if numbers is None else map(self._entities.__getitem__, numbers)
        devices = sorted({live.record.device for live in lives})
        for table in Table:
            start = (open_period if table is Table.FIVE_MINUTES else hour_of(open_period)) - table.length
            for device in devices:
                yield table, start, device

    def _say_stored(self, table: Table, start: int, device: str) -> bool:
        """Publish a device's rows as they are on disk; False if there are none."""
        its = [live.record.id for live in self._entities.of(device).values()]
        read = self._store.statistics.between
        rows = [row for number in its for row in read(table, number, start, start + 1)]
        if rows:
            self._say_device(table, device, start, rows)
        return bool(rows)


def empty(bus: Publishes, topics: Topics, device: str) -> None:
    """Clear what is retained of a device's aggregates: it would be read as news for ever."""
    for part in PARTS.values():
        bus.publish(topics.statistics(device, part), b"", retain=True)


def aggregate(row: Row) -> Aggregate:
    """Return a row as clients see it."""
    numbers = row._asdict()
    del numbers["mean_weight"]
    numbers["last_reset"] = None if row.last_reset is None else to_iso(row.last_reset)
    return Aggregate(**numbers)


def _rounded(one: Aggregate) -> Aggregate:
    return one if one.coverage is None else replace(one, coverage=round(one.coverage, 6))


ENERGY = "energy"
_POWER = "power"
_WATT = "W"
# mWh: what is kept is exact, what is said is legible.
_DECIMALS = 3


@dataclass(slots=True)
class _Energy:
    device: str
    key: str
    about: About
    integral: Integral
    max_gap: int
    # Its owner's word; None: that of its source, if it counts in that one's direction.
    role: str | None
    opposite: bool
    described: bool = False
    # What clients were told.
    said_ts: int | None = None
    online: bool | None = None


class Derived(Part):
    """Every device of kind `integral` in `devices`; call `resume` once the entities' states are loaded."""

    def __init__(self, shared: Shared, devices: Mapping[str, Device], *, scalars: bool) -> None:
        super().__init__(shared)
        self._scalars = scalars
        self._sources: dict[str, list[_Energy]] = {}
        self._energies: dict[str, _Energy] = {}
        for name, device in devices.items():
            if device.kind == INTEGRAL and device.source is not None:
                source, _, key = device.source.partition(".")
                self._energies[name] = energy = _energy(name, key, device)
                self._sources.setdefault(source, []).append(energy)

    def __contains__(self, device: str) -> bool:
        return device in self._energies

    def source_described(self, device: str, about: About) -> None:
        """Take over the role of a power whose about came."""
        for energy in self._sources.get(device, ()):
            role = _role(energy, about.entities.get(energy.key))
            entity = energy.about.entities[ENERGY]
            if role != entity.role:
                entities = {ENERGY: replace(entity, role=role)}
                energy.about = replace(energy.about, entities=entities)
                self._say_about(energy)

    def _say_about(self, energy: _Energy) -> None:
        self._bus.publish(self._topics.about(energy.device), about_message.encode(energy.about), retain=True)

    def resume(self) -> None:
        """Go on from the newest stored energy and the power in force then; say both. Raises StoreError."""
        for source, energies in self._sources.items():
            for energy in energies:
                self._resume(energy, self._entities.of(source).get(energy.key))
                self._say_about(energy)
        self.committed()

    def _resume(self, energy: _Energy, power: LiveEntity | None) -> None:
        kept = self._kept(energy)
        live = self._entities.of(energy.device).get(ENERGY)
        if kept is not None and live is not None and kept.value is None:
            # An absence ended what was known of it.
            kept = self._store.states.in_force([live.record], kept.ts).get(live.record.id)
        if kept is None or not isinstance(kept.value, float):
            return
        # Not the power's newest state: that may stand behind a gap, and comes again in its order.
        late = self._store.statistics.dirty()
        force = (
            self._store.states.in_force([power.record], kept.ts + 1, late=late) if power is not None else {}
        )
        said = next((state.value for state in force.values()), None)
        energy.integral.resume(kept.value, kept.ts, _watts(said, power))

    def _kept(self, energy: _Energy) -> State | None:
        live = self._entities.of(energy.device).get(ENERGY)
        return None if live is None else live.newest

    def feed(
        self, device: str, values: Values, dated: Mapping[str, int], described: dict[int, EntityRecord]
    ) -> Iterator[tuple[LiveEntity, State]]:
        """Yield the energy states that a reading gives rise to; each reading once, in order of its stream.

        `dated` says when each value counts. Records of entities that changed go into `described`.
        """
        for energy in self._sources.get(device, ()):
            if energy.key not in values:
                continue
            integral, ts = energy.integral, dated[energy.key]
            watts = _watts(values[energy.key], self._entities.find(device, energy.key))
            self._note_power(energy, watts)
            ignored = integral.ignored
            if ts > self._clock.wall() + energy.max_gap and self._clock.quality() != "unset":
                # After one from the future all that follow would look late.
                integral.ignored += 1
            elif integral.feed(ts, watts):
                yield self._state(energy, ts, described)
            self._journal.count("ignored_powers", integral.ignored - ignored)

    def _note_power(self, energy: _Energy, watts: float | None) -> None:
        """Tell of a power that cannot be, until the next that can."""
        subject = f"energy.{energy.device}"
        if watts is not None and abs(watts) > MOST_WATTS:
            self._journal.count("refused_large_powers")
            text = (
                f"{watts:g} W are no power: no energy is counted until the next value;"
                " see what its source sends"
            )
            self._journal.problem(subject, text, self._clock.wall())
        elif watts is not None and subject in self._journal.problems:
            self._journal.solved(subject)

    def _state(
        self, energy: _Energy, ts: int, described: dict[int, EntityRecord]
    ) -> tuple[LiveEntity, State]:
        if not energy.described:
            energy.described = True
            for record in self._entities.describe(energy.device, energy.about, ts):
                described[record.id] = record
        live = self._entities.of(energy.device)[ENERGY]
        live.newest = State(ts, live.record.id, energy.integral.energy, None)
        return live, live.newest

    def pass_over(self, device: str, values: Values) -> None:
        """Count a reading that comes too late for an energy, which needs the order."""
        ignored = sum(energy.key in values for energy in self._sources.get(device, ()))
        self._journal.count("ignored_powers", ignored)

    def moved(self, moves: Mapping[int, Move]) -> None:
        """Go on in the time in which the newest energies are dated now."""
        for energy in self._energies.values():
            live = self._entities.of(energy.device).get(ENERGY)
            move = None if live is None else moves.get(live.record.id)
            ts = energy.integral.ts
            if move is not None and ts is not None and move.since <= ts <= move.until:
                energy.integral.ts = ts + move.by

    def along(self, moves: Mapping[int, Move]) -> dict[int, Move]:
        """Return the moves with those of the energies that come from the entities moved."""
        more = dict(moves)
        for source, energies in self._sources.items():
            for energy in energies:
                power = self._entities.find(source, energy.key)
                live = self._entities.find(energy.device, ENERGY)
                if power is not None and live is not None and power.record.id in moves:
                    more.setdefault(live.record.id, moves[power.record.id])
        return more

    def committed(self) -> None:
        """Say what is on disk now and of the present: what a backlog tells is old."""
        now = self._clock.wall()
        for energy in self._energies.values():
            kept = self._kept(energy)
            if kept is None or now - kept.ts > energy.max_gap:
                continue
            if kept.ts != energy.said_ts and isinstance(kept.value, float):
                energy.said_ts = kept.ts
                self._say(energy.device, kept.ts, round(kept.value, _DECIMALS))
        self.look()

    def _say(self, device: str, ts: int, energy: float) -> None:
        reading = Reading(ts=ts, values={ENERGY: energy}, clock=self._clock.quality())
        self._bus.publish(self._topics.state(device), encode_reading(reading), retain=True)
        if self._scalars:
            mirror = scalar(energy, _DECIMALS)
            self._bus.publish(self._topics.scalar(device, ENERGY), mirror, qos=0, retain=True)

    def look(self) -> None:
        """Say which devices have a source that is heard, where that changed."""
        now = self._clock.wall()
        for energy in self._energies.values():
            online = energy.integral.running_at(now)
            if online is not energy.online:
                energy.online = online
                topic = self._topics.availability(energy.device)
                self._bus.publish(topic, ONLINE if online else OFFLINE, retain=True)


def _energy(name: str, key: str, device: Device) -> _Energy:
    sign = device.sign or "positive"
    max_gap = MAX_GAP if device.max_gap is None else round(device.max_gap * 1000)
    entity = Entity(
        name="Energy",
        unit="Wh",
        device_class="energy",
        # What comes and goes may fall.
        state_class=TOTAL if sign == "both" else TOTAL_INCREASING,
        precision=1,
    )
    about = About(
        name=device.name or name.replace("_", " ").capitalize(),
        service="statistician",
        manufacturer="Boondock",
        model=f"Integral of {device.source}",
        sw_version=VERSION,
        discovery=True,
        entities={ENERGY: entity},
    )
    integral = Integral(max_gap=max_gap, sign=sign)
    return _Energy(name, key, about, integral, max_gap, device.role, opposite=sign == "negative")


def _role(energy: _Energy, source: Entity | None) -> str | None:
    """Return the role of an energy, None if it has none."""
    if energy.role is not None:
        return None if energy.role == "none" else energy.role
    return None if source is None or energy.opposite else source.role


def _watts(value: Value, source: LiveEntity | None) -> float | None:
    """Return the power in W; unknown if it is no number, or in a unit that is no power."""
    if not isinstance(value, float):
        return None
    unit = canonical(source.record.unit) if source is not None else ""
    if unit in ("", _WATT):
        return value
    how = conversion(_POWER, unit, _WATT)
    return None if how is None else how(value)
