"""Home Assistant's device discovery, made of the `about` message. Pure.

Discovery is one retained payload a device. Facts: home-assistant.io/integrations/mqtt, "Device discovery
payload"; what each field must look like was measured on Home Assistant 2026.11. One mistake makes it reject
the whole device, so nothing is sent that it does not take.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from bus.about import (
    BINARY_SENSOR_CLASSES,
    MEASUREMENT,
    TOTAL,
    TOTAL_INCREASING,
    About,
    Entity,
    of_house,
)
from bus.messages import OFF, OFFLINE, ON, ONLINE
from bus.topics import HOUSE, STATISTICIAN, Topics

Component = dict[str, object]
_NOTHING: Mapping[str, str] = MappingProxyType({})
# What each device of a process has besides its entities; both are sensors.
DIAGNOSTICS = (_LAST_SEEN, _PROBLEM) = ("device_last_seen", "device_problem")
# Those that say something daily.
DAILY_DIAGNOSTICS = (_PROBLEM,)
# What the house itself has besides its problem.
_CONNECTED = "statistician"
# Keys of about that are also keys of its device.
_OF_DEVICE = ("manufacturer", "model", "model_id", "serial_number", "sw_version")

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
    "irradiance": (("W/m²",), _ANY),
    "moisture": (("%",), _ANY),
    # With the Greek letter, not with the sign for micro.
    "pm1": (("\u00b5g/m³",), _ANY),
    "pm10": (("\u00b5g/m³",), _ANY),
    "pm25": (("\u00b5g/m³",), _ANY),
    "power": (("W", "kW", "mW"), _ANY),
    "power_factor": ((None, "%"), _ANY),
    "precipitation": (("mm", "cm", "in"), (*_ANY, *_ENERGY)),
    "pressure": (("hPa", "mbar", "bar", "Pa", "kPa", "psi", "inHg", "mmHg"), _ANY),
    "reactive_power": (("var", "kvar"), _ANY),
    "signal_strength": (("dBm", "dB"), _ANY),
    "speed": (("m/s", "km/h", "mph", "kn"), _ANY),
    "temperature": (("°C", "°F", "K"), _ANY),
    "voltage": (("V", "mV"), _ANY),
    "volatile_organic_compounds": (("\u00b5g/m³", "mg/m³"), _ANY),
    "volume": (("L", "mL", "m³", "gal"), _ENERGY),
    "volume_flow_rate": (("L/min", "L/h", "m³/h"), _ANY),
    "volume_storage": (("L", "mL", "m³", "gal"), _ANY),
    "water": (("L", "m³", "ft³", "gal", "CCF"), _ENERGY),
    "weight": (("kg", "g", "mg", "lb", "oz"), _ANY),
}
_FINEST = 0.001
_ICON_PROBLEM = "mdi:alert-circle-outline"
_UNIT_ICONS = {"%": "mdi:percent", "Ah": "mdi:battery-clock"}
_ROLE_ICONS = {"tank": "mdi:cup-water"}
# A measured value that moves less is taken every so many seconds only: by unit, and as a share of itself.
CALM_S = 15
# Of a device that is not silent for longer than that.
_OFTEN_S = 300
_FAR = {"W": 20, "VA": 20, "A": 1.5, "V": 0.2}
_SHARE = 10
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
    # A stranger says by itself how often it speaks and what matters of it.
    ours: bool

    @property
    def often(self) -> bool:
        """Whether it repeats its values soon, so that none is missed that was not taken."""
        return self.ours and self.expire_after is not None and self.expire_after <= _OFTEN_S


def object_id(base: str, device: str) -> str:
    """Make the device's id at Home Assistant; slashes of the base become underscores."""
    return "_".join(filter(None, (base.replace("/", "_").replace("-", "_"), device))).lower()


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
    diagnostics: Collection[str] = DIAGNOSTICS,
    page: str | None = None,
) -> bytes:
    """Make the discovery payload of a device, or of the HOUSE, which has the `page` of the house.

    `service` is the process whose availability counts besides the device's own. Entities `gone`, with the
    platform each had, are removed, or with `once_more` described so that they can be removed next. Without
    `availability` the device itself never says whether it is there.
    """
    of = _Of(topics, device, object_id(topics.base, device), about.expire_after, ours=service is not None)
    told = {} if service is None else _diagnostics(of, service, diagnostics)
    # A component reduced to its platform is removed.
    reduced: dict[str, Component] = {key: {"platform": name} for key, name in gone.items()}
    removed = _described_again(topics.discovery(device), gone) if once_more else reduced
    components = told | _components(of, about.entities)
    if device == HOUSE:
        components, availability = _of_house(of), False
    whole: Component = {
        "device": _device(topics, of.identity, about, ours=of.ours or of_house(about.service), page=page),
        "origin": {"name": "Boondock", "sw_version": version},
        **({} if device == HOUSE else {"state_topic": topics.state(device)}),
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


def _device(topics: Topics, identity: str, about: About, *, ours: bool, page: str | None) -> Component:
    said = {key: getattr(about, key) for key in _OF_DEVICE}
    device: Component = {"identifiers": [identity], "name": about.name} | {k: v for k, v in said.items() if v}
    house = object_id(topics.base, HOUSE)
    if identity == house and page is not None:
        device["configuration_url"] = page
    elif identity != house and ours:
        device["via_device"] = house
    return device


def house(version: str) -> About:
    """Describe the house itself, the device that all others hang on."""
    return About(
        name="Boondock",
        service=STATISTICIAN,
        manufacturer="Boondock",
        model="Boondock",
        sw_version=version,
        entities={
            _CONNECTED: Entity(
                name="Statistician", boolean=True, device_class="connectivity", diagnostic=True
            ),
            _PROBLEM: Entity(name="Problem", diagnostic=True),
        },
    )


def _of_house(of: "_Of") -> dict[str, Component]:
    """Say whether the statistician runs, and what is wrong in the house as it sees it."""
    problems = f"({_JSON}.problems | default({{}})).values() | list"
    wrong = f"({problems} + ['none'])[0][:{_LONGEST_STATE}]"
    return {
        _CONNECTED: {
            **_component_head(of, _CONNECTED, _BINARY_SENSOR),
            "name": "Statistician",
            "entity_category": "diagnostic",
            "device_class": "connectivity",
            "state_topic": of.topics.service(STATISTICIAN),
            "payload_on": ONLINE.decode(),
            "payload_off": OFFLINE.decode(),
        },
        _PROBLEM: {
            **_component_head(of, _PROBLEM, _SENSOR),
            "name": "Problem",
            "icon": _ICON_PROBLEM,
            "entity_category": "diagnostic",
            "state_topic": of.topics.health(STATISTICIAN),
            "value_template": f"{{{{ {wrong} }}}}",
        },
    }


def _diagnostics(of: _Of, service: str, keys: Collection[str]) -> dict[str, Component]:
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
            "icon": _ICON_PROBLEM,
            "state_topic": of.topics.health(service),
            "value_template": f"{{{{ {wrong} }}}}",
        },
    }
    return {
        key: {
            **_component_head(of, key, _SENSOR),
            "entity_category": "diagnostic",
            # The process alone: a device that is offline is just what they tell of.
            "availability": [_availability(of.topics.service(service))],
            **one,
        }
        for key, one in told.items()
        if key in keys
    }


