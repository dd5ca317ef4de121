"""Devices on lines that come and go over MQTT; whatever a client sends is answered and taken again."""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.about import MEASUREMENT, Entity
from bus.commands import Switch
from collector import devices
from collector.device import TRANSPORTS, Owned
from collector.device_store import DeviceSettings, open_store
from collector.devices import KINDS
from collector.devices.description import Decoded, I2cKind, LineError, PolledKind, Row, Wire
from collector.devices.lines import Line
from collector.scan import Refusing
from config.model import Device, Storage
from tests.clock import FakeTime
from tests.collector.clients import TOPICS, Json, LineHouse

POWER = Entity(name="Power", unit="W", device_class="power", state_class=MEASUREMENT)
LOAD = Entity(name="Load", boolean=True, command=True)
LEFT = {"kind": "toy", "port": "left", "unit": 1}


class Toy:
    """Says its unit as its power; its load obeys."""

    rows: Mapping[str, Row] = MappingProxyType({"power": Row(entity=POWER), "load": Row(entity=LOAD)})

    def __init__(self, settings: Device) -> None:
        self._unit = settings.unit or 1

    def poll(self, _line: Line, _now: float) -> Decoded:
        """Its unit."""
        return Decoded({"power": float(self._unit)})

    def switch(self, _line: Line, entity: str, wanted: Switch) -> dict[str, float | str | None]:
        """It does."""
        return {entity: "ON" if wanted is Switch.ON else "OFF"}


class ScriptedLine:
    """A line that counts."""

    def __init__(self) -> None:
        self.opened = self.closed = 0

    def open(self) -> None:
        """Count it."""
        self.opened += 1

    def close(self) -> None:
        """Count it."""
        self.closed += 1


@pytest.fixture
def wires() -> dict[str, ScriptedLine]:
    return {"left": ScriptedLine(), "right": ScriptedLine()}


@pytest.fixture
def house(
    tmp_path: Path, time: FakeTime, wires: dict[str, ScriptedLine], monkeypatch: pytest.MonkeyPatch
) -> LineHouse:
    kinds = {
        "toy": PolledKind(
            wire=Wire.MODBUS,
            **_about("toy"),
            needs=("port",),
            takes=("unit", "baudrate"),
            every=1.0,
            make=Toy,
        ),
        "cable": PolledKind(wire=Wire.VE_DIRECT, **_about("cable"), needs=("port",), every=1.0, make=Toy),
        "chip": I2cKind(
            **_about("chip"), takes=("bus", "address", "channel"), every=1.0, make=Toy, addresses=range(128)
        ),
    }
    monkeypatch.setattr(devices, "KINDS", kinds)
    reached = {"toy": devices.MODBUS, "cable": devices.VE_DIRECT, "chip": devices.I2C}
    monkeypatch.setattr(devices, "_WIRES", reached)

    def lines(device: Owned) -> tuple[str, Callable[[], Line]]:
        return str(device.settings.port), lambda: wires[str(device.settings.port)]

    filed = {"filed": Device(kind="toy", port="left", unit=9)}
    return LineHouse(tmp_path, time, filed, "serial", lines=lines, scan=lambda *_: Refusing("no"))


def _about(name: str) -> Json:
    return {"name": name, "title": "A toy", "manufacturer": "Nobody", "rows": Toy.rows, "source": "this"}


def powers(house: LineHouse, device: str) -> list[float]:
    """What it said, without what emptied its topic."""
    told = house.bus.on(TOPICS.state(device))
    return [json.loads(payload)["power"] for payload in told if payload]


def test_a_device_on_a_line_shares_it_and_leaves_it_to_the_others(
    house: LineHouse, wires: dict[str, ScriptedLine]
) -> None:
    house.rig.run(2)
    house.data("device_add", device="new", **LEFT)
    house.data("device_add", device="far", **{**LEFT, "port": "right"})
    house.rig.run(2)
    assert (powers(house, "new")[-1], powers(house, "filed")[-1]) == (1.0, 9.0)
    assert (wires["left"].opened, wires["right"].opened) == (1, 1)
    house.data("device_remove", device="new")
    house.data("device_remove", device="far")
    house.rig.run(2)
    assert (wires["left"].closed, wires["right"].closed) == (0, 1), "a line nobody needs is closed"
    assert house.rig.online("filed")


def test_a_change_keeps_the_line_open(house: LineHouse, wires: dict[str, ScriptedLine]) -> None:
    house.data("device_add", device="far", **{**LEFT, "port": "right"})
    house.rig.run(2)
    house.data("device_update", device="far", unit=3)
    house.rig.run(2)
    assert powers(house, "far")[-1] == 3.0
    assert (wires["right"].opened, wires["right"].closed) == (1, 0)


def test_an_answer_to_the_settings_before_is_not_taken_for_the_new_ones(house: LineHouse) -> None:
    house.data("device_add", device="new", **LEFT)
    # It is asked, but its answer lies in the queue while the client changes it.
    house.service.tick(house.time.pass_(1.0))
    house.send("device_update", b'{"device": "new", "unit": 5}')
    house.service._requests.work(1.0)  # type: ignore[union-attr]  # it is open
    house.turn()
    house.rig.run(3)
    assert set(powers(house, "new")) == {5.0}


def test_a_device_whose_output_is_on_for_a_time_is_not_let_go_of(house: LineHouse) -> None:
    house.data("device_add", device="new", **LEFT)
    house.rig.set("new", "load", '{"value": "ON", "for": 10}')
    tries: dict[str, Json] = {
        "device_remove": {},
        "device_update": {"unit": 2},
        "entity_disable": {"entity": "load"},
    }
    for verb, more in tries.items():
        code, text = house.refusal(verb, device="new", **more)
        assert (code, "load is on for a time" in text) == ("denied", True)
    house.rig.run(11)
    assert house.data("device_remove", device="new") == {"removed": "new"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "cable", "port": "left"}, ("port", "filed has left for itself")),
        ({**LEFT, "baudrate": 19200}, ("baudrate", "filed is on left with 9600")),
        ({"kind": "chip", "bus": 1, "address": 64}, ("kind", "collector_i2c")),
        ({**LEFT, "port": "tcp://left"}, ("kind", "collector_tcp")),
    ],
)
def test_what_cannot_be_beside_another_is_refused(
    house: LineHouse, settings: dict[str, Json], words: tuple[str, ...]
) -> None:
    code, text = house.refusal("device_add", device="new", **settings)
    assert code == "invalid"
    assert all(word in text for word in words), text


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
            scan=lambda *_: Refusing(""),
        )
        good = {"port": "/dev/null", "unit": 1, "pin": 4, "address": 0x40, "profile": "huawei_sun2000"}
        its = {key: good[key] for key in KINDS[kind].needs if key in good} if needed else {}
        house.ask("device_add", device=name, kind=kind, **{**its, **more})
        house.ask("device_update", device=name, **change)
        listed = house.data("devices")
        kept = open_store(Storage(state=f"{folder}/state"), f"collector_{transport}")
        assert (kept.problem, kept.unread) == (None, {})
        assert sorted(kept.devices) == [entry["device"] for entry in listed]
        assert json.dumps(listed)
        house.ask("device_remove", device=name)
        assert house.data("devices") == []
