"""What a device is and reports: the `about` message, and Home Assistant's device discovery made of it. Pure.

Discovery is one retained payload a device. Facts: home-assistant.io/integrations/mqtt, "Device discovery
payload"; what each field must look like was measured on Home Assistant 2026.11. One mistake makes it reject
the whole device, so nothing is sent that it does not take.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

import msgspec

from bus.messages import OFF, OFFLINE, ON, ONLINE
from bus.topics import Topics, check_id
from config.model import Role

MEASUREMENT = "measurement"
MEASUREMENT_ANGLE = "measurement_angle"
TOTAL = "total"
TOTAL_INCREASING = "total_increasing"
STATE_CLASSES = (MEASUREMENT, MEASUREMENT_ANGLE, TOTAL, TOTAL_INCREASING)
ROLES: tuple[str, ...] = get_args(Role)
# homeassistant/components/binary_sensor/__init__.py
BINARY_SENSOR_CLASSES = frozenset(
    {"battery", "battery_charging", "carbon_monoxide", "cold", "connectivity", "door", "garage_door", "gas"}
    | {"heat", "light", "lock", "moisture", "motion", "moving", "occupancy", "opening", "plug", "power"}
    | {"presence", "problem", "running", "safety", "smoke", "sound", "tamper", "update", "vibration"}
    | {"window"}
)


_SERVICES = ("statistician", "controller")
_COLLECTOR = "collector_"


class Entity(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One value of a device. Words and units are Home Assistant's; `options` lists an enumeration's words.

    `role` is what it is in the energy flow of the house, one of ROLES.
    `precision` is the number of decimals shown; `range` the least and greatest number a command may set,
    `step` how far apart those are; `command` says that `camper/set/<device>/<entity>` is obeyed; `boolean`
    that the value is ON or OFF; `daily` that a counter begins anew each day.
    """

    name: str
    unit: str | None = None
    device_class: str | None = None
    state_class: str | None = None
    precision: int | None = None
    options: tuple[str, ...] | None = None
    range: tuple[float, float] | None = None
    step: float | None = None
    command: bool = False
    boolean: bool = False
    diagnostic: bool = False
    daily: bool = False
    role: str | None = None


