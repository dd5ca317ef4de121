"""Victron devices on a VE.Direct cable: what each is, by its product id or by its labels."""

from collections.abc import Mapping
from enum import Enum, auto

from collector.devices.victron.ble import MODELS


class Family(Enum):
    """Products that say the same things; OTHER is what nobody knows yet."""

    MONITOR = auto()
    SOLAR = auto()
    INVERTER = auto()
    CHARGER = auto()
    DC_DC = auto()
    RS = auto()
    OTHER = auto()


# A family is a range of product ids (VE.Direct Protocol, table of PIDs; victron-ble 0.9.3); a product that is
# not listed shows by its labels what it is.
_FAMILIES: tuple[tuple[int, int, Family], ...] = (
    (0x0200, 0x02FF, Family.MONITOR),
    (0x0300, 0x0300, Family.SOLAR),
    (0xA040, 0xA07F, Family.SOLAR),
    (0xA102, 0xA117, Family.SOLAR),
    (0xA200, 0xA2FF, Family.INVERTER),
    (0xA300, 0xA37F, Family.CHARGER),
    (0xA380, 0xA38F, Family.MONITOR),
    (0xA3C0, 0xA3DF, Family.DC_DC),
    (0xA3F0, 0xA3FF, Family.DC_DC),
    (0xA400, 0xA4BF, Family.RS),
    (0xC030, 0xC032, Family.MONITOR),
    (0xC034, 0xC038, Family.MONITOR),
)
_MARKS: tuple[tuple[frozenset[str], Family], ...] = (
    (frozenset({"VPV", "PPV", "MPPT"}), Family.SOLAR),
    (frozenset({"AC_OUT_V", "AC_OUT_I"}), Family.INVERTER),
    (frozenset({"SOC", "TTG", "CE", "MON", "H1", "H17"}), Family.MONITOR),
    (frozenset({"DC_IN_V", "DC_IN_I", "DC_IN_P"}), Family.DC_DC),
)
# Those that victron-ble 0.9.3 does not name, or differently from the protocol's table.
_MODELS = {
    0xA05E: "SmartSolar Charger MPPT 250/45",
    0xA07F: "All-In-1 SmartSolar Charger MPPT 75/15",
    0xA3F0: "Orion XS 12/12-50A DC-DC charger",
}


def family_of(product: int | None, fields: Mapping[str, str]) -> Family:
    """Return what a product id, or else the labels, say that it is."""
    if product is not None:
        for first, last, family in _FAMILIES:
            if first <= product <= last:
                return family
    return next((family for marks, family in _MARKS if marks & fields.keys()), Family.OTHER)


def model_of(product: int) -> str:
    """Name the product."""
    return _MODELS.get(product) or MODELS.get(product) or f"VE.Direct 0x{product:04X}"
