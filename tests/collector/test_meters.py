"""What meters send, as published and as made by the twin, and which values it becomes."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.devices.description import DecodeError, ImplausibleError, SettingError, Values
from collector.devices.lines import Telegram
from collector.devices.meters import make, sml, telegram, way_of
from collector.devices.meters.obis import ROWS
from collector.transports.meter_port import SmlFrames, TextFrames
from config.model import Device
from tests.emulators import meters as twin
from tests.rounds import rounds

CAPTURES: Any = json.loads((Path(__file__).parents[1] / "captures" / "meters.json").read_text())
TEXTS = {name: tuple(one["lines"]) for name, one in CAPTURES["telegrams"].items()}
NAMES = ("/ISk5\\2MT382-1000", "")
ENERGY = "1-0:1.8.0(000001.000*kWh)"


def raw(name: str) -> bytes:
    """A telegram as it was published, with its own checksum."""
    return "".join(f"{line}\r\n" for line in TEXTS[name]).encode()


def read(data: bytes, told: dict[str, int] | None = None) -> Values:
    (found,) = TextFrames().feed(data)
    return telegram.decode(found, {} if told is None else told).values


def of(*lines: str, crc: bool = True) -> Values:
    return read(twin.p1([*NAMES, *lines], crc=crc))


# Read off the published lines by hand.
EXPECTED: dict[str, dict[str, float | str]] = {
    "dsmr_2_2": {"grid_power": 1010, "grid_import_energy": 2002, "gas": 1.001, "tariff": "1"},
    "dsmr_4_2": {
        "serial_number": "3960221976967177082151037881335713",
        "grid_power": 2027,
        "grid_import_energy": 3_016_829,
        "grid_import_energy_t1": 1_581_123,
        "grid_import_energy_t2": 1_435_706,
        "grid_export_energy": 0,
        "grid_power_l2": 1247,
        "grid_current_l2": 6,
        "power_failures": 15,
        "long_power_failures": 7,
        "gas": 981.443,
    },
    "dsmr_5": {
        "serial_number": "K8EG004046395507",
        "tariff": "2",
        "grid_power": 244,
        "grid_import_energy": 6825,
        "grid_export_energy": 2444,
        "grid_voltage_l3": 229,
        "grid_current_l1": 0.48,
        "gas": 0.107,
    },
    "fluvius": {
        "serial_number": "1SAG3101021605",
        "grid_import_energy": 15_792,
        "grid_export_energy": 11,
        "average_power": 2351,
        "peak_power": 2589,
        "gas": 112.384,
        "water": 872_234,
    },
    "luxembourg": {
        "serial_number": "SAG1030700012701",
        "grid_power": -897,
        "grid_import_energy": 273_764,
        "grid_export_energy": 112_743_030,
        "reactive_power": -154,
        "apparent_power": 913,
        "grid_power_l1": -319,
        "reactive_power_l2": -65,
        "voltage_sags_l2": 15,
        "gas": 14239.771,
    },
    "sweden": {"grid_power": 345, "grid_import_energy": 6_619_795, "reactive_power_l3": -109},
    "estonia": {"grid_power": 286, "grid_import_energy": 6_545_766, "grid_export_energy_t2": 58},
    "easymeter_q3d": {
        "serial_number": "1ESY1313002565",
        "grid_power": 2124.86,
        "grid_import_energy": 52_185_782.5309,
        "grid_power_l1": 747.85,
    },
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_published_telegram(name: str) -> None:
    values = read(raw(name))
    assert values.items() >= EXPECTED[name].items()
    assert values.keys() <= ROWS.keys()
    for entity in ("grid_power", "grid_import_energy"):
        assert isinstance(values[entity], float)


@pytest.mark.parametrize("name", [name for name, lines in TEXTS.items() if len(lines[-1]) == 5])
def test_the_twin_computes_the_published_checksums(name: str) -> None:
    assert twin.p1(TEXTS[name][:-1]) == raw(name)


def test_who_made_a_meter_and_its_model() -> None:
    said = {}
    for name in TEXTS:
        (found,) = TextFrames().feed(raw(name))
        decoded = telegram.decode(found, {})
        said[name] = decoded.manufacturer, decoded.model
    assert said["dsmr_4_2"] == ("Kaifa", "KAIFA-METER")
    assert said["dsmr_5"] == ("Iskraemeco", "MT382-1000")
    assert said["sweden"] == ("Aidon", "6534")
    assert said["estonia"] == ("EST", "53710000_A")


@pytest.mark.parametrize("name", CAPTURES["sml"])
def test_a_published_sml_file_as_smllib_reads_it(name: str) -> None:
    one = CAPTURES["sml"][name]
    (found,) = SmlFrames().feed(bytes.fromhex(one["hex"]))
    values = sml.decode(found).values
    registers = {
        "1-0:1.8.0*255": "grid_import_energy",
        "1-0:1.8.1*255": "grid_import_energy_t1",
        "1-0:2.8.0*255": "grid_export_energy",
        "1-0:16.7.0*255": "grid_power",
        "1-0:36.7.0*255": "grid_power_l1",
        "1-0:76.7.0*255": "grid_power_l3",
        "1-0:32.7.0*255": "grid_voltage_l1",
        "1-0:51.7.0*255": "grid_current_l2",
        "1-0:14.7.0*255": "frequency",
    }
    theirs = {registers[code]: said[0] for code, said in one["expected"].items() if code in registers}
    assert len(theirs) >= 2
    assert {entity: values[entity] for entity in theirs} == pytest.approx(theirs)


def test_the_twin_frames_sml_as_the_published_files_do() -> None:
    for name in ("holley", "ebz"):
        data = bytes.fromhex(CAPTURES["sml"][name]["hex"])
        (found,) = SmlFrames().feed(data)
        assert twin.framed(found.data) == data


def test_an_sml_file_of_the_twin() -> None:
    file = twin.sml(
        [
            twin.entry("129-129:199.130.3*255", twin.octets(b"EMH")),
            twin.entry("1-0:1.8.0*255", twin.signed(1234567), twin.unsigned(30), twin.signed(-1, 1)),
            twin.entry("1-0:16.7.0*255", twin.signed(-250, 4), twin.unsigned(27), twin.signed(0, 1)),
            twin.entry("1-0:96.5.5*255", b"\x42\x01"),
        ]
    )
    (found,) = SmlFrames().feed(file)
    decoded = sml.decode(found)
    assert decoded.values == {
        "serial_number": "1EMH0012119929",
        "grid_import_energy": 123_456.7,
        "grid_power": -250,
    }
    assert decoded.manufacturer == "EMH"


@pytest.mark.parametrize(
    ("value", "scaler"),
    [
        (twin.signed(1), twin.signed(100, 1)),
        (twin.signed(1), twin.signed(-100, 1)),
        (twin.signed(1), twin.octets(b"x")),
        (twin.signed(2**62), twin.signed(2, 1)),
    ],
)
def test_an_sml_number_that_cannot_be_is_refused(value: bytes, scaler: bytes) -> None:
    (found,) = SmlFrames().feed(twin.sml([twin.entry("1-0:1.8.0*255", value, twin.unsigned(30), scaler)]))
    with pytest.raises(ImplausibleError, match="implausible"):
        sml.decode(found)


@pytest.mark.parametrize(
    ("lines", "entity", "value"),
    [
        ((ENERGY, "1-0:1.8.1(5*kWh)", "1-0:1.8.2(6*kWh)"), "grid_import_energy", 1000),
        (("1-0:1.8.1(5*kWh)", "1-0:1.8.2(6*kWh)"), "grid_import_energy", 11_000),
        (("1.8.0(000001.5)",), "grid_import_energy", 1500),
        (("1.8.0*01(000009.5)", "1.8.0(000001.5)"), "grid_import_energy", 1500),
        (("1.8.0(000001.5)", "1.8.0(000009.5)"), "grid_import_energy", 1500),
        (("1-1:1.8.0*255(000002.5*kWh)",), "grid_import_energy", 2500),
        (("1-0:1.8.0*255(0.5*MWh)",), "grid_import_energy", 500_000),
        ((ENERGY, "1-0:16.7.0(-00.500*kW)"), "grid_power", -500),
        ((ENERGY, "1-0:1.7.0(00.000*kW)", "1-0:2.7.0(00.750*kW)"), "grid_power", -750),
        ((ENERGY, "32.7(241*V)"), "grid_voltage_l1", 241),
        ((ENERGY, "1-0:1.6.0(250109134558W)(02.589*kW)"), "peak_power", 2589),
        ((ENERGY, "0-1:24.1.0(007)", "0-1:24.2.1(250101120000W)(00012.345*m3)"), "water", 12_345),
        ((ENERGY, "0-1:24.1.0(012)", "0-1:24.2.1(250101120000W)(00012.345*GJ)"), "heat", 3_429_166.66667),
        (
            (
                ENERGY,
                "0-1:24.1.0(003)",
                "0-1:24.2.1(250101120000W)(1*m3)",
                "0-2:24.1.0(003)",
                "0-2:24.2.1(250101120000W)(2*m3)",
            ),
            "gas_2",
            2.0,
        ),
    ],
)
def test_a_line_becomes_a_value(lines: tuple[str, ...], entity: str, value: float) -> None:
    assert of(*lines)[entity] == value


def test_a_unit_that_is_none_of_its_is_unknown() -> None:
    (found,) = TextFrames().feed(twin.p1([*NAMES, ENERGY, "1-0:32.7.0(230*parsec)"]))
    decoded = telegram.decode(found, {})
    assert decoded.values["grid_voltage_l1"] is None
    assert decoded.unknown == ("grid_voltage_l1",)


def test_gas_has_its_own_time_and_is_told_once() -> None:
    """170102161005W is 15:10:05 UTC; in summer the same wall time is an hour earlier."""
    told: dict[str, int] = {}

    def gas(now: str, when: str, value: str) -> list[tuple[int, Values]]:
        lines = (
            f"0-0:1.0.0({now})",
            ENERGY,
            "0-1:24.1.0(003)",
            f"0-1:24.2.1({when})({value}*m3)",
        )
        (found,) = TextFrames().feed(twin.p1([*NAMES, *lines]))
        return [(one.ts, one.values) for one in telegram.decode(found, told).earlier]

    assert gas("170102192002W", "170102161005W", "00000.107") == [(1_483_369_805_000, {"gas": 0.107})]
    assert gas("170102192012W", "170102161005W", "00000.107") == []
    assert gas("170702192012S", "170702161005S", "00000.108") == [(1_499_004_605_000, {"gas": 0.108})]
    # Of the future, too old, no time at all.
    for when in ("170702192013S", "170630182011S", "632525252525W", "170702161505"):
        assert gas("170702192012S", when, "00000.109") == []


def test_a_damaged_line_without_a_checksum_counts_for_nothing() -> None:
    good = ("1-0:1.8.1(00001.000*kWh)", "1-0:1.8.2(00002.000*kWh)")
    assert of(*good, crc=False)["grid_import_energy"] == 3000
    with pytest.raises(DecodeError, match="no checksum"):
        of("1-0:1.8.1(0000", good[1], crc=False)
    # With one, a line that nobody knows is the meter's own.
    assert of(*good, "what is this")["grid_import_energy"] == 3000


@pytest.mark.parametrize(
    "lines",
    [(), ("0-0:1.0.0(170102192002W)",), ("1-0:1.8.0(999999999999999*kWh)",), ("1-0:1.8.0(x*kWh)",)],
)
def test_a_telegram_without_a_value_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(DecodeError):
        of(*lines)


# Only documented errors leave the decoders, whatever a whole frame holds.
_lines = st.lists(
    st.one_of(
        st.from_regex(
            r"[0-9]-[0-9]:[0-9]{1,2}\.[0-9]{1,2}\.[0-9](\([0-9.*A-Za-z]{0,12}\)){1,3}", fullmatch=True
        ),
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40),
        st.sampled_from([line for lines in TEXTS.values() for line in lines[2:-1]]),
    ),
    max_size=20,
)


@given(_lines, st.booleans())
def test_hostile_text(lines: list[str], checked: bool) -> None:  # noqa: FBT001 — hypothesis draws it
    data = "".join(f"{line}\r\n" for line in (*NAMES, *lines)).encode() + b"!"
    try:
        values = telegram.decode(Telegram(data, checked=checked), {}).values
    except DecodeError:
        return
    assert values.keys() <= ROWS.keys()


def test_hostile_sml() -> None:
    chance = random.Random(7)  # noqa: S311 — damage that comes again
    files = [SmlFrames().feed(bytes.fromhex(one["hex"]))[0].data for one in CAPTURES["sml"].values()]
    refused = 0
    for _ in range(rounds(300, 20_000)):
        data = bytearray(chance.choice(files))
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        cut = bytes(data[: chance.randint(0, len(data))] if chance.random() < 0.5 else data)
        try:
            assert sml.decode(Telegram(cut, checked=True)).values.keys() <= ROWS.keys()
        except DecodeError:
            refused += 1
    assert refused


@given(st.binary(max_size=200))
def test_random_sml(data: bytes) -> None:
    try:
        sml.decode(Telegram(data, checked=True))
    except DecodeError:
        return
    # What has no element at all has no values: this cannot be reached.
    raise AssertionError(data)


@pytest.mark.parametrize(
    "data", [b"\x71" * 5000, b"\xf1\xff\xff" * 900, b"\xff" * 40, b"\x7f" + b"\x01" * 15]
)
def test_sml_without_bottom_or_end(data: bytes) -> None:
    with pytest.raises(DecodeError):
        sml.decode(Telegram(data, checked=True))


def test_what_its_settings_say_of_its_way() -> None:
    assert way_of(Device(kind="p1_meter", port="x")).baudrate == 115_200
    assert way_of(Device(kind="sml_meter", port="x")).sml
    asked, pushed = (way_of(Device(kind="iec62056_meter", port="x", push=push)) for push in (False, True))
    assert (asked.asked, asked.baudrate) == (True, 300)
    assert (pushed.asked, pushed.baudrate) == (False, 9600)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (Device(kind="p1_meter", port="tcp://a:502"), "port"),
        (Device(kind="iec62056_meter", port="x", baudrate=9600), "baudrate"),
    ],
)
def test_settings_that_cannot_be(settings: Device, field: str) -> None:
    with pytest.raises(SettingError) as caught:
        make(settings)
    assert caught.value.field == field
