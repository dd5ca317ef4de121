"""Every shipped profile against registers written from its sources; and what a wrong profile is told."""

import tomllib
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.devices.description import NoAnswerError, RefusedError, SettingError
from collector.devices.modbus.build import build
from collector.devices.modbus.device import ModbusDevice, make
from collector.devices.modbus.models import guesses, shipped
from collector.devices.modbus.profile import Profile, ProfileError, as_list
from config.mistakes import ConfigError
from config.model import Device, Settings
from tests.collector import test_registry
from tests.collector.modbus_cases import DEYE_RECORDED, NEWER_CASES
from tests.collector.profile_cases import CASES, Case, Words
from tests.collector.profile_cases_more import MORE_CASES
from tests.collector.rig import check
from tests.rounds import rounds

ALL = (*CASES, *MORE_CASES, *NEWER_CASES)


class Registers:
    """A line to one unit: blocks with at least one register of its are answered, the others refused."""

    def __init__(self, words: dict[int, Words]) -> None:
        self.tables = {
            function: {a + n: w for a, run in table.items() for n, w in enumerate(run)}
            for function, table in words.items()
        }
        self.asked: list[tuple[int, int, int, int]] = []
        self.silent = False
        self.rests = 0.0
        self.silent_about: set[int] = set()

    def open(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def rest(self, seconds: float) -> None:
        """Remember how long it is to rest."""
        self.rests = max(self.rests, seconds)

    def registers(self, unit: int, function: int, address: int, count: int) -> tuple[int, ...]:
        """What is in the tables, 0 between."""
        self.asked.append((unit, function, address, count))
        table = self.tables.get(function, {})
        if self.silent or address in self.silent_about:
            raise NoAnswerError("silent")
        if not any(a in table for a in range(address, address + count)):
            raise RefusedError("exception 2")
        return tuple(table.get(a, 0) for a in range(address, address + count))

    def bits(self, unit: int, function: int, address: int, count: int) -> tuple[bool, ...]:
        """As registers of 0 and 1."""
        return tuple(bool(word) for word in self.registers(unit, function, address, count))

    def write_coil(self, unit: int, address: int, *, on: bool) -> None:
        """Set a coil."""
        self.asked.append((unit, 5, address, on))
        self.tables[1][address] = int(on)

    def write_registers(self, unit: int, function: int, address: int, words: Sequence[int]) -> None:
        """Set registers."""
        self.asked.append((unit, function, address, len(words)))
        self.tables[3] |= dict(enumerate(words, address))

    def read(self, function: int, address: int, count: int) -> tuple[int, ...] | None:
        """As a scan asks."""
        try:
            return self.registers(1, function, address, count)
        except (RefusedError, NoAnswerError):
            return None


def device(profile: str) -> ModbusDevice:
    return make(Device(kind="modbus", port="tcp://127.0.0.1", profile=profile))


def built(text: str) -> Profile:
    return build(tomllib.loads(text, parse_float=Decimal))


@pytest.mark.parametrize("name", [profile.name for profile in shipped()])
def test_every_shipped_profile_has_a_case(name: str) -> None:
    assert not _without_case(name), _without_case(name)


def _without_case(name: str) -> str:
    if name in (case.profile for case in ALL):
        return ""
    return (
        f"collector/profiles/{name}.toml has no case: add Case({name!r}, its registers, what they mean) "
        "to MORE_CASES of tests/collector/profile_cases_more.py (CONTRIBUTING.md, Add a Modbus device)"
    )


def test_a_profile_without_a_case_is_told_by_name_and_what_to_add() -> None:
    assert _without_case("toaster").startswith(
        "collector/profiles/toaster.toml has no case: add Case('toaster'"
    )


@pytest.mark.parametrize("case", [*ALL, DEYE_RECORDED], ids=lambda case: case.profile)
def test_registers_become_values_in_our_units_and_signs(case: Case) -> None:
    decoded = device(case.profile).poll(Registers(case.words), 0)
    assert {entity: decoded.values.get(entity, "absent") for entity in case.expected} == case.expected
    if case.model is not None:
        assert f"{decoded.manufacturer} {decoded.model}" == case.model


@pytest.mark.parametrize("profile", shipped(), ids=lambda profile: profile.name)
def test_a_profile_says_where_it_was_read_and_is_honest(profile: Profile) -> None:
    assert profile.about.source
    assert profile.about.notes
    assert not profile.about.seen_on_hardware
    assert profile.identify.marks
    for key, row in profile.rows().items():
        test_registry.test_an_entity_is_one_home_assistant_accepts(profile.name, key, row.entity)
        if key.startswith("pv_") and row.entity.unit == "W":
            value = next(v for block in profile.blocks for v in block.values if v.id == key)
            assert value.type.startswith("u") or value.floor == 0, f"{key} could be negative"


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.profile)
@settings(deadline=None, max_examples=rounds(30, 100))
@given(data=st.data())
def test_any_registers_at_all_give_values_or_unknown(case: Case, data: st.DataObject) -> None:
    line = Registers({})
    line.tables = {1: {}, 2: {}, 3: {}, 4: {}}
    poller = ModbusDevice(next(one for one in shipped() if one.name == case.profile), 1)
    for block in poller.profile.blocks:
        word = st.integers(0, 0xFFFF if block.function > 2 else 1)
        words = data.draw(st.lists(word, min_size=block.count, max_size=block.count))
        line.tables[block.function] |= dict(enumerate(words, block.address))
    decoded = poller.poll(line, 0)
    described = [value for block in poller.profile.blocks for value in block.values]
    digits = {one.id: one.decimals for one in described}
    for entity, value in decoded.values.items():
        row = poller.rows[entity].entity
        if row.options is not None:
            assert value is None or value in row.options
        elif isinstance(value, float | int):
            assert value == round(value, digits.get(entity) or row.precision)
            assert abs(value) < 1e22
            if entity == "pv_power":
                assert value >= 0


