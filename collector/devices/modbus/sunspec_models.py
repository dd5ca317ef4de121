"""The models of a SunSpec device: where they stand, and their registers decoded.

We walk the list and read; pysunspec2 gets the registers of the models that we know, and decodes them. By
itself it gives up a whole device for one flaw in a model that nobody reads. SunSpec Device Information Model
Specification 1.1, 6.
"""

import struct
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from collector.devices.description import BadRecordError, NoAnswerError, RefusedError
from collector.devices.lines import ModbusLine
from collector.devices.modbus import F32_DIGITS

# The library ships no types: what it makes is Any.
Model = Any
HOLDING = 3
TRACKERS = 160
_MOST_REGISTERS = 120
# A longer chain, or model, than any device has: zeros or noise.
_MOST_MODELS = 100
_LONGEST_MODEL = 2000
_END = 0xFFFF
# Of model 160 the registers before its modules, and in each of them.
_BEFORE_MODULES, _OF_MODULE = 8, 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model stands: the address of its id, and the registers behind its length."""

    model: int
    address: int
    length: int


@dataclass(frozen=True, slots=True)
class Chain:
    """The models of a device in order, why the list ended if not by its mark, and whether in silence."""

    places: tuple[Place, ...]
    ended: str | None = None
    silent: bool = False


def walk(line: ModbusLine, unit: int, base: int) -> Chain:
    """Read the list of models from the marker at `base` on; it ends at the first thing that is no model.

    Raises what the line raises if nothing was found before.
    """
    places: list[Place] = []
    address = base + 2
    while len(places) < _MOST_MODELS:
        try:
            model, length = _header(line, unit, address)
        except (RefusedError, NoAnswerError) as error:
            if not places:
                raise
            return Chain(tuple(places), str(error), isinstance(error, NoAnswerError))
        if model == _END:
            return Chain(tuple(places))
        if model == 0 or length > _LONGEST_MODEL or address + 2 + length >= _END:
            return Chain(tuple(places), f"at {address} is no model")
        places.append(Place(model, address, length))
        address += 2 + length
    return Chain(tuple(places), "it does not end")


def _header(line: ModbusLine, unit: int, address: int) -> tuple[int, int]:
    """Read id and length of the model at an address; of an end mark without a length that is 0."""
    try:
        model, length = _twice(line, unit, address, 2)
    except RefusedError:
        # Some have no register behind the end mark (SMA) or behind a lone zero (Kostal).
        (model,) = _twice(line, unit, address, 1)
        if model not in (0, _END):
            raise
        return model, 0
    return model, length


def _twice(line: ModbusLine, unit: int, address: int, count: int) -> tuple[int, ...]:
    """Read registers; a first silence may be a lost answer."""
    try:
        return line.registers(unit, HOLDING, address, count)
    except NoAnswerError:
        return line.registers(unit, HOLDING, address, count)


def registers(line: ModbusLine, unit: int, place: Place) -> list[int]:
    """Read a model with its id and length, in requests a device can take. Raises BadRecordError, too."""
    words: list[int] = []
    while (left := place.length + 2 - len(words)) > 0:
        address, count = place.address + len(words), min(left, _MOST_REGISTERS)
        words += line.registers(unit, HOLDING, address, count)
    if words[0] != place.model:
        raise BadRecordError(
            f"unit {unit}: at {place.address} is no SunSpec model {place.model} any more, but {words[0]}"
        )
    return words


def decoded(place: Place, words: list[int], model: Model = None) -> Model:
    """Put registers into a model of the library, a new one if there is none yet.

    Raises BadRecordError where the model has no sense. Of model 160 only whole modules count.
    """
    # Its model definitions are loaded only in a process with such a device.
    from sunspec2 import device, mdef  # type: ignore[import-untyped]  # noqa: PLC0415  # it ships no types

    length = place.length
    if place.model == TRACKERS and length > _BEFORE_MODULES:
        length -= (length - _BEFORE_MODULES) % _OF_MODULE
        words = words[: length + 2]
    data = struct.pack(f">{len(words)}H", *words)
    try:
        if model is None:
            # Else it would take definitions from the folder the process happens to run in.
            device.set_model_defs_path([device.models_dir])
            return device.Model(place.model, place.address, length, data=data)
        # The library collects its complaints for ever.
        model.error_info = ""
        model.set_mb(data=data, dirty=False)
    except (device.ModelError, mdef.ModelDefinitionError, struct.error) as error:
        text = f"SunSpec model {place.model}, of {length} registers, has another form than SunSpec gives it"
        raise BadRecordError(text) from error
    return model


def number(model: Model, name: str, group: Model = None) -> Decimal | None:
    """Return a point with its scale factor, None if it is not implemented or not a finite number."""
    point = (group or model).points.get(name)
    if point is None or not isinstance(point.value, int | float):
        return None
    value = Decimal(f"{point.value:.{F32_DIGITS}g}" if isinstance(point.value, float) else point.value)
    if not value.is_finite():
        return None
    scale = point.pdef.get("sf")
    if scale is None:
        return value
    power = model.points.get(scale)
    return (
        None if power is None or power.value is None or abs(power.value) > 10 else value.scaleb(power.value)
    )


def text(model: Model, name: str) -> str | None:
    """Return a text point, None if it is empty."""
    value = model.points[name].value if name in model.points else None
    return value.strip() or None if isinstance(value, str) else None
