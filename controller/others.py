"""What others say: states, who owns which device, answers that are missing, and whether the broker lives.

Pure: time is an argument, monotonic seconds. An owner that is there answers itself, and is never
contradicted; what it leaves open is answered by the controller.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from bus.about import of_house
from bus.commands import Code, Refused, no_output
from bus.messages import Reading, Value


@dataclass(frozen=True, slots=True)
class Heard:
    """A value and when it was measured, monotonic seconds; None is a device that says unknown."""

    value: Value
    at: float


@dataclass(frozen=True, slots=True)
class _Newest:
    at: float
    stream: str | None
    seq: int | None
    # Its own time, ms, if it can be believed.
    ts: int | None


class States:
    """The newest values of some devices. A reading that was kept or repeated never passes for a new one."""

    def __init__(self, devices: Iterable[str]) -> None:
        self.devices = frozenset(devices)
        self._heard: dict[tuple[str, str], Heard] = {}
        self._newest: dict[str, _Newest] = {}

    def take(self, device: str, reading: Reading, *, kept: bool, now: float, wall_ms: int | None) -> bool:
        """Take a reading, which the broker had `kept` or is live; False if it says nothing new.

        `wall_ms` is None while our clock is not right: then, and without a right time in it, arrival counts.
        """
        if reading.late:
            # History is no present value.
            return False
        dated = reading.ts is not None and reading.clock == "ok" and wall_ms is not None
        if reading.ts is None and kept:
            # Perhaps for a year, and nothing in it tells.
            return False
        at = now
        if dated and reading.ts is not None and wall_ms is not None:
            at = now - max(0, wall_ms - reading.ts) / 1000
        ts = reading.ts if dated else None
        if self._is_old(device, reading, at, ts):
            return False
        self._newest[device] = _Newest(at, reading.stream, reading.seq, ts)
        for entity, value in reading.values.items():
            self._heard[device, entity] = Heard(value, at)
        return True

    def _is_old(self, device: str, reading: Reading, at: float, ts: int | None) -> bool:
        newest = self._newest.get(device)
        if newest is None:
            return False
        if reading.stream == newest.stream and reading.seq is not None and newest.seq is not None:
            # What is sent again has its old time: with a later one the counter began again, or had leapt.
            later = ts is not None and newest.ts is not None and ts > newest.ts
            return reading.seq <= newest.seq and not later
        return at < newest.at

    def get(self, device: str, entity: str) -> Heard | None:
        """Return what was heard of an entity; None if nothing yet."""
        return self._heard.get((device, entity))

    def last(self, device: str, entity: str | None = None) -> float:
        """Return when a device, or one of its entities, was last heard of; minus infinity if never."""
        if entity is None:
            newest = self._newest.get(device)
            return float("-inf") if newest is None else newest.at
        heard = self.get(device, entity)
        return float("-inf") if heard is None or heard.value is None else heard.at

    def find(self, source: str) -> Heard | None:
        """Return the same by `device.entity`."""
        device, _, entity = source.partition(".")
        return self.get(device, entity)


# A service that is restarted is back within this, seconds; a retained word of an earlier life is replaced.
GRACE_S = 10.0
# Looked at once a second: after a longer pause the controller itself stood still, and words of others wait.
_PAUSE_S = 3.0
# Whoever may describe devices must not fill the memory, nor take the room of the house: each has so many.
MOST_DEVICES = 1000
MOST_OUTPUTS = 4096


class Services:
    """The owner of each device but those in `mine`, and since when an owner is offline.

    Call `due` once a second, and `told` with each device that was said to be offline.
    """

    def __init__(self, mine: frozenset[str]) -> None:
        self._mine = mine
        self._owners: dict[str, str] = {}
        # What takes commands at each device; of strangers where nothing does nothing is kept.
        # None where they are too many to be kept: then the owner alone knows.
        self._outputs: dict[str, tuple[str, ...] | None] = {}
        self._away: set[str] = set()
        self._offline: dict[str, float] = {}
        self._told: set[str] = set()
        self._looked = float("-inf")

    def describe(self, device: str, service: str | None, outputs: Iterable[str] = ()) -> bool:
        """Note who owns a device, None: a stranger that is no service, and which entities take commands.

        False if not all of it is kept: there are too many devices or outputs of the house, or of strangers.
        """
        if device in self._mine:
            return True
        outputs = tuple(outputs)
        if service is None and not outputs:
            self.remove(device)
            return True
        like = [
            d for d in self._outputs if d != device and of_house(self._owners.get(d)) is of_house(service)
        ]
        if device not in self._outputs and len(like) >= MOST_DEVICES:
            return False
        if self._owners.get(device) != service:
            self._told.discard(device)
        kept = sum(len(self._outputs[one] or ()) for one in like) + len(outputs) <= MOST_OUTPUTS
        self._outputs[device] = outputs if kept else None
        if service is None:
            self._owners.pop(device, None)
        else:
            self._owners[device] = service
        return kept

    def remove(self, device: str) -> None:
        """Forget a device whose about was emptied."""
        self._outputs.pop(device, None)
        self._owners.pop(device, None)
        self._told.discard(device)
        self._away.discard(device)

    def available(self, device: str, *, online: bool) -> None:
        """Note what was said of a device's availability."""
        if online or device not in self._outputs:
            self._away.discard(device)
        else:
            self._away.add(device)

    def refusal(self, device: str, entity: str) -> Refused | None:
        """Return why nobody obeys a command for an entity; None if its owner is there and answers."""
        if device not in self._outputs:
            able = ", ".join([d for d, its in self._outputs.items() if its != ()][:20]) or "none"
            return Refused(
                Code.NOT_FOUND, f"there is no device {device} that takes commands; there are: {able}"
            )
        service = self._owners.get(device)
        if service in self._offline:
            return Refused(
                Code.OFFLINE, f"{service}, which owns {device}, does not run: start it and send again"
            )
        outputs = self._outputs[device]
        if outputs is not None and entity not in outputs:
            return no_output(device, entity, outputs)
        if service is None and device in self._away:
            return Refused(Code.OFFLINE, f"{device} says that it is offline: send again when it is back")
        return None

    def hear(self, service: str, now: float, *, online: bool) -> None:
        """Note whether a service is online, as it or its last will said."""
        if online:
            self._offline.pop(service, None)
            self._told = {device for device in self._told if self._owners.get(device) != service}
        elif len(self._offline) < MOST_DEVICES:
            self._offline.setdefault(service, now)

    def forget(self) -> None:
        """Forget everything: a broker that is back says all of it again."""
        self._owners.clear()
        self._outputs.clear()
        self._away.clear()
        self._offline.clear()
        self._told.clear()

    def due(self, now: float) -> dict[str, str]:
        """Return the devices that are offline with their service and of which nobody said so yet."""
        if now - self._looked > _PAUSE_S:
            self._offline = dict.fromkeys(self._offline, now)
        self._looked = now
        gone = {service for service, since in self._offline.items() if now - since >= GRACE_S}
        return {d: service for d, service in self._owners.items() if service in gone and d not in self._told}

    def told(self, device: str) -> None:
        """Note that a device was said to be offline."""
        self._told.add(device)


