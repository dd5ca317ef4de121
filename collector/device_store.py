"""The devices that were added over MQTT: a file of one collector, which holds their settings and keys."""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from bus import state_files
from collector import checking
from collector.checking import Wrong, conflicts, taken_by_relays
from config import rules
from config.addresses import spelt
from config.model import INTEGRAL, Device, Settings, Storage

log = logging.getLogger(__name__)


SECRETS = ("key", "route_b_id", "route_b_password")
"""Settings that are taken and kept, and never said again."""

_DEFAULTS = Device(kind="")
# Of an integral, which is the statistician's.
_DERIVED = ("source", "max_gap", "sign")
_BOUNDS = ("ge", "gt", "le", "lt")
_NAME = Annotated[str, Meta(max_length=64)]
# Shorter ones are no secrets, and stand in every other word.
_SHORTEST = 4
# What may be a key, or most of one, that stands where it does not belong.
_LIKE_A_KEY = re.compile(r"[0-9A-Fa-f]{24,}")


class Which(Struct, forbid_unknown_fields=True):
    """Names a device."""

    device: _NAME


class Renamed(Which):
    """Names a device, and what it is to be called."""

    to: _NAME


class Whose(Struct, forbid_unknown_fields=True):
    """Names an entity of a device."""

    device: _NAME
    entity: _NAME


def _bounded(hint: Any) -> Any:  # noqa: ANN401 — a type as `typing` takes it apart
    """Say the bounds of a type as msgspec reads them instead of pydantic."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = {name: getattr(one, name) for one in inner[1:] for name in _BOUNDS if hasattr(one, name)}
        return Annotated[_bounded(inner[0]), Meta(**bounds)]
    if origin is Literal or not inner:
        return hint
    if origin in (Union, UnionType):
        return Union[tuple(_bounded(one) for one in inner)]  # noqa: UP007 — made at run time
    return origin[tuple(one if one is Ellipsis else _bounded(one) for one in inner)]


def _parameters(name: str) -> type[Which]:
    hints = get_type_hints(Device, include_extras=True)
    names = [f.name for f in fields(Device) if f.name not in _DERIVED]
    typed = [(n, Union[_bounded(hints[n]), None, UnsetType], UNSET) for n in names]  # noqa: UP007 — the same
    made = msgspec.defstruct(name, typed, bases=(Which,), kw_only=True, forbid_unknown_fields=True)
    assert issubclass(made, Which)  # noqa: S101 — it stands two lines above
    return made


DeviceSettings = _parameters("Settings")
"""A device and any of its settings; one that is not named stays, `null` gives it back its default."""


def changed(asked: Which, before: Device) -> Device:
    """Change settings as a client asks."""
    changes: dict[str, Any] = {}
    for field in fields(Device):
        value = getattr(asked, field.name, UNSET)
        if value is None:
            value = getattr(_DEFAULTS, field.name)
        if field.name == "address" and isinstance(value, str | int):
            value = spelt(value)
        if value is not UNSET:
            changes[field.name] = value
    return replace(before, **changes)


def said(device: Device) -> dict[str, object]:
    """Return the settings that differ from their defaults, as JSON has them; secrets included."""
    plain: dict[str, object] = msgspec.to_builtins(device)
    defaults = msgspec.to_builtins(_DEFAULTS)
    return {name: value for name, value in plain.items() if value != defaults[name]}


def shown(device: Device) -> dict[str, object]:
    """Return the same for everybody's eyes and as forms have it: of a secret only that there is one."""
    plain = device if device.address is None else replace(device, address=spelt(device.address))
    return {name: "set" if name in SECRETS else value for name, value in said(plain).items()}


def masked(text: str, asked: object = None) -> str:
    """Cut secrets out of a text, and what looks like a key that was put in the wrong place."""
    for name in SECRETS:
        secret = getattr(asked, name, None)
        if isinstance(secret, str) and len(secret) >= _SHORTEST:
            text = text.replace(secret, "…")
    return _LIKE_A_KEY.sub("…", text)


