"""What hangs on the board's pins: one contact, or the level switches of a tank."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bus.about import BINARY_SENSOR_CLASSES
from collector.devices.description import Decoded, GpioLine, PolledKind, Row, SettingError, Values, Wire
from collector.devices.rows import flag, measured, on_off
from config.model import Device, Pull

_SOURCE = "the kernel's GPIO character device (libgpiod 2.5); RPi.GPIO 0.7.1, py_gpio.c; rpi-lgpio 0.6"
_INPUT_EVERY_S = 0.2
_INPUT_DEBOUNCE_S = 0.3
_TANK_EVERY_S = 1.0
# Water sloshes for seconds after the van has stopped.
_TANK_DEBOUNCE_S = 5.0
_NUMBER = re.compile(r"\d{1,3}(\.\d{1,3})?")

_DEFAULT_PULL: Pull = "up"


@dataclass(slots=True)
class Contact:
    """A contact on a pin: what level means closed, and which changes of level count; `debounce` in seconds.

    A level counts once all polls for `debounce` seconds have seen it. Whatever comes and goes between two
    polls is not seen, on purpose: the contacts we read stay as they are for seconds.
    """

    pin: int
    pull: Pull
    active_low: bool
    debounce: float
    _closed: bool | None = None
    _candidate: bool | None = None
    _since: float = 0.0

    def poll(self, line: GpioLine, now: float) -> bool | None:
        """Return whether it is closed; None until that is known. Raises DecodeError or LineError."""
        return self.see(line.read(self.pin, self.pull) is not self.active_low, now)

    def see(self, closed: bool, now: float) -> bool | None:  # noqa: FBT001 — what a poll saw
        """Return what counts after a poll at monotonic second `now` saw it closed or open."""
        if closed is not self._candidate:
            self._candidate = closed
            self._since = now
        if now - self._since >= self.debounce:
            self._closed = closed
        return self._closed


def contact(settings: Device, pin: int, debounce: float) -> Contact:
    """Set up the contact on a pin as a device's settings say; `debounce` is its kind's default.

    On a pull-up a contact goes to ground, so it is closed when the pin is low; else when the pin is high.
    """
    pull: Pull = settings.pull or _DEFAULT_PULL
    active_low = settings.active_low if settings.active_low is not None else pull == "up"
    return Contact(pin, pull, active_low, settings.debounce if settings.debounce is not None else debounce)


def _input_rows(device_class: str | None) -> Mapping[str, Row]:
    # Home Assistant shows the device's name before it: "Shore power input".
    return {"input": flag("Input", device_class)}


@dataclass(frozen=True, slots=True)
class GpioInput:
    """A contact, ON while it is closed."""

    rows: Mapping[str, Row]
    contact: Contact

    def poll(self, line: GpioLine, now: float) -> Decoded:
        """Return its value once a level has stood still. Raises DecodeError or LineError."""
        closed = self.contact.poll(line, now)
        return Decoded({} if closed is None else {"input": on_off(closed)})


def _make_input(settings: Device) -> GpioInput:
    if settings.device_class not in (None, *BINARY_SENSOR_CLASSES):
        raise SettingError(
            "device_class",
            f"Home Assistant has no binary sensor of class {settings.device_class!r}",
            ", ".join(sorted(BINARY_SENSOR_CLASSES)),
        )
    assert settings.pin is not None  # noqa: S101 — it is among `needs`
    return GpioInput(_input_rows(settings.device_class), contact(settings, settings.pin, _INPUT_DEBOUNCE_S))


_LEVEL = measured("Level", "%", precision=0, step=0, role="tank")
_VOLUME = measured("Volume", "L", precision=0, step=0, role="tank")


@dataclass(frozen=True, slots=True)
class LevelSwitch:
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
    switches: tuple[LevelSwitch, ...]
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
    """Return the highest closed switch, %; 0 while even the lowest is open."""
    return max((level for level, state in closed.items() if state), default=0.0)


def contradiction(closed: Mapping[float, bool]) -> str | None:
    """Say what is wrong when a switch is closed above one that is open; None if nothing is."""
    top = height(closed)
    for level, state in sorted(closed.items(), reverse=True):
        if level < top and not state:
            return f"the switch at {top:g} % is closed, the one at {level:g} % is not: which one is stuck?"
    return None


def _make_tank(settings: Device) -> TankSwitches:
    levels: dict[float, int] = {}
    for text, pin in settings.levels.items():
        if not _NUMBER.fullmatch(text) or float(text) > 100:
            raise SettingError(f"levels.{text}", f"{text!r} is no level", "% of the tank, 0 to 100")
        if float(text) in levels:
            raise SettingError(f"levels.{text}", "this level is there already", "one switch a level")
        if pin in levels.values():
            raise SettingError(f"levels.{text}", f"another level uses pin {pin} already", "one switch a pin")
        levels[float(text)] = pin
    switches = tuple(
        LevelSwitch(level, contact(settings, levels[level], _TANK_DEBOUNCE_S)) for level in sorted(levels)
    )
    rows = {"level": _LEVEL} | ({} if settings.capacity is None else {"volume": _VOLUME})
    rows |= {switch.entity: _switch(switch.level) for switch in switches}
    return TankSwitches(rows, switches, settings.capacity)


def _switch(level: float) -> Row:
    # Home Assistant's moisture: on means wet, off dry.
    return flag(f"Switch at {level:g} %", "moisture", diagnostic=True)


GPIO_INPUT = PolledKind(
    wire=Wire.GPIO,
    name="gpio_input",
    title="Input of the board: a contact, an opto-coupler, the feedback of a relay",
    manufacturer="Generic",
    model="Contact",
    rows=_input_rows(None),
    source=_SOURCE,
    needs=("pin",),
    takes=("pull", "active_low", "debounce", "device_class"),
    every=_INPUT_EVERY_S,
    make=_make_input,
    defaults={"pull": _DEFAULT_PULL, "debounce": _INPUT_DEBOUNCE_S},
    allowed={"device_class": sorted(BINARY_SENSOR_CLASSES)},
)
TANK_SWITCHES = PolledKind(
    wire=Wire.GPIO,
    name="tank_switches",
    title="Tank with level switches on the board's inputs",
    manufacturer="Generic",
    model="Level switches",
    rows={"level": _LEVEL, "volume": _VOLUME},
    source=_SOURCE,
    needs=("levels",),
    takes=("pull", "active_low", "debounce", "capacity"),
    every=_TANK_EVERY_S,
    make=_make_tank,
    defaults={"pull": _DEFAULT_PULL, "debounce": _TANK_DEBOUNCE_S},
)
KINDS = {kind.name: kind for kind in (GPIO_INPUT, TANK_SWITCHES)}
