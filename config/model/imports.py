"""Devices of other publishers: the tables [[import]] of boondock.toml."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from config.model.base import Role, Seconds, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportEntity(Table):
    """[import.entities]: one value of a device that publishes in its own format.

    `path` is where it stands in the JSON (none: the whole payload), `topic` or `topics` where it is said, if
    elsewhere than the others. `unit` is the device's; kW, kWh, mA and the like become ours, and `precision`
    and `step` are in ours. `map` gives words for its words. Commands go to `command_topic`; with `range`,
    in our unit and in steps of `command_step`, they are numbers.
    """

    path: str | None = None
    topic: str | None = None
    topics: tuple[str, ...] = ()
    name: str | None = None
    unit: str | None = None
    device_class: str | None = None
    state_class: Literal["measurement", "measurement_angle", "total", "total_increasing"] | None = None
    precision: Annotated[int, Ge(0), Le(9)] | None = None
    scale: Annotated[float, Ge(-1e12), Le(1e12)] | None = None
    offset: Annotated[float, Ge(-1e12), Le(1e12)] | None = None
    step: Annotated[float, Ge(0), Le(1e9)] | None = None
    on: tuple[bool | float | str, ...] = ()
    off: tuple[bool | float | str, ...] = ()
    map: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    diagnostic: bool = False
    role: Role | None = None
    command_topic: str | None = None
    payload_on: str | None = None
    payload_off: str | None = None
    range: tuple[float, float] | None = None
    command_step: Annotated[float, Gt(0), Le(1e9)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability(Table):
    """`availability` of an [[import]]: where its publisher says whether the device is there, and how."""

    topic: str
    path: str | None = None
    online: str = "online"
    offline: str = "offline"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAlive(Table):
    """`keep_alive` of an [[import]]: what its publisher wants to hear `every` so many seconds."""

    topic: str
    payload: str = ""
    every: Annotated[float, Ge(1), Le(3600)] = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Import(Table):
    """[[import]]: a device that publishes in its own format; its id is the table's `device`.

    After `timeout` seconds of silence it is offline. `time` is the path of its own time. `retained` takes
    what the broker kept of it for said now. `preset` is a table of config/presets that this one fills and
    overrides; `prefix`, `portal` and `instance` are what it asks for.
    """

    preset: str | None = None
    prefix: str | None = None
    portal: str | None = None
    instance: int | str | None = None
    topic: str | None = None
    topics: tuple[str, ...] = ()
    name: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    timeout: Seconds = 3600.0
    time: str | None = None
    retained: bool = False
    availability: Availability | None = None
    keep_alive: KeepAlive | None = None
    entities: dict[str, ImportEntity] = field(default_factory=dict)


def topics_of(table: Import, one: ImportEntity) -> tuple[str, ...]:
    """Where an entity is said: its own topics, else its device's."""
    own = _named(one.topic, one.topics)
    return own or _named(table.topic, table.topics)


def _named(topic: str | None, topics: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*(() if topic is None else (topic,)), *topics)))
