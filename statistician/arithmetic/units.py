"""Units of measurement in Home Assistant's spelling: which can be converted into which, and how."""

from collections.abc import Callable, Iterable, Mapping

# A degree Fahrenheit is 5/9 of a degree Celsius; 32 °F is 0 °C.
_F = 5 / 9
_F0 = -32 * _F
_IN = 0.0254
_FT = 12 * _IN
_YD = 3 * _FT
_MI = 1760 * _YD
_NMI = 1852
_GAL = 231 * _IN**3
_LB = 0.45359237
_PSI = _LB * 9.80665 / _IN**2
_INHG = 3386.389
_CAL = 4.184
_KWH = 3.6e6

# A value in the class's base unit is value * factor + offset; most units have no offset.
_Linear = float | tuple[float, float]
_PREFIXES = {"": 1.0, "μ": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def _prefixed(unit: str, prefixes: Iterable[str], each: float = 1.0, per: float = 1.0) -> dict[str, float]:
    """Return a unit with SI prefixes; one without a prefix is `each / per` of the class's base unit."""
    return {f"{one}{unit}": (_PREFIXES | _BINARY)[one] * each / per for one in prefixes}


# By class; the first unit of each is its base.
_CLASSES: Mapping[str, Mapping[str, _Linear]] = {
    "apparent_power": _prefixed("VA", ("", "m", "k")),
    "area": {"m²": 1, "cm²": 1e-4, "mm²": 1e-6, "km²": 1e6, "in²": _IN**2, "ft²": _FT**2, "yd²": _YD**2}
    | {"mi²": _MI**2, "ac": 4840 * _YD**2, "ha": 1e4},
    "blood_glucose_concentration": {"mg/dL": 1, "mmol/L": 18},
    "concentration": {"μg/m³": 1, "mg/m³": 1e3, "g/m³": 1e6, "μg/ft³": 1 / _FT**3},
    "conductivity": {"μS/cm": 1, "mS/cm": 1e3, "S/cm": 1e6},
    "data_rate": _prefixed("bit/s", ("", "k", "M", "G"))
    | _prefixed("B/s", ("", "k", "M", "G", "Ki", "Mi", "Gi"), 8),
    "distance": {"m": 1, "km": 1e3, "cm": 1e-2, "mm": 1e-3, "mi": _MI, "nmi": _NMI, "yd": _YD, "ft": _FT}
    | {"in": _IN},
    "duration": {"s": 1, "μs": 1e-6, "ms": 1e-3, "min": 60, "h": 3600, "d": 86400, "w": 604800},
    "electric_current": _prefixed("A", ("", "m")),
    "energy": {"kWh": 1, "mWh": 1e-6, "Wh": 1e-3, "MWh": 1e3, "GWh": 1e6, "TWh": 1e9}
    | _prefixed("J", ("", "k", "M", "G"), per=_KWH)
    | {"cal": _CAL / _KWH, "kcal": 1e3 * _CAL / _KWH, "Mcal": 1e6 * _CAL / _KWH, "Gcal": 1e9 * _CAL / _KWH},
    # Home Assistant's km/kWh and mi/kWh are reciprocals, which no factor makes of these.
    "energy_distance": {"kWh/100km": 1, "Wh/km": 0.1},
    "information": _prefixed("bit", ("", "k", "M", "G"))
    | _prefixed("B", ("", "k", "M", "G", "T", *_BINARY), 8),
    "mass": {"kg": 1, "g": 1e-3, "mg": 1e-6, "μg": 1e-9, "oz": _LB / 16, "lb": _LB, "st": 14 * _LB},
    "power": _prefixed("W", ("", "m", "k", "M", "G", "T")) | {"BTU/h": 1 / 3.41214},
    "pressure": {"Pa": 1, "mPa": 1e-3, "hPa": 100, "kPa": 1e3, "MPa": 1e6, "bar": 1e5, "cbar": 1e3}
    | {"mbar": 100, "inHg": _INHG, "mmHg": 0.001 * 13.5951 * 1000 * 9.80665}
    | {"inH₂O": 0.0254 * 1000 * 9.80665, "psi": _PSI},
    "reactive_energy": {"varh": 1, "kvarh": 1e3},
    "reactive_power": _prefixed("var", ("", "m", "k")),
    "speed": {"m/s": 1, "m/min": 1 / 60, "km/h": 1 / 3.6, "mph": _MI / 3600, "ft/s": _FT, "in/s": _IN}
    | {"mm/s": 1e-3, "kn": _NMI / 3600, "in/h": _IN / 3600, "in/d": _IN / 86400}
    | {"mm/h": 1e-3 / 3600, "mm/d": 1e-3 / 86400},
    "temperature": {"°C": 1, "°F": (_F, _F0), "K": (1, -273.15)},
    "temperature_delta": {"°C": 1, "°F": _F, "K": 1},
    # No unit is in no class: a sensor that names its unit later has not changed its scale.
    "unitless": {"%": 1e-2, "ppm": 1e-6, "ppb": 1e-9},
    "voltage": _prefixed("V", ("", "μ", "m", "k", "M")),
    "volume": {"L": 1, "mL": 1e-3, "m³": 1e3, "gal": 1e3 * _GAL, "fl. oz.": 1e3 * _GAL / 128}
    | {"ft³": 1e3 * _FT**3, "CCF": 1e5 * _FT**3, "MCF": 1e6 * _FT**3},
    "volume_flow_rate": {"m³/h": 1, "m³/min": 60, "m³/s": 3600, "ft³/min": 60 * _FT**3, "L/h": 1e-3}
    | {"L/min": 0.06, "L/s": 3.6, "mL/s": 3.6e-3, "gal/d": _GAL / 24, "gal/h": _GAL, "gal/min": 60 * _GAL},
}
# The device classes that Home Assistant converts within another class.
_WITHIN = {
    "energy": ("energy_storage",),
    "volume": ("gas", "water", "volume_storage"),
    "pressure": ("atmospheric_pressure",),
    "speed": ("wind_speed", "precipitation_intensity"),
    "distance": ("precipitation",),
    "information": ("data_size",),
    "mass": ("weight",),
    "unitless": ("battery", "humidity", "moisture", "power_factor"),
}
_SAME = {device_class: name for name, classes in _WITHIN.items() for device_class in classes}
# Other spellings of one unit.
_EQUIVALENT = {
    "RPM": "rpm",
    "dBa": "dBA",
    "VAr": "var",
    "kVAr": "kvar",
    "m3": "m³",
    "m^3": "m³",
    "ft3": "ft³",
    "ft^3": "ft³",
    "m3/h": "m³/h",
    "m2": "m²",
    "m^2": "m²",
}

Conversion = Callable[[float], float]


def canonical(unit: str | None) -> str:
    """One spelling for equivalent units; none is the empty text."""
    # Micro sign and Greek mu look the same.
    unit = (unit or "").replace("\u00b5", "\u03bc")
    return _EQUIVALENT.get(unit, unit)


_CLASS_OF: dict[str, str] = {}
for _name, _units in _CLASSES.items():
    for _unit in _units:
        _CLASS_OF.setdefault(_unit, _name)


def unit_class(device_class: str | None, unit: str | None) -> str | None:
    """Return the class a unit is converted in: its device class's if that knows it, else its own, or None."""
    unit = canonical(unit)
    name = _SAME.get(device_class or "", device_class or "")
    return name if unit in _CLASSES.get(name, ()) else _CLASS_OF.get(unit)


def units_of(name: str | None) -> tuple[str, ...]:
    """Return the units of a class; none of no class."""
    return tuple(_CLASSES.get(name or "", ()))


def conversion(name: str, from_unit: str, to_unit: str) -> Conversion | None:
    """Say how a number is converted within a class; None if a unit is not in it. Units are canonical."""
    units = _CLASSES[name]
    if from_unit not in units or to_unit not in units:
        return None
    factor, offset = _linear(units[from_unit])
    to_factor, to_offset = _linear(units[to_unit])
    if from_unit == to_unit:
        return float
    ratio = factor / to_factor
    if offset == to_offset == 0:
        return lambda value: value * ratio
    shift = (offset - to_offset) / to_factor
    return lambda value: value * ratio + shift


def _linear(entry: _Linear) -> tuple[float, float]:
    return entry if isinstance(entry, tuple) else (entry, 0.0)


def convert(value: float, from_unit: str | None, to_unit: str | None) -> float:
    """Return a number in another unit. Raises ValueError naming both units if there is no way."""
    old, new = canonical(from_unit), canonical(to_unit)
    if old == new:
        return value
    name = _CLASS_OF.get(old)
    how = conversion(name, old, new) if name else None
    if how is None:
        raise ValueError(f"{from_unit or 'no unit'!r} cannot be converted to {to_unit or 'no unit'!r}")
    return how(value)


def difference(value: float, from_unit: str | None, to_unit: str | None) -> float:
    """Return a difference of two numbers in another unit: 0 stays 0. Raises ValueError as `convert` does."""
    return convert(value, from_unit, to_unit) - convert(0.0, from_unit, to_unit)
