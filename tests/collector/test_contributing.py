"""CONTRIBUTING.md, "Add a Victron record" and "Add an I2C chip": its examples are run as they stand there."""

import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from collector.devices import I2C, i2c
from collector.devices.description import I2cKind
from collector.devices.victron import ble, records
from collector.devices.victron.fields import Layout
from tests.emulators import i2c_chips, victron_records
from tests.home_assistant import faults
from tests.house import ROOT

_PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
_BLOCK = re.compile(
    r"^( *)```python\n\1# (?P<file>\S+?\.py)[^\n]*\n(?P<code>.*?)^\1```$", re.MULTILINE | re.DOTALL
)
_KEY = bytes(range(16))


def _blocks(heading: str) -> dict[str, str]:
    """The code below a heading, by the file that its first line names."""
    section = _PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return {found["file"]: textwrap.dedent(found["code"]) for found in _BLOCK.finditer(section)}


def _rows_of_files(heading: str) -> list[str]:
    section = _PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


@pytest.mark.parametrize("heading", ["Add a Victron record", "Add an I2C chip"])
def test_each_example_goes_into_a_file_of_the_list(heading: str) -> None:
    listed = _rows_of_files(heading)
    exists = [file for file in listed if "<" not in file]
    assert [file for file in exists if not (ROOT / file).is_file()] == []
    patterns = [re.escape(file).replace("<chip>", r"\w+") for file in listed]
    blocks = _blocks(heading)
    assert len(blocks) >= 2
    assert [file for file in blocks if not any(re.fullmatch(one, file) for one in patterns)] == []


def test_the_record_of_the_example_is_read_from_its_twin() -> None:
    blocks = _blocks("Add a Victron record")
    row = blocks["collector/devices/victron/records.py"]
    made: dict[str, Layout] = eval(f"{{{row}}}", vars(records))  # noqa: S307 — the page is ours
    ((name, layout),) = made.items()
    assert layout.number not in {one.number for one in records.RECORDS.values()}
    kind = ble.kind_of(name, layout)
    assert [fault for one in kind.rows.values() for fault in faults(one.entity)] == []

    names = dict(vars(victron_records))
    exec(blocks["tests/emulators/victron_records.py"], names)  # noqa: S102 — the page is ours
    (twin,) = (value for key, value in names.items() if key not in vars(victron_records))
    assert isinstance(twin, victron_records.Layout)
    nothing = kind.decode(twin.sealed({}, _KEY), _KEY)
    assert nothing.values == dict.fromkeys(kind.rows.keys() - {"rssi"})
    for field, entity, values in twin.numbers:
        for value in values:
            assert kind.decode(twin.sealed({field: value}, _KEY), _KEY).values[entity] == value
    assert {entity for _, entity, _ in twin.numbers} == kind.rows.keys() - {
        "rssi",
        "device_state",
        "charger_error",
    }


def _module(name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(code, vars(module))  # noqa: S102 — the page is ours
    return module


def test_the_chip_of_the_example_passes_its_own_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocks = _blocks("Add an I2C chip")
    files = {file: code for file, code in blocks.items() if file.startswith("collector/devices/i2c/")}
    ((file, code),) = files.items()
    stem = Path(file).stem
    chip = _module(f"collector.devices.i2c.{stem}", code, monkeypatch)
    monkeypatch.setattr(i2c, stem, chip, raising=False)
    kind = chip.KIND
    assert isinstance(kind, I2cKind)
    assert [fault for one in kind.rows.values() for fault in faults(one.entity)] == []
    line = eval(blocks["collector/devices/__init__.py"], {"I2C": I2C})  # noqa: S307 — the page is ours
    assert line == (kind.name, I2C, f"i2c.{stem}")

    names = dict(vars(i2c_chips))
    exec(blocks["tests/emulators/i2c_chips.py"], names)  # noqa: S102 — the page is ours
    for key in names.keys() - vars(i2c_chips).keys():
        monkeypatch.setattr(i2c_chips, key, names[key], raising=False)
    test = tmp_path / f"test_{stem}.py"
    test.write_text(blocks[f"tests/collector/test_{stem}.py"], encoding="utf-8")
    # In this process, where the modules of the example are.
    assert (
        pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:randomly", str(test), f"--rootdir={tmp_path}"])
        == 0
    )
