"""What a device is and reports: the `about` message. Pure."""

from typing import get_args

import msgspec

from bus.topics import check_id
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
