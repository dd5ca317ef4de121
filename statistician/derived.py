"""The devices that the statistician derives: energy of a power entity, kept with the states it comes from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bus import about as about_message
from bus.about import TOTAL, TOTAL_INCREASING, About, Entity
from bus.clock import Clock
from bus.events import Publishes
from bus.health import Journal
from bus.messages import OFFLINE, ONLINE, Reading, Value, Values, encode_reading, scalar
from bus.topics import Topics
from config.model import INTEGRAL, Device
from statistician.arithmetic.algorithm import MOST_WATTS, Integral
from statistician.arithmetic.live import Entities, LiveEntity
from statistician.arithmetic.units import canonical, conversion
from statistician.clock.entity_clock import Move
from statistician.records import EntityRecord, State
from statistician.store import Store

ENERGY = "energy"
_POWER = "power"
_WATT = "W"
_MAX_GAP_S = 300.0
# mWh: what is kept is exact, what is said is legible.
_DECIMALS = 3


@dataclass(slots=True)
class _Energy:
    device: str
    key: str
    about: About
    integral: Integral
    max_gap: int
    described: bool = False
    # What clients were told.
    said_ts: int | None = None
    online: bool | None = None


class Derived:
    """Every device of kind `integral` in `devices`; call `resume` once the entities' states are loaded."""

    def __init__(
        self,
        bus: Publishes,
        topics: Topics,
        entities: Entities,
        devices: Mapping[str, Device],
        *,
        clock: Clock,
        journal: Journal,
        scalars: bool = True,
    ) -> None:
        self._bus = bus
        self._topics = topics
        self._entities = entities
        self._clock = clock
        self._journal = journal
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

    def resume(self, store: Store) -> None:
        """Go on from the newest stored energy and the power in force then; say both. Raises StoreError."""
        for source, energies in self._sources.items():
            for energy in energies:
                self._resume(energy, self._entities.of(source).get(energy.key), store)
                topic = self._topics.about(energy.device)
                self._bus.publish(topic, about_message.encode(energy.about), retain=True)
        self.committed()

    def _resume(self, energy: _Energy, power: LiveEntity | None, store: Store) -> None:
        kept = self._kept(energy)
        live = self._entities.of(energy.device).get(ENERGY)
        if kept is not None and live is not None and kept.value is None:
            # An absence ended what was known of it.
            kept = store.states.in_force([live.record], kept.ts).get(live.record.id)
        if kept is None or not isinstance(kept.value, float):
            return
        # Not the power's newest state: that may stand behind a gap, and comes again in its order.
        late = store.statistics.dirty()
        force = store.states.in_force([power.record], kept.ts + 1, late=late) if power is not None else {}
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
            self._journal.count("energy_ignored", integral.ignored - ignored)

    def _note_power(self, energy: _Energy, watts: float | None) -> None:
        """Tell of a power that cannot be, until the next that can."""
        subject = f"energy.{energy.device}"
        if watts is not None and abs(watts) > MOST_WATTS:
            self._journal.count("powers_too_large")
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
        self._journal.count("energy_ignored", ignored)

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
    max_gap = round((_MAX_GAP_S if device.max_gap is None else device.max_gap) * 1000)
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
        discovery=True,
        entities={ENERGY: entity},
    )
    return _Energy(name, key, about, Integral(max_gap=max_gap, sign=sign), max_gap)


def _watts(value: Value, source: LiveEntity | None) -> float | None:
    """Return the power in W; unknown if it is no number, or in a unit that is no power."""
    if not isinstance(value, float):
        return None
    unit = canonical(source.record.unit) if source is not None else ""
    if unit in ("", _WATT):
        return value
    how = conversion(_POWER, unit, _WATT)
    return None if how is None else how(value)
