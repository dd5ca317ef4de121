"""The devices of a small van as docs/contract.md describes them, and a client that speaks for them."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.client import Client

About = dict[str, Any]
Values = Mapping[str, float | str | None]

_W = {"unit": "W", "device_class": "power", "state_class": "measurement", "precision": 1}
_V = {"unit": "V", "device_class": "voltage", "state_class": "measurement", "precision": 2}
_WH = {"unit": "Wh", "device_class": "energy", "state_class": "total_increasing", "precision": 0}
_LEVEL = {"unit": "%", "state_class": "measurement", "precision": 0}
_LITRES = {"unit": "L", "device_class": "volume_storage", "state_class": "measurement", "precision": 0}

DEVICES: Mapping[str, tuple[About, Values]] = {
    "smartshunt": (
        {
            "name": "House battery",
            "manufacturer": "Victron Energy",
            "model": "SmartShunt 500A/50mV",
            "expire_after": 120,
            "entities": {
                "voltage": {"name": "Voltage", **_V, "role": "battery"},
                "power": {"name": "Power", **_W, "role": "battery"},
                "soc": {
                    "name": "State of charge",
                    "unit": "%",
                    "device_class": "battery",
                    "state_class": "measurement",
                    "precision": 1,
                    "role": "battery",
                },
                "alarm": {
                    "name": "Alarm",
                    "device_class": "problem",
                    "boolean": True,
                    "diagnostic": True,
                },
                "rssi": {"name": "Signal", "unit": "dBm", "state_class": "measurement", "diagnostic": True},
            },
        },
        {"voltage": 13.21, "power": -45.5, "soc": 81.5, "alarm": "OFF", "rssi": -58},
    ),
    "mppt": (
        {
            "name": "Solar charger",
            "manufacturer": "Victron Energy",
            "model": "SmartSolar MPPT 100/30",
            "serial_number": "HQ2132ABCDE",
            "sw_version": "1.61",
            "expire_after": 120,
            "entities": {
                "power": {"name": "Power", **_W, "role": "solar"},
                "yield_today": {"name": "Yield today", **_WH, "daily": True, "role": "solar"},
                "charge_state": {
                    "name": "Charge state",
                    "device_class": "enum",
                    "options": ["off", "bulk", "absorption", "float"],
                },
            },
        },
        {"power": 84, "yield_today": 320, "charge_state": "bulk"},
    ),
    "fresh_water": (
        {
            "name": "Fresh water",
            "manufacturer": "Generic",
            "expire_after": 120,
            "entities": {
                "level": {"name": "Level", **_LEVEL, "role": "tank"},
                "volume": {"name": "Volume", **_LITRES, "role": "tank"},
            },
        },
        {"level": 53, "volume": 53.4},
    ),
    "fridge": (
        {
            "name": "Fridge",
            "manufacturer": "Texas Instruments",
            "model": "INA219",
            "expire_after": 120,
            "entities": {
                "power": {"name": "Power", **_W, "role": "load"},
                "temperature": {
                    "name": "Temperature",
                    "unit": "°C",
                    "device_class": "temperature",
                    "state_class": "measurement",
                    "precision": 1,
                },
            },
        },
        {"power": 39.4, "temperature": 4.6},
    ),
}

LAMP: tuple[About, Values] = (
    {
        "name": "Lamps",
        "expire_after": 120,
        "entities": {"reading": {"name": "Reading lamp", "command": True, "boolean": True}},
    },
    {"reading": "OFF"},
)


def iso(at: float) -> str:
    """Write a time, seconds since 1970, as the contract wants it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Van:
    """Publishes the devices of a van, as their owner does."""

    def __init__(
        self, client: Client, port: int, devices: Mapping[str, tuple[About, Values]] = DEVICES
    ) -> None:
        self.client = client
        self.port = port
        self._devices = devices
        for name, (about, values) in devices.items():
            self.appears(name, about, values)

    def says_all(self) -> None:
        """Say all first readings again, as of now."""
        for name, (_, values) in self._devices.items():
            self.says(name, values)

    def appears(self, name: str, about: About, values: Values) -> None:
        """Say what a device is, that it is online, and its first reading."""
        self.client.publish(f"camper/about/{name}", json.dumps(about), retain=True)
        self.client.publish(f"camper/availability/{name}", "online", retain=True)
        self.says(name, values)

    def says(self, name: str, values: Values, *, at: float | None = None) -> None:
        """Publish a reading, measured now unless told otherwise; `at` is in seconds since 1970."""
        reading = {"ts": iso(time.time() if at is None else at), "clock": "ok", **values}
        self.client.publish(f"camper/state/{name}", json.dumps(reading), retain=True)

    def goes(self, name: str) -> None:
        """Take a device back, as its owner does."""
        for verb in ("about", "availability", "state"):
            self.client.publish(f"camper/{verb}/{name}", b"", retain=True)
