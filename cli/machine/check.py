"""Compare this machine with the settings; `boondock check --machine` and `boondock doctor` show it."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from cli.machine.broker import broker
from cli.machine.finding import Finding
from cli.machine.pins import pins
from cli.machine.place import Place, group_of
from cli.machine.secrets import secrets
from cli.machine.wires import bluetooth, buses, ports
from collector.ownership import transport
from config.model import INTEGRAL, Settings

_LIBRARIES = {"ble": ("bleak", "dbus_fast"), "serial": ("serial", "minimalmodbus"), "i2c": ("smbus2",)}
_USERS = ("boondock-collector", "boondock-controller", "boondock-statistician")
_FIRST_BUS = 1


def machine(settings: Settings, root: Path = Path("/"), *, ask_broker: bool = True) -> list[Finding]:
    """Everything that the settings need of this machine, a finding each; it may take some seconds.

    `root` is where /dev, /proc, /sys and /etc are found. Without `ask_broker` the broker is left alone.
    """
    place = Place(root)
    by_transport = _transports(settings)
    listed = settings.device
    i2c = {
        n: _FIRST_BUS if listed[n].bus is None else listed[n].bus or 0 for n in by_transport.get("i2c", [])
    }
    found = [
        *ports(
            place, {n: listed[n] for n in (*by_transport.get("serial", []), *by_transport.get("tcp", []))}
        ),
        *buses(place, i2c),
        *pins(place, settings.controller, uses(settings)),
        *_groups(place, set(by_transport) | ({"gpio"} if settings.relay else set())),
        *_libraries(by_transport),
        *secrets(place),
    ]
    if "ble" in by_transport or "ble" in settings.collector.run:
        found += bluetooth(place, settings.ble, by_transport.get("ble", []))
    return [*found, *(broker(place, settings.broker) if ask_broker else ())]


def _transports(settings: Settings) -> dict[str, list[str]]:
    """The devices by the collector that reads them; those whose kind is wrong are left out."""
    found: dict[str, list[str]] = {}
    for name, device in settings.device.items():
        if device.kind != INTEGRAL:
            try:
                found.setdefault(transport(device), []).append(name)
            except KeyError:
                # collector/checking.py tells that there is no such kind.
                continue
    return found


def uses(settings: Settings) -> dict[str, int]:
    """The pins by the settings that name them."""
    found = {f"relay.{name}.pin": relay.pin for name, relay in settings.relay.items()}
    for name, relay in settings.relay.items():
        if relay.feedback_pin is not None:
            found[f"relay.{name}.feedback_pin"] = relay.feedback_pin
    for name, device in settings.device.items():
        if device.pin is not None:
            found[f"device.{name}.pin"] = device.pin
        found |= {f"device.{name}.levels.{level}": pin for level, pin in device.levels.items()}
    return found


def _groups(place: Place, transports: set[str]) -> Iterator[Finding]:
    """Users and groups that the units name: without them systemd does not start them."""
    if not place.has_units:
        return
    missing = [f"user {name}" for name in _USERS if name not in place.users]
    wanted = sorted({group for one in transports if (group := group_of(one)) is not None})
    missing += [f"group {name}" for name in wanted if name not in place.groups]
    if missing:
        yield Finding("groups", f"there is no {', no '.join(missing)}", "sudo systemd-sysusers")
    else:
        yield Finding("groups", f"users and groups of the services are there ({', '.join(wanted)})", ok=True)


def _libraries(transports: dict[str, list[str]]) -> Iterator[Finding]:
    for one in sorted(set(transports) & _LIBRARIES.keys()):
        missing = [name for name in _LIBRARIES[one] if importlib.util.find_spec(name) is None]
        if missing:
            text = f"the collector {one} needs {', '.join(missing)}, which is not installed"
            yield Finding("libraries", text, "./scripts/setup")
