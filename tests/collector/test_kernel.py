"""Sensors that drivers of the kernel read: 1-Wire, hwmon and iio, from files to the state topic."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.checking import mistakes
from collector.device import Owned
from collector.devices.description import (
    BadRecordError,
    DecodeError,
    LineError,
    NoAnswerError,
    RefusedError,
    SettingError,
)
from collector.devices.kernel import one_wire, sensor
from collector.devices.lines import Line
from collector.lines import line_of
from collector.scan.kernel import KernelScan
from collector.transports.kernel import KernelFiles
from config.load import load
from config.mistakes import ConfigError
from config.model import Device
from tests.clock import FakeTime
from tests.collector.clients import LineHouse
from tests.collector.rig import Rig
from tests.emulators import sysfs
from tests.emulators.sysfs import Sysfs

FRIDGE = "28-0123456789ab"
DS18B20 = Device(kind="ds18b20", address=FRIDGE)


@pytest.fixture
def pi(tmp_path: Path) -> Sysfs:
    machine = Sysfs(tmp_path / "root")
    machine.one_wire()
    return machine


def _line(pi: Sysfs) -> KernelFiles:
    return KernelFiles(pi.root)


def _temperature(pi: Sysfs, device: Device = DS18B20) -> float | str | None:
    return one_wire.make(device).poll(_line(pi), 0.0).values["temperature"]


@pytest.mark.parametrize("celsius", [-55.0, -10.125, -0.0625, 0.0, 25.0625, 84.9375, 85.0625, 125.0])
def test_a_thermometer_says_what_it_measures(pi: Sysfs, celsius: float) -> None:
    pi.thermometer(FRIDGE, celsius)
    assert _temperature(pi) == pytest.approx(celsius, abs=0.001)


# Public texts of real sensors; the first is of a copy, whose reserved bytes are other ones.
CAPTURES = {
    "raspberrypi.stackexchange.com, 48106": (
        "5e 01 ff ff 7f ff ff ff 52 : crc=52 YES\n5e 01 ff ff 7f ff ff ff 52 t=21875\n",
        21.875,
    ),
    "made in that form, with the checksum that belongs to it": (
        "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n",
        23.125,
    ),
    "the number alone, as `temperature` has it": ("-1250\n", -1.25),
}


@pytest.mark.parametrize(("text", "celsius"), CAPTURES.values(), ids=CAPTURES)
def test_what_was_captured_is_read(text: str, celsius: float) -> None:
    assert one_wire.decode(text) == celsius


ZEROS = "00 00 00 00 00 00 00 00 00"
WRONG = {
    "power-on": ("50 05 4b 46 7f ff 0c 10 1c : crc=1c YES\n50 05 4b 46 7f ff 0c 10 1c t=85000\n", "85 °C"),
    "power-on by number": ("85000\n", "85 °C"),
    "a wire at ground": (f"{ZEROS} : crc=00 YES\n{ZEROS} t=0\n", "checksum is wrong"),
    "no sensor": (
        f"{'ff ' * 9}: crc=c9 NO\n72 01 4b 46 7f ff 0e 10 57 t=23125\n",
        "checksum is wrong",
    ),
    "a driver that is wrong": (
        "72 01 4b 46 7f ff 0e 10 58 : crc=58 YES\n72 01 4b 46 7f ff 0e 10 58 t=23125\n",
        "checksum is wrong",
    ),
    "hotter than it can": ("126000\n", "cannot measure"),
    "colder than it can": ("-55063\n", "cannot measure"),
    "cut": ("72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n", "no temperature"),
    "empty": ("", "no temperature"),
    "not a number": ("nan\n", "no temperature"),
}


@pytest.mark.parametrize(("text", "says"), WRONG.values(), ids=WRONG)
def test_what_is_no_measurement_is_no_value(pi: Sysfs, text: str, says: str) -> None:
    pi.thermometer_says(FRIDGE, text)
    with pytest.raises(BadRecordError, match=says):
        _temperature(pi)


@given(st.integers(0, 71), st.floats(-55, 125).filter(lambda celsius: round(celsius * 16) != 85 * 16))
def test_a_flipped_bit_is_found(bit: int, celsius: float) -> None:
    data = bytearray(sysfs.scratchpad(celsius))
    assert one_wire.crc8(bytes(data)) == 0
    data[bit // 8] ^= 1 << bit % 8
    said = " ".join(f"{byte:02x}" for byte in data)
    with pytest.raises(BadRecordError):
        # A driver that is wrong too.
        one_wire.decode(f"{said} : crc=00 YES\n{said} t={round(celsius * 1000)}\n")


@given(st.one_of(st.text(max_size=90), st.text("0123456789abcdef : crc=YESNOt\n-", max_size=90)))
def test_any_text_is_a_temperature_or_a_bad_record(text: str) -> None:
    try:
        celsius = one_wire.decode(text)
    except BadRecordError:
        return
    assert -55 <= celsius <= 125


def test_the_newer_file_is_read_where_the_older_one_is_missing(pi: Sysfs) -> None:
    pi.thermometer_says(FRIDGE, "4250\n", "temperature")
    assert _temperature(pi) == 4.25


@pytest.mark.parametrize("family", sorted(one_wire.FAMILIES))
def test_each_family_of_thermometers_is_read(pi: Sysfs, family: str) -> None:
    pi.thermometer(f"{family}-00000a1b2c3d", 4.5)
    device = Device(kind="ds18b20", address=f"{family.upper()}-00000A1B2C3D")
    decoded = one_wire.make(device).poll(_line(pi), 0.0)
    assert (decoded.values, decoded.model) == ({"temperature": 4.5}, one_wire.FAMILIES[family])


def test_a_bus_that_is_off_is_told_with_the_line_that_switches_it_on(tmp_path: Path) -> None:
    with pytest.raises(LineError, match=r"dtoverlay=w1-gpio .*config\.txt"):
        one_wire.make(DS18B20).poll(KernelFiles(tmp_path), 0.0)


def test_a_sensor_that_is_missing_is_told_with_those_that_are_there(pi: Sysfs) -> None:
    with pytest.raises(NoAnswerError, match=r"no sensor at all: is there a resistor of 4\.7 kΩ"):
        _temperature(pi)
    pi.thermometer("28-aaaaaaaaaaaa", 20)
    # What a bus without its resistor shows.
    pi.thermometer_says("00-400000000000", "")
    with pytest.raises(NoAnswerError, match=f"no answer from {FRIDGE} .*there is 28-aaaaaaaaaaaa$"):
        _temperature(pi)
    (pi.root / "sys/bus/w1/devices" / FRIDGE).mkdir()
    with pytest.raises(RefusedError, match="modprobe w1_therm"):
        _temperature(pi)


@pytest.mark.parametrize("address", ["28", "28-01234567", "29-0123456789ab", "AA:BB:CC:DD:EE:FF", 0x40])
def test_what_is_no_id_is_refused(address: str | int) -> None:
    with pytest.raises(SettingError, match="28-0123456789ab"):
        one_wire.make(Device(kind="ds18b20", address=address))


def test_an_id_is_taken_in_the_file_and_by_no_bluetooth_device(tmp_path: Path) -> None:
    file = tmp_path / "boondock.toml"
    table = f'[device.{{}}]\nkind = "ds18b20"\naddress = "{FRIDGE}"\n'
    file.write_text(table.format("fridge"))
    assert load(file).device["fridge"].address == FRIDGE
    file.write_text(table.format("fridge") + table.format("again"))
    with pytest.raises(ConfigError, match=r"device\.fridge has it already"):
        load(file)
    shunt = Device(kind="victron_battery_monitor", address=FRIDGE, key="00" * 16)
    assert [wrong[:2] for wrong in mistakes("shunt", shunt)] == [
        ("address", "this is the id of a sensor on 1-Wire")
    ]


SHT3X = {"temp1_input": "21370\n", "humidity1_input": "55230\n", "temp1_max_alarm": "0\n"}
BME280 = {
    "in_temp_input": "21340\n",
    "in_pressure_input": "101.325125000\n",
    "in_humidityrelative_input": "48123\n",
    "in_pressure_oversampling_ratio": "16\n",
}


def _sensor(chip: str, **settings: int | str) -> sensor.KernelSensor:
    return sensor.make(Device(kind="kernel_sensor", chip=chip, **settings))  # type: ignore[arg-type]  # by name


def test_a_chip_of_hwmon_is_read_in_our_units(pi: Sysfs) -> None:
    pi.hwmon(3, "sht3x", "1-0044", **SHT3X)
    decoded = _sensor("sht3x").poll(_line(pi), 0.0)
    assert decoded.values == {"temperature": 21.37, "humidity": 55.23}
    assert decoded.rows is not None
    units = {key: (row.entity.unit, row.entity.device_class) for key, row in decoded.rows.items()}
    assert units == {"temperature": ("°C", "temperature"), "humidity": ("%", "humidity")}


def test_a_chip_of_iio_is_read_in_our_units(pi: Sysfs) -> None:
    pi.iio(0, "bme280", "1-0076", **BME280)
    values = _sensor("bme280").poll(_line(pi), 0.0).values
    assert values == {"temperature": 21.34, "humidity": 48.123, "pressure": 1013.2513}


def test_raw_channels_have_a_scale_and_perhaps_an_offset(pi: Sysfs) -> None:
    pi.iio(
        1,
        "si7020",
        "1-0040",
        in_temp_raw="6000\n",
        in_temp_scale="10.725097656\n",
        in_temp_offset="-4368.400000\n",
        in_humidityrelative_raw="2000\n",
        in_humidityrelative_scale="30.517578125\n",
        in_humidityrelative_offset="-786.432000\n",
        in_illuminance_raw="5\n",
        in_concentration_co2_raw="800\n",
        in_concentration_co2_scale="0.0001\n",
    )
    decoded = _sensor("si7020").poll(_line(pi), 0.0)
    assert decoded.values == {
        "temperature": pytest.approx((6000 - 4368.4) * 10.725097656 / 1000, abs=1e-4),
        "humidity": pytest.approx((2000 - 786.432) * 30.517578125 / 1000, abs=1e-4),
        "carbon_dioxide": pytest.approx(800),
        "illuminance": None,
    }
    assert decoded.reasons.keys() == {"illuminance"}, "a raw count without a scale is no value"


def test_several_channels_have_numbers_and_the_drivers_names(pi: Sysfs) -> None:
    pi.hwmon(
        2,
        "ina3221",
        "1-0041",
        in1_input="12800\n",
        in1_label="Solar panel\n",
        in2_input="13200\n",
        curr1_input="-1500\n",
        power1_input="19200000\n",
        energy1_input="7200000000\n",
    )
    decoded = _sensor("ina3221").poll(_line(pi), 0.0)
    assert decoded.values == {
        "voltage_1": 12.8,
        "voltage_2": 13.2,
        "current": -1.5,
        "power": 19.2,
        "energy": 2.0,
    }
    assert decoded.rows is not None
    names = {key: row.entity.name for key, row in decoded.rows.items()}
    assert (names["voltage_1"], names["voltage_2"]) == ("Solar panel", "Voltage 2")


def test_two_sensors_of_one_sort_in_a_chip_are_told_apart(pi: Sysfs) -> None:
    pi.iio(
        0,
        "mlx90614",
        "1-005a",
        in_temp_ambient_raw="14700\n",
        in_temp_object_raw="15300\n",
        in_temp_scale="20\n",
    )
    pi.write(f"{'sys/devices/platform/soc/1-005a/iio:device0'}/in_temp_offset", "-13657.5\n")
    values = _sensor("mlx90614").poll(_line(pi), 0.0).values
    assert values == {"temperature_ambient": pytest.approx(20.85), "temperature_object": pytest.approx(32.85)}


@pytest.mark.parametrize(
    "text", ["", "nan\n", "inf\n", "1e99\n", "0x15\n", "21 22\n", "9" * 40, "-300000\n", "2e6\n"]
)
def test_what_is_no_possible_value_is_unknown_with_a_reason(pi: Sysfs, text: str) -> None:
    pi.hwmon(3, "sht3x", "1-0044", temp1_input=text, humidity1_input="55000\n")
    decoded = _sensor("sht3x").poll(_line(pi), 0.0)
    expected = 2000.0 if text == "2e6\n" else None
    assert decoded.values == {"temperature": expected, "humidity": 55.0}
    assert ("temperature" in decoded.reasons) is (expected is None)


@given(st.text(max_size=30))
def test_any_text_of_a_driver_is_a_number_or_unknown(text: str) -> None:
    try:
        number = sensor._parsed(text)
    except NoAnswerError:
        return
    assert abs(number) < 1e118


def test_a_channel_that_cannot_be_read_costs_the_others_nothing(pi: Sysfs) -> None:
    folder = pi.hwmon(3, "sht3x", "1-0044", **SHT3X, temp1_fault="0\n")
    pi.fail(f"{folder}/humidity1_input")
    decoded = _sensor("sht3x").poll(_line(pi), 0.0)
    assert decoded.values == {"temperature": 21.37, "humidity": None}
    assert "has no value" in decoded.reasons["humidity"]
    pi.write(f"{folder}/temp1_fault", "1\n")
    with pytest.raises(NoAnswerError, match="broken or not connected"):
        _sensor("sht3x").poll(_line(pi), 0.0)


def test_of_two_equal_chips_the_address_chooses(pi: Sysfs) -> None:
    pi.hwmon(3, "sht3x", "1-0044", temp1_input="20000\n")
    pi.hwmon(4, "sht3x", "1-0045", temp1_input="5000\n")
    # The kernel shows some chips twice.
    pi.iio(0, "sht3x", "1-0045", in_temp_input="5000\n")
    assert _sensor("sht3x", address="0x45").poll(_line(pi), 0.0).values == {"temperature": 5.0}
    with pytest.raises(RefusedError, match=r"several chips sht3x \(1-0044, 1-0045.*set bus and address"):
        _sensor("sht3x").poll(_line(pi), 0.0)
    with pytest.raises(NoAnswerError, match="shows a chip sht3x at 3-0044; there are: sht3x"):
        _sensor("sht3x", address=0x44, bus=3).poll(_line(pi), 0.0)


def test_a_chip_that_is_not_there_is_told_with_the_line_for_it(pi: Sysfs) -> None:
    pi.hwmon(0, "cpu_thermal", "thermal", temp1_input="48000\n")
    with pytest.raises(NoAnswerError, match=r"there are: cpu_thermal\. .*dtoverlay=i2c-sensor,bme280"):
        _sensor("bme280").poll(_line(pi), 0.0)
    pi.hwmon(1, "bme280", "1-0076")
    with pytest.raises(NoAnswerError, match="bme280 measures nothing"):
        _sensor("bme280").poll(_line(pi), 0.0)


@pytest.mark.parametrize("chip", ["", "../sht3x", "sht 3x", "sht3x\n", "x" * 41])
def test_what_is_no_name_of_a_chip_is_refused(chip: str) -> None:
    with pytest.raises(SettingError, match="such as sht3x"):
        _sensor(chip)


def _lines(pi: Sysfs) -> Callable[[Owned], tuple[str, Callable[[], Line]]]:
    """The real lines, below another root."""
    return lambda owned: (line_of(owned)[0], lambda: KernelFiles(pi.root))


CABIN = Device(kind="kernel_sensor", chip="bme280", min_interval=0, heartbeat=10, timeout=60)


def test_from_the_kernels_files_to_the_state_topic(tmp_path: Path, time: FakeTime, pi: Sysfs) -> None:
    pi.thermometer(FRIDGE, 4.5)
    pi.iio(0, "bme280", "1-0076", **BME280)
    fridge = Device(kind="ds18b20", address=FRIDGE, min_interval=0, heartbeat=10, timeout=60)
    rig = Rig(tmp_path, time, {"fridge": fridge, "cabin": CABIN}, "host", _lines(pi))
    rig.run(30)
    assert rig.said("fridge")[-1]["temperature"] == 4.5
    assert {"temperature": 21.34, "humidity": 48.123}.items() <= rig.said("cabin")[-1].items()
    assert rig.about("cabin")["pressure"]["unit"] == "hPa"
    # The wire comes loose: one reading that is none, then silence.
    pi.thermometer_says(FRIDGE, f"{ZEROS} : crc=00 YES\n{ZEROS} t=0\n")
    rig.run(120)
    assert rig.said("fridge")[-1]["temperature"] is None
    assert rig.online("fridge") is False
    assert "checksum is wrong" in str(rig.problem("fridge"))
    assert all(one["temperature"] in (4.5, None) for one in rig.said("fridge"))
    assert rig.online("cabin"), "another line's trouble"
    pi.thermometer(FRIDGE, 5.0)
    rig.run(60)
    assert rig.said("fridge")[-1]["temperature"] == 5.0
    assert rig.problem("fridge") is None
    rig.close()


def test_a_scan_finds_what_drivers_read(tmp_path: Path, time: FakeTime, pi: Sysfs) -> None:
    pi.thermometer(FRIDGE, 4.5)
    pi.thermometer("3b-00000000000a", 4.5)
    pi.hwmon(0, "cpu_thermal", "thermal", temp1_input="48000\n")
    pi.hwmon(3, "sht3x", "1-0044", **SHT3X)
    pi.iio(0, "bme280", "spi0.1", **BME280)
    pi.iio(1, "dht11@4", "dht11@4", in_temp_input="21000\n")
    devices = {"fridge": DS18B20}
    house = LineHouse(tmp_path, time, devices, "host", lines=_lines(pi), scan=KernelScan)
    _, answer = house.scan()
    found = answer["data"]["found"]
    assert [(one["address"], one["model"], one["kinds"], one["configured"]) for one in found] == [
        (FRIDGE, "DS18B20", ["ds18b20"], ["fridge"]),
        ("3b-00000000000a", "DS1825", ["ds18b20"], []),
        ("1-0044", "sht3x", ["kernel_sensor"], []),
        ("spi0.1", "bme280", ["kernel_sensor"], []),
        ("iio:device1", "dht11@4", ["kernel_sensor"], []),
    ]
    proposed = [one["proposals"][0]["settings"] for one in found]
    assert proposed[2:] == [
        {"chip": "sht3x", "bus": 1, "address": "0x44"},
        {"chip": "bme280"},
        {"chip": "dht11@4"},
    ]
    for number, settings in enumerate(proposed[1:]):
        added = house.data(
            "device_add", device=f"new_{number}", kind=found[number + 1]["kinds"][0], **settings
        )
        assert added["settings"].items() >= settings.items()


def test_a_scan_without_1_wire_and_without_chips_finds_nothing(tmp_path: Path, time: FakeTime) -> None:
    lines = _lines(Sysfs(tmp_path / "empty"))
    house = LineHouse(tmp_path, time, {}, "host", lines=lines, scan=KernelScan)
    assert house.scan()[1]["data"]["found"] == []


def test_a_file_longer_than_a_page_is_cut(pi: Sysfs) -> None:
    pi.thermometer_says(FRIDGE, "1" * 100_000)
    assert len(_line(pi).read(f"sys/bus/w1/devices/{FRIDGE}/w1_slave")) == 4096
    with pytest.raises(DecodeError):
        _temperature(pi)
