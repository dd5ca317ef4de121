"""What hangs on the board's pins: one contact, the level switches of a tank, a meter with pulses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bus.about import BINARY_SENSOR_CLASSES, TOTAL_INCREASING
from collector.devices.description import Decoded, PolledKind, Row, SettingError, Values, Wire
from collector.devices.lines import Count, CounterLine, GpioLine, Pulses
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


@dataclass(frozen=True, slots=True)
class Counted:
    """What pulses stand for: the entities of the total and of the rate, and their units by those of a meter.

    A meter has pulses per `per`; the total is in `total` of those, the rate in `rate` per second of those.
    Without a pulse for `still` s nothing flows.
    """

    total: tuple[str, Row]
    rate: tuple[str, Row]
    units: float
    rate_units: float
    still: float


_COUNTED: Mapping[str, Counted] = {
    # Pulses per litre.
    "water": Counted(
        (
            "water",
            measured("Water", "L", device_class="water", state_class=TOTAL_INCREASING, precision=1, step=1),
        ),
        ("flow", measured("Flow", "L/min", device_class="volume_flow_rate", precision=1, step=0.2)),
        units=1.0,
        rate_units=60.0,
        still=10.0,
    ),
    # Pulses per kWh, as is printed on meters; S0 is IEC 62053-31.
    "energy": Counted(
        ("energy", measured("Energy", "Wh", precision=0, step=1)),
        ("power", measured("Power", "W", precision=0, step=1)),
        units=1000.0,
        rate_units=3_600_000.0,
        still=900.0,
    ),
}
_DEFAULT_COUNTED = "water"
_COUNTER_EVERY_S = 1.0
# S0 pulses last 30 ms at least; sensors with a wheel reach 200 a second.
_COUNTER_DEBOUNCE_S = 0.001
# No meter is faster: a wire without its resistor is.
_FASTEST_HZ = 1000.0


@dataclass(slots=True)
class Flow:
    """How many pulses a second come; `still` seconds without one are none."""

    still: float
    _rate: float | None = None
    _newest: float | None = None
    _heard: float | None = None

    def take(self, pulses: Pulses, now: float) -> float | None:
        """Return the rate after a poll at monotonic second `now`; None until it is known."""
        if pulses.count:
            # The kernel's clock and ours need not begin at one time.
            newest = now if pulses.newest is None else pulses.newest
            if pulses.rate is not None:
                self._rate = pulses.rate
            elif self._newest is not None and newest > self._newest:
                self._rate = pulses.count / (newest - self._newest)
            self._newest, self._heard = newest, now
            return self._rate
        self._heard = now if self._heard is None else self._heard
        silence = now - self._heard
        if silence >= self.still:
            self._rate, self._newest = 0.0, None
        elif self._rate is not None and silence > 0:
            # The next pulse is still to come: it is slower than that.
            self._rate = min(self._rate, 1 / silence)
        return self._rate


@dataclass(slots=True)
class PulseCounter:
    """A meter or a sensor that closes a contact for each pulse; polled every `every` s."""

    rows: Mapping[str, Row]
    counted: Counted
    pin: int
    pull: Pull
    rising: bool
    debounce: float
    per_unit: float
    every: float
    _flow: Flow
    _count: Count | None = None
    _asked: float | None = None

    @property
    def name(self) -> str:
        """What its count is kept under: a pin that counts something else begins anew."""
        return f"{self.counted.total[0]}.{self.pin}"

    def poll(self, line: CounterLine, now: float) -> Decoded:
        """Add up what came since the last poll. Raises DecodeError or LineError."""
        pulses = line.pulses(self.pin, self.pull, rising=self.rising, debounce=self.debounce)
        if self._count is None:
            self._count = (line.recall(self.name) or Count()).at(self.per_unit)
        total, rate = self.counted.total[0], self.counted.rate[0]
        reasons = self._noise(pulses, now)
        if not reasons:
            self._count = replace(self._count, pulses=self._count.pulses + pulses.count)
        flow = None if reasons else self._flow.take(pulses, now)
        kept = line.keep(self.name, self._count)
        if pulses.polled:
            reasons[total] = (
                f"at most {1 / (2 * self.every):g} pulses a second are seen: no library here tells of edges; "
                'set controller.pins to "auto"'
            )
        if kept.problem is not None:
            reasons[total] = kept.problem
        values: Values = {
            total: round(kept.count.units * self.counted.units, 3),
            rate: None if flow is None else round(flow / self.per_unit * self.counted.rate_units, 3),
        }
        return Decoded(values, reasons=reasons)

    def _noise(self, pulses: Pulses, now: float) -> dict[str, str]:
        """Return why pulses are none; their rate is that between two polls."""
        since, self._asked = self._asked, now
        took = max(now - since, self.every) if since is not None else self.every
        if pulses.count <= _FASTEST_HZ * took:
            return {}
        text = (
            f"{pulses.count / took:.0f} pulses a second are noise and are not counted: is its wire loose, "
            "does it need a resistor to 3.3 V, or a longer debounce?"
        )
        return {self.counted.rate[0]: text}


def _make_counter(settings: Device) -> PulseCounter:
    assert settings.pin is not None and settings.pulses_per_unit is not None  # noqa: S101, PT018 — among `needs`
    counted = _COUNTED.get(_DEFAULT_COUNTED if settings.counts is None else settings.counts)
    if counted is None:
        raise SettingError("counts", f"{settings.counts!r} is not counted", ", ".join(_COUNTED))
    its = contact(settings, settings.pin, _COUNTER_DEBOUNCE_S)
    return PulseCounter(
        rows=dict((counted.total, counted.rate)),
        counted=counted,
        pin=its.pin,
        pull=its.pull,
        rising=not its.active_low,
        debounce=its.debounce,
        per_unit=settings.pulses_per_unit,
        every=settings.every or _COUNTER_EVERY_S,
        _flow=Flow(counted.still),
    )


GPIO_INPUT = PolledKind(
    wire=Wire.GPIO,
    name="gpio_input",
    title="Input of the board: a contact, an opto-coupler, the feedback of a relay",
    manufacturer="Generic",
    model="Contact",
    rows=_input_rows(None),
    source=_SOURCE,
    needs=("pin",),
    takes=("chip", "pull", "active_low", "debounce", "device_class"),
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
    takes=("chip", "pull", "active_low", "debounce", "capacity"),
    every=_TANK_EVERY_S,
    make=_make_tank,
    defaults={"pull": _DEFAULT_PULL, "debounce": _TANK_DEBOUNCE_S},
)
PULSE_COUNTER = PolledKind(
    wire=Wire.GPIO,
    name="pulse_counter",
    title="Pulses of a water meter, a flow sensor, or an electricity meter with S0",
    manufacturer="Generic",
    model="Pulse counter",
    rows=dict(pair for one in _COUNTED.values() for pair in (one.total, one.rate)),
    source=f"{_SOURCE}; IEC 62053-31 (S0)",
    needs=("pin", "pulses_per_unit"),
    takes=("counts", "chip", "pull", "active_low", "debounce"),
    every=_COUNTER_EVERY_S,
    make=_make_counter,
    defaults={"counts": _DEFAULT_COUNTED, "pull": _DEFAULT_PULL, "debounce": _COUNTER_DEBOUNCE_S},
    allowed={"counts": tuple(_COUNTED)},
)
KINDS = {kind.name: kind for kind in (GPIO_INPUT, TANK_SWITCHES, PULSE_COUNTER)}