class About(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A device as its owner describes it on `camper/about/<device>`.

    `service` is the process that owns it: its readings count in a stream of that service only. `expire_after`
    is the seconds of silence after which its values are no longer to be believed; `discovery` is a stranger's
    wish to be announced to Home Assistant.
    """

    name: str
    service: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    model_id: str | None = None
    serial_number: str | None = None
    sw_version: str | None = None
    backend: str | None = None
    expire_after: float | None = None
    discovery: bool = False
    entities: dict[str, Entity] = {}


# Characters of a name, a unit or an option; how many options; decimals; the largest number of a range.
LONGEST_WORD, MOST_OPTIONS, MOST_DECIMALS, LARGEST_LIMIT = 255, 1000, 20, 1e100
# Ten years.
LONGEST_S = 315_360_000
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(About)


def encode(about: About, service: str | None = None) -> bytes:
    """About as JSON; with `service` it is that process's."""
    return _encoder.encode(about if service is None else msgspec.structs.replace(about, service=service))


def decode(payload: bytes) -> About:
    """About from JSON, unknown keys ignored. Raises ValueError naming the field and what is allowed."""
    about = _decoder.decode(payload)
    if about.expire_after is not None and not 0 < about.expire_after <= LONGEST_S:
        raise ValueError(
            f"expire_after {about.expire_after}: allowed are seconds above 0, at most {LONGEST_S}"
        )
    if about.service is not None:
        check_id(about.service, "service")
    _check_words(about, "")
    for key, entity in about.entities.items():
        _check_entity(f"entities.{key[:80]}", entity)
        if entity.state_class not in (None, *STATE_CLASSES):
            allowed = ", ".join(STATE_CLASSES)
            raise ValueError(f"entities.{key}.state_class {entity.state_class!r}: allowed are {allowed}")
        if entity.role not in (None, *ROLES):
            raise ValueError(f"entities.{key}.role {entity.role!r}: allowed are {', '.join(ROLES)}")
        if entity.step is not None and entity.step <= 0:
            raise ValueError(f"entities.{key}.step {entity.step:g}: allowed is a number above 0")
    return about


def of_house(service: str | None) -> bool:
    """Whether an about that names this service is that of a device of the house, and of no stranger."""
    return service is not None and (service in _SERVICES or service.startswith(_COLLECTOR))


def _check_words(struct: msgspec.Struct, where: str) -> None:
    for field in struct.__struct_fields__:
        word = getattr(struct, field)
        if isinstance(word, str) and len(word) > LONGEST_WORD:
            raise ValueError(f"{where}{field}: allowed are texts of at most {LONGEST_WORD} characters")


def _check_entity(where: str, entity: Entity) -> None:
    _check_words(entity, f"{where}.")
    if entity.precision is not None and not 0 <= entity.precision <= MOST_DECIMALS:
        raise ValueError(f"{where}.precision {entity.precision}: allowed are 0 to {MOST_DECIMALS}")
    if len(entity.options or ()) > MOST_OPTIONS or any(len(o) > LONGEST_WORD for o in entity.options or ()):
        allowed = f"at most {MOST_OPTIONS} texts of at most {LONGEST_WORD} characters"
        raise ValueError(f"{where}.options: allowed are {allowed}")
    if entity.range is not None and not -LARGEST_LIMIT <= entity.range[0] <= entity.range[1] <= LARGEST_LIMIT:
        allowed = f"the least and the greatest, between {-LARGEST_LIMIT:g} and {LARGEST_LIMIT:g}"
        raise ValueError(f"{where}.range: allowed are {allowed}")


Component = dict[str, object]
_NOTHING: Mapping[str, str] = MappingProxyType({})
# What each device of a process has besides its entities; both are sensors.
DIAGNOSTICS = (_LAST_SEEN, _PROBLEM) = ("device_last_seen", "device_problem")

_SENSOR, _BINARY_SENSOR, _SWITCH, _NUMBER, _SELECT = "sensor", "binary_sensor", "switch", "number", "select"
# Device classes of sensors with the units they take and their state classes, those that we use and a stranger
# may: homeassistant/components/sensor/const.py. Of any other class only the value is shown.
_ENERGY = (TOTAL, TOTAL_INCREASING)
_ANY = (MEASUREMENT,)
SENSORS: Mapping[str, tuple[Collection[str | None], Collection[str]]] = {
    "apparent_power": (("VA", "kVA", "mVA"), _ANY),
    "atmospheric_pressure": (("hPa", "mbar", "bar", "Pa", "kPa", "psi", "inHg", "mmHg"), _ANY),
    "battery": (("%",), _ANY),
    "carbon_dioxide": (("ppm",), _ANY),
    "current": (("A", "mA"), _ANY),
    "data_size": (("B", "kB", "MB", "GB", "KiB", "MiB", "GiB"), (*_ANY, *_ENERGY)),
    "distance": (("m", "cm", "mm", "km", "mi", "ft", "in", "yd"), (*_ANY, *_ENERGY)),
    "duration": (("s", "min", "h", "d", "ms"), (*_ANY, *_ENERGY)),
    "energy": (("Wh", "kWh", "MWh", "J", "kJ", "MJ"), _ENERGY),
    "frequency": (("Hz", "kHz", "MHz"), _ANY),
    "gas": (("m³", "ft³", "CCF", "L"), _ENERGY),
    "humidity": (("%",), _ANY),
    "illuminance": (("lx",), _ANY),
    "moisture": (("%",), _ANY),
    "power": (("W", "kW", "mW"), _ANY),
    "power_factor": ((None, "%"), _ANY),
    "pressure": (("hPa", "mbar", "bar", "Pa", "kPa", "psi", "inHg", "mmHg"), _ANY),
    "reactive_power": (("var", "kvar"), _ANY),
    "signal_strength": (("dBm", "dB"), _ANY),
    "speed": (("m/s", "km/h", "mph", "kn"), _ANY),
    "temperature": (("°C", "°F", "K"), _ANY),
    "voltage": (("V", "mV"), _ANY),
    "volume_flow_rate": (("L/min", "L/h", "m³/h"), _ANY),
    "volume_storage": (("L", "mL", "m³", "gal"), _ANY),
    "water": (("L", "m³", "ft³", "gal", "CCF"), _ENERGY),
    "weight": (("kg", "g", "mg", "lb", "oz"), _ANY),
}
_FINEST = 0.001
# What a topic says; nothing once it was emptied, as that of a device that is gone.
_JSON = "(value_json | default({}))"
_AS_IT_IS = "'None' if this.state in ['unknown', 'unavailable'] else this.state"
# What makes Home Assistant expect a number of a sensor.
_NUMERIC = frozenset({"unit_of_measurement", "state_class", "suggested_display_precision"})
_LONGEST_STATE = 250  # characters; homeassistant/const.py, MAX_LENGTH_STATE_STATE is 255


@dataclass(frozen=True, slots=True)
class _Of:
    """The device that an entity belongs to."""

    topics: Topics
    device: str
    identity: str
    expire_after: float | None


def object_id(base: str, device: str) -> str:
    """Make the device's id at Home Assistant; slashes of the base become underscores."""
    return f"{base.replace('/', '_').replace('-', '_')}_{device}".lower()


def discovery_payload(
    topics: Topics,
    device: str,
    about: About,
    *,
    service: str | None,
    version: str,
    gone: Mapping[str, str] = _NOTHING,
    once_more: bool = False,
    availability: bool = True,
) -> bytes:
    """Make the discovery payload of a device.

    `service` is the process whose availability counts besides the device's own. Entities `gone`, with the
    platform each had, are removed, or with `once_more` described so that they can be removed next. Without
    `availability` the device itself never says whether it is there.
    """
    of = _Of(topics, device, object_id(topics.base, device), about.expire_after)
    diagnostics = {} if service is None else _diagnostics(of, service)
    # A component reduced to its platform is removed.
    reduced: dict[str, Component] = {key: {"platform": name} for key, name in gone.items()}
    removed = _described_again(topics.discovery(device), gone) if once_more else reduced
    components = diagnostics | {key: _component(of, key, entity) for key, entity in about.entities.items()}
    whole: Component = {
        "device": _device(of.identity, about),
        "origin": {"name": "Boondock", "sw_version": version},
        "state_topic": topics.state(device),
        "qos": 1,
        # First: Home Assistant passes over what stands behind a component that it is still setting up.
        "components": removed | components,
    }
    heard = [topics.availability(device)] if availability else []
    if follows := [*([] if service is None else [topics.service(service)]), *heard]:
        whole |= {"availability": [_availability(topic) for topic in follows], "availability_mode": "all"}
    return msgspec.json.encode(whole)


def payload_of_gone(topic: str, gone: Mapping[str, str], *, version: str) -> bytes:
    """Describe a device that is gone once more, as far as is needed to remove it.

    `gone` are its entities with the platform each had. An empty payload alone removes nothing from a Home
    Assistant that was away: it has to see the entities once more.
    """
    identity = _identity_of(topic)
    whole: Component = {
        "device": {"identifiers": [identity], "name": identity},
        "origin": {"name": "Boondock", "sw_version": version},
        "components": _described_again(topic, gone),
    }
    return msgspec.json.encode(whole)


def _identity_of(topic: str) -> str:
    return topic.rpartition("/")[0].rpartition("/")[2].replace("-", "_").lower()


def _described_again(topic: str, gone: Mapping[str, str]) -> dict[str, Component]:
    # On a topic where nothing is ever said: no state can come while it waits to be removed.
    silent = f"{topic}/gone"
    identity = _identity_of(topic)
    return {
        key: {
            "platform": name,
            "unique_id": f"{identity}_{key}",
            "default_entity_id": f"{name}.{identity}_{key}",
            "name": key,
            "state_topic": silent,
            **({} if name in (_SENSOR, _BINARY_SENSOR) else {"command_topic": silent}),
            **({"options": []} if name == "select" else {}),
        }
        for key, name in gone.items()
    }


def _device(identity: str, about: About) -> Component:
    device: Component = {"identifiers": [identity], "name": about.name}
    if about.manufacturer:
        device["manufacturer"] = about.manufacturer
    if about.model:
        device["model"] = about.model
    return device


def _diagnostics(of: _Of, service: str) -> dict[str, Component]:
    """When the device was last heard and what is wrong with it: said also while it is offline."""
    wrong = f"(value_json.problems['device.{of.device}'] | default('none'))[:{_LONGEST_STATE}]"
    told: dict[str, Component] = {
        _LAST_SEEN: {
            "name": "Last seen",
            "device_class": "timestamp",
            "value_template": f"{{{{ {_JSON}.ts | default('None') }}}}",
        },
        _PROBLEM: {
            "name": "Problem",
            "state_topic": of.topics.health(service),
            "value_template": f"{{{{ {wrong} }}}}",
        },
    }
    return {
        key: {
            "platform": _SENSOR,
            "unique_id": f"{of.identity}_{key}",
            "default_entity_id": f"{_SENSOR}.{of.identity}_{key}",
            "entity_category": "diagnostic",
            # The process alone: a device that is offline is just what they tell of.
            "availability": [_availability(of.topics.service(service))],
            **one,
        }
        for key, one in told.items()
    }


def _availability(topic: str) -> Component:
    return {
        "topic": topic,
        "payload_available": ONLINE.decode(),
        "payload_not_available": OFFLINE.decode(),
    }


def _component(of: _Of, key: str, entity: Entity) -> Component:
    name = platform(entity)
    # A reading names only what is new in it; an empty text leaves Home Assistant's value as it is.
    component: Component = {
        "platform": name,
        "unique_id": f"{of.identity}_{key}",
        "default_entity_id": f"{name}.{of.identity}_{key}",
        "name": entity.name,
        "value_template": f"{{{{ {_JSON}['{key}'] | default('') }}}}",
    }
    if entity.diagnostic:
        component["entity_category"] = "diagnostic"
    if name == _SENSOR:
        component |= _sensor(key, entity)
        if not component.keys() & _NUMERIC:
            # There an empty text is a value; this one leaves it as it is.
            component["value_template"] = f"{{{{ {_JSON}['{key}'] | default({_AS_IT_IS}) }}}}"
    elif name == _NUMBER:
        component |= _number(entity)
    elif name == _SELECT:
        component["options"] = list(entity.options or ())
    elif name == _BINARY_SENSOR and entity.device_class in BINARY_SENSOR_CLASSES:
        component["device_class"] = entity.device_class
    if name in (_BINARY_SENSOR, _SWITCH):
        component |= {"payload_on": ON, "payload_off": OFF}
    if name in (_SWITCH, _NUMBER, _SELECT):
        component["command_topic"] = of.topics.set(of.device, key)
    elif of.expire_after is not None:
        component["expire_after"] = int(of.expire_after)
    return component


def platform(entity: Entity) -> str:
    """Tell what the entity is at Home Assistant."""
    if entity.boolean:
        return _SWITCH if entity.command else _BINARY_SENSOR
    if entity.command and entity.options:
        return _SELECT
    settable = entity.range is not None and entity.range[0] < entity.range[1]
    return _NUMBER if entity.command and settable else _SENSOR


def _sensor(key: str, entity: Entity) -> Component:
    if entity.options is not None:
        return {"device_class": "enum", "options": list(entity.options)}
    found: Component = {}
    state_class = entity.state_class
    known = SENSORS.get(entity.device_class or "")
    if known is not None and entity.unit in known[0]:
        found["device_class"] = entity.device_class
        state_class = state_class if state_class in known[1] else None
    if entity.unit is not None:
        found["unit_of_measurement"] = entity.unit
    if state_class is not None:
        found["state_class"] = state_class
    if state_class == TOTAL:
        reset = f"({_JSON}.last_reset | default({{}}))['{key}']"
        found["last_reset_value_template"] = f"{{{{ {reset} | default('') }}}}"
    if entity.precision is not None:
        found["suggested_display_precision"] = entity.precision
    return found


def _number(entity: Entity) -> Component:
    least, most = entity.range or (0.0, 100.0)
    found: Component = {"min": least, "max": most, "mode": "box"}
    if entity.step is not None:
        # homeassistant/components/mqtt/number.py: no finer one is taken.
        found["step"] = max(entity.step, _FINEST)
    if entity.unit is not None:
        found["unit_of_measurement"] = entity.unit
    known = SENSORS.get(entity.device_class or "")
    if known is not None and entity.unit in known[0]:
        found["device_class"] = entity.device_class
    return found