# An owner nobody knows of may still answer; one that is known has as long as a slow line may take.
UNANSWERED_S = 1.0
LONGEST_S = 60.0
MOST = 64

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Open(Generic[T]):
    device: str
    entity: str
    id: str | None
    since: float
    order: T


class PendingCommands(Generic[T]):
    """Keeps each order until `answered` or `due` returns it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: list[_Open[T]] = []

    def take(self, device: str, entity: str, command_id: str | None, order: T, now: float) -> None:
        """Wait for an answer to an order. Raises Refused(busy) if too many wait."""
        if len(self._open) >= MOST:
            raise Refused(Code.BUSY, f"{MOST} commands wait for an answer: send again in a moment")
        self._open.append(_Open(device, entity, command_id, now, order))

    def answered(self, device: str, entity: str, command_id: str | None) -> T | None:
        """Return the order that an answer of its owner belongs to: the same id, else the oldest.

        One answer serves all that came with the same id.
        """
        of_entity = [one for one in self._open if (one.device, one.entity) == (device, entity)]
        found = [one for one in of_entity if one.id == command_id] or of_entity
        if not found:
            return None
        first = found[0]
        same = [one for one in found if one is first or one.id == first.id is not None]
        self._open = [one for one in self._open if one not in same]
        return first.order

    def forget(self) -> None:
        """Forget all of it: what its owners answer while the broker is away nobody hears."""
        self._open.clear()

    def due(self, now: float) -> Iterator[tuple[T, Refused]]:
        """Return the orders that nobody else answers, each with why it was not obeyed."""
        for one in list(self._open):
            age = now - one.since
            refusal = self._services.refusal(one.device, one.entity) if age >= UNANSWERED_S else None
            if refusal is None and age >= LONGEST_S:
                text = f"{one.device} did not answer within {LONGEST_S:g} s: its state says whether it obeyed"
                refusal = Refused(Code.HARDWARE, text)
            if refusal is not None:
                self._open.remove(one)
                yield one.order, refusal


# SIGSTOP, a card that blocks, the machine asleep.
STOOD_STILL_S = 10.0
# What waited in the broker comes within this.
_WARY_S = 1.0


class StallDetector:
    """Looked at in every turn of the loop; after a turn that took too long it is wary for a moment."""

    def __init__(self, now: float) -> None:
        self._looked = now
        self._wary_until = float("-inf")

    def look(self, now: float) -> bool:
        """Whether what comes now may have waited."""
        if now - self._looked > STOOD_STILL_S:
            self._wary_until = now + _WARY_S
        self._looked = now
        return now < self._wary_until


# A process that hangs is asked in vain so long until it is restarted, and then again after so long.
HANGS_S = 20.0
AGAIN_S = 60.0
# Without a connection it is tried again after so long at the latest: bus.connection.
_ATTEMPT_S = 30.0
_PING_S = 5.0
# A machine that is busy answers late.
_LATE_S = 2.0


class BrokerWatch:
    """Call `look` in every turn of the loop, with a number that grows whenever the broker says something."""

    def __init__(self, now: float, *, shortest: float | None) -> None:
        """`shortest` is the shortest time, in seconds, after which anybody wants to know of a loss."""
        # How often it wants to be asked, seconds.
        self.every = _PING_S if shortest is None else max(0.2, min(_PING_S, shortest / 4))
        self._heard = self._looked = self._pinged = now
        self._count = 0
        # Since when the connection is lost; at the start there is none yet.
        self._lost: float | None = now
        self._asked = float("-inf")

    def connected(self, now: float) -> None:
        """Note that the broker has accepted us."""
        self._heard, self._lost = now, None

    def disconnected(self, now: float) -> None:
        """Note that there is no connection: it counts from when the broker was last well."""
        if self._lost is None:
            self._lost = now if now - self._heard <= 2 * self.every else self._heard

    def look(self, now: float, count: int) -> bool:
        """Take note of time and count; True if the broker shall be asked for a sign of life."""
        pause = now - self._looked
        self._looked = now
        if count != self._count:
            self._count, self._heard = count, now
        elif pause > STOOD_STILL_S:
            # This process stood still itself: what the broker said waits to be read.
            self._heard = min(now, self._heard + pause)
        if self._lost is not None or now - max(self._heard, self._pinged) < self.every:
            return False
        self._pinged = now
        return True

    def away(self, now: float) -> float | None:
        """Return for how many seconds the broker has been away, None if it is there."""
        silent = now - (self._heard if self._lost is None else self._lost)
        return None if self._lost is None and silent < max(2 * self.every, _LATE_S) else silent

    def hangs(self, now: float) -> float | None:
        """Return after how many seconds of silence it is time to find out if the broker hangs.

        None: not now. At most once a minute; one that refuses us is heard with each attempt to connect.
        """
        silent = now - self._heard
        if silent < (HANGS_S if self._lost is None else HANGS_S + _ATTEMPT_S) or now - self._asked < AGAIN_S:
            return None
        self._asked = now
        return silent