def _availability(topic: str) -> Component:
    return {
        "topic": topic,
        "payload_available": ONLINE.decode(),
        "payload_not_available": OFFLINE.decode(),
    }


def _component_head(of: _Of, key: str, name: str) -> Component:
    return {
        "platform": name,
        "unique_id": f"{of.identity}_{key}",
        "default_entity_id": f"{name}.{of.identity}_{key}",
    }


def _components(of: _Of, entities: Mapping[str, Entity]) -> dict[str, Component]:
    """Make all of a device; what it is there for has no name of its own."""
    found = {key: _component(of, key, entity) for key, entity in entities.items()}
    plain = [key for key, entity in entities.items() if not entity.diagnostic]
    if len(plain) == 1:
        found[plain[0]]["name"] = None
    return found


def without_details(about: About) -> About:
    """Leave out what says nothing daily of a device.

    `enabled_by_default: false` would show it switched off. But when such an entity goes, Home Assistant
    (measured: 2025.4) empties the topic of the whole device by itself: a device that was just announced
    again is lost. Its log has a warning for each, and an entity that goes alone stays for ever.
    """
    its = about.entities
    whole = any(one.device_class == "problem" and not one.diagnostic for one in its.values())
    kept = {key: one for key, one in its.items() if not _is_detail(one, whole=whole)}
    return replace(about, entities=kept)


