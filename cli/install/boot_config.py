"""I2C and the serial port in a Raspberry Pi's boot files, as raspi-config sets them. Text in, text out."""

import re
from collections.abc import Callable
from pathlib import Path

I2C = "dtparam=i2c_arm=on"
UART = "enable_uart=1"
# raspi-config: since Debian 12 the files are in /boot/firmware, and those in /boot only point there.
FOLDERS = ("/boot/firmware", "/boot")
_SECTION = re.compile(r"\s*\[(\w[^\]]*)\]")
_CONSOLE = re.compile(r"console=(?:serial|ttyAMA|ttyS)\d+(?:,\d+\w*)?\s*")
_I2C = re.compile(r"(?P<before>.*\b)(?:i2c_arm|i2c)(?:=(?P<value>\w+))?(?P<after>(?:,.*)?)$")
_ON = (None, "on", "1", "true", "yes")


def folder(root: Path) -> Path | None:
    """The boot folder of a Raspberry Pi; None on other machines."""
    for name in FOLDERS:
        place = root / name.lstrip("/")
        if (place / "config.txt").is_file():
            return place
    return None


def with_i2c(text: str) -> str:
    """config.txt with the I2C bus of the pins 3 and 5 on."""
    return _with(text, I2C, _i2c_line)


def with_uart(text: str) -> str:
    """config.txt with the UART of the pins 8 and 10 on."""
    return _with(text, UART, _uart_line)


def without_console(text: str) -> str:
    """cmdline.txt without a console on the serial port: a device on it would get log lines."""
    return _CONSOLE.sub("", text)


def _i2c_line(line: str) -> str | None:
    """A line that sets I2C, set to on; None for all others."""
    name, equals, rest = line.partition("=")
    found = _I2C.match(rest)
    if name.strip() not in ("dtparam", "device_tree_param") or not equals or found is None:
        return None
    if found["value"] in _ON:
        return line
    return f"{name}={found['before']}i2c_arm=on{found['after']}"


def _uart_line(line: str) -> str | None:
    name, _, value = line.partition("=")
    if name.strip() != "enable_uart":
        return None
    return line if value.strip() == "1" else UART


def _with(text: str, wanted: str, settle: Callable[[str], str | None]) -> str:
    """The text with `wanted` in the section for all models: the last line that says it counts."""
    lines = text.splitlines()
    section, places, commented = "all", [], None
    for number, line in enumerate(lines):
        if found := _SECTION.match(line):
            section = found[1].lower()
        elif section == "all" and settle(line) is not None:
            places.append(number)
        elif section == "all" and line.lstrip("# ").rstrip() == wanted:
            commented = number
    if places:
        lines[places[-1]] = settle(lines[places[-1]]) or wanted
    elif commented is not None:
        lines[commented] = wanted
    else:
        lines += [*([] if section == "all" else ["", "[all]"]), wanted]
    return "\n".join(lines) + "\n"
