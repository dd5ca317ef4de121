"""docs/profile-format.md and CONTRIBUTING.md's Modbus device against the code; a profile of one's own."""

import re
import subprocess
import sys
import textwrap
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from bus.commands import Switch
from collector.devices.description import RefusedError, UnfitError, Write
from collector.devices.modbus import profile as format_
from collector.devices.modbus.build import allowed, build
from collector.devices.modbus.device import ModbusDevice
from tests.collector import profile_cases
from tests.collector.profile_cases import Case, ascii_words
from tests.collector.test_modbus_profiles import Registers
from tests.emulators.modbus_tcp import HOST, ModbusServer, Unit
from tests.house import ROOT

PAGE = (ROOT / "docs" / "profile-format.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "[profile]": format_.About,
    "[model] and [serial_number]": format_.Identity,
    "[identify]": format_.Identify,
    "A mark of [identify]": format_.Mark,
    "[[block]]": format_.Block,
    "A value of a block": format_.Value,
    "A direction": format_.Direction,
    "A command": format_.Command,
    "A write": format_.Writing,
    "A nominal value": format_.Nominal,
    "[[together]]": format_.Together,
}


def code(page: str, language: str, start: str = "") -> str:
    """The page's code block that begins with these words, without its indentation."""
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    (found,) = [block for block in map(textwrap.dedent, blocks) if block.startswith(start)]
    return str(found)


def modbus_section() -> str:
    return CONTRIBUTING.partition("## Add a Modbus device")[2].partition("\n## ")[0]


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_has_every_key_and_what_it_allows(section: str) -> None:
    table = SECTIONS[section]
    hints = get_type_hints(table, include_extras=True)
    text = PAGE.partition(f"\n### {section}\n")[2].partition("\n### ")[0]
    said = re.findall(r"^\| `(\w+)`( \(needed\))? \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    assert {(key, bool(needed), what) for key, needed, what, _ in said} == {
        (field.encode_name, field.required, allowed(hints[field.name]))
        for field in msgspec.structs.fields(table)
    }


def test_every_table_of_the_format_has_its_section() -> None:
    tables = {
        one for one in vars(format_).values() if isinstance(one, type) and issubclass(one, msgspec.Struct)
    }
    named = {one for one in tables if one.__module__ == format_.__name__ and not one.__name__.startswith("_")}
    assert named - {format_.Profile, format_.Described} == set(SECTIONS.values())
    assert re.findall(r"^### (.+)$", PAGE, re.MULTILINE) == list(SECTIONS)
    keys = {field.encode_name for field in msgspec.structs.fields(format_.Profile)}
    assert keys == set(re.findall(r"\[+(\w+)\]", " ".join(SECTIONS)))


def test_the_example_of_the_page_reads_and_switches() -> None:
    profile = build(tomllib.loads(code(PAGE, "toml", "[profile]"), parse_float=Decimal))
    line = Registers(
        {
            1: {0: (0,)},
            3: {0x20: ascii_words("M1-0042", 4), 0x200: (0, 3000, 2600, 2000)},
            4: {0x100: (2301, 0xFF38, 0xFFFF, 0xFFEC, 1, 0x86A0, 1, 0b1000)},
        }
    )
    device = ModbusDevice(profile, 1, "M1")
    assert device.poll(line, 0).values == {
        "voltage_l1": 230.1,
        "current_l1": -2.0,
        "grid_power": 20,
        "grid_import_energy": 1_000_000,
        "status": "measuring",
        "alarm": "ON",
        "relay": "OFF",
        "mode": "automatic",
        "limit": 3000,
        "high": 260.0,
        "low": 200.0,
        "serial_number": "M1-0042",
    }
    assert device.rows["relay"].entity.command
    assert device.switch(line, "relay", Switch.TOGGLE) == {"relay": "ON"}
    with pytest.raises(RefusedError, match="the power limit obeys commands only in mode manual"):
        device.switch(line, "limit", 500)
    assert device.switch(line, "mode", "manual") == {"mode": "manual"}
    assert device.switch(line, "limit", 500) == {"limit": 500}
    with pytest.raises(
        UnfitError, match=r"High voltage \(199.9\) must be above Low voltage \(200\): change low"
    ):
        device.switch(line, "high", 199.9)
    line.asked.clear()
    assert device.switch(line, "high", 250.5) == {"high": 250.5, "low": 200.0}
    assert (1, 16, 0x202, 2) in line.asked
    writes = {key: row.write for key, row in device.rows.items() if row.write is not None}
    assert writes == {"mode": Write(60, "kept"), "limit": Write(5, "no limit")} | dict.fromkeys(
        ("high", "low"), Write(60, "kept")
    )