def _is_detail(entity: Entity, *, whole: bool) -> bool:
    """Tell what says nothing daily of a diagnostic entity; `whole`: all problems together have an entity."""
    if not entity.diagnostic or entity.command or entity.options is not None:
        return False
    return entity.device_class != "battery" and (entity.device_class != "problem" or whole)


def _component(of: _Of, key: str, entity: Entity) -> Component:
    name = platform(entity)
    # A reading names only what is new in it; an empty text leaves Home Assistant's value as it is.
    value = f"{_JSON}['{key}'] | default('')"
    component: Component = {
        **_component_head(of, key, name),
        "name": entity.name,
        "value_template": f"{{{{ {value} }}}}",
    }
    if entity.diagnostic:
        component["entity_category"] = "config" if entity.command else "diagnostic"
    if (icon := _icon(name, entity)) is not None:
        component["icon"] = icon
    if name == _SENSOR:
        component |= _sensor(key, entity)
        if not component.keys() & _NUMERIC:
            # There an empty text is a value; this one leaves it as it is.
            component["value_template"] = f"{{{{ {_JSON}['{key}'] | default({_AS_IT_IS}) }}}}"
        elif of.often and component.get("state_class") == MEASUREMENT:
            component["value_template"] = _calm(value, entity)
    elif name == _NUMBER:
        component |= _number(entity)
    elif name == _SELECT:
        component["options"] = list(entity.options or ())
    elif name == _BINARY_SENSOR and entity.device_class in BINARY_SENSOR_CLASSES:
        component["device_class"] = entity.device_class
    return component | _topics_and_payloads(of, key, name)


def _topics_and_payloads(of: _Of, key: str, name: str) -> Component:
    found: Component = {}
    if name in (_BINARY_SENSOR, _SWITCH):
        found |= {"payload_on": ON, "payload_off": OFF}
    if name in (_SWITCH, _NUMBER, _SELECT):
        found["command_topic"] = of.topics.set(of.device, key)
    elif of.expire_after is not None:
        found["expire_after"] = int(of.expire_after)
    return found


def _calm(value: str, entity: Entity) -> str:
    """Take a value at once if it moved far, else every CALM_S: each value that is taken is a row on a disk.

    The newest one comes again with the next heartbeat, so that no value stands longer than that.
    """
    far = _FAR.get(entity.unit or "", 10.0 ** (1 - (entity.precision or 0)))
    moved = f"(v - this.state | float) | abs >= [{far:g}, this.state | float | abs / {_SHARE}] | max"
    due = f"now() - this.last_updated >= timedelta(seconds={CALM_S})"
    known = "v is number and this.state | is_number"
    return f"{{% set v = {value} %}}{{{{ v if not ({known}) or {moved} or {due} }}}}"


def _icon(name: str, entity: Entity) -> str | None:
    """Choose an icon where Home Assistant has none of the class."""
    if name != _SENSOR or _class(entity) is not None:
        return None
    if entity.options is not None:
        return "mdi:list-status"
    if entity.role in _ROLE_ICONS:
        return _ROLE_ICONS[entity.role]
    numeric = entity.unit is not None or entity.state_class is not None or entity.precision is not None
    if not numeric:
        return "mdi:text-short"
    if entity.state_class in _ENERGY:
        return "mdi:counter"
    return _UNIT_ICONS.get(entity.unit or "", "mdi:gauge")


def platform(entity: Entity) -> str:
    """Tell what the entity is at Home Assistant."""
    if entity.boolean:
        return _SWITCH if entity.command else _BINARY_SENSOR
    if entity.command and entity.options:
        return _SELECT
    settable = entity.range is not None and entity.range[0] < entity.range[1]
    return _NUMBER if entity.command and settable else _SENSOR


def _class(entity: Entity) -> str | None:
    """Return the device class if Home Assistant takes it with this unit."""
    known = SENSORS.get(entity.device_class or "")
    return entity.device_class if known is not None and entity.unit in known[0] else None


def _sensor(key: str, entity: Entity) -> Component:
    if entity.options is not None:
        return {"device_class": "enum", "options": list(entity.options)}
    found: Component = {}
    state_class = entity.state_class
    if (device_class := _class(entity)) is not None:
        found["device_class"] = device_class
        state_class = state_class if state_class in SENSORS[device_class][1] else None
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
    if (device_class := _class(entity)) is not None:
        found["device_class"] = device_class
    return found
