"""What the registers of a meter are called: OBIS codes (IEC 62056-61) become entities.

Import from the grid is positive, so what a meter counts or measures of the other direction is taken away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bus.about import TOTAL_INCREASING
from collector.devices.description import Row, Rows, Value, Values
from collector.devices.rows import SERIAL_NUMBER, as_optional, common, measured, serial_number, text

# A number and its unit as the meter wrote it; None: it wrote none.
Number = tuple[float, str | None]
# By C.D.E of a code, and with which sign each counts; the first form of which one is there counts.
Form = Mapping[str, int]

_TARIFFS = (1, 2, 3, 4)
# Of a unit as meters write it, in small letters: ours and the factor.
UNITS: Mapping[str, tuple[str, float]] = {
    "wh": ("Wh", 1),
    "kwh": ("Wh", 1e3),
    "mwh": ("Wh", 1e6),
    "mj": ("Wh", 1e6 / 3600),
    "gj": ("Wh", 1e9 / 3600),
    "w": ("W", 1),
    "kw": ("W", 1e3),
    "va": ("VA", 1),
    "kva": ("VA", 1e3),
    "var": ("var", 1),
    "kvar": ("var", 1e3),
    "v": ("V", 1),
    "a": ("A", 1),
    "hz": ("Hz", 1),
    "m3": ("L", 1e3),
    "m³": ("L", 1e3),
    "l": ("L", 1),
}
# What an older meter means that writes no unit.
_UNSAID = {"Wh": 1e3, "W": 1e3, "var": 1e3, "VA": 1e3}


def _energies(of: str, register: int) -> dict[str, tuple[Form, ...]]:
    tariffs = {f"{register}.8.{n}": 1 for n in _TARIFFS}
    return {f"grid_{of}_energy": ({f"{register}.8.0": 1}, tariffs)} | {
        f"grid_{of}_energy_t{n}": ({f"{register}.8.{n}": 1},) for n in _TARIFFS
    }


def _phase(n: int) -> dict[str, tuple[Form, ...]]:
    of = 20 * n
    return {
        f"grid_power_l{n}": ({f"{of + 16}.7.0": 1}, {f"{of + 1}.7.0": 1, f"{of + 2}.7.0": -1}),
        f"reactive_power_l{n}": ({f"{of + 3}.7.0": 1, f"{of + 4}.7.0": -1},),
        f"grid_voltage_l{n}": ({f"{of + 12}.7.0": 1},),
        f"grid_current_l{n}": ({f"{of + 11}.7.0": 1},),
        f"voltage_sags_l{n}": ({f"{of + 12}.32.0": 1},),
        f"voltage_swells_l{n}": ({f"{of + 12}.36.0": 1},),
    }


FORMS: Mapping[str, tuple[Form, ...]] = {
    "grid_power": ({"16.7.0": 1}, {"1.7.0": 1, "2.7.0": -1}),
    **_energies("import", 1),
    **_energies("export", 2),
    "reactive_power": ({"3.7.0": 1, "4.7.0": -1},),
    "apparent_power": ({"9.7.0": 1, "10.7.0": 1},),
    "average_power": ({"1.4.0": 1},),
    "peak_power": ({"1.6.0": 1},),
    "grid_voltage": ({"12.7.0": 1},),
    "grid_current": ({"11.7.0": 1},),
    "frequency": ({"14.7.0": 1},),
    **{entity: forms for n in (1, 2, 3) for entity, forms in _phase(n).items()},
    "power_failures": ({"96.7.21": 1},),
    "long_power_failures": ({"96.7.9": 1},),
}
CODES = frozenset(code for forms in FORMS.values() for form in forms for code in form)
"""All that have an entity."""
# Meters behind the meter, by their type (EN 13757-3): each has one counter.
BEHIND: Mapping[int, str] = {3: "gas", 4: "heat", 6: "warm_water", 7: "water", 12: "heat"}


def _counted(name: str) -> Row:
    return measured(name, None, state_class=TOTAL_INCREASING, diagnostic=True, optional=True)


def _flow(name: str, device_class: str) -> Row:
    # Home Assistant counts gas in cubic metres; only its newest releases know litres of it.
    unit, precision, step = ("m³", 3, 0.001) if device_class == "gas" else ("L", 0, 1)
    return measured(
        name,
        unit,
        device_class=device_class,
        state_class=TOTAL_INCREASING,
        precision=precision,
        step=step,
        optional=True,
    )


_OWN: Mapping[str, Row] = {
    "average_power": measured("Average power of this quarter of an hour", "W", diagnostic=True),
    "peak_power": measured("Highest average power of this month", "W", diagnostic=True),
    "tariff": text("Tariff", optional=True),
    "power_failures": _counted("Power failures"),
    "long_power_failures": _counted("Long power failures"),
    **{f"voltage_sags_l{n}": _counted(f"Voltage sags L{n}") for n in (1, 2, 3)},
    **{f"voltage_swells_l{n}": _counted(f"Voltage swells L{n}") for n in (1, 2, 3)},
    **{
        f"grid_{of}_energy_t{n}": measured(f"Energy {word} the grid, tariff {n}", "Wh", optional=True)
        for of, word in (("import", "imported from"), ("export", "exported to"))
        for n in _TARIFFS
    },
    "gas": _flow("Gas", "gas"),
    "water": _flow("Water", "water"),
    "warm_water": _flow("Warm water", "water"),
    "heat": measured("Heat", "Wh", optional=True),
    **{f"{name}_2": _flow(f"{name.capitalize()} 2", name) for name in ("gas", "water")},
    SERIAL_NUMBER: serial_number(),
}


def _row(entity: str) -> Row:
    found = _OWN.get(entity) or common(entity)
    assert found is not None  # noqa: S101 — FORMS and _OWN name no other
    return as_optional(found)


ROWS: Rows = {entity: _row(entity) for entity in dict.fromkeys((*FORMS, *_OWN))}


@dataclass(slots=True)
class Said:
    """What a telegram said: numbers by C.D.E; `behind` are the counters of other meters, by entity.

    `times` are their own times, ms since 1970 UTC; `unknown` entities had a unit that is none of theirs.
    """

    numbers: dict[str, Number] = field(default_factory=dict)
    behind: dict[str, Number] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def values(self) -> Values:
        """Return the values of the entities that the telegram speaks of; notes what is `unknown`."""
        found: Values = dict(self.texts)
        for entity, forms in FORMS.items():
            form = next((form for form in forms if form.keys() & self.numbers.keys()), {})
            parts = [(sign, self.numbers[code]) for code, sign in form.items() if code in self.numbers]
            if parts:
                found[entity] = self._sum(entity, parts)
        for entity, number in self.behind.items():
            found[entity] = self._sum(entity, [(1, number)])
        return found

    def _sum(self, entity: str, parts: list[tuple[int, Number]]) -> Value:
        unit, total = ROWS[entity].entity.unit, 0.0
        wanted, per = ("L", 1e3) if unit == "m³" else (unit, 1.0)
        for sign, (number, said) in parts:
            own, factor = UNITS.get((said or "").casefold(), (None, 1.0))
            if said is None:
                own, factor = wanted, _UNSAID.get(unit or "", per)
            if own != wanted:
                self.unknown.append(entity)
                return None
            total += sign * number * factor
        # 0.1 kWh are 100 Wh, not 100.00000000000001.
        return float(f"{total / per:.12g}")
