"""A tank with level switches on pins of the board."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bus.about import Entity
from collector.devices.contact import Contact, contact
from collector.devices.description import Decoded, GpioKind, Row, SettingError, Values
from collector.devices.lines import GpioLine
from collector.devices.rows import measured, on_off
from config.model import Device

_EVERY_S = 1.0
# Water sloshes for seconds after the van has stopped.
_DEBOUNCE_S = 5.0
_NUMBER = re.compile(r"\d{1,3}(\.\d{1,3})?")

_LEVEL = measured("Level", "%", precision=0, step=0)
_VOLUME = measured("Volume", "L", precision=0, step=0)
ROWS: Mapping[str, Row] = MappingProxyType({"level": _LEVEL, "volume": _VOLUME})


@dataclass(frozen=True, slots=True)
class Switch:
    """The switch at `level` %, closed while the tank is filled up to it."""

    level: float
    contact: Contact

    @property
    def entity(self) -> str:
        """Its entity's id: switch_25, or switch_12_5."""
        return f"switch_{self.level:g}".replace(".", "_")


@dataclass(frozen=True, slots=True)
class TankSwitches:
    """A tank; its switches from the bottom up, `capacity` in L."""

    rows: Mapping[str, Row]
    switches: tuple[Switch, ...]
    capacity: float | None

    def poll(self, line: GpioLine, now: float) -> Decoded:
        """Level and switches, once all have stood still. Raises DecodeError or LineError."""
        closed = {switch.level: switch.contact.poll(line, now) for switch in self.switches}
        known = {level: state for level, state in closed.items() if state is not None}
        if len(known) < len(closed):
            return Decoded({})
        values: Values = {switch.entity: on_off(known[switch.level]) for switch in self.switches}
        reason = contradiction(known)
        level = None if reason else height(known)
        values["level"] = level
        reasons = {"level": reason} if reason else {}
        if self.capacity is not None:
            values["volume"] = None if level is None else round(self.capacity * level / 100, 3)
            reasons |= {"volume": reason} if reason else {}
        return Decoded(values, reasons=reasons)


def height(closed: Mapping[float, bool]) -> float:
    """The highest closed switch, %; 0 while even the lowest is open."""
    return max((level for level, state in closed.items() if state), default=0.0)


def contradiction(closed: Mapping[float, bool]) -> str | None:
    """What is wrong when a switch is closed above one that is open."""
    top = height(closed)
    for level, state in sorted(closed.items(), reverse=True):
        if level < top and not state:
            return f"the switch at {top:g} % is closed, the one at {level:g} % is not: which one is stuck?"
    return None


def _make(settings: Device) -> TankSwitches:
    levels: dict[float, int] = {}
    for text, pin in settings.levels.items():
        if not _NUMBER.fullmatch(text) or float(text) > 100:
            raise SettingError(f"levels.{text}", f"{text!r} is no level", "% of the tank, 0 to 100")
        if float(text) in levels:
            raise SettingError(f"levels.{text}", "this level is there already", "one switch a level")
        if pin in levels.values():
            raise SettingError(f"levels.{text}", f"another level uses pin {pin} already", "one switch a pin")
        levels[float(text)] = pin
    switches = tuple(Switch(level, contact(settings, levels[level], _DEBOUNCE_S)) for level in sorted(levels))
    rows = {"level": _LEVEL} | ({} if settings.capacity is None else {"volume": _VOLUME})
    rows |= {switch.entity: _switch(switch.level) for switch in switches}
    return TankSwitches(MappingProxyType(rows), switches, settings.capacity)


def _switch(level: float) -> Row:
    # Home Assistant's moisture: on means wet, off dry.
    return Row(
        entity=Entity(name=f"Switch at {level:g} %", device_class="moisture", boolean=True, diagnostic=True)
    )


KIND = GpioKind(
    name="tank_switches",
    title="Tank with level switches on the board's inputs",
    manufacturer="Generic",
    rows=ROWS,
    source="the kernel's GPIO character device (libgpiod 2.5); RPi.GPIO 0.7.1, py_gpio.c; rpi-lgpio 0.6",
    needs=("levels",),
    takes=("pull", "active_low", "debounce", "capacity"),
    every=_EVERY_S,
    make=_make,
)
