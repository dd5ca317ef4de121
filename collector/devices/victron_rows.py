"""Rows that several kinds of Victron device share, so that the same thing has the same name everywhere."""

from collections.abc import Iterable

from bus.about import MEASUREMENT, TOTAL_INCREASING, Entity
from collector.devices.description import Row


def volts(name: str, *, optional: bool = False) -> Row:
    """A voltage in V, two decimals."""
    entity = Entity(name=name, unit="V", device_class="voltage", state_class=MEASUREMENT, precision=2)
    return Row(entity=entity, step=0.01, optional=optional)


def amperes(name: str, *, step: float = 0.1, precision: int = 1, optional: bool = False) -> Row:
    """A current in A."""
    entity = Entity(name=name, unit="A", device_class="current", state_class=MEASUREMENT, precision=precision)
    return Row(entity=entity, step=step, optional=optional)


def watts(name: str, *, precision: int = 0) -> Row:
    """A power in W, worth a reading at each watt."""
    entity = Entity(name=name, unit="W", device_class="power", state_class=MEASUREMENT, precision=precision)
    return Row(entity=entity, step=1)


def volt_amperes(name: str) -> Row:
    """An apparent power in VA."""
    entity = Entity(name=name, unit="VA", device_class="apparent_power", state_class=MEASUREMENT, precision=0)
    return Row(entity=entity, step=1)


def celsius(name: str, *, step: float = 0.1, precision: int = 1, optional: bool = False) -> Row:
    """A temperature in °C."""
    entity = Entity(
        name=name, unit="°C", device_class="temperature", state_class=MEASUREMENT, precision=precision
    )
    return Row(entity=entity, step=step, optional=optional)


def state_of_charge(*, step: float = 0.1, precision: int = 1) -> Row:
    """The state of charge in %."""
    entity = Entity(
        name="State of charge", unit="%", device_class="battery", state_class=MEASUREMENT, precision=precision
    )
    return Row(entity=entity, step=step)


def consumed_charge() -> Row:
    """What is missing to a full battery in Ah, negative or 0."""
    entity = Entity(name="Consumed charge", unit="Ah", state_class=MEASUREMENT, precision=1)
    return Row(entity=entity, step=0.1)


def time_remaining() -> Row:
    """How long the battery lasts at this load, in s."""
    entity = Entity(
        name="Time remaining", unit="s", device_class="duration", state_class=MEASUREMENT, precision=0
    )
    return Row(entity=entity, step=60)


def yield_today() -> Row:
    """The sun's energy since midnight in Wh."""
    entity = Entity(
        name="Yield today",
        unit="Wh",
        device_class="energy",
        state_class=TOTAL_INCREASING,
        precision=0,
        daily=True,
    )
    return Row(entity=entity)


def enumeration(name: str, words: Iterable[str], *, diagnostic: bool = False) -> Row:
    """One of some words; several codes may share a word."""
    options = tuple(dict.fromkeys(words))
    return Row(entity=Entity(name=name, device_class="enum", options=options, diagnostic=diagnostic))


def problem(name: str, *, diagnostic: bool = True) -> Row:
    """ON when something is wrong."""
    return Row(entity=Entity(name=name, device_class="problem", boolean=True, diagnostic=diagnostic))


def flag(name: str, *, diagnostic: bool = False) -> Row:
    """ON or OFF, neither of them a problem."""
    return Row(entity=Entity(name=name, boolean=True, diagnostic=diagnostic))
