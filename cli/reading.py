"""`boondock read`: one device now, by the collector that has it."""

import time

import msgspec

from bus.about import decode
from bus.messages import Value, to_iso
from bus.topics import BadTopicError, Verb
from cli.asking import Asker, AskError
from cli.broker_rights import COLLECTORS, READS
from cli.errors import SettingsError
from config.mistakes import ConfigError
from config.model import Broker


class Raw(msgspec.Struct):
    """One question to the device and what came back."""

    asked: str
    answer: str


class Now(msgspec.Struct):
    """A device as it was read at `ts`."""

    device: str
    ts: str
    raw: list[Raw]
    values: dict[str, Value]
    problem: str | None = None


def read(broker: Broker, device: str) -> tuple[Now, dict[str, str | None]]:
    """The device now, and the units of its entities. Raises AskError."""
    topics = Asker.topics_of(broker)
    with Asker(broker, topics.every(Verb.ABOUT), service=None) as asker:
        abouts = {
            topics.parse(topic).name: payload
            for topic, payload in asker.seen().items()
            if topics.is_below(Verb.ABOUT, topic)
        }
    if device not in abouts:
        raise AskError(f"there is no device {device!r}; there are: {', '.join(sorted(abouts)) or 'none'}")
    try:
        about = decode(abouts[device])
    except (ValueError, BadTopicError) as error:
        raise AskError(f"{device} describes itself wrongly: {error}") from error
    if about.service not in COLLECTORS:
        owner = about.service or "other software"
        raise AskError(f"{device} is read by no collector but is {owner}'s; next: boondock watch {device}")
    with Asker(broker, service=about.service) as asker:
        now = next(asker.pages(READS, {"device": device}, Now))
    return now, {name: entity.unit for name, entity in about.entities.items()}


def read_profile(profile: str, port: str, unit: int | None) -> tuple[Now, dict[str, str | None]]:
    """Return a device as a profile reads it now, and the units of its entities. Raises SettingsError."""
    # A collector's reader and its transports, which a question to the broker does not need.
    from collector.read import read_profile as read_directly  # noqa: PLC0415 — as above

    try:
        found = read_directly(profile, port, unit)
    except ConfigError as error:
        raise SettingsError(str(error)) from error
    raw = [Raw(one.asked, one.answer) for one in found.raw]
    return Now(port, to_iso(time.time_ns() // 1_000_000), raw, found.values, found.problem), found.units
