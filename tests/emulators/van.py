"""A van, pure and seeded: sun, loads, chargers, a LiFePO4 battery, shore power and water that agree."""

import itertools
import math
import random
from dataclasses import dataclass
from enum import IntEnum

_DAY = 86_400.0
_FINEST = 10.0  # simulated seconds: pump bursts and clouds are lost in coarser steps

_PANEL_PEAK = 320.0  # W
_MPPT_LIMIT = 15.0  # A, of a 75/15
_FOLDING = 0.25  # the folding panel's share of the roof's
_CHARGER_LIMIT = 15.0  # A, of the charger on shore power
_LOOK_AROUND = 600.0  # s that a solar charger stays in bulk, however full the battery
_EFFICIENCY = 0.96
_CAPACITY = 105.0  # Ah
_RESISTANCE = 0.02  # ohm
_ABSORPTION = 14.2  # V
_FLOAT = 13.5  # V
_FULL = 99.95  # %: absorption is done
_WAKE = 8.0  # W of sun that wake the MPPT

_STANDBY = 6.0
_FRIDGE = 45.0
_LIGHTS = 18.0
_PUMP = 65.0
AWNING = 26.0  # W of the lamp at the Epever's load output
_SOCKETS = 62.0  # W at the inverter's sockets
_INVERTER_IDLE = 8.0
_INVERTER_EFFICIENCY = 0.9

_ARRIVES, _LEAVES = 19.5, 9.0 + 5 / 60  # hours between which the shore power is plugged in
_MAINS = 230.0  # V
_CHARGER_EFFICIENCY = 0.88
_CHARGER_IDLE = 12.0
_COUNTED = 128_400.0  # Wh on the shore meter at the start

FRESH_CAPACITY, WASTE_CAPACITY = 100.0, 60.0  # L
_FRESH, _WASTE = 70.0, 27.0  # L at the start
_FLOW = 0.12  # L/s through the pump
BOTTLE_HEIGHT = 250.0  # mm of liquid gas in a full bottle
_GAS_LEFT = 0.62  # of it at the start
_COOKING = ((7.5, 8.0), (12.0, 12.6), (18.5, 19.3))  # hours with a flame
_FLAME = 0.014  # of a bottle in an hour of cooking
_COLD, _WARM = 2.0, 9.0  # °C that a fridge strives for while it cools, and while it does not
_FRIDGE_TIME = 2400.0  # s
_SPILT = 0.1  # of the water is drunk, boiled away or gone with the grass

# Resting voltage of four LiFePO4 cells by charge, steep at both ends.
_OPEN_CIRCUIT = (
    (0, 10.8),
    (5, 12.4),
    (10, 12.8),
    (30, 13.1),
    (60, 13.2),
    (90, 13.32),
    (99, 13.5),
    (100, 14.15),
)


class ChargeState(IntEnum):
    """Victron's codes of the states an MPPT passes through."""

    OFF = 0
    BULK = 3
    ABSORPTION = 4
    FLOAT = 5


_LIMIT = {ChargeState.ABSORPTION: _ABSORPTION, ChargeState.FLOAT: _FLOAT}


@dataclass(frozen=True, slots=True)
class Battery:
    """What the shunt measures: V, A into the battery, %, Ah (negative or 0), minutes to empty, starter V."""

    voltage: float
    current: float
    soc: float
    consumed: float
    minutes: int | None
    starter_voltage: float


@dataclass(frozen=True, slots=True)
class Solar:
    """What the MPPT measures: battery V, A into battery and loads, W of sun, Wh since midnight."""

    state: ChargeState
    voltage: float
    current: float
    power: float
    yield_today: float


@dataclass(frozen=True, slots=True)
class Folding:
    """What the second charge controller measures: W of its panel, W of its load output."""

    power: float
    load: float


@dataclass(frozen=True, slots=True)
class Shore:
    """The charger on shore power: its state (OFF while unplugged), mains V and W, Wh counted, A it gives."""

    state: ChargeState
    voltage: float
    power: float
    energy: float
    current: float

    @property
    def plugged(self) -> bool:
        return self.state is not ChargeState.OFF


@dataclass(frozen=True, slots=True)
class Household:
    """W at the inverter's sockets, None while off; A and °C of the fridge; L in the tanks; gas, 0 to 1."""

    sockets: float | None
    fridge: float
    fresh: float
    waste: float
    gas: float
    cold: float


