"""The computer we run on, by the files of /proc and /sys."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from bus.clock import synchronised
from collector.devices.description import HostText, Space

log = logging.getLogger(__name__)

# By patterns, the first that exists counts: boards and kernels name their nodes differently.
_FILES: dict[HostText, tuple[str, ...]] = {
    HostText.MODEL: ("proc/device-tree/model",),
    HostText.TEMPERATURE: ("sys/class/thermal/thermal_zone0/temp",),
    HostText.THROTTLED: (
        "sys/devices/platform/soc/soc:firmware/get_throttled",
        "sys/devices/platform/*/*firmware/get_throttled",
        "sys/devices/platform/*firmware/get_throttled",
    ),
    HostText.MEMORY: ("proc/meminfo",),
    HostText.LOAD: ("proc/loadavg",),
    HostText.UPTIME: ("proc/uptime",),
    HostText.CARD: ("sys/block/mmcblk0/stat",),
}
_HWMON = "sys/class/hwmon/hwmon*"
_HWMON_NAME = "rpi_volt"
_ALARM = "in*_lcrit_alarm"
_BOOT_ID = "proc/sys/kernel/random/boot_id"
_KEPT = "since-boot"


class Host:
    """Reads below `root`; `state` is the folder of our data, `runtime` one for what a boot may forget."""

    def __init__(
        self,
        *,
        state: Path,
        runtime: Path | None = None,
        broker_up: Callable[[], bool | None] | None = None,
        root: Path = Path("/"),
        synchronised: Callable[[], bool] = synchronised,
    ) -> None:
        self._state = state
        self._runtime = runtime
        self._broker_up = broker_up
        self._root = root
        self._synchronised = synchronised
        self._bits: int | None = None

    def open(self) -> None:
        """There is nothing to open."""

    def close(self) -> None:
        """There is nothing to close."""

    def text(self, what: HostText) -> str | None:
        """The file's text; None if there is none."""
        if what is HostText.UNDER_VOLTAGE:
            return self._alarm()
        for pattern in _FILES[what]:
            for path in sorted(self._root.glob(pattern)):
                return _read(path)
        return None

    def _alarm(self) -> str | None:
        for folder in sorted(self._root.glob(_HWMON)):
            if (_read(folder / "name") or "").strip() == _HWMON_NAME:
                for path in sorted(folder.glob(_ALARM)):
                    return _read(path)
        return None

    def space(self) -> tuple[Space, Space | None]:
        """The file system of `state`, or of the folder it will be made in, and that of the root."""
        folder = next(f for f in (self._state, *self._state.parents, self._root) if f.exists())
        ours = _space(folder)
        return ours, None if folder.stat().st_dev == self._root.stat().st_dev else _space(self._root)

    def since_boot(self, bits: int) -> int:
        """The bits are kept in memory-backed `runtime`, with the boot they belong to."""
        known = self._recall() if self._bits is None else self._bits
        self._bits = known | bits
        if self._bits != known:
            self._keep(self._bits)
        return self._bits

    def _recall(self) -> int:
        if self._runtime is None:
            return 0
        match (_read(self._runtime / _KEPT) or "").split():
            case [boot, number] if boot == self._boot():
                try:
                    return int(number, 16)
                except ValueError:
                    # Cut short by a full disk: begin anew.
                    return 0
        return 0

    def _keep(self, bits: int) -> None:
        if self._runtime is None:
            return
        try:
            (self._runtime / _KEPT).write_text(f"{self._boot()} {bits:x}\n", encoding="ascii")
        except OSError as error:
            log.warning("what happened since the machine's start is forgotten with this process: %s", error)

    def _boot(self) -> str:
        return (_read(self._root / _BOOT_ID) or "?").strip()

    def clock_synchronised(self) -> bool:
        """As the readings of all processes have it."""
        return self._synchronised()

    def broker_up(self) -> bool | None:
        """Whether our own connection to the broker stands."""
        return None if self._broker_up is None else self._broker_up()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        # Some sensors refuse single readings (EINVAL, EAGAIN).
        log.debug("%s: %s", path, error)
        return None


def _space(folder: Path) -> Space:
    found = os.statvfs(folder)
    return Space((found.f_blocks - found.f_bfree) * found.f_frsize, found.f_bavail * found.f_frsize)
