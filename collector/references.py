"""What settings say of entities of other devices: conditions, feedback, the battery guard, energies."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bus.about import Entity
from collector import devices as kinds
from collector.devices.description import PolledKind, SettingError
from collector.devices.imported import row_of
from collector.energy import with_energies
from config.conditions import Change, Comparison, Silence, automations, parse_condition, texts
from config.model import (
    ALARM_DEVICE,
    FAULT,
    GUARD,
    INTEGRAL,
    RELAY_DEVICE,
    RULE_DEVICE,
    Device,
    Settings,
    has_feedback,
)

Wrong = tuple[str, str, str]

_WATTS = ("W", "kW", "MW", "mW")
_SWITCH = Entity(name="", boolean=True)
_MODE = Entity(name="", options=("auto", "ON", "OFF"))
_ENERGY = Entity(name="", unit="Wh")
_WORDS_OF_SWITCH = ("ON", "OFF")


@dataclass(frozen=True, slots=True)
class _Reference:
    """A setting that names an entity, and what it needs it for; `condition` is the whole of one."""

    key: str
    source: str
    use: str
    condition: Comparison | None = None

    @property
    def device(self) -> str:
        return self.source.partition(".")[0]

    @property
    def entity(self) -> str:
        return self.source.partition(".")[2]


def mistakes(settings: Settings) -> Iterator[Wrong]:
    """Find settings that name an entity which no device of this house has: key, what is wrong, what to do.

    The settings have passed config's own rules.
    """
    ours = _ours(settings)
    for one in _references(settings):
        known = ours.get(one.device)
        if known is None:
            continue
        if one.entity not in known:
            close = difflib.get_close_matches(one.entity, known, n=1)
            listed = f"did you mean {one.device}.{close[0]}?" if close else ", ".join(sorted(known)) or "none"
            yield one.key, f"{one.device} has no entity {one.entity}", listed
        elif one.entity in _disabled(settings, one.device):
            wrong = f"{one.source} is in device.{one.device}.disabled and is never published"
            yield one.key, wrong, f"take {one.entity} out of disabled"
        else:
            yield from _unfit(one, known[one.entity])


def doubts(settings: Settings) -> Iterator[Wrong]:
    """Find settings that name a device of no table here: another publisher's, or a typing error."""
    ours = _ours(settings, also_unknown=True)
    theirs = {device for user in settings.user.values() for device in user.devices}
    for one in _references(settings):
        if one.device not in ours and one.device not in theirs:
            close = difflib.get_close_matches(one.device, [*ours, *theirs], n=1)
            meant = f"did you mean {close[0]}.{one.entity}? Else" if close else "write its right name, or"
            step = f"{meant} leave it, if another program publishes {one.source}"
            yield one.key, f"{one.device} is no device of this file", step


def _references(settings: Settings) -> Iterator[_Reference]:
    for name, relay in settings.relay.items():
        yield from _conditions(f"relay.{name}.only_if", relay.only_if)
        if relay.feedback is not None and "." in relay.feedback:
            yield _Reference(f"relay.{name}.feedback", relay.feedback, "feedback")
    if settings.battery_guard is not None and "." in settings.battery_guard.source:
        yield _Reference(f"{GUARD}.source", settings.battery_guard.source, "guard")
    for key, table in automations(settings).items():
        yield from _conditions(f"{key}.when", table.when)
        yield from _conditions(f"{key}.until", table.until)
    for name, device in settings.device.items():
        if device.kind == INTEGRAL and device.source is not None and "." in device.source:
            yield _Reference(f"device.{name}.source", device.source, "integral")


def _conditions(key: str, said: str | tuple[str, ...]) -> Iterator[_Reference]:
    for text in texts(said):
        try:
            condition = parse_condition(text)
        except ValueError:
            # config/rules.py tells it.
            continue
        if isinstance(condition, Comparison):
            yield _Reference(key, condition.source, "condition", condition)
        elif isinstance(condition, Change) or (isinstance(condition, Silence) and condition.entity):
            yield _Reference(key, condition.source, "change" if isinstance(condition, Change) else "silence")


def _ours(settings: Settings, *, also_unknown: bool = False) -> dict[str, Mapping[str, Entity]]:
    """List the entities of each device of this house; without those that only the device itself can tell."""
    found: dict[str, Mapping[str, Entity]] = {}
    for name, device in settings.device.items():
        entities = _entities(device)
        if entities is not None or also_unknown:
            found[name] = entities or {}
    for name, table in settings.imports.items():
        found[name] = {entity: row_of(entity, one).entity for entity, one in table.entities.items()}
    relays = dict.fromkeys(settings.relay, _SWITCH)
    relays |= {f"{name}{FAULT}": _SWITCH for name, relay in settings.relay.items() if has_feedback(relay)}
    if settings.battery_guard is not None:
        relays[GUARD] = _SWITCH
    alarms = dict.fromkeys(settings.alarm, _SWITCH)
    rules = {f"{name}_wants": _SWITCH for name in settings.rule} | dict.fromkeys(settings.rule, _MODE)
    return {**found, RELAY_DEVICE: relays, ALARM_DEVICE: alarms, RULE_DEVICE: rules}


def _entities(device: Device) -> Mapping[str, Entity] | None:
    if device.kind == INTEGRAL:
        return {"energy": _ENERGY}
    kind = kinds.KINDS.get(device.kind)
    if kind is None or kind.discovers:
        return None
    rows = kind.rows
    if isinstance(kind, PolledKind):
        try:
            rows = kind.make(device).rows
        except SettingError:
            # collector/checking.py tells it.
            return None
    rows = with_energies(rows) if device.energy else rows
    return {entity: row.entity for entity, row in rows.items()}


def _disabled(settings: Settings, name: str) -> tuple[str, ...]:
    device = settings.device.get(name)
    return () if device is None else device.disabled


def _unfit(one: _Reference, entity: Entity) -> Iterator[Wrong]:
    """Find what an entity that exists cannot serve for."""
    what = f"in {entity.unit}" if entity.unit else "ON or OFF" if entity.boolean else "a word"
    numeric = not entity.boolean and not entity.options
    if one.use == "integral" and (not numeric or entity.unit not in (None, *_WATTS)):
        yield one.key, f"{one.source} is {what}", "an entity in W"
    if one.use == "guard" and (not numeric or entity.unit not in (None, "V", "%")):
        yield one.key, f"{one.source} is {what}", "a voltage in V or a state of charge in %"
    if one.use == "change" and not numeric:
        yield one.key, f"{one.source} is {what}", "an entity that is a number"
    if one.use == "feedback" and (entity.options or entity.unit):
        yield one.key, f"{one.source} is {what}", "an entity that is ON or OFF"
    if one.condition is None:
        return
    wanted = one.condition.wanted
    words = _WORDS_OF_SWITCH if entity.boolean else entity.options or ()
    if isinstance(wanted, str) and words and wanted.casefold() not in [word.casefold() for word in words]:
        yield one.key, f"{one.source} is never {wanted}", ", ".join(words)
    elif isinstance(wanted, str) and not words and entity.unit is not None:
        yield one.key, f"{one.source} is {what} and never {wanted}", "a number"
    elif not isinstance(wanted, str) and words:
        yield one.key, f"{one.source} is {what} and never a number", ", ".join(words)
