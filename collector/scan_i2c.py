"""device_scan of an I2C bus: which addresses answer, and which chips those may be."""

from collections.abc import Iterator
from typing import Annotated, Protocol

from msgspec import Meta, Struct

from bus.requests import Action, Parts, Wait, action
from collector.devices.description import I2cKind
from collector.devices.lines import Line
from collector.devices.registry import I2C, KINDS, LINES
from collector.ownership import Owned
from collector.scan_lines import LineScan, Nobody, stranger
from collector.scanning import report
from config.model import Device

_FIRST_BUS = 1


class AskBus(Struct, forbid_unknown_fields=True):
    """The number of an I2C bus."""

    bus: Annotated[int, Meta(ge=0, le=255)] = 1


class Chip(Struct, frozen=True):
    """An address that answers on an I2C bus."""

    bus: int
    address: str
    kinds: list[str]
    configured: list[str]


class _Scannable(Line, Protocol):
    def scan(self) -> list[int]:
        """The addresses that answer."""


class I2cScan(LineScan):
    """Addresses of an I2C bus."""

    def action(self) -> Action:
        """The verb device_scan."""
        return action(AskBus, lambda asked, _place: self._one.run(self._parts(asked.bus)))

    def _parts(self, bus: int) -> Parts:
        line = self._source.visit(next(self._on(bus), None) or _chip(bus))
        try:
            self._put(line, _addresses)
            while self._told is None:
                yield Wait.WAIT
            answer = self._answer()
            assert isinstance(answer, list)  # noqa: S101 — _addresses gave it
            yield report([self._described(bus, address) for address in answer])
        finally:
            self._source.leave(line)

    def _described(self, bus: int, address: int) -> Chip:
        kinds = [kind.name for kind in _chips() if address in kind.addresses]
        ours = [d.id for d in self._on(bus) if getattr(d.poller, "address", None) == address]
        return Chip(bus, f"{address:#04x}", kinds, ours)

    def _on(self, bus: int) -> Iterator[Owned]:
        for device in self._readings:
            its = _FIRST_BUS if device.settings.bus is None else device.settings.bus
            if isinstance(device.kind, I2cKind) and its == bus:
                yield device


def _addresses(line: _Scannable) -> list[int]:
    return line.scan()


def _chip(bus: int) -> Owned:
    """What stands on an I2C bus."""
    kind = I2cKind(
        name="scan", title="", manufacturer="", rows={}, source="", every=1.0, make=lambda _: Nobody()
    )
    return stranger(kind, Device(kind=kind.name, bus=bus))


def _chips() -> Iterator[I2cKind]:
    for name, reached, _ in LINES:
        # The others need not be loaded.
        if reached is I2C and isinstance(kind := KINDS[name], I2cKind):
            yield kind