def test_contributing_adds_a_meter_with_two_files() -> None:
    section = modbus_section()
    profile = build(tomllib.loads(code(section, "toml"), parse_float=Decimal))
    names = {
        "Case": Case,
        **{name: getattr(profile_cases, name) for name in ("HOLDING", "INPUT", "ascii_words")},
    }
    case = eval(code(section, "python"), names)  # noqa: S307 — our own page
    assert f"# collector/profiles/{case.profile}.toml\n" in code(section, "toml")
    decoded = ModbusDevice(profile, 1, profile.about.title).poll(Registers(case.words), 0)
    assert decoded.values == case.expected
    assert f"{decoded.manufacturer} {decoded.model}" == case.model
    assert profile.identify.marks
    assert profile.about.notes
    files = re.findall(r"^\| `(\S+)` \| (.+) \|$", section, re.MULTILINE)
    assert [path for path, what in files if "nothing by hand" not in what] == [
        "collector/profiles/<name>.toml",
        "tests/collector/profile_cases_more.py",
    ]
    for path in re.findall(r"`((?:collector|tests|docs)/[\w/.]+)`", section):
        assert (ROOT / path).exists() or path.endswith("acme_m1.toml"), path


def boondock(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as its user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def mine(folder: Path, *, wrong: bool = False) -> str:
    path = folder / "mine.toml"
    text = code(modbus_section(), "toml")
    path.write_text(text.replace("count = 5", "count = 500") if wrong else text, encoding="utf-8")
    return str(path)


def test_a_profile_of_ones_own_is_checked_without_a_house(tmp_path: Path) -> None:
    file = mine(tmp_path)
    done = boondock("check", "--profile", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        f"{file}: good. Acme M1 meter, 1 requests, 5 entities\n  voltage  Voltage  V\n"
    )
    done = boondock("check", "--profile", mine(tmp_path, wrong=True))
    said = f"{file}: block[meter].count: it is 500; allowed: a whole number from 1 to 125\n"
    assert (done.returncode, done.stdout, done.stderr) == (78, "", said)


def test_a_check_names_the_settings_of_the_example(tmp_path: Path) -> None:
    file = tmp_path / "example.toml"
    file.write_text(code(PAGE, "toml", "[profile]"), encoding="utf-8")
    said = boondock("check", "--profile", str(file)).stdout
    assert (
        "  limit  Power limit  W  (a setting 0 to 3000: it obeys commands with allow_write = true)\n" in said
    )
    assert "  mode  Mode  (a setting: it obeys" in said
    assert "  relay  Relay\n" in said


def test_a_profile_of_ones_own_is_read_at_the_device_itself(tmp_path: Path) -> None:
    words = {0x100 + n: word for n, word in enumerate((2301, 4998, 0xFFEC, 1, 0x86A0))}
    serial = dict(enumerate(ascii_words("M1-0042", 4), 0x20))
    with ModbusServer({7: Unit(holding=serial, input=words)}) as server:
        done = boondock(
            "read", "--profile", mine(tmp_path), "--at", f"tcp://{HOST}:{server.port}", "--unit", "7"
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert "registers(7, 4, 256, 5)  ->  [2301 4998 65516 1 34464]" in done.stdout
    assert "  voltage  230.1 V\n" in done.stdout
    assert "  serial_number  M1-0042" in done.stdout


def test_a_device_that_does_not_answer_is_told_with_its_problem(tmp_path: Path) -> None:
    with ModbusServer({1: Unit()}) as server:
        port = server.port
    done = boondock("read", "--profile", mine(tmp_path), "--at", f"tcp://{HOST}:{port}")
    assert done.returncode == 0
    assert "  problem: " in done.stdout
    done = boondock("read", "--profile", mine(tmp_path))
    assert (done.returncode, "both --profile FILE and --at PORT" in done.stderr) == (1, True)


HEAD = '[profile]\nname = "x"\ntitle = "X"\nmanufacturer = "X"\nsource = "X"\n'
BLOCK = '[[block]]\nname = "a"\naddress = 10\ncount = 4\nvalues = [{}]\n'


def built(*values: str, more: str = "") -> format_.Profile:
    return build(tomllib.loads(HEAD + BLOCK.format(", ".join(values)) + more, parse_float=Decimal))


@pytest.mark.parametrize(
    ("word", "first", "second"),
    [(0x1987, 25, -7), (0x8C16, -12, 22), (0, 0, 0), (0xFFFF, -127, -127), (0x8080, 0, 0)],
)
def test_a_register_of_two_numbers_with_sign_bits(word: int, first: int, second: int) -> None:
    profile = built(
        '{id = "temperature", address = 10, type = "u16", bits = [8, 14], sign_bit = 15}',
        '{id = "battery_temperature", address = 10, type = "u16", bits = [0, 6], sign_bit = 7}',
    )
    decoded = ModbusDevice(profile, 1).poll(Registers({3: {10: (word,)}}), 0)
    assert decoded.values == {"temperature": first, "battery_temperature": second}


@pytest.mark.parametrize(
    ("kind", "words", "value"),
    [
        ("u32", (5, 7, 1), 65_541),
        ("i32", (0xFFFE, 7, 0xFFFF), -2),
        ("u32", (0xFFFF, 7, 0xFFFF), 0xFFFFFFFF),
        ("u32", (0, 0xFFFF, 0), 0),
    ],
)
def test_a_high_word_that_stands_elsewhere(kind: str, words: tuple[int, ...], value: int) -> None:
    for order in ("big", "little"):
        one = f'{{id = "power", address = 10, high = 12, type = "{kind}", word_order = "{order}"}}'
        assert ModbusDevice(built(one), 1).poll(Registers({3: {10: words}}), 0).values == {"power": value}


RATIO = '{id = "ratio", unit = "none", address = 10, type = "u16", scale = 0.1, precision = 1, max = 99}'


@pytest.mark.parametrize(
    ("ratio", "raw", "power"),
    [(10, 230, 230), (400, 7, 280), (15, 0xFFFE, -3), (0, 5, 0), (9999, 5, None)],
)
def test_a_value_is_multiplied_by_others(ratio: int, raw: int, power: int | None) -> None:
    profile = built(RATIO, '{id = "power", address = 11, type = "i16", times = "ratio"}')
    values = ModbusDevice(profile, 1).poll(Registers({3: {10: (ratio, raw)}}), 0).values
    assert values["power"] == power
    assert profile.rows()["ratio"].entity.unit is None


def test_a_product_that_nobody_means_is_unknown_and_says_why() -> None:
    wide = '{id = "power", address = 10, type = "f32", times = "ratio"}'
    profile = built(wide, RATIO.replace("address = 10", "address = 12"))
    told = ModbusDevice(profile, 1).poll(Registers({3: {10: (0x5CFF, 0, 900, 0)}}), 0)
    assert (told.values["power"], "could be meant" in told.reasons["power"]) == (None, True)


@pytest.mark.parametrize(
    ("value", "where", "words"),
    [
        ('{id = "power", address = 10, type = "u16", times = ["x", "y"]}', ".times", "there is no 'x'"),
        ('{id = "power", address = 10, type = "u16", sign_bit = 7}', ".sign_bit", "with bits only"),
        ('{id = "power", address = 10, type = "i16", bits = [0, 7]}', ".bits", "of a u16"),
        ('{id = "power", address = 10, type = "u16", bits = [7, 0]}', ".bits", "of a u16"),
        ('{id = "power", address = 10, type = "u16", high = 11}', ".high", "u32 and i32 only"),
        ('{id = "power", address = 10, type = "u32", high = 14}', ".high", "10 to 13"),
        ('{id = "own", address = 10, type = "u16", unit = "kW"}', ".unit", "Ah, L, none"),
    ],
)
def test_what_does_not_fit_is_told(value: str, where: str, words: str) -> None:
    with pytest.raises(format_.ProfileError) as caught:
        built(value)
    assert caught.value.where.endswith(where)
    assert words in str(caught.value)


def test_a_mark_compares_with_something() -> None:
    mark = '[[identify.marks]]\naddress = 1\ntype = "u16"\n'
    value = '{id = "power", address = 10, type = "u16"}'
    with pytest.raises(format_.ProfileError, match=r"nothing to compare with.*or others"):
        built(value, more=mark)
    assert built(value, more=mark + "others = {3 = 'a toaster'}\n").identify.marks[0].others
