"""Kinds of the registry as tests want them: of the family that the test is about."""

from collector.devices import KINDS
from collector.devices.description import BleKind


def ble_kind(name: str) -> BleKind:
    """One that advertises."""
    found = KINDS[name]
    assert isinstance(found, BleKind)
    return found
