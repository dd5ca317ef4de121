"""An I2C bus at /dev/i2c-<bus>; the only file with smbus2. Errors of the kernel become sentences."""

import errno
import time

from smbus2 import I2cFunc, SMBus

from collector.devices.description import LineError, NoAnswerError, RefusedError

FIRST, LAST = 0x08, 0x77
"""The addresses that the I2C specification leaves to chips (NXP UM10204, table 4)."""

# Documentation/i2c/fault-codes.rst: a chip that does not acknowledge is any of the first three, by driver;
# the Pi's says EREMOTEIO. ETIMEDOUT is a clock or data line that stays low, EAGAIN a lost arbitration.
_NO_ANSWER = (errno.EREMOTEIO, errno.ENXIO, errno.EIO, errno.EAGAIN, errno.ETIMEDOUT)
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

    def pause(self, seconds: float) -> None:
        """Wait, while a chip converts."""
        time.sleep(seconds)

    def scan(self) -> list[int]:
        """The addresses that answer, asked as i2cdetect does; no register is written. Raises LineError.

        Chips that a kernel driver has taken are not asked and not listed.
        """
        return [address for address in range(FIRST, LAST + 1) if self._answers(address)]

    def _answers(self, address: int) -> bool:
        bus = self._opened()
        quick = I2cFunc.SMBUS_QUICK in I2cFunc(bus.funcs)
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

    def _opened(self) -> SMBus:
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
                f"{where} belongs to a driver of the kernel: remove its dtoverlay from config.txt"
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
