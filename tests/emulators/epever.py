"""An Epever Tracer on RS485: a real Tracer2215BN's registers, with a sun, a battery and a load to move them.

Registers as Epsolar's LS-B protocol V1.1 lists them; the low word of 32 bits comes first.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.emulators.modbus_rtu import DEVICE_FAILURE, ILLEGAL_FUNCTION, WRITE_REGISTERS, Tables

# The kinds that are read from it.
TWINS = ("epever_tracer",)

CAPTURE = Path(__file__).parents[1] / "captures" / "epever_tracer2215bn.json"
LOAD_COIL = 0x0002
LOAD_MODE = 0x903D
NO_CHARGING, FLOAT, BOOST, EQUALIZATION = range(4)
BATTERY_TYPE, USER = 0x9000, 0
VOLTAGES = range(0x9003, 0x900F)
# The manual of the Tracer-AN, rules A to E for the battery type "user": by register, the first is above.
_ABOVE = (
    *((0x9003, 0x9004), (0x9003, 0x9005), (0x9008, 0x9009)),
    *((0x9009, 0x900A), (0x900A, 0x900D), (0x900B, 0x900C)),
)
_NOT_BELOW = ((0x9004, 0x9006), (0x9006, 0x9007), (0x9007, 0x9008), (0x900D, 0x900E), (0x900C, 0x900E))


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What the panel, the battery and the load are like: V, W and %; `load` is what it draws when on."""

    pv_voltage: float = 17.5
    pv_power: float = 120.0
    voltage: float = 13.2
    soc: int = 80
    load: float = 26.0
    state: int = BOOST
    temperature: float = 25.0


@dataclass(slots=True)
class Tracer(Tables):
    """The controller; `show` sets what it measures, `step` lets its counters run for so many seconds."""

    weather: Weather = field(default_factory=Weather)
    # Set: the load output does not follow its coil, as after an overload.
    stuck: bool = False
    # By register: what it keeps in place of what is written.
    own_mind: dict[int, int] = field(default_factory=dict)
    _joules: dict[int, float] = field(default_factory=dict)

    @classmethod
    def captured(cls) -> Self:
        """As it was captured, register for register; 0x331B and 0x331C of two moments."""
        raw = json.loads(CAPTURE.read_text(encoding="utf-8"))
        tables = {
            name: {int(address, 16): value for address, value in raw[name].items()}
            for name in ("input", "holding", "coil", "discrete")
        }
        return cls(tables["input"], tables["holding"], tables["coil"], tables["discrete"])

    @classmethod
    def simulated(cls, weather: Weather | None = None) -> Self:
        """One whose values belong together."""
        made = cls.captured()
        made.show(weather or Weather())
        return made

    def write_coil(self, address: int, on: int) -> None:
        """Obey, unless it is the load's while a timer or the light decides or the output is stuck."""
        if address == LOAD_COIL and self.stuck:
            return
        self.coils[address] = on
        self.show(self.weather)

    def write_registers(self, function: int, values: Mapping[int, int]) -> int:
        """Take settings by function 16; the voltages all in one, for the battery type user, and in order."""
        if function != WRITE_REGISTERS:
            return ILLEGAL_FUNCTION
        if values.keys() & {*VOLTAGES} and (
            values.keys() != {*VOLTAGES} or self.holding[BATTERY_TYPE] != USER or not self._in_order(values)
        ):
            return DEVICE_FAILURE
        self.holding |= values
        self.holding |= {one: kept for one, kept in self.own_mind.items() if one in values}
        self.show(self.weather)
        return 0

    def _in_order(self, volts: Mapping[int, int]) -> bool:
        cells = self.input[0x311D] // 1200
        return (
            all(volts[one] > volts[other] for one, other in _ABOVE)
            and all(volts[one] >= volts[other] for one, other in _NOT_BELOW)
            and all(900 * cells <= one <= 1700 * cells for one in volts.values())
        )

    @property
    def load_power(self) -> float:
        """What the load draws now, W."""
        return self.weather.load if self.coils[LOAD_COIL] and not self.holding[LOAD_MODE] else 0.0

    def show(self, weather: Weather) -> None:
        """Measure this from now on."""
        self.weather = weather
        charging = weather.pv_power / weather.voltage
        loading = self.load_power / weather.voltage
        self._set(0x3100, weather.pv_voltage)
        self._set(0x3101, weather.pv_power / weather.pv_voltage if weather.pv_voltage else 0)
        self._set_long(0x3102, weather.pv_power)
        self._set(0x3104, weather.voltage)
        self._set(0x3105, charging)
        self._set_long(0x3106, weather.pv_power)
        self._set(0x310C, weather.voltage if self.load_power else 0)
        self._set(0x310D, loading)
        self._set_long(0x310E, self.load_power)
        for address in (0x3110, 0x311B, 0x331D):
            self._set(address, weather.temperature)
        for address in (0x3111, 0x3112):
            self._set(address, weather.temperature + weather.pv_power / 20)
        self.input[0x311A] = weather.soc
        self.input[0x3201] = (weather.state << 2) | 1
        self._set_long(0x331B, charging - loading)
        self._set(0x3302, max(weather.voltage, self.input[0x3302] / 100))
        self._set(0x3303, min(weather.voltage, self.input[0x3303] / 100))

    def step(self, seconds: float) -> None:
        """Count energy: today's, this month's, this year's and all of it."""
        self._count(0x3304, self.load_power * seconds)
        self._count(0x330C, self.weather.pv_power * seconds)

    @property
    def counted(self) -> dict[int, float]:
        """What it has counted, in J by register."""
        return dict(self._joules)

    def go_on(self, counted: Mapping[int, float]) -> None:
        """Count on from there."""
        self._joules.update(counted)
        self.step(0.0)

    def midnight(self) -> None:
        """Today's counters begin anew."""
        for address in (0x3304, 0x330C):
            self._joules.pop(address, None)
            self._set_long(address, 0)

    def _count(self, first: int, joules: float) -> None:
        for address in range(first, first + 8, 2):
            before = (self.input[address] | self.input[address + 1] << 16) / 100 * 3.6e6
            self._joules[address] = self._joules.get(address, before) + joules
            self._set_long(address, self._joules[address] / 3.6e6)

    def _set(self, address: int, value: float) -> None:
        self.input[address] = round(value * 100) & 0xFFFF

    def _set_long(self, address: int, value: float) -> None:
        raw = round(value * 100)
        self.input[address], self.input[address + 1] = raw & 0xFFFF, raw >> 16 & 0xFFFF
