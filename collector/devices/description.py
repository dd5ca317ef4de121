"""The form every device file fills in, and its errors, grouped by what the caller does next."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bus.about import Entity

Value = float | str | None
Values = dict[str, Value]


class DecodeError(Exception):
    """Nothing can be read from these bytes."""


class BadRecordError(DecodeError):
    """These bytes are damaged, cut or noise: ignore this frame, count it."""


class ImplausibleError(BadRecordError):
    """The record is whole but says what no such device says: noise, or decrypted with a wrong key."""


class WrongKeyError(DecodeError):
    """The encryption key of this device is wrong: the owner must correct it."""


class WrongKindError(DecodeError):
    """The device is of another kind than the configuration says: the owner must correct it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a device's table.

    `step` is how far the value must move to be worth a reading (0: any change), in the entity's unit.
    `optional` rows appear in `about` once the device has reported them.
    """

    entity: Entity
    step: float = 0.0
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one frame said: values by entity id in the units of the rows, and the model if it named one.

    `unknown` lists the entities whose value is null because the device used a code nobody has described.
    """

    values: Values
    model: str | None = None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of device as the registry lists it; `decode(frame, key)` raises DecodeError."""

    name: str
    transport: str
    manufacturer: str
    rows: Mapping[str, Row]
    decode: Callable[[bytes, bytes], Decoded]
