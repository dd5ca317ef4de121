"""The kinds of device there are: one line each."""

from collections.abc import Mapping
from types import MappingProxyType

from collector.devices import victron_battery_monitor, victron_solar_charger
from collector.devices.description import BleKind, Kind

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "victron_battery_monitor": victron_battery_monitor.KIND,
        "victron_solar_charger": victron_solar_charger.KIND,
    }
)


def kind(name: str) -> Kind:
    """The kind of that name. Raises ValueError listing the names that exist."""
    found = KINDS.get(name)
    if found is None:
        raise ValueError(f"there is no kind of device {name!r}: allowed are {', '.join(sorted(KINDS))}")
    return found


def ble_kind(name: str) -> BleKind:
    """The kind of that name, which advertises. Raises ValueError, or TypeError if it does not."""
    found = kind(name)
    if not isinstance(found, BleKind):
        raise TypeError(f"a device of kind {name} does not advertise")
    return found
