"""A van's electricity, pure and seeded: sun, clouds, loads, an MPPT and a LiFePO4 battery that agree."""

import itertools
import math
import random
from dataclasses import dataclass
from enum import IntEnum

_DAY = 86_400.0
_FINEST = 10.0  # simulated seconds: pump bursts and clouds are lost in coarser steps

_PANEL_PEAK = 320.0  # W
_MPPT_LIMIT = 15.0  # A, of a 75/15
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
class Moment:
    """The van at one time: hour of the day, load in W, and both devices' measurements."""

    hour: float
    load: float
    battery: Battery
    solar: Solar


class Van:
    """Call step(dt) with real seconds; a day passes in `day_length` of them."""

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
        self._pump_until = 0.0
        self._state = ChargeState.OFF
        self._yield = 0.0
        self._average_current = 0.0
        self._moment = self._advance(0.0)

    @property
    def moment(self) -> Moment:
        return self._moment

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
        load = self._load(hour)
        sun = self._sun(hour, seconds)
        voltage, current, power = self._balance(sun, load)
        charge = current * seconds / 3600.0
        self._soc = min(100.0, max(0.0, self._soc + charge / _CAPACITY * 100.0))
        self._yield += power * seconds / 3600.0
        self._average_current += (current - self._average_current) * min(1.0, seconds / 180.0)
        charger = power * _EFFICIENCY / voltage
        return Moment(
            hour,
            load,
            self._battery(voltage, current),
            Solar(self._state, voltage, charger, power, self._yield),
        )

    def _sun(self, hour: float, seconds: float) -> float:
        """Panel power in W if nothing limits it."""
        self._clearness += (0.75 - self._clearness) * seconds / 1800.0
        self._clearness += self._random.gauss(0.0, 0.09) * math.sqrt(seconds / 60.0)
        self._clearness = min(1.0, max(0.12, self._clearness))
        height = math.sin(math.pi * (hour - 6.0) / 12.0)
        return _PANEL_PEAK * math.pow(max(0.0, height), 1.3) * self._clearness

    def _load(self, hour: float) -> float:
        if self._clock >= self._fridge_until:
            self._fridge_on = not self._fridge_on
            minutes = self._random.uniform(10, 16) if self._fridge_on else self._random.uniform(18, 32)
            self._fridge_until = self._clock + minutes * 60.0
        awake = 7.0 <= hour < 23.0
        if awake and self._clock >= self._pump_until and self._random.random() < 0.004:
            self._pump_until = self._clock + self._random.uniform(10.0, 40.0)
        watts = _STANDBY
        watts += _FRIDGE if self._fridge_on else 0.0
        watts += _LIGHTS if hour >= 18.5 and awake else 0.0
        watts += _PUMP if self._clock < self._pump_until else 0.0
        return watts

    def _balance(self, sun: float, load: float) -> tuple[float, float, float]:
        """Battery V, battery A and W of sun used, so that charger = battery + load current."""
        self._next_state(sun)
        rest = _interpolate(self._soc)
        offered = 0.0 if self._state is ChargeState.OFF else sun * _EFFICIENCY
        current = _current_for(rest, offered - load)
        current = min(current, _MPPT_LIMIT - load / rest)
        if self._state in (ChargeState.ABSORPTION, ChargeState.FLOAT):
            limit = _ABSORPTION if self._state is ChargeState.ABSORPTION else _FLOAT
            # Above its limit the charger gives nothing and the loads drain the battery down to it.
            current = min(current, max((limit - rest) / _RESISTANCE, _current_for(rest, -load)))
        voltage = rest + current * _RESISTANCE
        used = 0.0 if self._state is ChargeState.OFF else max(0.0, (voltage * current + load) / _EFFICIENCY)
        return voltage, current, min(used, sun)

    def _next_state(self, sun: float) -> None:
        state = self._state
        if sun < _WAKE / 2:
            state = ChargeState.OFF
        elif state is ChargeState.OFF:
            state = ChargeState.BULK if sun >= _WAKE else state
        elif state is ChargeState.BULK and self._soc >= 98.0:
            state = ChargeState.ABSORPTION
        elif state is ChargeState.ABSORPTION and self._soc >= _FULL:
            state = ChargeState.FLOAT
        self._state = state

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
