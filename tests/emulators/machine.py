"""A machine's /proc and /sys in a folder: what the kernel of a Raspberry Pi shows of it.

The texts are written from the kernel's documentation (proc(5), hwmon, block/stat) and from what owners of a
Pi Zero 2 W have published; they were not captured with this project.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

# The kinds that are read from it.
TWINS = ("raspberry_pi",)

MODEL = "Raspberry Pi Zero 2 W Rev 1.0\0"
MEMINFO = """\
MemTotal:         436236 kB
MemFree:          106896 kB
MemAvailable:     264116 kB
Buffers:           19788 kB
Cached:           186580 kB
SwapCached:            0 kB
Active:           101736 kB
SwapTotal:        102396 kB
SwapFree:         102396 kB
Dirty:                24 kB
VmallocTotal:   261087232 kB
CmaTotal:          65536 kB
CmaFree:           62220 kB
HugePages_Total:       0
Hugepagesize:       2048 kB
"""
LOADAVG = "0.20 0.18 0.12 1/152 11206\n"
UPTIME = "350735.47 1334113.29\n"
CARD = (
    "   14563     4312  1177902    72421    38721    51263  1251264   893412        0   402180   967102"
    "        0        0        0        0     2131     1269\n"
)
TEMPERATURE = "48312\n"
_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


@dataclass(frozen=True)
class Machine:
    """Writes the files below `root`; `remove` takes one away as a kernel without that driver would."""

    root: Path

    def zero_2_w(self) -> "Machine":
        """A Pi Zero 2 W at rest."""
        self.write("proc/device-tree/model", MODEL)
        self.write("proc/device-tree/serial-number", "00000000a1b2c3d4\0")
        self.write("etc/os-release", 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
        self.write("proc/meminfo", MEMINFO)
        self.write("proc/loadavg", LOADAVG)
        self.write("proc/uptime", UPTIME)
        self.write("proc/sys/kernel/random/boot_id", "0b8f7a1e-37b8-4b6f-a4d4-0d4c32a8c0de\n")
        self.write("sys/class/thermal/thermal_zone0/temp", TEMPERATURE)
        self.write("sys/block/mmcblk0/stat", CARD)
        self.throttled(0)
        self.write("sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
        self.write("sys/class/hwmon/hwmon1/name", "rpi_volt\n")
        self.alarm(on=False)
        return self

    def throttled(self, bits: int) -> None:
        """What the firmware says; the kernel shows it as printf's %x."""
        self.write(_THROTTLED, f"{bits:x}\n")

    def alarm(self, *, on: bool) -> None:
        """The kernel's own under-voltage alarm."""
        self.write("sys/class/hwmon/hwmon1/in0_lcrit_alarm", f"{on:d}\n")

    def reboot(self, number: int) -> None:
        """A new start of the machine."""
        self.write("proc/sys/kernel/random/boot_id", f"0b8f7a1e-37b8-4b6f-a4d4-{number:012x}\n")

    def write(self, path: str, text: str) -> None:
        """One file."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def remove(self, path: str) -> None:
        """A file or folder that this kernel does not have."""
        file = self.root / path
        if file.is_dir():
            shutil.rmtree(file)
        else:
            file.unlink()

    def without_throttled(self) -> None:
        """A kernel that has only hwmon."""
        self.remove(_THROTTLED)