def test_power_without_a_direction_is_unknown_and_says_why() -> None:
    direction = "{address = 11, positive_bit = 1, negative_bit = 2}"
    value = f'{{id = "battery_power", address = 10, type = "i16", direction = {direction}}}'
    poller = ModbusDevice(built(HEAD + BLOCK.format(value)), 1)
    line = Registers({3: {10: (300, 0)}})
    decoded = poller.poll(line, 0)
    assert decoded.values["battery_power"] is None
    assert "direction" in decoded.reasons["battery_power"]
    line.tables[3][10] = 0
    assert poller.poll(line, 0).values["battery_power"] == 0
    for bits, power in ((0b010, 300), (0b100, -300)):
        # However the firmware signs it.
        for raw in (300, 0x10000 - 300):
            line.tables[3] |= {10: raw, 11: bits}
            assert poller.poll(line, 0).values["battery_power"] == power


def test_an_optional_block_that_is_refused_fails_nothing_and_is_asked_ever_less() -> None:
    case = CASES[0]
    line = Registers(case.words)
    line.tables[3] = {a: w for a, w in line.tables[3].items() if not 37000 <= a < 38000}
    poller = device(case.profile)
    assert "battery_power" not in poller.poll(line, 0).values
    tries = []
    for now in range(0, 7200, 10):
        line.asked.clear()
        assert poller.poll(line, now).values["pv_power"] == 2355
        if any(address == 37760 for _, _, address, _ in line.asked):
            tries.append(now)
    assert len(tries) < 12
    gaps = [b - a for a, b in pairwise(tries)]
    assert gaps == sorted(gaps)


def test_an_optional_block_may_also_be_met_with_silence_but_the_device_may_not() -> None:
    line = Registers(CASES[0].words)
    line.silent_about = {37760}
    poller = device("huawei_sun2000")
    assert "battery_power" not in poller.poll(line, 0).values
    line.silent = True
    with pytest.raises(NoAnswerError):
        poller.poll(line, 10)


def test_what_an_optional_block_said_becomes_unknown_when_it_is_refused() -> None:
    line = Registers(CASES[0].words)
    poller = device("huawei_sun2000")
    assert poller.poll(line, 0).values["battery_power"] == 1500
    line.silent_about = {37760}
    assert poller.poll(line, 10).values["battery_power"] is None


def test_a_block_is_read_every_so_often_and_its_values_stay() -> None:
    line = Registers(CASES[0].words)
    poller = device("huawei_sun2000")
    times = []
    for now in range(0, 121, 10):
        line.asked.clear()
        assert poller.poll(line, now).values["battery_temperature"] == 25.1
        if any(address == 37022 for _, _, address, _ in line.asked):
            times.append(now)
    assert times == [0, 60, 120]


def test_after_a_failure_everything_is_read_anew() -> None:
    line = Registers(CASES[0].words)
    poller = device("huawei_sun2000")
    poller.poll(line, 0)
    line.silent = True
    with pytest.raises(NoAnswerError):
        poller.poll(line, 10)
    line.silent = False
    line.tables[3] |= {30015 + n: w for n, w in enumerate((0x4E45, 0x5700))}
    assert poller.poll(line, 20).values["serial_number"] == "NEW"


