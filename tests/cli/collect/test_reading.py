"""What is read, of any kind of device, and what is said meanwhile; here only the log tells."""

import re
import signal
import termios
from collections.abc import Callable

import pytest

from tests.cli.collect.rig import Here, threaded, wait_for
from tests.emulators import victron
from tests.emulators.bluez import FakeBluez
from tests.emulators.dbus import PrivateBus
from tests.emulators.epever import Tracer, Weather
from tests.emulators.modbus_rtu import Slave
from tests.emulators.vedirect import Cable, SmartShunt, Talker
from tests.emulators.wisun import PASSWORD, RBID, Stick

PLACE = ("--meter-channel", "0x21", "--meter-panid", "8888", "--meter-ipv6", "fe80::21d:1290:1234:5678")
JOINING = (
    "INFO meter: joining the meter (channel 33 (0x21), PAN 8888, FE80:0000:0000:0000:021D:1290:1234:5678)"
)


def test_without_an_output_the_log_has_what_the_meter_says_and_what_takes_long(
    here: Here, stick: Stick
) -> None:
    done = here.run("--once")
    assert (done.code, done.out) == (0, "")
    assert done.log[0] == "INFO meter: scanning all channels for the meter, which takes up to 2 minutes"
    assert done.log[1].startswith(JOINING)
    assert done.log[2].startswith("INFO meter: grid_power 512, current_r 3.1, current_t -2.2,")
    assert "last_half_hour_energy 500" in done.log[2], "what a meter remembers is read first"
    assert len(done.log) == 3
    assert stick.commands[-1] == "SKTERM"


def test_a_meter_whose_place_is_known_is_not_scanned_for(here: Here, stick: Stick) -> None:
    done = here.run("--once", *PLACE)
    assert (done.code, stick.sessions, "SKSCAN" in stick.commands) == (0, 1, False)
    assert done.log[0].startswith(JOINING)


def test_a_meter_that_is_no_more_at_its_place_is_told_with_the_place(here: Here, stick: Stick) -> None:
    stick.meter_is_off = True
    done = here.run("--once", *PLACE)
    assert done.code == 1
    assert "no meter could be joined (channel 33 (0x21), PAN 8888, FE80:" in done.log[-1]
    assert done.log[-1].endswith("so that it is scanned for; or the route B ID or password is wrong")


def _off(stick: Stick) -> None:
    stick.meter_is_off = True


def _mute(stick: Stick) -> None:
    stick.mute = True


def _refuse(stick: Stick) -> None:
    stick.refuses = True


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (_off, "no meter heard: is the stick near enough, is the route B ID right?"),
        (_mute, "no Wi-SUN stick answers there: is it the right port?"),
        (_refuse, "the meter refused: the route B ID or password is wrong"),
        (Stick.unplug, "is not there: is the cable plugged in, is the name right?"),
    ],
)
def test_a_meter_that_cannot_be_read_once_is_a_sentence(
    here: Here, stick: Stick, fault: Callable[[Stick], None], told: str
) -> None:
    fault(stick)
    done = here.run("--once")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith(f"boondock collect: meter: {stick.port}")
    assert done.err.endswith(f"{told}\n")
    assert "Traceback" not in done.err


def test_in_detail_the_words_of_the_stick_are_shown_but_no_secrets(here: Here, stick: Stick) -> None:
    done = here.run("--once", "--debug")
    assert "SKSCAN" in done.err
    assert "properties([231 232" in done.err
    assert "]) -> {231: 00000200, 232: 001fffea" in done.err
    assert not any(secret in done.err for secret in (RBID, RBID[-8:], PASSWORD))
    assert "SKSCAN" not in here.run("--once").err
    assert stick.sessions == 2


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(here: Here, stick: Stick, by: int) -> None:
    done = here.run_until(lambda: stick.meter.asked.count(0xE7) > 3, "--interval", "1", by=by)
    assert (done.code, stick.commands[-1]) == (0, "SKTERM")
    assert "Traceback" not in done.err


def test_a_signal_ends_a_joining_too(here: Here, stick: Stick) -> None:
    stick.hangs_scanning = True
    done = here.run_until(lambda: "SKSCAN" in stick.commands)
    assert (done.code, len(done.log)) == (0, 1), "that it scans"


def test_a_meter_that_goes_and_comes_back_is_told_once_each(here: Here, stick: Stick) -> None:
    def goes_and_comes() -> bool:
        wait_for(lambda: stick.meter.asked.count(0xE7) > 2)
        stick.unplug()
        wait_for(lambda: "is not there" in here.said())
        stick.plug()
        wait_for(lambda: "it answers again" in here.said())
        return True

    done = here.run_until(goes_and_comes, "--interval", "1")
    told = [line for line in done.log if not line.startswith("INFO meter: grid_power")]
    assert [line.split()[0] for line in told].count("ERROR") in (1, 2), told
    assert "INFO meter: it answers again" in told
    assert (done.code, stick.sessions) == (0, 2)


def test_a_signal_ends_a_single_reading_without_success(here: Here, stick: Stick) -> None:
    stick.hangs_scanning = True
    done = here.run_until(lambda: "SKSCAN" in stick.commands, "--once", "-o", "stdout", by=signal.SIGINT)
    assert (done.code, done.out) == (130, "")


@pytest.mark.parametrize(("words", "rate"), [((), "57600"), (("--baudrate", "57600"), "9600")])
def test_a_stick_at_another_speed_is_spoken_to_at_that(
    here: Here, stick: Stick, words: tuple[str, ...], rate: str
) -> None:
    done = here.run("--once", *words, SERIAL_RATE=rate)
    assert done.code == 0
    assert termios.tcgetattr(stick._slave)[5] == termios.B57600


