"""A profile that its owner has just written: checked, and read once, without a house and without a broker."""

import time

from bus.messages import Value
from collector.checking import mistakes
from collector.device import own
from collector.devices.description import SettingError
from collector.devices.modbus.device import load
from collector.lines import line_of
from collector.polling import Worker
from collector.reading_now import Answered, poll_job
from config.mistakes import ConfigError, Mistake
from config.model import Device, Settings


def described(profile: str) -> list[str]:
    """Check a profile file and return a line about it and one for each entity. Raises ConfigError."""
    try:
        found = load(profile)
    except SettingError as error:
        raise ConfigError(
            [Mistake(profile, "", error.wrong.removeprefix(f"{profile}: "), error.allowed)]
        ) from error
    entities = {entity: row.entity for entity, row in found.rows().items()}
    lines = [f"{profile}: good. {found.about.title}, {len(found.blocks)} requests, {len(entities)} entities"]
    return lines + [f"  {key}  {one.name}  {one.unit or ''}".rstrip() for key, one in entities.items()]


def read(profile: str, port: str, unit: int | None) -> tuple[Answered, dict[str, str | None]]:
    """Read the device at a port once, by a profile; also return the units of its entities.

    What is wrong with the answer is in it. Raises ConfigError.
    """
    device = Device(kind="modbus", profile=profile, port=port, unit=unit)
    if found := [Mistake(profile, key, wrong, allowed) for key, wrong, allowed in mistakes("read", device)]:
        raise ConfigError(found)
    owned = own(Settings(), "read", device, 0.0)
    _, make = line_of(owned)
    line = make()
    try:
        answered = Worker("read", line, emit=lambda _: None, monotonic=time.monotonic).attempt(
            poll_job(owned)
        )
    finally:
        line.close()
    assert isinstance(answered, Answered)  # noqa: S101 — the job gives no other event
    return answered, {entity: row.entity.unit for entity, row in owned.rows.items()}


def values_of(answered: Answered) -> dict[str, Value]:
    """Return the values that were read as the wire has them, none if the device could not be read."""
    values = {} if answered.decoded is None else answered.decoded.values
    return {entity: float(value) if isinstance(value, int) else value for entity, value in values.items()}