class _File(msgspec.Struct):
    version: int = 1
    devices: dict[str, msgspec.Raw] = {}


class DeviceStore:
    """Devices by id. `problem` says why the file could not be used, `unread` which entries could not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.devices: dict[str, Device] = {}
        self.problem: str | None = None
        # Entries of a newer version, or edited by hand: kept as they are.
        self.unread: dict[str, msgspec.Raw] = {}
        self._locked = False
        self._read()

    def _read(self) -> None:
        try:
            file = msgspec.json.decode(self.path.read_bytes(), type=_File)
        except FileNotFoundError:
            return
        except OSError as error:
            self._locked = True
            self.problem = f"{self.path} cannot be read: {error.strerror or error}"
            log.error("%s", self.problem)  # noqa: TRY400 — the trace says nothing more
            return
        except (ValueError, RecursionError):
            # Without the decoder's words: they may quote the file.
            self._set_aside()
            return
        for name, raw in file.devices.items():
            try:
                self.devices[name] = msgspec.json.decode(raw, type=Device)
            except (ValueError, RecursionError):
                self.unread[name] = raw
                log.error("%s: the entry %s cannot be read", self.path, name)  # noqa: TRY400 — the same

    def _set_aside(self) -> None:
        self.problem = f"{self.path} was damaged; its devices must be added again"
        try:
            self.problem += f"; what it held is now in {state_files.set_aside(self.path).name}"
        except OSError as error:
            self._locked = True
            self.problem += f"; it cannot be moved away: {error.strerror or error}"
        log.error("%s", self.problem)

    def put(self, name: str, device: Device | None) -> None:
        """Keep a device, or with None no longer. Raises OSError; nothing is changed then."""
        devices = {n: d for n, d in self.devices.items() if n != name}
        unread = {n: raw for n, raw in self.unread.items() if n != name}
        if device is not None:
            devices[name] = device
        self._keep(devices, unread)

    def rename(self, name: str, to: str) -> None:
        """Keep a device under another name. Raises OSError; nothing is changed then."""
        self._keep({to if n == name else n: d for n, d in self.devices.items()}, self.unread)

    def _keep(self, devices: dict[str, Device], unread: dict[str, msgspec.Raw]) -> None:
        if self._locked:
            raise OSError(self.problem)
        entries = {n: msgspec.Raw(msgspec.json.encode(said(d))) for n, d in devices.items()}
        state_files.write(self.path, msgspec.json.encode(_File(devices={**unread, **entries})))
        self.devices, self.unread = devices, unread


def open_store(storage: Storage, service: str) -> DeviceStore:
    """Return the devices that were added to a collector over MQTT."""
    return DeviceStore(Path(storage.state) / f"{service}-devices.json")


def wrong_with(settings: Settings, others: Mapping[str, Device], name: str, device: Device) -> list[str]:
    """Find what keeps a device from standing beside boondock.toml's and `others`: a sentence a mistake."""
    found = _wrong(settings, others, name, device)
    return [masked(f"{field}: {wrong}; allowed: {allowed}", device) for field, wrong, allowed in found]


def _wrong(settings: Settings, others: Mapping[str, Device], name: str, device: Device) -> Iterator[Wrong]:
    if device.kind == INTEGRAL:
        yield "kind", "the statistician derives energy, no collector does", "a table in boondock.toml"
        return
    # Last, for of two with one address the later is told.
    beside = {n: d for n, d in {**settings.device, **others}.items() if n != name}
    for mistake in rules.check(replace(settings, device={**beside, name: device}), ""):
        table = f"device.{name}"
        if mistake.key == table:
            yield "device", mistake.wrong, mistake.allowed
        elif mistake.key.startswith(f"{table}."):
            yield mistake.key.removeprefix(f"{table}."), mistake.wrong, mistake.allowed
    found = list(checking.mistakes(name, device))
    yield from found
    if not found:
        yield from conflicts(name, device, beside)
        yield from taken_by_relays(device, settings.relay)
