"""What a type cannot say of the settings: ids, topics, keys, conditions, pins used twice, who may do what."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields

from config.addresses import (
    CHIP,
    ID_ALLOWED,
    id_allowed,
    normal,
    pin_name,
    wrong_address,
    wrong_host,
    wrong_key,
)
from config.conditions import CONDITION_ALLOWED, automations, parse_comparison, parse_condition, texts
from config.listening import network
from config.mistakes import Mistake
from config.model import (
    FAULT,
    GUARD,
    INTEGRAL,
    RELAY_DEVICE,
    RESERVED,
    Availability,
    Device,
    Import,
    ImportEntity,
    Relay,
    Settings,
    User,
    has_feedback,
    topics_of,
)
from config.output_rules import wrong_outputs
from config.presets import PLACEHOLDERS

_ID = re.compile(r"[a-z0-9_]+\Z")
_BASE = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\Z")
_AT = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z")
_SOURCE = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+\Z")
# What only an integral can have, and all it can have.
_DERIVED = ("source", "max_gap", "sign")
_INTEGRAL = ("kind", "name", *_DERIVED)
_LARGEST_CHIP = 255
# MQTT 5, 1.5.4: a string has at most so many bytes.
_LONGEST_TOPIC = 65_535
_LEVEL = re.compile(r"\+|[^\s+#/\x00-\x1f\x7f]+")
# Users that there are anyway, and how those of the processes begin.
ROLES = ("viewer", "operator", "admin")
OURS = "boondock_"
_LONGEST_ID = 64
_COMPARISON_ALLOWED = "device.entity, one of < <= > >= == !=, a number or a word: fresh_water.level > 5"
# Key, what is wrong, what is allowed.
Wrong = tuple[str, str, str]


def check(settings: Settings, where: str) -> list[Mistake]:
    """All mistakes that need more than one look; `where` names the file."""
    found = [
        *_general(settings),
        *_devices(settings),
        *_integrals(settings),
        *_imports(settings),
        *_relays(settings),
        *_automation(settings),
        *_pins(settings),
        *_access(settings),
        *wrong_outputs(settings),
    ]
    return [Mistake(where, key, wrong, allowed) for key, wrong, allowed in found]


def _general(settings: Settings) -> Iterator[Wrong]:
    if (host := wrong_host(settings.broker.host)) is not None:
        yield "broker.host", host.wrong, host.allowed
    if not _BASE.match(settings.broker.base):
        yield (
            "broker.base",
            f"{settings.broker.base!r} is no base topic",
            _base_meant(settings.broker.base),
        )
    if settings.broker.password is not None and settings.broker.username is None:
        yield "broker.username", "there is a password but no user", "the user the password belongs to"
    if not settings.backup.to.startswith("/"):
        yield "backup.to", f"{settings.backup.to!r} is no whole path", "a folder, such as /media/usb"
    if not _AT.match(settings.backup.at):
        yield "backup.at", f"{settings.backup.at!r} is no time of day", "hours and minutes, such as 03:30"


def _base_meant(base: str) -> str:
    bare = base.strip("/# ")
    return f'did you mean "{bare}"?' if _BASE.match(bare) else "levels of A-Z a-z 0-9 _ - joined by /"


def _devices(settings: Settings) -> Iterator[Wrong]:
    owners: dict[str, str] = {}
    for name, device in settings.device.items():
        if not _ID.match(name):
            yield f"device.{name}", "this is no id", id_allowed(name)
        if name == RELAY_DEVICE:
            yield f"device.{name}", "this id belongs to the controller", "any other id"
        # A chip's is a number, which its kind looks at; several devices may share it.
        if isinstance(device.address, int) and device.address > _LARGEST_CHIP:
            yield f"device.{name}.address", "it has no quotes", 'write it as "AA:BB:CC:DD:EE:FF"'
        if isinstance(device.address, str) and not CHIP.match(device.address):
            address = normal(device.address)
            if (wrong := wrong_address(device.address)) is not None:
                yield f"device.{name}.address", *wrong
            elif address in owners:
                yield (
                    f"device.{name}.address",
                    f"device.{owners[address]} has it already",
                    "one device an address",
                )
            owners.setdefault(address, name)
        if device.key is not None and (wrong := wrong_key(device.key)) is not None:
            yield f"device.{name}.key", *wrong


def _integrals(settings: Settings) -> Iterator[Wrong]:
    for name, device in settings.device.items():
        if device.kind != INTEGRAL:
            yield from _strange(name, device, _DERIVED, f"only a device of kind {INTEGRAL} has it")
            continue
        others = [f.name for f in fields(Device) if f.name not in _INTEGRAL]
        yield from _strange(name, device, others, f"a device of kind {INTEGRAL} has none")
        if device.source is None:
            yield f"device.{name}.source", "it is missing", "device.entity, such as mppt.power"
        elif not _SOURCE.match(device.source):
            yield (
                f"device.{name}.source",
                f"{device.source!r} is not device.entity",
                f"two ids of {ID_ALLOWED} joined by a dot",
            )
        elif (of := settings.device.get(device.source.split(".")[0])) is not None and of.kind == INTEGRAL:
            yield f"device.{name}.source", f"{device.source} is energy already", "an entity in W"


# What a device is that says nothing.
_UNSAID = Device(kind="")


def _strange(name: str, device: Device, keys: Iterable[str], wrong: str) -> Iterator[Wrong]:
    for key in keys:
        if getattr(device, key) != getattr(_UNSAID, key):
            yield f"device.{name}.{key}", wrong, "no such line here"


def _pins(settings: Settings) -> Iterator[Wrong]:
    """Find pins that are used twice: an input on a relay's own pin would make the relay drop."""
    owners: dict[int | str, str] = {}
    for key, pin in _uses(settings):
        if pin in owners:
            yield key, f"{owners[pin]} uses pin {pin} already", "one use a pin"
        owners.setdefault(pin, key.removesuffix(".pin"))


