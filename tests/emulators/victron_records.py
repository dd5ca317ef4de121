"""Every other Victron record as devices send it: layouts from extra-manufacturer-data-2022-12-14.pdf.

The Orion XS is not in that document: github.com/keshavdv/victron-ble, devices/orion_xs.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.emulators.victron import BATTERY_MONITOR, pack, seal


@dataclass(frozen=True, slots=True)
class Field:
    """`bits` wide; (value + `plus`) x `per_unit` is its number; `absent` says "not available"."""

    bits: int
    per_unit: float = 1
    absent: int = 0
    plus: float = 0

    def number(self, value: float | None) -> int:
        """The number that stands for a value in its unit."""
        return self.absent if value is None else round((value + self.plus) * self.per_unit)


@dataclass(frozen=True, slots=True)
class Layout:
    """A record's type, a model that sends it, and its fields from the least significant bit up.

    `numbers` are its measurements: field, our entity, and values at the ends of what such a device says, and
    between.
    """

    readout_type: int
    model_id: int
    fields: Mapping[str, Field]
    numbers: tuple[tuple[str, str, tuple[float, ...]], ...] = ()

    def plain(self, values: Mapping[str, float | None], raw: Mapping[str, int] | None = None) -> bytes:
        """The record with these values, the rest "not available"; `raw` sets fields to numbers."""
        if stray := values.keys() - self.fields.keys():
            raise ValueError(f"no such fields: {', '.join(sorted(stray))}")
        numbers = {n: (field.number(values.get(n)), field.bits) for n, field in self.fields.items()}
        return pack(numbers, raw or {})

    def sealed(
        self,
        values: Mapping[str, float | None],
        key: bytes,
        *,
        raw: Mapping[str, int] | None = None,
        iv: int = 1,
        model_id: int | None = None,
    ) -> bytes:
        """The same, encrypted, with its header."""
        model = self.model_id if model_id is None else model_id
        return seal(self.plain(values, raw), key, readout_type=self.readout_type, model_id=model, iv=iv)


_CODE = Field(8, absent=0xFF)
_BITS = Field(16)
_OFF_REASON = Field(32)
_VOLTS = Field(16, 100, 0x7FFF)
_VOLTS_UNSIGNED = Field(16, 100, 0xFFFF)
_AMPERES = Field(16, 10, 0x7FFF)
_MILLIAMPERES = Field(22, 1000, 0x1FFFFF)
_CELSIUS = Field(7, absent=0x7F, plus=40)
_CONSUMED = Field(20, -10, 0xFFFFF)
_WATTS = Field(16, absent=0xFFFF)
_YIELD = Field(16, 0.1, 0xFFFF)
_BATTERY = Field(14, 100, 0x3FFF)
_AC_INPUT = Field(2, absent=3)
_CELL = Field(7, 100, 0x7F, plus=-2.6)

INVERTER = Layout(
    0x03,
    0xA271,
    {
        "state": _CODE,
        "alarm": _BITS,
        "voltage": _VOLTS,
        "ac_apparent_power": _WATTS,
        "ac_voltage": Field(15, 100, 0x7FFF),
        "ac_current": Field(11, 10, 0x7FF),
    },
    numbers=(
        ("voltage", "voltage", (0.0, 12.4, 100.0)),
        ("ac_apparent_power", "ac_apparent_power", (0, 745, 12_000)),
        ("ac_voltage", "ac_voltage", (0.0, 230.01, 300.0)),
        ("ac_current", "ac_current", (0.0, 3.3, 100.0)),
    ),
)
DC_DC_CONVERTER = Layout(
    0x04,
    0xA3C0,
    {
        "state": _CODE,
        "error": _CODE,
        "input_voltage": _VOLTS_UNSIGNED,
        "output_voltage": _VOLTS,
        "off_reason": _OFF_REASON,
    },
    numbers=(
        ("input_voltage", "input_voltage", (0.0, 13.15, 100.0)),
        ("output_voltage", "output_voltage", (0.0, 14.2, 100.0)),
    ),
)
SMART_LITHIUM = Layout(
    0x05,
    0xA3E5,
    {
        "flags": Field(32),
        "errors": _BITS,
        **{f"cell_{n}": _CELL for n in range(1, 9)},
        "voltage": Field(12, 100, 0xFFF),
        "balancer": Field(4, absent=0xF),
        "temperature": _CELSIUS,
    },
    numbers=(
        ("voltage", "voltage", (0.0, 13.24, 40.94)),
        *((f"cell_{n}", f"cell_{n}_voltage", (2.6, 2.61, 3.31, 3.85, 3.86)) for n in range(1, 9)),
        ("temperature", "temperature", (-40, 0, 86)),
    ),
)
AC_CHARGER = Layout(
    0x08,
    0xA330,
    {
        "state": _CODE,
        "error": _CODE,
        "voltage_1": Field(13, 100, 0x1FFF),
        "current_1": Field(11, 10, 0x7FF),
        "voltage_2": Field(13, 100, 0x1FFF),
        "current_2": Field(11, 10, 0x7FF),
        "voltage_3": Field(13, 100, 0x1FFF),
        "current_3": Field(11, 10, 0x7FF),
        "temperature": _CELSIUS,
        "ac_current": Field(9, 10, 0x1FF),
    },
    numbers=(
        ("voltage_1", "voltage", (0.0, 13.49, 66.0)),
        ("current_1", "current", (0.0, 0.4, 130.0)),
        ("voltage_2", "voltage_2", (0.0, 27.6, 66.0)),
        ("current_2", "current_2", (0.0, 15.0, 130.0)),
        ("voltage_3", "voltage_3", (0.0, 12.01, 66.0)),
        ("current_3", "current_3", (0.0, 9.9, 130.0)),
        ("temperature", "temperature", (-40, -1, 0, 86)),
        ("ac_current", "ac_current", (0.0, 2.4, 40.0)),
    ),
)
SMART_BATTERY_PROTECT = Layout(
    0x09,
    0xA3B0,
    {
        "state": _CODE,
        "output_state": _CODE,
        "error": _CODE,
        "alarm": _BITS,
        "warning": _BITS,
        "input_voltage": _VOLTS,
        "output_voltage": _VOLTS_UNSIGNED,
        "off_reason": _OFF_REASON,
    },
    numbers=(
        ("input_voltage", "input_voltage", (0.0, 13.07, 100.0)),
        ("output_voltage", "output_voltage", (0.0, 0.12, 100.0)),
    ),
)
LYNX_BMS = Layout(
    0x0A,
    0xA3E6,
    {
        "error": Field(8),
        "minutes": Field(16, absent=0xFFFF),
        "voltage": _VOLTS,
        "current": _AMPERES,
        "io": _BITS,
        "alarms": Field(18),
        "soc": Field(10, 10, 0x3FF),
        "consumed": _CONSUMED,
        "temperature": _CELSIUS,
    },
    numbers=(
        ("voltage", "voltage", (0.0, 26.99, 70.0)),
        ("current", "current", (-1200.0, -0.6, 0.0, 1200.0)),
        ("soc", "soc", (0.0, 99.5, 100.0)),
        ("consumed", "consumed_charge", (-10_000.0, -4.4, 0.0)),
        ("temperature", "temperature", (-40, 0, 86)),
    ),
)
MULTI_RS = Layout(
    0x0B,
    0xA443,
    {
        "state": _CODE,
        "error": _CODE,
        "current": _AMPERES,
        "voltage": _BATTERY,
        "ac_input": _AC_INPUT,
        "ac_in_power": Field(16, absent=0x7FFF),
        "ac_out_power": Field(16, absent=0x7FFF),
        "pv_power": _WATTS,
        "yield_today": _YIELD,
    },
    numbers=(
        ("voltage", "voltage", (0.0, 51.71, 100.0)),
        ("current", "current", (-400.0, -12.8, 0.0, 400.0)),
        ("ac_in_power", "ac_in_power", (-15_000, -1, 0, 15_000)),
        ("ac_out_power", "ac_out_power", (-15_000, -1, 722, 15_000)),
        ("pv_power", "pv_power", (0, 20_000)),
        ("yield_today", "yield_today", (0, 5320, 200_000)),
    ),
)
VE_BUS = Layout(
    0x0C,
    0x2780,
    {
        "state": _CODE,
        "error": _CODE,
        "current": _AMPERES,
        "voltage": _BATTERY,
        "ac_input": _AC_INPUT,
        "ac_in_power": Field(19, absent=0x3FFFF),
        "ac_out_power": Field(19, absent=0x3FFFF),
        "alarm": Field(2, absent=3),
        "temperature": _CELSIUS,
        "soc": Field(7, absent=0x7F),
    },
    numbers=(
        ("error", "ve_bus_error", (0, 26, 63)),
        ("voltage", "voltage", (0.0, 12.43, 100.0)),
        ("current", "current", (-2000.0, -5.9, 0.0, 2000.0)),
        ("ac_in_power", "ac_in_power", (-100_000, -1, 0, 100_000)),
        ("ac_out_power", "ac_out_power", (-100_000, -1, 45, 100_000)),
        ("temperature", "temperature", (-40, 0, 86)),
        ("soc", "soc", (0, 100)),
    ),
)
DC_ENERGY_METER = Layout(
    0x0D,
    0xA389,
    {
        "meter_type": _BITS,
        "voltage": _VOLTS,
        "alarm": _BITS,
        "aux": Field(16, 100, 0xFFFF),
        "aux_mode": Field(2, absent=3),
        "current": _MILLIAMPERES,
    },
    numbers=(
        ("voltage", "voltage", (0.0, 12.52, 100.0)),
        ("current", "current", (-2000.0, -0.002, 0.0, 0.001, 2000.0)),
    ),
)
ORION_XS = Layout(
    0x0F,
    0xA3F0,
    {
        "state": _CODE,
        "error": _CODE,
        "output_voltage": _VOLTS_UNSIGNED,
        "output_current": Field(16, 10, 0xFFFF),
        "input_voltage": _VOLTS_UNSIGNED,
        "input_current": Field(16, 10, 0xFFFF),
        "off_reason": _OFF_REASON,
    },
    numbers=(
        ("output_voltage", "output_voltage", (0.0, 13.6, 100.0)),
        ("output_current", "output_current", (-150.0, -0.2, 0.0, 20.5, 150.0)),
        ("input_voltage", "input_voltage", (0.0, 14.1, 100.0)),
        ("input_current", "input_current", (-150.0, -0.2, 0.0, 21.0, 150.0)),
    ),
)
INVERTER_RS = Layout(
    0x06,
    0xA441,
    {
        "state": _CODE,
        "error": _CODE,
        "voltage": _VOLTS,
        "current": _AMPERES,
        "pv_power": _WATTS,
        "yield_today": _YIELD,
        "ac_out_power": Field(16, absent=0x7FFF),
    },
    numbers=(
        ("voltage", "voltage", (0.0, 51.71, 100.0)),
        ("current", "current", (-400.0, -12.8, 0.0, 400.0)),
        ("pv_power", "pv_power", (0, 20_000)),
        ("yield_today", "yield_today", (0, 5320, 200_000)),
        ("ac_out_power", "ac_out_power", (-15_000, -1, 722, 15_000)),
    ),
)
# Not in that document: github.com/Fabian-Schmidt/esphome-victron_ble, issue 135; the rest is not known.
SMART_BMS = Layout(
    0x0E,
    0xA3E8,
    {
        "head": Field(24),
        **{f"voltage_{n}": _VOLTS_UNSIGNED for n in (1, 2, 3)},
        "tail": Field(40),
    },
    numbers=tuple((f"voltage_{n}", f"voltage_{n}", (0.0, 12.56, 70.0)) for n in (1, 2, 3)),
)
# Not encrypted: github.com/victronenergy/dbus-ble-sensors, src/victron-solarsense.c.
SOLARSENSE = Layout(
    0xFF01,
    0xC062,
    {
        "error": Field(32, absent=0xFFFFFFFF),
        "charger_error": _CODE,
        "power": Field(20, absent=0xFFFFF),
        "yield_today": Field(20, 0.1, 0xFFFFF),
        "irradiance": Field(14, 10, 0x3FFF),
        "cell_temperature": Field(11, 10, 0x7FF, plus=60),
    },
    numbers=(
        ("power", "estimated_power", (0, 750, 100_000)),
        ("yield_today", "estimated_yield_today", (0, 5320, 2_000_000)),
        ("irradiance", "irradiance", (0.0, 750.5, 1600.0)),
        ("cell_temperature", "cell_temperature", (-60.0, -0.1, 0.0, 24.9, 120.0)),
    ),
)
# A battery monitor's record in which only a voltage and a temperature are filled in.
BATTERY_SENSE = Layout(
    BATTERY_MONITOR,
    0xA3A4,
    {
        "minutes": Field(16, absent=0xFFFF),
        "voltage": _VOLTS,
        "alarm": _BITS,
        "temperature": Field(16, 100, 0xFFFF, plus=273.15),
        "aux_mode": Field(2, absent=2),
        "current": _MILLIAMPERES,
        "consumed": _CONSUMED,
        "soc": Field(10, 10, 0x3FF),
    },
    numbers=(
        ("voltage", "voltage", (0.0, 12.22, 100.0)),
        ("temperature", "temperature", (-60.0, -18.5, 0.0, 22.5, 125.0)),
    ),
)

# By the kind that reads it; those of a battery monitor and a solar charger are in tests.emulators.victron.
TWINS: Mapping[str, Layout] = {
    "victron_ac_charger": AC_CHARGER,
    "victron_battery_sense": BATTERY_SENSE,
    "victron_dc_dc_converter": DC_DC_CONVERTER,
    "victron_dc_energy_meter": DC_ENERGY_METER,
    "victron_inverter": INVERTER,
    "victron_inverter_rs": INVERTER_RS,
    "victron_lynx_bms": LYNX_BMS,
    "victron_multi_rs": MULTI_RS,
    "victron_orion_xs": ORION_XS,
    "victron_smart_battery_protect": SMART_BATTERY_PROTECT,
    "victron_smart_bms": SMART_BMS,
    "victron_smart_lithium": SMART_LITHIUM,
    "victron_solarsense": SOLARSENSE,
    "victron_ve_bus": VE_BUS,
}
