"""What a type cannot say of [[import]] tables: ids, topics, what belongs together."""

import re
from collections.abc import Iterator

from config.addresses import id_allowed
from config.model import Settings
from config.model_import import Availability, Import, ImportEntity, topics_of

Wrong = tuple[str, str, str]

_ID = re.compile(r"[a-z0-9_]+\Z")
# MQTT 5, 1.5.4: a string has at most so many bytes.
_LONGEST = 65_535


def imports(settings: Settings) -> Iterator[Wrong]:
    """All mistakes of [[import]]: key, what is wrong, what is allowed."""
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
    if not topic or "\0" in topic or len(topic.encode()) > _LONGEST:
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
