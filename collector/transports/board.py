"""What the board offers: its pins, its I2C buses, the files of /proc and /sys; the only file with smbus2.

Errors of the kernel become sentences.
"""

import errno
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bus.clock import synchronised
from bus.pins import NoPinsError, PinError, Pins
from collector.devices.description import LineError, NoAnswerError, RefusedError
from collector.devices.lines import Count, HostText, Kept, Pulses, Space
from collector.transports.counts import CountFiles
from config.model import Pull

if TYPE_CHECKING:
    from smbus2 import SMBus

log = logging.getLogger(__name__)

T = TypeVar("T")


class Gpio:
    """Inputs of the board; the controller's outputs are never touched. `tell` hears what the pins are."""

    def __init__(self, pins: Pins, tell: Callable[[str], None], counts: CountFiles | None = None) -> None:
        self._pins = pins
        self._tell = tell
        self._counts = counts
        # By pin how it was set up, and the level it had where nobody counts its edges.
        self._counters: dict[int, tuple[Pull, bool, float]] = {}
        self._levels: dict[int, bool | None] = {}
        self._open = False
        self._inputs: dict[int, Pull] = {}

    def open(self) -> None:
        """Find the library and reach the chip. Raises LineError."""
        try:
            self._tell(self._pins.reach().told)
        except NoPinsError as error:
            raise LineError(str(error)) from error
        self._open = True

    def close(self) -> None:
        """Let go of the pins that we opened, and of no others."""
        self._open = False
        self._inputs.clear()
        self._counters.clear()
        if self._counts is not None:
            self._counts.save()
        try:
            self._pins.close()
        except PinError as error:
            log.debug("%s", error)

    def read(self, pin: int, pull: Pull) -> bool:
        """Return whether a pin is high, set up at its first use. Raises RefusedError or LineError."""
        self._check_open()
        if self._inputs.get(pin) != pull:
            self._set_up(lambda: self._pins.open_input(pin, pull))
            self._inputs[pin] = pull
        return self._asked(lambda: self._pins.read(pin))

    def pulses(self, pin: int, pull: Pull, *, rising: bool, debounce: float) -> Pulses:
        """Return the edges since the last call. Raises RefusedError or LineError."""
        self._check_open()
        how = (pull, rising, debounce)
        if self._counters.get(pin) != how:
            counts = self._set_up(
                lambda: self._pins.open_counter(pin, pull, rising=rising, debounce=debounce)
            )
            self._levels.pop(pin, None)
            if not counts:
                self._levels[pin] = None
            self._counters[pin] = how
        if pin in self._levels:
            return self._watched(pin, rising=rising)
        edges = self._asked(lambda: self._pins.edges(pin))
        return Pulses() if edges is None else Pulses(edges.count, edges.newest, edges.rate)

    def _watched(self, pin: int, *, rising: bool) -> Pulses:
        before = self._levels[pin]
        level = self._levels[pin] = self._asked(lambda: self._pins.read(pin))
        return Pulses(int(before is not None and level is not before and level is rising), polled=True)

    def recall(self, name: str) -> Count | None:
        """Return a count as it was kept last."""
        return None if self._counts is None else self._counts.recall(name)

    def keep(self, name: str, count: Count) -> Kept:
        """Keep a count; without a folder nothing is."""
        return Kept(count) if self._counts is None else self._counts.keep(name, count)

    def _check_open(self) -> None:
        if not self._open:
            raise LineError("the pins are not open")

    def _set_up(self, opened: Callable[[], T]) -> T:
        try:
            return opened()
        except NoPinsError as error:
            raise LineError(str(error)) from error
        except PinError as error:
            raise RefusedError(str(error)) from error

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except PinError as error:
            raise LineError(str(error)) from error


FIRST, LAST = 0x08, 0x77
"""The addresses that the I2C specification leaves to chips (NXP UM10204, table 4)."""

# Documentation/i2c/fault-codes.rst: a chip that does not acknowledge is any of the first three, by driver;
# the Pi's says EREMOTEIO. ETIMEDOUT is a clock or data line that stays low, EAGAIN a lost arbitration.
_NO_ANSWER = (errno.EREMOTEIO, errno.ENXIO, errno.EIO, errno.EAGAIN, errno.ETIMEDOUT)
# I2C_FUNC_SMBUS_QUICK, include/uapi/linux/i2c.h.
_CAN_WRITE_NOTHING = 0x10000
# i2cdetect asks these with a read, all others with a write of nothing: a quick write would corrupt Atmel's
# AT24RF08 EEPROM at 0x50 to 0x5F and switch write-protection of memory modules at 0x30 to 0x37.
_ASK_BY_READING = (range(0x30, 0x38), range(0x50, 0x60))