def _uses(settings: Settings) -> Iterator[tuple[str, int | str]]:
    for name, relay in settings.relay.items():
        yield f"relay.{name}.pin", pin_name(relay.pin, relay.chip)
        if relay.feedback_pin is not None:
            yield f"relay.{name}.feedback_pin", pin_name(relay.feedback_pin, relay.chip)
    for name, device in settings.device.items():
        if device.pin is not None:
            yield f"device.{name}.pin", pin_name(device.pin, device.chip)
        for level, pin in device.levels.items():
            yield f"device.{name}.levels.{level}", pin_name(pin, device.chip)


def _imports(settings: Settings) -> Iterator[Wrong]:
    """All mistakes of [[import]]: ids, topics, what belongs together."""
    for name, table in settings.imports.items():
        key = f"import.{name}"
        if not _ID.match(name):
            yield f"{key}.device", f"{name!r} is no id", id_allowed(name)
        if name == "relay":
            yield f"{key}.device", "this id belongs to the controller", "any other id"
        if name in settings.device:
            # The device's key: whoever adds one over MQTT asks for mistakes of that.
            yield f"device.{name}", "an [[import]] has this id already", "one id a device"
        yield from _table(key, table, settings.broker.base)


def _table(key: str, table: Import, base: str) -> Iterator[Wrong]:
    yield from _topics(key, table, base)
    if not table.entities:
        yield f"{key}.entities", "it is missing", 'entities, such as temperature = { path = "temperature" }'
    if table.availability is not None:
        yield from _availability(f"{key}.availability", table.availability, base)
    if table.keep_alive is not None:
        yield from _topic(f"{key}.keep_alive.topic", table.keep_alive.topic, base)
    for name in PLACEHOLDERS:
        if table.preset is None and getattr(table, name) is not None:
            yield f"{key}.{name}", "there is no preset that asks for it", "preset = its name"
    for name, one in table.entities.items():
        if not _ID.match(name):
            yield f"{key}.entities.{name}", "this is no id", id_allowed(name)
        yield from _topics(f"{key}.entities.{name}", one, base)
        if not topics_of(table, one):
            yield f"{key}.entities.{name}.topic", "it is missing", "a topic here or for the whole device"
        yield from _command(f"{key}.entities.{name}", table, one, base)
        if one.scale == 0:
            yield f"{key}.entities.{name}.scale", "every value would be 0", "any other number"


def _topics(key: str, table: Import | ImportEntity, base: str) -> Iterator[Wrong]:
    if table.topic is not None:
        yield from _topic(f"{key}.topic", table.topic, base)
    for number, topic in enumerate(table.topics):
        yield from _topic(f"{key}.topics.{number}", topic, base)


