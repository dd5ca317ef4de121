"""The machine's own device: texts of the kernel become values, whatever they say."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.devices.description import Values
from collector.devices.raspberry_pi import (
    KIND,
    ROWS,
    first_number,
    memory,
    pretty_name,
    switch,
    temperature,
    throttled,
    tree_text,
    written,
)
from collector.transports.board import Host
from config.model import Device
from tests.emulators import machine
from tests.emulators.machine import Machine

PI = KIND.make(Device(kind="raspberry_pi"))
FLAGS = ("under_voltage", "frequency_capped", "throttled", "temperature_limit")


@pytest.fixture
def pi(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root").zero_2_w()


def _host(pi: Machine, **others: Callable[[], bool]) -> Host:
    runtime = pi.root.parent / "run"
    runtime.mkdir(exist_ok=True)
    return Host(
        state=pi.root,
        runtime=runtime,
        root=pi.root,
        broker_up=others.get("broker_up", lambda: True),
        synchronised=others.get("synchronised", lambda: True),
    )


def _flags(values: Values) -> tuple[str, str]:
    """Which flags are ON now, and since boot: u(nder-voltage), f(requency), t(hrottled), l(imit)."""
    named = dict(zip("uftl", FLAGS, strict=True))
    now = "".join(letter for letter, flag in named.items() if values[flag] == "ON")
    since = "".join(letter for letter, flag in named.items() if values[f"{flag}_since_boot"] == "ON")
    return now, since


def test_a_zero_2_w_at_rest(pi: Machine) -> None:
    decoded = PI.poll(_host(pi), 1.0)
    values = dict(decoded.values)
    assert decoded.model == "Raspberry Pi Zero 2 W Rev 1.0"
    assert decoded.serial_number == "00000000a1b2c3d4"
    assert decoded.sw_version == "Debian GNU/Linux 12 (bookworm)"
    for disk in ("disk_free", "disk_used"):
        assert isinstance(values.pop(disk), float)
    assert values == {
        "cpu_temperature": 48.3,
        **dict.fromkeys(FLAGS, "OFF"),
        **{f"{flag}_since_boot": "OFF" for flag in FLAGS},
        # 1251264 sectors of 512 bytes.
        "card_written": 640.6,
        # 264116 of 436236 KiB are available.
        "memory_free": 270.5,
        "memory_used": 39.5,
        "load": 0.2,
        "uptime": 350735.47,
        "clock_synchronised": "ON",
        "broker": "ON",
    }
    assert decoded.values.keys() <= ROWS.keys()


@pytest.mark.parametrize(
    ("bits", "now", "since"),
    [
        (0x0, "", ""),
        (0x1, "u", "u"),
        (0x50005, "ut", "ut"),
        (0x50000, "", "ut"),
        (0xE0008, "l", "ftl"),
        (0x80000, "", "l"),
        (0xF000F, "uftl", "uftl"),
        # Bits that nobody has described do not count.
        (0xFFF5FFF1, "u", "ut"),
        (0xFFF0FFF0, "", ""),
    ],
)
def test_the_firmwares_flags(pi: Machine, bits: int, now: str, since: str) -> None:
    pi.throttled(bits)
    assert _flags(PI.poll(_host(pi), 1.0).values) == (now, since)


def test_what_happened_is_known_until_the_machine_starts_anew(pi: Machine) -> None:
    def seen(host: Host) -> tuple[str, str]:
        return _flags(PI.poll(host, 1.0).values)

    host = _host(pi)
    assert seen(host) == ("", "")
    pi.throttled(0x50005)
    assert seen(host) == ("ut", "ut")
    # The kernel's driver clears the firmware's memory each two seconds.
    pi.throttled(0)
    assert seen(host) == ("", "ut")
    assert seen(_host(pi)) == ("", "ut"), "a new process on the same boot"
    pi.throttled(0x2)
    assert seen(_host(pi)) == ("f", "uft")
    pi.throttled(0)
    pi.reboot(2)
    assert seen(_host(pi)) == ("", "")


@pytest.mark.parametrize("kept", ["", "garbage", "0b8f7a1e-37b8-4b6f-a4d4-0d4c32a8c0de xyz", "a b c"])
def test_a_damaged_memory_is_no_memory(pi: Machine, kept: str) -> None:
    host = _host(pi)
    (pi.root.parent / "run" / "since-boot").write_text(kept)
    assert _flags(PI.poll(host, 1.0).values) == ("", "")


def test_the_kernels_alarm_counts_where_the_firmware_is_not_shown(pi: Machine) -> None:
    pi.without_throttled()
    host = _host(pi)
    pi.alarm(on=True)
    values = PI.poll(host, 1.0).values
    assert {key: values.get(key) for key in FLAGS} == {
        "under_voltage": "ON",
        "frequency_capped": None,
        "throttled": None,
        "temperature_limit": None,
    }
    pi.alarm(on=False)
    values = PI.poll(host, 2.0).values
    assert (values["under_voltage"], values["under_voltage_since_boot"]) == ("OFF", "ON")


def test_a_short_dip_that_only_the_alarm_holds_is_seen(pi: Machine) -> None:
    pi.alarm(on=True)
    assert _flags(PI.poll(_host(pi), 1.0).values) == ("u", "u")


def test_the_alarm_of_another_chip_is_not_the_pis(pi: Machine) -> None:
    pi.write("sys/class/hwmon/hwmon0/name", "ina2xx\n")
    pi.write("sys/class/hwmon/hwmon0/in0_lcrit_alarm", "1\n")
    assert _flags(PI.poll(_host(pi), 1.0).values) == ("", "")


@pytest.mark.parametrize(
    "folder", ["sys/class/thermal", "sys/devices", "sys/class/hwmon", "sys/block", "proc", "sys"]
)
def test_what_a_machine_does_not_have_is_unknown_and_no_error(pi: Machine, folder: str) -> None:
    whole = PI.poll(_host(pi), 1.0).values
    pi.remove(folder)
    values = PI.poll(_host(pi), 1.0).values
    lost = {key for key, value in whole.items() if values.get(key) is None}
    assert {values[key] == whole[key] for key in whole.keys() - lost - {"disk_free", "disk_used"}} == {True}
    assert all(ROWS[key].optional for key in lost)
    gone = {
        "sys/class/thermal": {"cpu_temperature"},
        "sys/devices": {f"{f}{s}" for f in FLAGS[1:] for s in ("", "_since_boot")},
        "sys/class/hwmon": set(),
        "sys/block": {"card_written"},
        "proc": {"memory_free", "memory_used", "load", "uptime"},
        "sys": {"cpu_temperature", "card_written"} | {f"{f}{s}" for f in FLAGS for s in ("", "_since_boot")},
    }
    assert lost == gone[folder]


@pytest.mark.parametrize("up", [True, False])
def test_clock_and_broker_are_as_they_are(pi: Machine, up: bool) -> None:  # noqa: FBT001 — a table
    values = PI.poll(_host(pi, broker_up=lambda: up, synchronised=lambda: not up), 1.0).values
    assert (values["broker"], values["clock_synchronised"]) == (("ON", "OFF") if up else ("OFF", "ON"))


def test_nobody_knows_of_a_broker(pi: Machine) -> None:
    assert PI.poll(Host(state=pi.root, root=pi.root), 1.0).values["broker"] is None


def test_the_disk_of_a_folder_that_is_not_there_yet(pi: Machine) -> None:
    ours, system = Host(state=pi.root / "var" / "lib" / "boondock", root=pi.root).space()
    assert (ours.used > 0, ours.free > 0, system) == (True, True, None)


def test_another_file_system_is_told_of_apart(pi: Machine) -> None:
    other = Path("/proc/self")
    if other.stat().st_dev == pi.root.stat().st_dev:
        pytest.skip("this machine has one file system only")
    values = PI.poll(Host(state=other, root=pi.root), 1.0).values
    assert isinstance(values["system_disk_free"], float)
    # procfs has no size.
    assert values["disk_used"] is None


@pytest.mark.parametrize(
    ("function", "text", "value"),
    [
        (temperature, "48312\n", 48.3),
        (temperature, "-4000\n", -4.0),
        (temperature, "-274000\n", None),
        (temperature, "200000", None),
        (temperature, "48.3", None),
        (throttled, "50005\n", 0x50005),
        (throttled, "throttled=0x0", None),
        (throttled, "", None),
        (switch, "0\n", False),
        (switch, "1", True),
        (switch, "2", None),
        (first_number, "350735.47 1334113.29\n", 350735.47),
        (first_number, "nan 1", None),
        (first_number, "12", None),
        (written, machine.CARD, 640.6),
        (written, "1 2 3", None),
        (written, "1 2 3 4 5 6 x 8", None),
        (tree_text, "Raspberry Pi Zero 2 W Rev 1.0\0", "Raspberry Pi Zero 2 W Rev 1.0"),
        (tree_text, "\0", None),
        (
            pretty_name,
            'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            "Debian GNU/Linux 12 (bookworm)",
        ),
        (pretty_name, "PRETTY_NAME=Alpine\n", "Alpine"),
        (pretty_name, "NAME=Debian\n", None),
        (pretty_name, None, None),
    ],
)
def test_texts(function: Callable[[str | None], object], text: str, value: object) -> None:
    assert function(text) == value
    assert function(None) is None


@pytest.mark.parametrize(
    "text",
    ["", "MemTotal: 0 kB\nMemAvailable: 0 kB", "MemTotal: 5 kB", "MemTotal: 5 kB\nMemAvailable: 6 kB"],
)
def test_memory_that_cannot_be_is_unknown(text: str) -> None:
    assert memory(text) == {"memory_free": None, "memory_used": None}


@given(st.text(max_size=200))
@example("0\x1f")
def test_whatever_a_file_holds_is_a_value_or_none(text: str) -> None:
    for function in (temperature, first_number, written):
        value = function(text)
        assert value is None or -60 <= value < 1e17
    bits = throttled(text)
    assert bits is None or 0 <= bits <= 0xFFFFFFFF
    assert switch(text) in (None, False, True)
    assert memory(text).keys() == {"memory_free", "memory_used"}