class I2cBus:
    """One bus, shared by all chips on it; an answer to collector.devices.description.I2cLine.

    Registers travel as I2C block transfers: their bytes come in the order of the wire (a word transfer would
    swap them), pointer and data are one transaction with a repeated start, and both the Pi's driver and the
    controllers of PCs and USB adapters, which know no plain I2C messages, can do them.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._path = f"/dev/i2c-{number}"
        self._bus: SMBus | None = None

    def open(self) -> None:
        """Open the bus; no chip is asked. Raises LineError."""
        self.close()
        from smbus2 import SMBus  # noqa: PLC0415 — the other collectors of the board need none

        bus = SMBus()
        self._bus = bus
        try:
            bus.open(self._path)
        except OSError as error:
            # It may be half open: asking for the functions is what fails on a file that is no bus.
            self.close()
            raise LineError(self._advice(error)) from error

    def close(self) -> None:
        """Let go of the bus."""
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.close()

    def read(self, address: int, register: int, count: int) -> bytes:
        """`count` (at most 32) bytes from a register on. Raises NoAnswerError, RefusedError, LineError."""
        bus = self._opened()
        try:
            return bytes(bus.read_i2c_block_data(address, register, count))
        except OSError as error:
            raise self._trouble(address, error) from error

    def write(self, address: int, register: int, data: bytes) -> None:
        """Write at most 32 bytes from a register on. Raises NoAnswerError, RefusedError, LineError."""
        bus = self._opened()
        try:
            bus.write_i2c_block_data(address, register, list(data))
        except OSError as error:
            raise self._trouble(address, error) from error

    def receive(self, address: int, count: int) -> bytes:
        """Read `count` bytes without naming a register. Raises NoAnswerError, RefusedError, LineError."""
        bus = self._opened()
        from smbus2 import i2c_msg  # noqa: PLC0415 — as in open

        message = i2c_msg.read(address, count)
        try:
            bus.i2c_rdwr(message)
        except OSError as error:
            raise self._trouble(address, error) from error
        return bytes(message)

    def pause(self, seconds: float) -> None:
        """Wait, while a chip converts."""
        time.sleep(seconds)

    def scan(self) -> list[int]:
        """List the addresses that answer, asked as i2cdetect does; no register is written. Raises LineError.

        Chips that a kernel driver has taken are not asked and not listed.
        """
        return [address for address in range(FIRST, LAST + 1) if self._answers(address)]

    def _answers(self, address: int) -> bool:
        bus = self._opened()
        quick = int(bus.funcs) & _CAN_WRITE_NOTHING
        try:
            if not quick or any(address in addresses for addresses in _ASK_BY_READING):
                bus.read_byte(address)
            else:
                bus.write_quick(address)
        except OSError as error:
            if error.errno == errno.ETIMEDOUT:
                # A hundred more addresses would each take as long.
                raise LineError(self._held()) from error
            trouble = self._trouble(address, error)
            if isinstance(trouble, LineError):
                raise trouble from error
            return False
        return True

    def _opened(self) -> "SMBus":
        if self._bus is None:
            raise LineError(f"{self._path} is not open")
        return self._bus

    def _trouble(self, address: int, error: OSError) -> NoAnswerError | RefusedError | LineError:
        where = f"{address:#04x} on I2C bus {self._number}"
        if error.errno == errno.ETIMEDOUT:
            return NoAnswerError(f"no answer from {where}: {self._held()}")
        if error.errno in _NO_ANSWER:
            return NoAnswerError(
                f"no answer from {where}: check its wiring, its supply and its address "
                f"(i2cdetect -y {self._number} shows who answers)"
            )
        if error.errno == errno.EBUSY:
            return RefusedError(
                f'{where} belongs to a driver of the kernel: read it with kind = "kernel_sensor", or remove '
                "its dtoverlay from config.txt"
            )
        return LineError(self._advice(error))

    def _held(self) -> str:
        return f"I2C bus {self._number} is held: is a wire shorted, or a chip on it without supply?"

    def _advice(self, error: OSError) -> str:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            return f"{self._path} is not there: switch I2C on with raspi-config, Interface Options"
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"{self._path}: permission denied: the user of this service must be in the group i2c"
        if error.errno == errno.ENOTTY:
            return f"{self._path} is no I2C bus"
        return f"{self._path} was lost: {error.strerror or error}"


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
    HostText.SERIAL_NUMBER: ("proc/device-tree/serial-number",),
    HostText.SYSTEM: ("etc/os-release", "usr/lib/os-release"),
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
        """Return the file's text; None if there is none."""
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
        """Return the file system of `state`, or of the folder it will be made in, and that of the root."""
        folder = next(f for f in (self._state, *self._state.parents, self._root) if f.exists())
        ours = _space(folder)
        return ours, None if folder.stat().st_dev == self._root.stat().st_dev else _space(self._root)

    def since_boot(self, bits: int) -> int:
        """Keep the bits in memory-backed `runtime`, with the boot they belong to; return all of this boot."""
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