def _topic(key: str, topic: str, base: str) -> Iterator[Wrong]:
    if not topic or "\0" in topic or len(topic.encode()) > _LONGEST_TOPIC:
        yield key, "this is no topic", "levels joined by /"
    elif set(topic) & {"+", "#"}:
        yield key, f"{topic!r} has a wildcard", "one exact topic; `topics` takes a list"
    elif topic == base or topic.startswith(f"{base}/"):
        yield (
            key,
            f"{topic!r} is below our own {base}",
            "a topic of another publisher: ours are there already",
        )


def _availability(key: str, said: Availability, base: str) -> Iterator[Wrong]:
    yield from _topic(f"{key}.topic", said.topic, base)
    if said.online == said.offline:
        yield f"{key}.offline", "it is the same as online", "two different payloads"


def _command(key: str, table: Import, one: ImportEntity, base: str) -> Iterator[Wrong]:
    if one.command_topic is None:
        for name in ("payload_on", "payload_off", "range", "command_step"):
            if getattr(one, name) is not None:
                yield f"{key}.{name}", "there is no command_topic", "command_topic = the topic it goes to"
        return
    yield from _topic(f"{key}.command_topic", one.command_topic, base)
    if one.command_topic in topics_of(table, one):
        yield (
            f"{key}.command_topic",
            "the state is heard on it: each command would look obeyed",
            "the topic on which the device takes commands",
        )
    if one.range is not None and not one.range[0] < one.range[1]:
        yield (
            f"{key}.range",
            f"{one.range[0]:g} is not below {one.range[1]:g}",
            "the least and the greatest number",
        )
    if one.range is None and one.command_step is not None:
        yield f"{key}.command_step", "there is no range", "range = [least, greatest]"
    if one.payload_on is not None and one.payload_on == one.payload_off:
        yield f"{key}.payload_off", "it is the same as payload_on", "two different payloads"


def _relays(settings: Settings) -> Iterator[Wrong]:
    """All mistakes of [relay.<id>] and [battery_guard]: conditions, partners, feedback, thresholds."""
    for name, relay in settings.relay.items():
        if not _ID.match(name):
            yield f"relay.{name}", "this is no id", id_allowed(name)
        yield from _names(name, settings)
        yield from _conditions(f"relay.{name}.only_if", relay.only_if, parse_comparison)
        yield from _partners(name, relay, settings.relay)
        yield from _feedback(name, relay)
    yield from _guard(settings)


def _names(name: str, settings: Settings) -> Iterator[Wrong]:
    if name == GUARD and settings.battery_guard is not None:
        yield f"relay.{name}", "the battery guard reports under this id", "any other id"
    of = settings.relay.get(name.removesuffix(FAULT)) if name.endswith(FAULT) else None
    if of is not None and has_feedback(of):
        yield f"relay.{name}", "another relay's feedback reports under this id", "any other id"


def _conditions(key: str, texts: Iterable[str], parse: Callable[[str], object]) -> Iterator[Wrong]:
    for text in texts:
        try:
            parse(text)
        except ValueError as error:
            yield key, str(error), CONDITION_ALLOWED if parse is parse_condition else _COMPARISON_ALLOWED


def _automation(settings: Settings) -> Iterator[Wrong]:
    """All mistakes of [alarm.<id>] and [rule.<id>]."""
    for key, table in automations(settings).items():
        name = key.partition(".")[2]
        if not _ID.match(name) or len(name) > _LONGEST_ID:
            yield key, "this is no id", id_allowed(name)
        for part, said in (("when", table.when), ("until", table.until)):
            listed = texts(said)
            if part == "when" and not listed:
                yield f"{key}.{part}", "there is no condition", CONDITION_ALLOWED
            yield from _conditions(f"{key}.{part}", listed, parse_condition)
    switched: dict[str, str] = {}
    for name, rule in settings.rule.items():
        relay = rule.output.removeprefix(f"{RELAY_DEVICE}.")
        if relay not in settings.relay:
            known = ", ".join(f"{RELAY_DEVICE}.{one}" for one in settings.relay) or "a relay of this file"
            yield f"rule.{name}.output", f"there is no relay {rule.output!r}", known
        elif relay in switched:
            wrong = f"rule {switched[relay]} switches {RELAY_DEVICE}.{relay} already"
            yield f"rule.{name}.output", wrong, "one rule a relay"
        switched.setdefault(relay, name)
        if f"{name}_wants" in settings.rule:
            yield f"rule.{name}_wants", f"rule {name} reports under this id", "any other id"