def test_what_does_not_count_is_told(here: Here, stick: Stick) -> None:
    done = here.run("--once", "--mode", "schedule", "--interval", "10")
    assert (done.code, done.log[0]) == (0, "WARNING --interval does not count with --mode schedule")
    done = here.run("--once", "--mode", "interval", "--schedule", "* * * * *")
    assert (done.code, done.log[0]) == (0, "WARNING --schedule does not count with --mode interval")
    assert stick.sessions == 2


def test_a_schedule_begins_with_the_line_open_and_waits_for_its_time(here: Here, stick: Stick) -> None:
    done = here.run_until(lambda: stick.sessions == 1, "--schedule", "0 0 1 1 *")
    assert (done.code, stick.meter.asked) == (0, [])


SHUNT = """
[device.shunt]
kind = "vedirect"
port = "{port}"
"""


def test_a_device_of_the_settings_speaks_by_a_cable(here: Here) -> None:
    cable = Cable()
    (here.folder / "boondock.toml").write_text(SHUNT.format(port=cable.path))
    with Talker(cable.write, SmartShunt(volts=12.84)):
        done = here.run("shunt", "--once")
    assert done.code == 0, done.err
    assert "INFO shunt: voltage 12.84," in done.log[-1]


def test_a_device_on_a_bus_has_its_port_and_speed_by_options_too(here: Here) -> None:
    (here.folder / "boondock.toml").write_text(
        """[device.mppt]
kind = "epever_tracer"
port = "/nowhere/tty"
unit = 1
disabled = ["pv_power"]
"""
    )
    with Slave({1: Tracer.simulated(Weather(voltage=13.2))}, baudrate=9600) as bus:
        done = here.run("mppt", "--once", "--port", bus.port, "--baudrate", "9600")
        assert done.code == 0, done.err
        bus.always = "silent"
        silent = here.run("mppt", "--once", "--port", bus.port, "--baudrate", "9600")
    assert re.search(r"\bvoltage 13\.2\b", done.log[-1])
    assert " pv_power " not in done.log[-1], "it is disabled"
    assert silent.err.startswith("boondock collect: mppt: unit 1 does not answer at 9600 baud")


KEY = bytes.fromhex("aff4d0995b7d1e176c0c33ecb9e70dcd")
ADDRESS = "C0:11:22:33:44:55"
RADIO = f"""
[device.shunt]
kind = "victron_battery_monitor"
address = "{ADDRESS}"
key = "{KEY.hex()}"
timeout = 5.0
"""


def test_a_device_on_the_radio_is_heard(here: Here) -> None:
    (here.folder / "boondock.toml").write_text(RADIO)
    with PrivateBus() as bus, FakeBluez(bus.address) as bluez:

        def advertise() -> bool:
            assert bluez.wait_scanning(20.0)
            record = victron.battery_monitor(victron.BatteryMonitor(voltage=13.27), KEY, iv=7)
            bluez.advertise(ADDRESS, {0x02E1: record})
            return False

        with threaded(advertise):
            done = here.run("shunt", "--once", DBUS_SYSTEM_BUS_ADDRESS=bus.address)
    assert done.code == 0, done.err
    assert done.log[0] == "INFO shunt: listening for it, up to 5 s"
    assert "INFO shunt: voltage 13.27," in done.log[-1]


def test_a_wrong_key_is_told(here: Here) -> None:
    (here.folder / "boondock.toml").write_text(RADIO.replace(KEY.hex(), "00" * 16).replace("5.0", "3.0"))
    with PrivateBus() as bus, FakeBluez(bus.address) as bluez:

        def advertise() -> bool:
            assert bluez.wait_scanning(20.0)
            record = victron.battery_monitor(victron.BatteryMonitor(), KEY, iv=7)
            return bluez.advertise(ADDRESS, {0x02E1: record})

        with threaded(advertise):
            done = here.run("shunt", "--once", DBUS_SYSTEM_BUS_ADDRESS=bus.address)
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("boondock collect: shunt: the key ")


def test_a_radio_that_does_not_work_is_a_sentence(here: Here) -> None:
    (here.folder / "boondock.toml").write_text(RADIO.replace("5.0", "0.5"))
    done = here.run("shunt", "--once", DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nowhere")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("boondock collect: shunt: the radio does not work: ")


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        (None, "boondock.toml: No such file or directory"),
        ("", "has no device 'shunt'; there are: none; without a name it is the smart meter of B_ROUTE_ID"),
        (SHUNT.replace("shunt", "mppt"), "has no device 'shunt'; there are: mppt; without a name"),
        (
            SHUNT.replace("vedirect", "vedirekt"),
            "device.shunt.kind: there is no kind 'vedirekt'; did you mean",
        ),
        (
            '[device.shunt]\nkind = "integral"\nsource = "a.b"\n',
            "shunt is computed by the statistician; next:",
        ),
        (SHUNT.format(port="/dev/x") + "unit = 1\n", "a device of kind vedirect has no such setting"),
    ],
)
def test_a_device_that_cannot_be_found_is_a_sentence(here: Here, toml: str | None, told: str) -> None:
    if toml is not None:
        (here.folder / "boondock.toml").write_text(toml)
    done = here.run("shunt", "--once")
    assert told in done.err
    assert (done.code in (1, 78), len(done.err.splitlines()), done.out) == (True, 1, "")


def test_a_place_on_the_air_is_for_meters_only(here: Here) -> None:
    (here.folder / "boondock.toml").write_text(SHUNT.format(port="/dev/x"))
    done = here.run("shunt", "--once", *PLACE)
    assert (done.code, "--meter-ipv6: shunt is no smart meter" in done.err) == (2, True)
