"""Every kind describes itself in words that Home Assistant accepts, and in our units; docs/devices.md."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from bus.about import Entity
from collector import devices as kinds
from collector.checking import find_mistakes
from collector.devices import KINDS, find_kind
from collector.devices.description import BleKind, PolledKind
from collector.form import MEANINGS
from config.model import Device, Settings
from scripts import devices
from tests.collector.fake_i2c import FakeI2c
from tests.emulators import i2c_chips, victron_records
from tests.home_assistant import faults
from tests.house import ROOT, Module

# The contract's units: never kilo, never milli; the rest is arithmetic of the device.
_UNITS = {"V", "A", "W", "Wh", "Ah", "°C", "%", "Hz", "s", "L", "VA", "var", "dBm", "MB", None}
# Of what the air is like, what turns, and what flows.
_UNITS |= {"m³", "mm", "hPa", "lx", "ppm", "rpm", "L/min", "m/s²", "W/m²", "µg/m³"}
_ENTITIES = [(name, key, row.entity) for name, of in KINDS.items() for key, row in of.rows.items()]


def test_an_unknown_kind_is_answered_with_the_list() -> None:
    with pytest.raises(ValueError, match=r"victron_battery_monitor, .*victron_solar_charger"):
        find_kind("victron_toaster")


def test_kinds_are_listed_under_their_own_name() -> None:
    assert {name: of.name for name, of in KINDS.items()} == {name: name for name in KINDS}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_bluetooth_kind_has_a_signal_strength(name: str) -> None:
    of = KINDS[name]
    assert ("rssi" in of.rows) == isinstance(of, BleKind) or name == "route_b_meter"


@pytest.mark.parametrize(("name", "key", "entity"), _ENTITIES, ids=lambda part: str(part)[:24])
def test_an_entity_is_one_home_assistant_accepts(name: str, key: str, entity: Entity) -> None:
    assert re.fullmatch(r"[a-z0-9_]+", key), f"{name}: the id {key} may have a-z, 0-9 and _"
    assert list(faults(entity)) == [], f"{name}.{key}: Home Assistant's words, or another unit"
    assert entity.unit in _UNITS, f"{name}.{key}: {entity.unit} is none of the contract's units; convert it"


def test_the_lists_find_faults() -> None:
    wrong = [
        Entity(name="x", unit="kW", device_class="energy", state_class="total"),
        Entity(name="x", unit="Wh", device_class="energy", state_class="measurement"),
        Entity(name="x", unit="degC", device_class="temperature"),
        Entity(name="x", device_class="charge"),
        Entity(name="x", boolean=True, device_class="voltage"),
        Entity(name="x", device_class="enum", options=("On",)),
    ]
    assert [len(list(faults(entity))) for entity in wrong] == [1] * len(wrong)


def test_a_kind_is_reached_as_its_line_says() -> None:
    for name, of in KINDS.items():
        assert of.wire is kinds.wire_of(name), name
        assert isinstance(of, BleKind if of.wire is kinds.BLE else PolledKind), name


def test_a_kind_is_loaded_only_when_it_is_asked_for() -> None:
    code = (
        "import sys; from collector import devices as kinds\n"
        "assert 'victron' in kinds.KINDS and len(list(kinds.KINDS)) > 20\n"
        "kinds.find_kind('ina219')\n"
        "dear = ('victron_ble', 'Crypto', 'collector.devices.modbus')\n"
        "print([name for name in sys.modules if name.startswith(dear)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("one", "other", "wrong"),
    [
        (Device(kind="gpio_input", pin=4), Device(kind="gpio_input", pin=4), "device.b.pin"),
        (
            Device(kind="vedirect", port="/dev/a"),
            Device(kind="epever_tracer", port="/dev/a"),
            "device.b.port",
        ),
        (Device(kind="ina219", address=0x41), Device(kind="ina219", address="0x41"), "device.b.address"),
        (
            Device(kind="ads1115_voltage", address=0x48, channel=0),
            Device(kind="ads1115_voltage", address=0x48, channel=0),
            "device.b.address",
        ),
        (
            Device(kind="ads1115_voltage", address=0x48, channel=0),
            Device(kind="tank_sender", address=0x48, channel=1, calibration=((0.5, 0), (2.5, 100))),
            None,
        ),
        (Device(kind="ina219", address=0x41), Device(kind="ina219", bus=3, address=0x41), None),
        (
            Device(kind="modbus", profile="sdm630", port="/dev/a"),
            Device(kind="sunspec", port="/dev/a", unit=2),
            None,
        ),
    ],
)
def test_what_two_devices_of_the_file_cannot_share_is_a_mistake(
    one: Device, other: Device, wrong: str | None
) -> None:
    found = find_mistakes(Settings(device={"a": one, "b": other}), "boondock.toml")
    assert [mistake.key for mistake in found] == ([] if wrong is None else [wrong])


def test_a_port_is_a_path_or_a_url_that_only_carries_bytes() -> None:
    good = ["/dev/ttyUSB0", "socket://van:1", "rfc2217://van:1", "hwgrep://0403"]
    ports = [*good, "spy:///dev/x?file=/etc/y", "loop://"]
    found = [
        [m.key for m in find_mistakes(Settings(device={"a": Device(kind="epever_tracer", port=port)}), "x")]
        for port in ports
    ]
    assert found == [[], [], [], [], ["device.a.port"], ["device.a.port"]]


def _strings(tree: ast.AST) -> set[str]:
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@cache
def _with_twin() -> frozenset[str]:
    """The kinds that the assignments to TWINS in tests/emulators name."""
    found: set[str] = set()
    for path in (ROOT / "tests" / "emulators").rglob("*.py"):
        for node in Module.at(path).tree.body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            if isinstance(target, ast.Name) and target.id == "TWINS":
                found |= _strings(node)
    return frozenset(found)


@cache
def _with_test() -> frozenset[str]:
    """All that is named in tests that use a twin, and the records whose twins tell numbers for them."""
    found = {name for name, twin in victron_records.TWINS.items() if twin.numbers}
    for path in (ROOT / "tests" / "collector").rglob("test_*.py"):
        module = Module.at(path)
        # By itself, or by what the tests of a wire share.
        twins = any(name.startswith(("tests.emulators", "tests.collector")) for _, name in module.imports)
        if twins and path != Path(__file__):
            found |= _strings(module.tree)
    return frozenset(found)


def _unproven(name: str) -> list[str]:
    missing = []
    if name not in _with_twin():
        missing.append(
            f"{name} has no twin: write one from the protocol's description in tests/emulators "
            "and name the kind in that file's TWINS (CONTRIBUTING.md)"
        )
    if name not in _with_test():
        missing.append(
            f"{name} has no test: read the kind from its twin in a file tests/collector/test_*.py, or give "
            "the twin of a Victron record its `numbers` (CONTRIBUTING.md)"
        )
    return missing


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_kind_has_a_twin_and_a_test(name: str) -> None:
    assert not _unproven(name), "; ".join(_unproven(name))


def test_a_kind_without_both_is_told_by_name() -> None:
    twin, test = _unproven("victron_toaster")
    assert twin.startswith("victron_toaster has no twin")
    assert test.startswith("victron_toaster has no test")


# What a chip's kind must be told, whatever the chip.
_CHIP_SETTINGS = {"channel": 1, "calibration": ((0.5, 0.0), (2.5, 100.0))}


@pytest.mark.parametrize("name", [name for name, of in KINDS.items() if of.wire is kinds.I2C])
def test_every_chip_is_read_from_its_twin(name: str) -> None:
    of, line = KINDS[name], FakeI2c()
    assert isinstance(of, PolledKind)
    assert name in i2c_chips.TWINS, (
        f"{name} is a chip: name its twin in TWINS of tests/emulators/i2c_chips.py"
    )
    settings = {key: value for key, value in _CHIP_SETTINGS.items() if key in of.needs}
    poller = of.make(Device(kind=name, **settings))  # type: ignore[arg-type]  # settings by name
    (address,) = {getattr(poller, "address", None)}
    assert isinstance(address, int)
    line.chips.at = {address: i2c_chips.TWINS[name](lambda: line.now)}
    said = poller.poll(line, 1.0).values
    required = {entity for entity, row in poller.rows.items() if not row.optional}
    assert required <= said.keys() <= poller.rows.keys()


def test_the_page_is_the_one_that_the_code_makes() -> None:
    assert devices.PAGE.read_text(encoding="utf-8") == devices.page(), "run: python -m scripts.devices"


def test_every_setting_of_a_kind_exists_and_is_explained() -> None:
    for kind in KINDS.values():
        for key in (*kind.needs, *kind.takes):
            assert key in Device.__dataclass_fields__, (
                f"{kind.name}: {key} is no field of Device (config/model/__init__.py)"
            )
            assert key in MEANINGS, f"{kind.name}: explain {key} in MEANINGS of collector/form.py"


def test_every_kind_names_its_source_and_what_it_was_tested_on() -> None:
    for kind in KINDS.values():
        assert len(kind.source) > 10, f"{kind.name}: `source` says where its protocol was read"
        assert kind.tested, f"{kind.name}: `tested` says what its decoding was tested against"
