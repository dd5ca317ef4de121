"""Rows that a transport adds to every kind it carries; the service fills in their values."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from bus.about import MEASUREMENT, Entity
from collector.devices.description import Row

RSSI = "rssi"

# A signal wanders while nothing moves: it rides along and is never worth a reading of its own.
BLE_ROWS: Mapping[str, Row] = MappingProxyType(
    {
        RSSI: Row(
            entity=Entity(
                name="Signal strength",
                unit="dBm",
                device_class="signal_strength",
                state_class=MEASUREMENT,
                precision=0,
                diagnostic=True,
            ),
            step=math.inf,
        ),
    }
)
