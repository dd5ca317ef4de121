"""Devices that the command reads by itself, without a house and without a broker.

By a profile that its owner has just written; and what speaks on a serial port that no collector has.
"""

import time
from dataclasses import dataclass

from bus.messages import Value
from collector.checking import mistakes
from collector.device import line_of, own
from collector.devices.description import BadRecordError, DecodeError, LineError, NoAnswerError, SettingError
from collector.devices.modbus.device import load
from collector.devices.victron.vedirect import decode
from collector.polling import Answered, Worker, verb_job
from collector.read import Raw, recorded_poll
from collector.transports.vedirect import VeDirectCable
from config.mistakes import ConfigError, Mistake
from config.model import Device, Settings


def describe_profile(profile: str) -> list[str]:
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


@dataclass(frozen=True, slots=True)
class ProfileReading:
    """What one poll brought: questions and answers, values and their units, or what went wrong."""

    raw: list[Raw]
    values: dict[str, Value]
    units: dict[str, str | None]
    problem: str | None


def read_profile(profile: str, port: str, unit: int | None) -> ProfileReading:
    """Read the device at a port once, by a profile. Raises ConfigError."""
    device = Device(kind="modbus", profile=profile, port=port, unit=unit)
    if found := [Mistake(profile, key, wrong, allowed) for key, wrong, allowed in mistakes("read", device)]:
        raise ConfigError(found)
    owned, raw = own(Settings(), "read", device, 0.0), list[Raw]()
    _, make = line_of(owned)
    line = make()
    try:
        worker = Worker("read", line, emit=lambda _: None, monotonic=time.monotonic)
        answered = worker.attempt(verb_job(None, recorded_poll(owned, raw)))
    finally:
        line.close()
    assert isinstance(answered, Answered)  # noqa: S101 — the job gives no other event
    said = {} if answered.why is not None else answered.found.values
    values = {entity: float(value) if isinstance(value, int) else value for entity, value in said.items()}
    units = {entity: row.entity.unit for entity, row in owned.rows.items()}
    return ProfileReading(raw, values, units, None if answered.why is None else str(answered.why))


# A whole block after the first checksum: a device sends one each second.
PATIENCE_S = 4.0


@dataclass(frozen=True, slots=True)
class Speaker:
    """The kind and model of what speaks, or why neither is known; `is_open`: the port could be opened."""

    kind: str | None
    model: str | None
    note: str | None
    is_open: bool = True


def listen(port: str, *, patience: float = PATIENCE_S) -> Speaker:
    """Listen at 19200 bit/s for `patience` seconds at most; nothing is sent."""
    cable = VeDirectCable(port, patience=patience)
    try:
        cable.open()
    except LineError as error:
        return Speaker(None, None, str(error), is_open=False)
    try:
        fields = _fields(cable)
    except NoAnswerError:
        return Speaker(None, None, "says nothing by itself")
    except BadRecordError:
        return Speaker(None, None, "speaks, but not VE.Direct at 19200 bit/s")
    except LineError as error:
        return Speaker(None, None, str(error), is_open=False)
    finally:
        cable.close()
    try:
        return Speaker("vedirect", decode(fields).model, None)
    except DecodeError as error:
        return Speaker("vedirect", None, str(error))


def _fields(cable: VeDirectCable) -> dict[str, str]:
    """Read what a device says of itself: a battery monitor has two blocks, its product id is in one."""
    fields: dict[str, str] = {}
    for _ in range(2):
        for block in cable.blocks():
            fields |= block
        if "PID" in fields:
            break
    return fields