def _partners(name: str, relay: Relay, others: dict[str, Relay]) -> Iterator[Wrong]:
    key = f"relay.{name}.never_with"
    for other in relay.never_with:
        if other == name:
            yield key, "this is the relay itself", "other relays"
        elif other not in others:
            known = ", ".join(one for one in others if one != name)
            yield key, f"there is no relay {other!r}", known or "a relay of this file"
        elif relay.boot == "on" and others[other].boot == "on":
            yield key, f"{name} and {other} both boot on", "at most one that boots on"


def _feedback(name: str, relay: Relay) -> Iterator[Wrong]:
    if relay.feedback is not None and relay.feedback_pin is not None:
        yield f"relay.{name}.feedback_pin", "there is a feedback already", "feedback or feedback_pin"
    if relay.feedback is not None and not _SOURCE.match(relay.feedback):
        yield f"relay.{name}.feedback", f"{relay.feedback!r} is not device.entity", "such as shore.contact"


def _guard(settings: Settings) -> Iterator[Wrong]:
    guard = settings.battery_guard
    if guard is None:
        return
    if guard.relay not in settings.relay:
        known = ", ".join(settings.relay) or "a relay of this file"
        yield f"{GUARD}.relay", f"there is no relay {guard.relay!r}", known
    if not _SOURCE.match(guard.source):
        yield f"{GUARD}.source", f"{guard.source!r} is not device.entity", "such as smartshunt.voltage"
    if not guard.reconnect_above > guard.disconnect_below:
        yield (
            f"{GUARD}.reconnect_above",
            f"{guard.reconnect_above:g} would flap",
            f"more than disconnect_below, {guard.disconnect_below:g}",
        )


def _access(settings: Settings) -> Iterator[Wrong]:
    """All mistakes of [lan], [page] and [user.<name>]: who may reach the broker, from where, what for."""
    yield from network(settings)
    taken = dict.fromkeys(RESERVED, "no stranger's")
    taken |= {device: f"device.{device}" for device in settings.device}
    taken |= dict.fromkeys(settings.imports, "of an [[import]]")
    for name, user in settings.user.items():
        if not _ID.match(name):
            yield f"user.{name}", "this is no id", id_allowed(name)
        if name in ROLES or name.startswith(OURS):
            yield f"user.{name}", "this user is there anyway", "any other name"
        if user.role is None and not user.topics:
            yield f"user.{name}.role", "it may do nothing", "viewer, operator, admin or publisher, or topics"
        yield from _publisher(f"user.{name}", user, taken)
        taken.update(dict.fromkeys(user.devices, f"user.{name}"))
        for topic in user.topics:
            if not _is_filter(topic):
                yield (
                    f"user.{name}.topics",
                    f"{topic!r} is no filter of one tree",
                    "such as zigbee2mqtt/# or tele/+/SENSOR",
                )
            elif _meets(topic, settings.broker.base):
                yield (
                    f"user.{name}.topics",
                    f"{topic!r} reaches into {settings.broker.base}",
                    "topics of others; role says what it may of ours",
                )


def _publisher(place: str, user: User, taken: Mapping[str, str]) -> Iterator[Wrong]:
    """Find what is wrong with the devices that a user speaks for; `taken` says whose the others are."""
    if user.role != "publisher":
        for key in ("devices", "commands"):
            if getattr(user, key):
                yield f"{place}.{key}", "only a publisher speaks for devices", 'role = "publisher"'
        return
    if not user.devices:
        yield f"{place}.devices", "it speaks for none", 'ids of its devices, such as ["fridge"]'
    for device in user.devices:
        if not _ID.match(device) or len(device) > _LONGEST_ID:
            yield f"{place}.devices", f"{device!r} is no id", "at most 64 of a-z, 0-9 and _"
        elif device in taken:
            yield f"{place}.devices", f"{device} is {taken[device]}", "devices of its own"
    for command in user.commands:
        device, _, entity = command.partition(".")
        if device not in user.devices or not _ID.match(entity) or len(entity) > _LONGEST_ID:
            yield f"{place}.commands", f"{command!r} is none of its", "device.entity, of its own devices"


def _is_filter(topic: str) -> bool:
    levels = topic.removesuffix("/#").split("/")
    return levels[0] != "+" and not topic.startswith("$") and all(_LEVEL.fullmatch(one) for one in levels)


def _meets(topic: str, base: str) -> bool:
    """Whether a filter reaches the base topic or anything below it."""
    levels = topic.split("/")
    for place, ours in enumerate(base.split("/")):
        if place >= len(levels):
            return False
        if levels[place] == "#":
            return True
        if levels[place] not in ("+", ours):
            return False
    return True