HEAD = '[profile]\nname = "x"\ntitle = "X"\nmanufacturer = "X"\nsource = "X"\n'
VALUE = '{id = "power", address = 10, type = "u16"}'
BLOCK = '[[block]]\nname = "a"\naddress = 10\ncount = 4\nvalues = [{}]\n'


def test_one_third_of_a_scale_leaves_no_binary_dust() -> None:
    profile = built(
        HEAD + BLOCK.format('{id = "voltage", address = 10, type = "u16", scale = 0.1, offset = 0.2}')
    )
    assert ModbusDevice(profile, 1).poll(Registers({3: {10: (1,)}}), 0).values == {"voltage": 0.3}


@pytest.mark.parametrize(("taken", "power"), [(3, 7), (0xFFFF, None)])
def test_a_difference_to_an_unknown_register_is_unknown(taken: int, power: float | None) -> None:
    value = '{id = "power", address = 10, subtract = 11, type = "u16", invalid = 0xFFFF}'
    poller = ModbusDevice(built(HEAD + BLOCK.format(value)), 1)
    assert poller.poll(Registers({3: {10: (10, taken, 0, 0)}}), 0).values == {"power": power}


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("", "profile", "missing"),
        (HEAD, "block", "there is none"),
        (HEAD.replace('"x"', '"X-1"') + BLOCK.format(VALUE), "profile.name", "a-z"),
        (HEAD + "colour = 1\n" + BLOCK.format(VALUE), "profile.colour", "no such key"),
        (HEAD + BLOCK.format(""), "block[a].values", "at least one"),
        (HEAD + BLOCK.format('{id = "power", address = 14, type = "u16"}'), "[power].address", "10 to 13"),
        (
            HEAD + BLOCK.format('{id = "power", address = 13, type = "u32"}'),
            "[power].address",
            "13 to 14 lies",
        ),
        (HEAD + BLOCK.format('{id = "power", address = 10, type = "u8"}'), "[power].type", "u16, i16"),
        (HEAD + BLOCK.format('{id = "power", address = 10, type = "u16", scale = "x"}'), "scale", "a number"),
        (HEAD + BLOCK.format('{id = "power", address = 10, type = "u16", sign = 0}'), "sign", "1 or -1"),
        (HEAD + BLOCK.format('{id = "own", address = 10, type = "u16"}'), "[own].unit", "V, A, W"),
        (
            HEAD + BLOCK.format('{id = "own", unit = "kW", address = 10, type = "u16"}'),
            "[own].unit",
            "it is 'kW'; allowed: V, A",
        ),
        (
            HEAD + BLOCK.format('{id = "s", address = 10, type = "u16", options = {a = "b"}}'),
            "options",
            "0x0200",
        ),
        (HEAD + BLOCK.format('{id = "s", address = 10, type = "bit"}'), "[s].bit", "0 to 15"),
        (
            HEAD + BLOCK.format(", ".join(['{id = "power", address = 10, type = "u16"}'] * 2)),
            "[power]",
            "used twice",
        ),
        (HEAD + BLOCK.replace("count = 4", "count = 126"), "block[a].count", "1 to 125"),
        (HEAD + BLOCK.replace("address", "function = 6\naddress", 1), "block[a].function", "1 to 4"),
    ],
)
def test_a_broken_profile_is_told_where_and_what_is_allowed(text: str, where: str, words: str) -> None:
    with pytest.raises(ProfileError) as caught:
        built(text.replace("[{}]", "[]"))
    assert where in caught.value.where
    assert words in str(caught.value)


def test_bits_and_words_and_texts() -> None:
    values = (
        '{id = "fan", name = "Fan", address = 10, type = "bit", bit = 3, device_class = "running"}, '
        '{id = "mode", address = 11, type = "u16", options = {0 = "off", 0x10 = "on"}}, '
        '{id = "label", address = 12, type = "str", count = 2}'
    )
    poller = ModbusDevice(built(HEAD + BLOCK.replace("[{}]", f"[{values}]")), 1)
    decoded = poller.poll(Registers({3: {10: (0b1000, 0x10, 0x4142, 0x4300)}}), 0)
    assert decoded.values == {"fan": "ON", "mode": "on", "label": "ABC"}
    decoded = poller.poll(Registers({3: {10: (0, 7, 0xFFFF, 0)}}), 10)
    assert decoded.values == {"fan": "OFF", "mode": None, "label": None}
    assert decoded.unknown == ("mode",)


