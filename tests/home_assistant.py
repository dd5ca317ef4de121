"""What Home Assistant accepts of an entity, from its own lists (captures/home_assistant_classes.json)."""

import json
from collections.abc import Iterator
from pathlib import Path

from bus.about import MEASUREMENT, TOTAL, TOTAL_INCREASING, Entity

# Its releases write the sign of a millionth in two ways; each takes the one that we write.
_TEXT = (Path(__file__).parent / "captures" / "home_assistant_classes.json").read_text(encoding="utf-8")
_LISTS = json.loads(_TEXT.replace("\u03bc", "\u00b5").replace("\\u03bc", "\u00b5"))
SENSORS: dict[str, dict[str, list[str]]] = _LISTS["sensor"]
BINARY_SENSORS: list[str] = _LISTS["binary_sensor"]
NUMBERS: dict[str, list[str]] = _LISTS["number"]


def faults(entity: Entity) -> Iterator[str]:
    """Why Home Assistant would reject or warn of an entity as `about` describes it."""
    if entity.boolean:
        if (entity.unit, entity.state_class, entity.precision, entity.options) != (None, None, None, None):
            yield "a boolean has neither unit nor state class, precision or options"
        if entity.device_class not in (None, *BINARY_SENSORS):
            yield f"no binary sensor is of class {entity.device_class}"
    elif entity.options is not None:
        if (entity.device_class, entity.unit, entity.state_class) != ("enum", None, None):
            yield "an enumeration is of class enum and has neither unit nor state class"
        if not all(word == word.lower() and word.isascii() for word in entity.options):
            yield "an option is not a lower-case word"
        if len(set(entity.options)) < len(entity.options):
            yield "an option stands twice"
    elif entity.device_class is None:
        if entity.state_class not in (None, MEASUREMENT, TOTAL, TOTAL_INCREASING):
            yield f"there is no state class {entity.state_class}"
    else:
        yield from _sensor_faults(entity)


def _sensor_faults(entity: Entity) -> Iterator[str]:
    known = SENSORS.get(str(entity.device_class))
    if known is None:
        yield f"no sensor is of class {entity.device_class}"
        return
    # Classes without units, such as date and timestamp, have empty lists.
    if (entity.unit or "") not in (known["units"] or [""]):
        yield f"{entity.unit} is no unit of {entity.device_class}"
    if entity.state_class is not None and entity.state_class not in known["state_classes"]:
        yield f"{entity.device_class} is not {entity.state_class}"
