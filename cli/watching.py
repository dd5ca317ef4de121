"""What `boondock watch` knows: devices, their entities and values, as they come."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from bus.about import About, decode
from bus.messages import OFFLINE, BadMessageError, Value, decode_reading
from bus.topics import BadTopicError, Topics, Verb
from cli import output


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An entity now: its value, in `unit`; `ts` is when it was measured, ms since 1970 UTC."""

    entity: str
    value: Value
    unit: str | None
    ts: int | None
    online: bool


@dataclass(slots=True)
class _Device:
    about: About = field(default_factory=lambda: About(name=""))
    online: bool = True
    values: dict[str, Value] = field(default_factory=dict)
    # When each was measured; a reading need not hold all of them.
    at: dict[str, int | None] = field(default_factory=dict)


class Watched:
    """The devices `wanted` (all: empty) or single entities of them."""

    def __init__(self, topics: Topics, wanted: tuple[str, ...]) -> None:
        self._topics = topics
        self._wanted = {one.replace("/", ".") for one in wanted}
        self._devices: dict[str, _Device] = {}

    def filters(self) -> tuple[str, ...]:
        """What to subscribe to."""
        topics = self._topics
        return topics.every(Verb.ABOUT), topics.every(Verb.STATE, levels=1), topics.every(Verb.AVAILABILITY)

    def take(self, topic: str, payload: bytes) -> list[Line]:
        """Note a message; return what it says of entities."""
        try:
            parsed = self._topics.parse(topic)
            if not self._is_wanted(parsed.name):
                return []
            device = self._devices.setdefault(parsed.name, _Device())
            match parsed.verb:
                case Verb.ABOUT if payload:
                    device.about = decode(payload)
                case Verb.ABOUT:
                    del self._devices[parsed.name]
                case Verb.AVAILABILITY:
                    device.online = payload != OFFLINE
                case Verb.STATE if payload:
                    reading = decode_reading(payload)
                    device.values |= reading.values
                    device.at |= dict.fromkeys(reading.values, reading.ts)
                    return [one for one in self._lines(parsed.name, device) if _key(one) in reading.values]
        except (BadTopicError, BadMessageError, ValueError):
            # A stranger's message that is wrong: the statistician's health tells of it.
            return []
        return []

    def lines(self) -> list[Line]:
        """Every entity, by device as they are named, in the order of the device's description."""
        return [line for name in sorted(self._devices) for line in self._lines(name, self._devices[name])]

    def _lines(self, name: str, device: _Device) -> Iterator[Line]:
        for entity in dict.fromkeys((*device.about.entities, *device.values)):
            full = f"{name}.{entity}"
            if self._wanted and not {name, full} & self._wanted:
                continue
            described = device.about.entities.get(entity)
            yield Line(
                entity=full,
                value=_rounded(device.values.get(entity), None if described is None else described.precision),
                unit=None if described is None else described.unit,
                ts=device.at.get(entity),
                online=device.online,
            )

    def _is_wanted(self, device: str) -> bool:
        return not self._wanted or any(one.partition(".")[0] == device for one in self._wanted)


def _key(line: Line) -> str:
    return line.entity.partition(".")[2]


def _rounded(value: Value, precision: int | None) -> Value:
    return round(value, precision) if isinstance(value, float) and precision is not None else value


def shown(value: Value) -> str:
    """A value for people; a text from a device cannot paint the terminal."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.10g}"
    return output.plain(value)
