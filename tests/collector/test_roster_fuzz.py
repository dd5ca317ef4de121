"""Whatever a client sends is answered: no request ends the process, and what is taken is read again."""

import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.assembly import roster_of
from collector.device import TRANSPORTS
from collector.device_store import DeviceSettings
from collector.devices.description import LineError
from collector.devices.registry import KINDS
from collector.scanning import Nothing
from config.model import Storage
from tests.clock import FakeTime
from tests.collector.clients import Json, LineHouse

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        [
            "/",
            "/etc/passwd",
            "/dev/null",
            "tcp://",
            "tcp://x:y",
            "0x40",
            "aa" * 16,
            "* * * * *",
            "C0:11:22:33:44:55",
        ]
    ),
    st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3), max_size=4),
    st.dictionaries(
        st.sampled_from(["voltage", "power", "x"]), st.integers() | st.text(max_size=3), max_size=2
    ),
)
NAMES = tuple(name for name in DeviceSettings.__struct_fields__ if name not in ("device", "kind"))


class Dark:
    """A line that cannot be had."""

    def open(self) -> None:
        """It is not there."""
        raise LineError("dark")

    def close(self) -> None:
        """Nothing."""


@given(
    transport=st.sampled_from([t for t in TRANSPORTS if t != "ble"]),
    name=st.sampled_from(["a", "b", "relay", "A!", ""]),
    kind=st.sampled_from(sorted(KINDS)),
    needed=st.booleans(),
    more=st.dictionaries(st.sampled_from(NAMES), JUNK, max_size=4),
    change=st.dictionaries(st.sampled_from(NAMES), JUNK, max_size=3),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_request_is_answered(
    transport: str, name: str, kind: str, *, needed: bool, more: dict[str, Json], change: dict[str, Json]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        house = LineHouse(
            Path(folder),
            FakeTime(),
            {},
            transport,
            lines=lambda _: ("dark", Dark),
            scan=lambda *_: Nothing(""),
        )
        good = {"port": "/dev/null", "unit": 1, "pin": 4, "address": 0x40, "profile": "huawei_sun2000"}
        its = {key: good[key] for key in KINDS[kind].needs if key in good} if needed else {}
        house.ask("device_add", device=name, kind=kind, **{**its, **more})
        house.ask("device_update", device=name, **change)
        listed = house.data("devices")
        kept = roster_of(Storage(state=f"{folder}/state"), transport)
        assert (kept.problem, kept.unread) == (None, {})
        assert sorted(kept.devices) == [entry["device"] for entry in listed]
        assert json.dumps(listed)
        house.ask("device_remove", device=name)
        assert house.data("devices") == []
