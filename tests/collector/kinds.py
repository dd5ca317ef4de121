"""Kinds of the registry as tests want them: of the family that the test is about."""

from dataclasses import dataclass

from collector.devices import KINDS
from collector.devices.description import BleKind, Decoded, Decoder, Rows
from config.model import Device

ADDRESS = "C0:11:22:33:44:55"


@dataclass(frozen=True)
class Ble:
    """A kind that advertises, and devices of it."""

    kind: BleKind

    @property
    def name(self) -> str:
        """The kind's name."""
        return self.kind.name

    @property
    def rows(self) -> Rows:
        """All that any device of it reports."""
        return self.kind.rows

    def device(self, **settings: object) -> Decoder:
        """One of these settings."""
        its = {"address": ADDRESS, **settings}
        return self.kind.make(Device(kind=self.name, **its))  # type: ignore[arg-type]  # few

    def decode(self, frame: bytes, key: bytes) -> Decoded:
        """What a new device of this key says first."""
        said = self.device(key=key.hex()).decode(frame, 0.0)
        assert said is not None
        return said


def ble_kind(name: str) -> Ble:
    """One that advertises."""
    found = KINDS[name]
    assert isinstance(found, BleKind)
    return Ble(found)
