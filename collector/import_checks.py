"""What is wrong with [[import]] tables that only who knows entities can tell: paths, units, classes."""

from collections.abc import Iterable, Iterator

from bus.about import BINARY_SENSOR_CLASSES, MEASUREMENT
from bus.discovery import SENSORS
from bus.messages import RESERVED
from collector.devices.imported import BadPathError, parse_path
from collector.devices.imported_values import is_enumeration, is_number, is_switch, row_of
from config.model_import import Import, ImportEntity

Wrong = tuple[str, str, str]

_OF_NUMBERS = ("unit", "state_class", "precision", "scale", "offset", "step")
_OF_SWITCHES = ("payload_on", "payload_off")
_NO_LINE = "no such line here"


def wrong_with(table: Import) -> Iterator[Wrong]:
    """Field, what is wrong, what is allowed; the table has passed config's own rules."""
    if table.time is not None:
        yield from _path("time", table.time)
    if table.availability is not None and table.availability.path is not None:
        yield from _path("availability.path", table.availability.path)
    for name, one in table.entities.items():
        key = f"entities.{name}"
        if name in RESERVED:
            yield key, "a reading uses this word for itself", "any other id"
        if one.path is not None:
            yield from _path(f"{key}.path", one.path)
        yield from _form(key, one)


def _path(key: str, text: str) -> Iterator[Wrong]:
    try:
        parse_path(text)
    except BadPathError as error:
        yield key, f"{text!r} is no path", str(error)


def _form(key: str, one: ImportEntity) -> Iterator[Wrong]:
    if is_switch(one):
        yield from _strange(key, one, (*_OF_NUMBERS, "range", "options", "map"), "its values are ON and OFF")
        if set(map(str, one.on)) & set(map(str, one.off)):
            yield f"{key}.off", "a payload cannot mean ON and OFF", "other payloads than in `on`"
        if one.device_class is not None and one.device_class not in BINARY_SENSOR_CLASSES:
            yield _no_class(key, one.device_class, "binary sensor", BINARY_SENSOR_CLASSES)
    elif is_enumeration(one):
        yield from _strange(
            key, one, (*_OF_NUMBERS, "range", "device_class", *_OF_SWITCHES), "its values are words"
        )
        for said, word in one.map.items():
            if one.options and word not in one.options:
                yield f"{key}.map.{said}", f"{word!r} is none of its options", ", ".join(one.options)
    elif is_number(one):
        yield from _strange(key, one, _OF_SWITCHES, "its values are numbers")
        yield from _classes(key, one)


def _strange(key: str, one: ImportEntity, names: tuple[str, ...], why: str) -> Iterator[Wrong]:
    for name in names:
        if getattr(one, name) not in (None, (), {}):
            yield f"{key}.{name}", why, _NO_LINE


def _no_class(key: str, name: str, what: str, known: Iterable[str]) -> Wrong:
    return f"{key}.device_class", f"Home Assistant has no {what} of class {name!r}", ", ".join(sorted(known))


def _classes(key: str, one: ImportEntity) -> Iterator[Wrong]:
    entity = row_of(key, one).entity
    if entity.device_class is None:
        return
    if entity.device_class not in SENSORS:
        yield _no_class(key, entity.device_class, "sensor", SENSORS)
        return
    units, state_classes = SENSORS[entity.device_class]
    if entity.unit not in units:
        allowed = ", ".join(unit or "no unit" for unit in units)
        yield f"{key}.unit", f"{one.unit or 'no unit'} does not go with {entity.device_class}", allowed
    elif entity.state_class not in (None, *state_classes):
        wrong = f"{entity.state_class} does not go with {entity.device_class}"
        # Without a line of its own a unit means measurement.
        field = "state_class" if one.state_class or entity.state_class != MEASUREMENT else "device_class"
        yield f"{key}.{field}", wrong, f"state_class = {' or '.join(state_classes)}"
