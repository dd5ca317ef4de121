"""The devices that were added over MQTT: a file of one collector, which holds their keys."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from bus import state_files
from collector import checking
from collector.conflicts import Wrong, conflicts, taken_by_relays
from collector.roster_params import masked, said
from config import rules
from config.model import INTEGRAL, Device, Settings

log = logging.getLogger(__name__)


class _File(msgspec.Struct):
    version: int = 1
    devices: dict[str, msgspec.Raw] = {}


class Roster:
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


def wrong_with(settings: Settings, others: Mapping[str, Device], name: str, device: Device) -> list[str]:
    """What keeps a device from standing beside boondock.toml's and `others`: a sentence a mistake."""
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
