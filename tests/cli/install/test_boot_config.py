"""I2C and serial in the boot files of a Pi, as raspi-config leaves them."""

from pathlib import Path

import pytest

from cli.install.boot_config import folder, with_i2c, with_uart, without_console


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "dtparam=i2c_arm=on\n"),
        ("#dtparam=i2c_arm=on\ndtparam=audio=on\n", "dtparam=i2c_arm=on\ndtparam=audio=on\n"),
        ("# dtparam=i2c_arm=on\n", "dtparam=i2c_arm=on\n"),
        ("dtparam=i2c_arm=off\n", "dtparam=i2c_arm=on\n"),
        ("dtparam=i2c=off\n", "dtparam=i2c_arm=on\n"),
        ("dtparam=spi=on,i2c_arm=off,audio=on\n", "dtparam=spi=on,i2c_arm=on,audio=on\n"),
        # Of several lines the last counts.
        ("dtparam=i2c_arm=on\ndtparam=i2c_arm=off\n", "dtparam=i2c_arm=on\ndtparam=i2c_arm=on\n"),
        # What is said of one model is not said of all.
        ("[pi4]\ndtparam=i2c_arm=on\n", "[pi4]\ndtparam=i2c_arm=on\n\n[all]\ndtparam=i2c_arm=on\n"),
        ("[pi4]\n#dtparam=i2c_arm=on\n[all]\n", "[pi4]\n#dtparam=i2c_arm=on\n[all]\ndtparam=i2c_arm=on\n"),
        ("[cm4]\notg_mode=1", "[cm4]\notg_mode=1\n\n[all]\ndtparam=i2c_arm=on\n"),
        # Another bus is another's.
        ("dtparam=i2c_vc=on\n", "dtparam=i2c_vc=on\ndtparam=i2c_arm=on\n"),
        ("dtparam=i2c_arm_baudrate=400000\n", "dtparam=i2c_arm_baudrate=400000\ndtparam=i2c_arm=on\n"),
    ],
)
def test_i2c_is_on_for_every_model(before: str, after: str) -> None:
    assert with_i2c(before) == after
    assert with_i2c(after) == after, "a second time there is nothing to do"


@pytest.mark.parametrize(
    "line", ["dtparam=i2c_arm=on", "dtparam=i2c=on", "dtparam=spi=on,i2c_arm", "dtparam=i2c_arm=1"]
)
def test_what_is_on_stays_as_it_is_written(line: str) -> None:
    assert with_i2c(f"{line}\n") == f"{line}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "enable_uart=1\n"),
        ("enable_uart=0\n", "enable_uart=1\n"),
        ("enable_uart = 1\n", "enable_uart = 1\n"),
        ("[pi3]\nenable_uart=1\n", "[pi3]\nenable_uart=1\n\n[all]\nenable_uart=1\n"),
    ],
)
def test_the_uart_is_on(before: str, after: str) -> None:
    assert with_uart(before) == after
    assert with_uart(after) == after


@pytest.mark.parametrize("port", ["serial0,115200", "ttyAMA0,115200", "ttyS0,115200n8", "ttyAMA10"])
def test_no_console_is_on_the_serial_port_and_the_screens_stays(port: str) -> None:
    line = f"console={port} console=tty1 root=PARTUUID=1-02 rootfstype=ext4 rootwait\n"
    assert without_console(line) == "console=tty1 root=PARTUUID=1-02 rootfstype=ext4 rootwait\n"


def test_the_folder_of_the_newer_layout_goes_first(tmp_path: Path) -> None:
    assert folder(tmp_path) is None
    for name in ("boot", "boot/firmware"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.txt").touch()
        assert folder(tmp_path) == tmp_path / name