@dataclass(frozen=True, slots=True)
class Moment:
    """The van at one time: hour of the day, load in W on the battery, and what every device measures."""

    hour: float
    load: float
    battery: Battery
    solar: Solar
    folding: Folding
    shore: Shore
    household: Household


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What somebody has switched on."""

    pump: bool = False
    inverter: bool = False
    awning: bool = False


@dataclass(frozen=True, slots=True)
class _Flow:
    """Where the electricity goes: battery V and A, W of sun on the roof that is used, W from the charger."""

    voltage: float
    current: float
    power: float
    charger: float


class Van:
    """Call step(dt) with real seconds; a day passes in `day_length` of them. `switches` may be replaced."""

    def __init__(
        self, *, seed: int = 1, day_length: float = _DAY, start_hour: float = 9.0, soc: float = 72.0
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 — weather, not secrets
        self._pace = _DAY / day_length
        self._clock = start_hour * 3600.0
        self._soc = soc
        self._clearness = 0.8
        self._fridge_on = True
        self._fridge_until = 0.0
        self._state = self._charger = ChargeState.OFF
        self._bulk_since = 0.0
        self._yield = 0.0
        self._counted = _COUNTED
        self._fresh, self._waste = _FRESH, _WASTE
        self.switches = Switches()
        self._gas, self._cold = _GAS_LEFT, 5.0
        self._average_current = 0.0
        self._moment = self._advance(0.0)

    @property
    def moment(self) -> Moment:
        return self._moment

    def go_on(self, counted: float, yielded: float) -> None:
        """Let the shore meter and the MPPT's day go on from these Wh, as another van left them."""
        self._counted, self._yield = counted, yielded
        self._moment = self._advance(0.0)

    def step(self, dt: float) -> Moment:
        """The van `dt` real seconds later."""
        left = dt * self._pace
        while left > 0:
            slice_ = min(left, _FINEST)
            self._moment = self._advance(slice_)
            left -= slice_
        return self._moment

    def _advance(self, seconds: float) -> Moment:
        before = self._clock
        self._clock += seconds
        if self._clock // _DAY > before // _DAY:
            self._yield = 0.0
        hour = self._clock % _DAY / 3600.0
        plugged = not _LEAVES <= hour < _ARRIVES
        if self._charger is not ChargeState.OFF and not plugged:
            # Nobody leaves a campsite without water.
            self._fresh, self._waste = FRESH_CAPACITY, 0.0
        pumping = self._pump(seconds)
        sockets = _SOCKETS + self._random.gauss(0.0, 1.5)
        load = self._load(hour, sockets, pumping=pumping)
        self._cook(hour, seconds)
        sun = self._sun(hour, seconds)
        self._next_states(sun, plugged=plugged)
        flow = self._balance(sun, load)
        charge = flow.current * seconds / 3600.0
        self._soc = min(100.0, max(0.0, self._soc + charge / _CAPACITY * 100.0))
        self._yield += flow.power * seconds / 3600.0
        self._average_current += (flow.current - self._average_current) * min(1.0, seconds / 180.0)
        return Moment(
            hour,
            load,
            self._battery(flow.voltage, flow.current),
            Solar(
                self._state, flow.voltage, flow.power * _EFFICIENCY / flow.voltage, flow.power, self._yield
            ),
            Folding(flow.power * _FOLDING, AWNING if self.switches.awning else 0.0),
            self._shore(flow, seconds, plugged=plugged),
            Household(
                sockets if self.switches.inverter else None,
                _FRIDGE / flow.voltage if self._fridge_on else 0.0,
                self._fresh,
                self._waste,
                self._gas,
                self._cold,
            ),
        )

    def _pump(self, seconds: float) -> bool:
        """Move water from tank to tank; False if the pump stands or runs dry."""
        if not self.switches.pump or not self._fresh:
            return False
        litres = min(self._fresh, _FLOW * seconds)
        self._fresh -= litres
        self._waste = min(WASTE_CAPACITY, self._waste + litres * (1 - _SPILT))
        return True

    def _cook(self, hour: float, seconds: float) -> None:
        """Burn gas at mealtimes, from a new bottle once one is empty; let the fridge follow its cooling."""
        if any(first <= hour < last for first, last in _COOKING):
            self._gas -= _FLAME * seconds / 3600.0
        self._gas = self._gas if self._gas > 0 else 1.0
        goal = _COLD if self._fridge_on else _WARM
        self._cold += (goal - self._cold) * min(1.0, seconds / _FRIDGE_TIME)

    def _shore(self, flow: _Flow, seconds: float, *, plugged: bool) -> Shore:
        if not plugged:
            return Shore(self._charger, 0.0, 0.0, self._counted, 0.0)
        power = _CHARGER_IDLE + flow.charger / _CHARGER_EFFICIENCY
        self._counted += power * seconds / 3600.0
        mains = _MAINS + self._random.gauss(0.0, 0.4)
        return Shore(self._charger, mains, power, self._counted, flow.charger / flow.voltage)

    def _sun(self, hour: float, seconds: float) -> float:
        """Panel power in W if nothing limits it."""
        self._clearness += (0.75 - self._clearness) * seconds / 1800.0
        self._clearness += self._random.gauss(0.0, 0.09) * math.sqrt(seconds / 60.0)
        self._clearness = min(1.0, max(0.12, self._clearness))
        height = math.sin(math.pi * (hour - 6.0) / 12.0)
        return _PANEL_PEAK * math.pow(max(0.0, height), 1.3) * self._clearness

    def _load(self, hour: float, sockets: float, *, pumping: bool) -> float:
        if self._clock >= self._fridge_until:
            self._fridge_on = not self._fridge_on
            minutes = self._random.uniform(10, 16) if self._fridge_on else self._random.uniform(18, 32)
            self._fridge_until = self._clock + minutes * 60.0
        watts = _STANDBY
        watts += _FRIDGE if self._fridge_on else 0.0
        watts += _LIGHTS if 18.5 <= hour < 23.0 else 0.0
        watts += _PUMP if pumping else 0.0
        watts += AWNING if self.switches.awning else 0.0
        watts += _INVERTER_IDLE + sockets / _INVERTER_EFFICIENCY if self.switches.inverter else 0.0
        return watts

    def _balance(self, sun: float, load: float) -> _Flow:
        """Share the load and the charge, so that all chargers together give what battery and loads take."""
        rest = _interpolate(self._soc)
        offered, most = 0.0, 0.0
        if self._state is not ChargeState.OFF:
            offered, most = sun * (1 + _FOLDING) * _EFFICIENCY, _MPPT_LIMIT * (1 + _FOLDING)
        total = offered
        if self._charger is not ChargeState.OFF:
            total, most = total + _CHARGER_LIMIT * rest, most + _CHARGER_LIMIT
        limits = [_LIMIT[state] for state in (self._state, self._charger) if state in _LIMIT]
        current = min(_current_for(rest, total - load), most - load / rest)
        if limits:
            # Above its limit a charger gives nothing and the loads drain the battery down to it.
            current = min(current, max((min(limits) - rest) / _RESISTANCE, _current_for(rest, -load)))
        voltage = rest + current * _RESISTANCE
        given = max(0.0, voltage * current + load)
        # The sun costs nothing: what it has comes first.
        solar = given if self._charger is ChargeState.OFF else min(given, offered)
        power = min(sun, solar / _EFFICIENCY / (1 + _FOLDING)) if offered else 0.0
        return _Flow(voltage, current, power, given - solar)

    def _next_states(self, sun: float, *, plugged: bool) -> None:
        state = self._state
        if sun < _WAKE / 2:
            state = ChargeState.OFF
        elif state is ChargeState.OFF:
            state, self._bulk_since = (ChargeState.BULK, self._clock) if sun >= _WAKE else (state, 0.0)
        elif state is not ChargeState.BULK or self._clock >= self._bulk_since + _LOOK_AROUND:
            state = self._stage(state)
        self._state = state
        if not plugged:
            self._charger = ChargeState.OFF
        elif self._charger is ChargeState.OFF:
            self._charger = ChargeState.BULK
        else:
            self._charger = self._stage(self._charger)

    def _stage(self, state: ChargeState) -> ChargeState:
        if state is ChargeState.BULK and self._soc >= 98.0:
            return ChargeState.ABSORPTION
        if state is ChargeState.ABSORPTION and self._soc >= _FULL:
            return ChargeState.FLOAT
        return state

    def _battery(self, voltage: float, current: float) -> Battery:
        left = self._soc / 100.0 * _CAPACITY
        # Like a SmartShunt: nothing to predict while charging, and never beyond ten days.
        minutes = None
        if self._average_current < -0.1:
            minutes = min(14_400, round(left / -self._average_current * 60.0))
        starter = 12.71 + 0.02 * math.sin(self._clock / 3600.0)
        return Battery(voltage, current, self._soc, left - _CAPACITY, minutes, starter)


def _current_for(rest: float, watts: float) -> float:
    """A into the battery when it takes (or gives) `watts` over its inner resistance."""
    return (-rest + math.sqrt(max(0.0, rest * rest + 4.0 * _RESISTANCE * watts))) / (2.0 * _RESISTANCE)


def _interpolate(soc: float) -> float:
    for (low, low_volts), (high, high_volts) in itertools.pairwise(_OPEN_CIRCUIT):
        if soc <= high:
            return low_volts + (high_volts - low_volts) * (soc - low) / (high - low)
    return _OPEN_CIRCUIT[-1][1]