def test_a_value_out_of_range_is_unknown_with_the_reason() -> None:
    value = '{id = "battery_soc", address = 10, type = "u16", min = 0, max = 100}'
    poller = ModbusDevice(built(HEAD + BLOCK.replace("{}", value)), 1)
    decoded = poller.poll(Registers({3: {10: (101,)}}), 0)
    assert decoded.values == {"battery_soc": None}
    assert "101 % is not plausible" in decoded.reasons["battery_soc"]


def test_the_owners_own_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + BLOCK.replace("{}", '{id = "power", address = 10, type = "i16"}'))
    assert list(device(str(path)).rows) == ["power"]


@pytest.mark.parametrize(
    ("profile", "wrong", "allowed"),
    [
        ("sungrow", "there is no profile 'sungrow'", "huawei_sun2000, lqt40s"),
        ("/nowhere/x.toml", "cannot be read: No such file", "a file of your own"),
    ],
)
def test_an_unknown_profile_is_a_mistake_of_the_configuration(profile: str, wrong: str, allowed: str) -> None:
    settings = Settings(device={"sun": Device(kind="modbus", port="tcp://h", profile=profile)})
    with pytest.raises(ConfigError) as caught:
        check(settings, "boondock.toml")
    assert "device.sun.profile" in str(caught.value)
    assert wrong in str(caught.value)
    assert allowed in str(caught.value)


def test_a_broken_file_of_the_owner_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[profile\n")
    with pytest.raises(SettingError, match="is no TOML"):
        device(str(path))
    path.write_text(HEAD)
    with pytest.raises(SettingError, match=r"mine.toml: block: there is none"):
        device(str(path))


def test_a_port_that_is_none_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(SettingError, match="names no host"):
        make(Device(kind="modbus", port="tcp://", profile="sdm630"))


@pytest.mark.parametrize(
    "profile", [p for p in shipped() if p.identify.certain], ids=lambda profile: profile.name
)
def test_what_a_unit_calls_itself_tells_its_profile(profile: Profile) -> None:
    line = Registers(next(case for case in ALL if case.profile == profile.name).words)
    for mark in profile.identify.marks:
        words: tuple[int, ...] = tuple(as_list(mark.equals)[:1])
        letters = mark.starts[0].encode().ljust(2 * mark.size, b"\0") if mark.starts else b""
        words = words or tuple(letters[n] << 8 | letters[n + 1] for n in range(0, len(letters), 2))
        line.tables.setdefault(mark.function, {}).update(enumerate(words, mark.address))
    found = guesses(line.read)
    assert (found[0].profile, found[0].confidence) == (profile.name, "certain")


@pytest.mark.parametrize(
    ("state", "raw", "wide", "power"),
    [
        # Older firmware: an amount, and its direction in 13000.
        pytest.param(0b010, 800, None, 800, id="charging"),
        pytest.param(0b100, 800, None, -800, id="discharging"),
        # Since firmware 95.03 register 13000 is left as it was, and 13021 has a sign: negative is charging.
        pytest.param(0, 800, None, -800, id="0 for ever, discharging"),
        pytest.param(0, -800, None, 800, id="0 for ever, charging"),
        pytest.param(148, 800, None, -800, id="148 for ever, discharging"),
        pytest.param(148, -800, None, 800, id="148 for ever, charging"),
        pytest.param(43, -800, None, 800, id="43 for ever, charging"),
        pytest.param(43, 800, 800, -800, id="43 for ever, discharging, by 5213"),
        pytest.param(43, 800, -70_000, 70_000, id="5213 counts where it is there"),
    ],
)
def test_a_sungrow_battery_of_any_firmware(state: int, raw: int, wide: int | None, power: int) -> None:
    case = next(case for case in ALL if case.profile == "sungrow_sh")
    line = Registers(case.words)
    line.tables[4] |= {13000: state, 13021: raw % 0x10000}
    if wide is not None:
        line.tables[4] |= {5213: wide % 0x10000, 5214: wide // 0x10000 % 0x10000}
    poller = device("sungrow_sh")
    for now in (0, 10):
        assert poller.poll(line, now).values["battery_power"] == power


def test_a_meter_by_its_values_is_a_possibility() -> None:
    found = guesses(Registers(next(c for c in ALL if c.profile == "sdm630").words).read)
    assert [(g.kind, g.profile, g.confidence, g.serial_number) for g in found] == [
        ("modbus", "sdm630", "possible", "20207224")
    ]


def test_an_unknown_unit_is_not_guessed_at() -> None:
    assert guesses(Registers({3: {0: (1, 2, 3)}}).read) == []
